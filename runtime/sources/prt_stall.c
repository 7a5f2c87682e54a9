
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdio.h>
#include <string.h>

#include "platform/prt_futex.h"
#include "platform/prt_object.h"
#include "platform/prt_ticks.h"
#include "sources/prt_cpu.h"
#include "sources/prt_peek.h"
#include "sources/prt_record.h"
#include "sources/prt_stall.h"


#define PRT_STALL_LOOKS    2               /* in a threshold */
#define PRT_STALL_TICK_MIN (2 * PRT_MSEC)
#define PRT_STALL_TICK_MAX (250 * PRT_MSEC)

#define PRT_STALL_LONG     PRT_SEC         /* then it is told while it lasts */
#define PRT_STALL_QUIET    (60 * PRT_SEC)  /* between notices of one kind */

#define PRT_STALL_PARTS    8               /* looks before the threshold */
#define PRT_STALL_SEEN     8               /* stacks of a stall, to tell the longest */
#define PRT_STALL_TOLD     16              /* stacks a minute */


/* a stack that was seen, and the time that is to be booked on it */

typedef struct {
    uint32_t             stack;
    uint32_t             labels;
    uint64_t             ns;
} prt_stall_part_t;


/* a stack that the event is told by, if it took the most of it */

typedef struct {
    uint64_t             key;
    uint64_t             ns;
    uint32_t             labels;
    unsigned             nframes;
    uint64_t             frames[PRT_STACK_MAX + 3];
} prt_stall_seen_t;


/* the event that is looked at */

typedef struct {
    uint64_t             begin;            /* ticks; 0: none */
    uint64_t             booked;           /* ticks until then have their part */
    prt_stall_part_t     parts[PRT_STALL_PARTS];
    unsigned             nparts;
    unsigned             counted:1;        /* over the threshold */
    unsigned             nseen;
    prt_stall_seen_t     seen[PRT_STALL_SEEN];
    prt_stall_seen_t    *last;             /* NULL: none yet */
} prt_stall_event_t;


typedef struct {
    uint64_t             key;              /* of stack, labels and state */
    uint64_t             time;
} prt_stall_told_t;


static int prt_stall_start(unsigned table, char error[PRT_ERROR_LEN]);
static void prt_stall_sync(unsigned rate);
static void prt_stall_stop(void);

static void prt_stall_look(uint64_t begin, uint64_t now);
static void prt_stall_end(const prt_loop_stall_t *stall);
static void prt_stall_reset(uint64_t begin);
static void prt_stall_part(uint64_t ns);
static void prt_stall_book(void);
static void prt_stall_tell(prt_stall_state_t state, uint64_t duration);
static int prt_stall_told(prt_stall_state_t state,
    const prt_stall_seen_t *seen, uint64_t now);
static void prt_stall_see(const uint64_t *frames, unsigned n,
    uint32_t labels);
static uint64_t prt_stall_key(const uint64_t *frames, unsigned n,
    uint32_t labels);


const prt_source_t  prt_stall_source = {
    prt_stall_start,
    prt_stall_sync,
    prt_stall_stop,
    prt_stall_stop
};


static unsigned             prt_stall_table;
static uint64_t             prt_stall_limit;   /* the threshold */
static prt_stall_notice_pt  prt_stall_notice;

/* of the service thread */
static uint64_t             prt_stall_next;    /* when to look again */
static prt_stall_event_t    prt_stall_event;
static prt_stall_told_t     prt_stall_tolds[PRT_STALL_TOLD];


void
prt_stall_set(uint64_t threshold, prt_stall_notice_pt notice)
{
    prt_stall_limit = threshold;
    prt_stall_notice = notice;
}


uint64_t
prt_stall_threshold(void)
{
    return prt_stall_limit;
}


static int
prt_stall_start(unsigned table, char error[PRT_ERROR_LEN])
{
    (void) error;

    prt_stall_table = table;
    prt_stall_next = 0;

    prt_stall_reset(0);
    memset(prt_stall_tolds, 0, sizeof(prt_stall_tolds));

    return 0;
}


