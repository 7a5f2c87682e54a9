
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * A reader of Go's traces for the tests, which takes them as strictly as Go's
 * own parser does.  It knows the state of each processor, goroutine, task and
 * region, and says what is wrong.
 */


#ifndef _GO_TRACE_H_INCLUDED_
#define _GO_TRACE_H_INCLUDED_


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>


#define MAX_IDS  100000
#define MAX_OBJ  20000
#define MAX_M    64
#define MAX_REG  64


typedef struct {
    const uint8_t  *p;
    const uint8_t  *end;
    const char     *wrong;
} reader_t;

typedef struct {
    uint64_t   id;
    uint64_t   seq;
    int        state;                      /* 0 none, 1 runnable, 2 running, 4 waiting, 3 call */
    unsigned   nregions;
    uint64_t   regions[MAX_REG][2];
} g_t;

typedef struct {
    uint64_t   m;
    int64_t    p;                          /* -1: none */
    int64_t    g;
} m_t;

typedef struct {
    unsigned   strings[MAX_IDS];           /* 1: defined */
    char       text[2000][64];             /* of the first ones */
    unsigned   stacks[MAX_IDS];
    g_t        g[MAX_OBJ];
    unsigned   ng;
    uint64_t   p_seq[MAX_M];
    int        p_state[MAX_M];             /* 0 unknown, 1 running, 2 idle */
    m_t        m[MAX_M];
    unsigned   nm;
    uint8_t    tasks[MAX_IDS];             /* 1: begun, 2: ended */
    unsigned   frequencies;
    unsigned   counts[64];
    unsigned   events;
    uint64_t   last_name;
} state_t;


static uint64_t
varint(reader_t *r)
{
    unsigned  shift;
    uint64_t  value;

    value = 0;

    for (shift = 0; shift < 64; shift += 7) {

        if (r->p == r->end) {
            r->wrong = "cut off";
            return 0;
        }

        value |= (uint64_t) (*r->p & 0x7f) << shift;

        if (!(*r->p++ & 0x80)) {
            return value;
        }
    }

    r->wrong = "a number that is too long";
    return 0;
}


static g_t *
goroutine(state_t *s, uint64_t id)
{
    unsigned  i;

    for (i = s->ng; i-- > 0; /* void */ ) {
        if (s->g[i].id == id) {
            return &s->g[i];
        }
    }

    assert_true(s->ng < MAX_OBJ);

    s->g[s->ng].id = id;

    return &s->g[s->ng++];
}


static m_t *
machine(state_t *s, uint64_t id)
{
    unsigned  i;

    for (i = 0; i < s->nm; i++) {
        if (s->m[i].m == id) {
            return &s->m[i];
        }
    }

    assert_true(s->nm < MAX_M);

    s->m[s->nm] = (m_t) { id, -1, -1 };

    return &s->m[s->nm++];
}


static const char *
known(const unsigned *ids, uint64_t id, const char *what)
{
    return id >= MAX_IDS || (id && !ids[id]) ? what : NULL;
}


