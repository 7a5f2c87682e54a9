
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Spans of mapped memory: cut anywhere, and by threads that map and unmap the
 * same addresses by turns.  The truth is kept beside them.
 */


#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/prt_span.h"


#define PAGE     4096ull
#define PAGES    512
#define BASE     0x100000ull
#define THREADS  4
#define ROUNDS   40000


enum { FREE, MAPPING, USED, LEAVING };


static prt_spans_t         spans;

static _Atomic uint64_t    cut_bytes, cut_objects, put_bytes, put_objects;
static atomic_int          pages[PAGES];
static atomic_uint         not_looked_at;


static void
on_cut(const prt_live_block_t *block)
{
    cut_bytes += block->bytes;
    cut_objects += block->objects;
}


static int
put(uint64_t lo, uint64_t hi, uint64_t serial)
{
    prt_live_block_t  block;

    memset(&block, 0, sizeof(block));
    block.stack = 1;
    block.objects = 1;

    if (prt_span_put(&spans, lo, hi, serial, &block) != 0) {
        return -1;
    }

    put_bytes += hi - lo;
    put_objects++;

    return 0;
}


/* The bytes and objects that a cut of now takes out. */

static void
check_cut(uint64_t lo, uint64_t hi, uint64_t bytes, uint64_t objects)
{
    unsigned  stuck;
    uint64_t  before;

    cut_bytes = 0;
    before = cut_objects;

    assert_int_equal(prt_span_cut(&spans, lo, hi, prt_span_serial(&spans),
                                  on_cut, &stuck), bytes);
    assert_int_equal(stuck, 0);
    assert_int_equal(cut_bytes, bytes);
    assert_int_equal(cut_objects - before, objects);
}


static int
begin(void **state)
{
    (void) state;

    memset(&spans, 0, sizeof(spans));
    cut_bytes = 0;
    cut_objects = 0;
    put_bytes = 0;
    put_objects = 0;

    return 0;
}


static void
test_cut(void **state)
{
    (void) state;

    assert_int_equal(put(10 * PAGE, 20 * PAGE, prt_span_serial(&spans)), 0);
    assert_int_equal(put(20 * PAGE, 30 * PAGE, prt_span_serial(&spans)), 0);

    /* beside it */
    check_cut(5 * PAGE, 10 * PAGE, 0, 0);
    check_cut(30 * PAGE, 40 * PAGE, 0, 0);
    check_cut(12 * PAGE, 12 * PAGE, 0, 0);

    /* its start, its end, its middle */
    check_cut(9 * PAGE, 11 * PAGE, PAGE, 0);
    check_cut(29 * PAGE, 31 * PAGE, PAGE, 0);
    check_cut(14 * PAGE, 16 * PAGE, 2 * PAGE, 0);

    /* the same again */
    check_cut(14 * PAGE, 16 * PAGE, 0, 0);

    /* what is left of both, but for the last page of the second */
    check_cut(0, 28 * PAGE, (3 + 4 + 8) * PAGE, 1);
    check_cut(0, 100 * PAGE, PAGE, 1);
    check_cut(0, 100 * PAGE, 0, 0);
}


static void
test_newer(void **state)
{
    unsigned  stuck;
    uint64_t  serial;

    (void) state;

    /* who unmapped it comes only when the address is another's */

    assert_int_equal(put(10 * PAGE, 20 * PAGE, prt_span_serial(&spans)), 0);
    serial = prt_span_serial(&spans);
    assert_int_equal(put(10 * PAGE, 20 * PAGE, prt_span_serial(&spans)), 0);

    assert_int_equal(prt_span_cut(&spans, 10 * PAGE, 20 * PAGE, serial,
                                  on_cut, &stuck), 10 * PAGE);
    check_cut(10 * PAGE, 20 * PAGE, 10 * PAGE, 1);
}


static void
test_full(void **state)
{
    unsigned  i;
    uint64_t  at;

    (void) state;

    for (i = 0; i < PRT_SPANS_MAX; i++) {
        at = BASE + i * 10 * PAGE;
        assert_int_equal(put(at, at + 3 * PAGE, prt_span_serial(&spans)), 0);
    }

    assert_int_equal(put(2, 4, prt_span_serial(&spans)), -1);

    /* no room for what is left behind it */
    check_cut(BASE + PAGE, BASE + 2 * PAGE, 2 * PAGE, 0);
    check_cut(BASE, BASE + PAGE, PAGE, 1);

    /* now there is */
    at = BASE + 10 * PAGE;
    check_cut(at + PAGE, at + 2 * PAGE, PAGE, 0);
    assert_int_equal(put(2, 4, prt_span_serial(&spans)), -1);
}


/* As the kernel and a program: any thread unmaps what any has mapped. */

static void *
mapping(void *data)
{
    int        expected;
    unsigned   i, k, n, to, stuck;
    uint64_t   x, serial;

    x = (uintptr_t) data * 0x9e3779b97f4a7c15 + 1;

    for (i = 0; i < ROUNDS; i++) {
        x = x * 6364136223846793005 + 1442695040888963407;

        k = (x >> 33) % PAGES;
        n = 1 + (x >> 50) % 24;
        to = (x >> 60) < 8 ? MAPPING : LEAVING;

        for (n = k + n < PAGES ? k + n : PAGES, stuck = k; k < n; k++) {
            expected = to == MAPPING ? FREE : USED;

            if (!atomic_compare_exchange_strong(&pages[k], &expected, (int) to))
            {
                break;
            }
        }

        n = k;
        k = stuck;

        if (n == k) {
            continue;
        }

        serial = prt_span_serial(&spans);

        if (to == MAPPING) {
            if (put(BASE + k * PAGE, BASE + n * PAGE, serial) != 0) {
                return (void *) 1;
            }

            for ( /* void */ ; k < n; k++) {
                pages[k] = USED;
            }

            continue;
        }

        for (to = k; to < n; to++) {
            pages[to] = FREE;
        }

        (void) prt_span_cut(&spans, BASE + k * PAGE, BASE + n * PAGE, serial,
                            on_cut, &stuck);

        not_looked_at += stuck;
    }

    return NULL;
}


static void
test_threads(void **state)
{
    void       *rc;
    unsigned    i, used, stuck;
    pthread_t   threads[THREADS];

    (void) state;

    for (i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, mapping,
                                        (void *) (uintptr_t) i), 0);
    }

    for (i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &rc), 0);
        assert_null(rc);
    }

    used = 0;

    for (i = 0; i < PAGES; i++) {
        used += pages[i] == USED;
    }

    /* on a machine that lets a thread stand for longer than one waits */

    if (not_looked_at) {
        assert_true(put_bytes - cut_bytes > used * PAGE);
        return;
    }

    assert_int_equal(put_bytes - cut_bytes, used * PAGE);

    (void) prt_span_cut(&spans, 0, UINT64_MAX, prt_span_serial(&spans),
                        on_cut, &stuck);

    assert_int_equal(put_bytes, cut_bytes);
    assert_int_equal(put_objects, cut_objects);

    for (i = 0; i < PRT_SPANS_MAX; i++) {
        assert_int_equal(spans.spans[i].lo, 0);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup(test_cut, begin),
        cmocka_unit_test_setup(test_newer, begin),
        cmocka_unit_test_setup(test_full, begin),
        cmocka_unit_test_setup(test_threads, begin)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