static void
prt_stall_sync(unsigned rate)
{
    (void) rate;

    /* a snapshot is about to be taken: what lasts is to be in it */

    prt_stall_next = 0;
    (void) prt_stall_watch(prt_now());
}


static void
prt_stall_stop(void)
{
    prt_loop_stop();
}


uint64_t
prt_stall_watch(uint64_t now)
{
    uint64_t                 begin, ticks, tick;
    const prt_loop_stall_t  *stall;

    if (prt_stall_limit == 0) {
        return PRT_FOREVER;
    }

    if (now < prt_stall_next) {
        return prt_stall_next;
    }

    tick = prt_stall_limit / PRT_STALL_LOOKS;
    tick = tick < PRT_STALL_TICK_MIN ? PRT_STALL_TICK_MIN : tick;
    tick = tick > PRT_STALL_TICK_MAX ? PRT_STALL_TICK_MAX : tick;

    prt_stall_next = now + tick;

    ticks = prt_ticks();
    begin = prt_loop_since();

    /* the one that we look at may be among those that ended */

    while ((stall = prt_loop_stalled()) != NULL) {
        prt_stall_end(stall);
        prt_loop_forget();
    }

    if (begin != prt_stall_event.begin) {
        prt_stall_reset(begin);
    }

    if (begin != 0 && ticks > begin && prt_ticks_ns(ticks - begin) >= tick) {
        prt_stall_look(begin, ticks);
    }

    return prt_stall_next;
}


static void
prt_stall_look(uint64_t begin, uint64_t now)
{
    long                call;
    pid_t               tid;
    unsigned            n, begun;
    uint32_t            labels;
    uint64_t            duration, frames[PRT_STACK_MAX + 1];
    prt_stack_bounds_t  bounds;

    tid = prt_loop_thread(&bounds);
    labels = prt_loop_labels();

    n = prt_peek(tid, &bounds, frames, &call);

    /* what it does now may be another event: the end of this one is kept */

    if (prt_loop_since() != begin) {
        return;
    }

    if (n != 0) {
        prt_stall_see(frames, n, labels);

    } else if (prt_stall_event.last == NULL) {
        return;
    }

    prt_stall_part(prt_ticks_ns(now - prt_stall_event.booked));
    prt_stall_event.booked = now;

    duration = prt_ticks_ns(now - begin);

    if (duration < prt_stall_limit) {
        return;
    }

    begun = prt_stall_event.counted;

    prt_stall_book();

    if (!begun) {
        prt_stall_tell(PRT_STALL_BEGUN, duration);
    }

    if (duration >= PRT_STALL_LONG) {
        prt_stall_tell(PRT_STALL_LASTS, duration);
    }
}


static void
prt_stall_end(const prt_loop_stall_t *stall)
{
    if (stall->begin != prt_stall_event.begin) {
        prt_stall_reset(stall->begin);
    }

    /* if it was never looked at, its handler is known, and who called that */

    if (prt_stall_event.last == NULL) {
        prt_stall_see(stall->frames, stall->nframes, stall->labels);
    }

    if (stall->end > prt_stall_event.booked) {
        prt_stall_part(prt_ticks_ns(stall->end - prt_stall_event.booked));
    }

    prt_stall_book();
    prt_stall_tell(PRT_STALL_ENDED,
                   prt_ticks_ns(stall->end - stall->begin));

    prt_stall_reset(0);
}


static void
prt_stall_reset(uint64_t begin)
{
    prt_stall_event.begin = begin;
    prt_stall_event.booked = begin;
    prt_stall_event.nparts = 0;
    prt_stall_event.counted = 0;
    prt_stall_event.nseen = 0;
    prt_stall_event.last = NULL;
}


/* It becomes the last one; the places in its innermost function are one. */

static void
prt_stall_see(const uint64_t *frames, unsigned n, uint32_t labels)
{
    unsigned           i;
    uint64_t           key, ns;
    prt_stall_seen_t  *seen;

    key = prt_stall_key(frames, n, labels);
    ns = 0;

    for (i = 0; i < prt_stall_event.nseen; i++) {
        if (prt_stall_event.seen[i].key == key) {
            ns = prt_stall_event.seen[i].ns;
            break;
        }
    }

    /* the last place is everybody's who finds no other */

    if (i == PRT_STALL_SEEN) {
        i--;

    } else if (i == prt_stall_event.nseen) {
        prt_stall_event.nseen++;
    }

    seen = &prt_stall_event.seen[i];

    seen->key = key;
    seen->ns = ns;
    seen->labels = labels;
    seen->nframes = n;
    memcpy(seen->frames, frames, n * sizeof(uint64_t));

    prt_stall_event.last = seen;
}