static const char *
event(state_t *s, m_t *m, unsigned type, reader_t *r)
{
    g_t         *g;
    uint64_t     a[5];
    unsigned     i;
    const char  *wrong;

    static const unsigned  nargs[64] = {
        [10] = 2, [13] = 2, [14] = 3, [16] = 2, [19] = 2, [20] = 2, [21] = 3,
        [22] = 2, [25] = 3, [37] = 1, [40] = 4, [41] = 2, [42] = 3, [43] = 3,
        [44] = 4
    };

    (void) varint(r);

    for (i = 0; type < 64 && i < nargs[type]; i++) {
        a[i] = varint(r);
    }

    if (r->wrong) {
        return r->wrong;
    }

    s->events++;
    s->counts[type < 64 ? type : 0]++;

    g = m->g >= 0 ? goroutine(s, (uint64_t) m->g) : NULL;

    if (type >= 40 && type <= 44) {

        if (g == NULL) {
            return "expected a goroutine";
        }

        i = type == 41 ? 1 : type == 40 || type == 44 ? 3 : 2;
        wrong = known(s->stacks, a[i], "unknown stack");

        if (wrong) {
            return wrong;
        }

        for (i = type == 40 ? 2 : 1; i < nargs[type] - 1 && type != 41; i++) {
            wrong = known(s->strings, a[i], "unknown string");

            if (wrong) {
                return wrong;
            }
        }
    }

    switch (type) {

    case 10:
        if (m->p != -1 || s->p_state[a[0]] != 2) {
            return "processor is not idle";
        }

        if (a[1] != ++s->p_seq[a[0]]) {
            return "processor's number";
        }

        s->p_state[a[0]] = 1;
        m->p = (int64_t) a[0];
        return NULL;

    case 11:
        if (m->p == -1 || m->g != -1) {
            return "processor is not there, or its goroutine runs";
        }

        s->p_state[m->p] = 2;
        m->p = -1;
        return NULL;

    case 13:
        if (a[0] >= MAX_M || s->p_state[a[0]] || a[1] != 2) {
            return "processor's state";
        }

        s->p_state[a[0]] = 2;
        return NULL;

    case 14:
        g = goroutine(s, a[0]);

        if (m->p == -1 || g->state) {
            return "goroutine exists, or no processor";
        }

        g->state = 1;
        g->seq = 0;
        return a[1] ? known(s->stacks, a[1], "unknown stack") : "no stack";

    case 16:
        g = goroutine(s, a[0]);

        if (m->p == -1 || m->g != -1) {
            return "no processor, or another one runs";
        }

        if (g->state != 1 || a[1] != ++g->seq) {
            return "goroutine cannot start";
        }

        g->state = 2;
        m->g = (int64_t) a[0];
        return NULL;

    case 17:
        if (g == NULL || g->state != 2) {
            return "goroutine does not run";
        }

        g->state = 0;
        g->nregions = 0;
        m->g = -1;
        return NULL;

    case 20:
        if (g == NULL || g->state != 2 || m->p == -1 || a[1] == 0) {
            return "goroutine does not run";
        }

        g->state = 4;
        m->g = -1;
        wrong = known(s->strings, a[0], "unknown string");
        return wrong ? wrong : known(s->stacks, a[1], "unknown stack");

    case 21:
        g = goroutine(s, a[0]);

        if (g->state != 4 || a[1] != ++g->seq || a[2] == 0) {
            return "goroutine does not wait";
        }

        g->state = 1;
        return known(s->stacks, a[2], "unknown stack");

    case 22:
        if (g == NULL || g->state != 2 || a[0] != ++s->p_seq[m->p]) {
            return "goroutine cannot call";
        }

        g->state = 3;
        return known(s->stacks, a[1], "unknown stack");

    case 23:
        if (g == NULL || g->state != 3) {
            return "goroutine is in no call";
        }

        g->state = 2;
        return NULL;

    case 25:
        g = goroutine(s, a[0]);

        if (g->state || a[2] != 4) {
            return "state of a goroutine that is known";
        }

        g->state = 4;
        g->seq = 0;
        return NULL;

    case 37:
        return m->p == -1 ? "expected a processor" : NULL;

    case 40:
        if (a[0] >= MAX_IDS || s->tasks[a[0]]) {
            return "task exists";
        }

        s->tasks[a[0]] = 1;
        s->last_name = a[2];
        return NULL;

    case 41:
        if (a[0] >= MAX_IDS) {
            return "task";
        }

        s->tasks[a[0]] |= 2;
        return NULL;

    case 42:
        if (g->nregions == MAX_REG) {
            return "too many regions";
        }

        g->regions[g->nregions][0] = a[0];
        g->regions[g->nregions++][1] = a[1];
        return NULL;

    case 43:
        if (g->nregions
            && (g->regions[g->nregions - 1][0] != a[0]
                || g->regions[g->nregions - 1][1] != a[1]))
        {
            return "regions are not within each other";
        }

        g->nregions -= g->nregions != 0;
        return NULL;

    case 44:
        return NULL;

    default:
        return "unknown event";
    }
}


static const char *
table(state_t *s, unsigned kind, reader_t *r)
{
    uint64_t     id, n, i, k;
    const char  *wrong;

    while (r->p < r->end && !r->wrong) {

        if (*r->p++ != kind + 1) {
            return "another kind in a table";
        }

        id = varint(r);
        n = varint(r);

        if (kind == 6) {
            (void) varint(r);
            (void) varint(r);
            (void) varint(r);
            continue;
        }

        if (id == 0 || id >= MAX_IDS) {
            return "number of a table";
        }

        if (kind == 4) {
            if (n > 1024 || s->strings[id]++ || r->end - r->p < (int64_t) n) {
                return "string";
            }

            if (id < 2000) {
                snprintf(s->text[id], 64, "%.*s", (int) n,
                         (const char *) r->p);
            }

            r->p += n;
            continue;
        }

        if (n > 128 || s->stacks[id]++) {
            return "stack";
        }

        for (i = 0; i < n; i++) {
            for (k = 0; k < 4; k++) {
                uint64_t  v = varint(r);

                wrong = k == 1 || k == 2
                        ? known(s->strings, v, "unknown string of a frame")
                        : NULL;
                if (wrong) {
                    return wrong;
                }
            }
        }
    }

    return r->wrong;
}


/* NULL, or what is wrong with the file. */

static const char *
check(const uint8_t *data, size_t size, state_t *s)
{
    m_t         *m;
    reader_t     file, r;
    uint64_t     id, n;
    const char  *wrong;

    memset(s, 0, sizeof(state_t));

    if (size < 16 || memcmp(data, "go 1.22 trace\0\0\0", 16) != 0) {
        return "header";
    }

    file = (reader_t) { data + 16, data + size, NULL };

    while (file.p < file.end) {

        if (*file.p++ != 1 || varint(&file) != 1) {
            return "batch";
        }

        id = varint(&file);
        (void) varint(&file);
        n = varint(&file);

        if (file.wrong || n > 65536 || file.end - file.p < (int64_t) n) {
            return "batch is cut off";
        }

        r = (reader_t) { file.p, file.p + n, NULL };
        file.p += n;

        if (n && (*r.p == 2 || *r.p == 4 || *r.p == 6)) {
            unsigned  kind = *r.p++;

            wrong = table(s, kind, &r);

            if (wrong) {
                return wrong;
            }

            continue;
        }

        if (n && *r.p == 8) {
            s->frequencies++;
            continue;
        }

        m = machine(s, id);

        while (r.p < r.end) {
            unsigned  type = *r.p++;

            wrong = event(s, m, type, &r);

            if (wrong) {
                return wrong;
            }
        }
    }

    return s->frequencies == 1 ? NULL : "not one frequency";
}


#endif /* _GO_TRACE_H_INCLUDED_ */