/* Time of the stack that was seen last; it is booked if this is a stall. */

static void
prt_stall_part(uint64_t ns)
{
    prt_stall_part_t  *part;
    prt_stall_seen_t  *last;

    last = prt_stall_event.last;
    last->ns += ns;

    if (prt_stall_event.nparts == PRT_STALL_PARTS) {
        prt_stall_event.parts[PRT_STALL_PARTS - 1].ns += ns;
        return;
    }

    part = &prt_stall_event.parts[prt_stall_event.nparts++];

    part->ns = ns;
    part->labels = last->labels;
    part->stack = prt_record_intern(prt_stall_table, last->frames,
                                    last->nframes);
}


static void
prt_stall_book(void)
{
    unsigned           i;
    uint64_t           values[2];
    prt_stall_part_t  *part;

    for (i = 0; i < prt_stall_event.nparts; i++) {
        part = &prt_stall_event.parts[i];

        /* it counts once, where it was over the threshold */

        values[0] = !prt_stall_event.counted
                    && i == prt_stall_event.nparts - 1;
        values[1] = part->ns;

        prt_table_add(&prt_slot.tables[prt_stall_table], part->stack,
                      part->labels, values);
    }

    if (!prt_stall_event.counted) {
        prt_stall_event.counted = 1;
        prt_slot_count(&prt_slot, PRT_COUNT_STALLS, 1);
    }

    prt_stall_event.nparts = 0;
}


static void
prt_stall_tell(prt_stall_state_t state, uint64_t duration)
{
    unsigned             i;
    prt_stall_seen_t    *seen;
    prt_stall_notice_t   notice;

    seen = &prt_stall_event.seen[0];

    for (i = 1; i < prt_stall_event.nseen; i++) {
        if (prt_stall_event.seen[i].ns > seen->ns) {
            seen = &prt_stall_event.seen[i];
        }
    }

    notice.state = state;
    notice.begin = prt_stall_event.begin;
    notice.duration = duration;
    notice.labels = seen->labels;
    notice.nframes = seen->nframes;
    notice.frames = seen->frames;

    /* BEGUN is for the index, where the last word counts */

    notice.told = state != PRT_STALL_BEGUN
                  && prt_stall_told(state, seen, prt_now());

    prt_stall_notice(&notice);
}


/* Whether it was told within the last minute; what there is no room for was. */

static int
prt_stall_told(prt_stall_state_t state, const prt_stall_seen_t *seen,
    uint64_t now)
{
    unsigned           i;
    uint64_t           key;
    prt_stall_told_t  *told, *old;

    key = seen->key + state;
    old = NULL;

    for (i = 0; i < PRT_STALL_TOLD; i++) {
        told = &prt_stall_tolds[i];

        if (told->time != 0 && now - told->time < PRT_STALL_QUIET) {

            if (told->key == key) {
                return 1;
            }

        } else {
            old = told;
        }
    }

    if (old == NULL) {
        return 1;
    }

    old->key = key;
    old->time = now;

    return 0;
}


static uint64_t
prt_stall_key(const uint64_t *frames, unsigned n, uint32_t labels)
{
    uint64_t             words[3];
    uintptr_t            leaf, start, end;
    const prt_map_t     *map;
    const prt_object_t  *object;

    leaf = (uintptr_t) frames[0] - 1;
    words[0] = leaf;

    map = prt_map_acquire();
    object = prt_map_find(map, leaf);

    if (object && prt_object_fde(object, leaf - object->bias, &start, &end)
                  == 0)
    {
        words[0] = object->bias + start;
    }

    prt_map_release();

    words[1] = prt_hash(frames + 1, n - 1);
    words[2] = labels;

    return prt_hash(words, 3);
}
