
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The ring of a trace: what is overwritten, and what several threads write.
 */


#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/prt_ring.h"


#define RING     (1024 * 1024)
#define WRITERS  4
#define PUTS     200000


static prt_ring_t  ring;


static void *
writer(void *arg)
{
    uint64_t  i;

    for (i = 0; i < PUTS; i++) {
        prt_ring_put(&ring, 1 + (uint32_t) (i & 3), i * 3, i, (uint32_t) i);
    }

    return arg;
}


static void
test_ring(void **arg)
{
    void               *memory;
    size_t              n, k;
    uint64_t            i, first;
    prt_ring_event_t   *events;
    prt_ring_cursor_t   cursor;

    (void) arg;

    memory = calloc(1, RING);
    assert_non_null(memory);

    prt_ring_attach(&ring, memory, RING);
    assert_true((uint8_t *) (ring.others + ring.nothers)
                <= (uint8_t *) memory + RING);

    prt_ring_begin(&cursor, &ring);

    events = malloc(ring.nown * sizeof(prt_ring_event_t));
    assert_non_null(events);

    for (i = 0; i < ring.nown * 5 / 2; i++) {
        prt_ring_add(&cursor, 1 + (uint32_t) (i % 7), i * 10, i, (uint32_t) i);
    }

    /* the latest are there, in their order */

    first = i - ring.nown;
    n = prt_ring_read(ring.own, ring.nown, first, ring.nown, events);

    assert_int_equal(n, ring.nown);

    for (k = 0; k < n; k++) {
        assert_int_equal(events[k].what, first + k);
        assert_int_equal(events[k].kind, 1 + (first + k) % 7);
    }

    /* those before are known to be gone */

    assert_int_equal(prt_ring_read(ring.own, ring.nown, first - 100, 100,
                                   events), 0);

    assert_int_equal(prt_ring_find(ring.own, ring.nown, i, 0), first);
    assert_int_equal(prt_ring_find(ring.own, ring.nown, i,
                                   (first + 100) * 10 - 5), first + 100);
    assert_int_equal(prt_ring_find(ring.own, ring.nown, i, i * 10), i);

    /* one that its writer was killed in is left out */

    atomic_store(&ring.own[(first + 100) % ring.nown].stamp, 0);

    assert_int_equal(prt_ring_read(ring.own, ring.nown, first + 99, 3,
                                   events), 2);
    assert_int_equal(events[1].what, first + 101);
    assert_int_equal(prt_ring_find(ring.own, ring.nown, i,
                                   (first + 100) * 10), first + 100);

    /* who goes on where another has ended keeps its place */

    prt_ring_begin(&cursor, &ring);
    prt_ring_add(&cursor, 3, i * 10, i, 0);
    assert_int_equal(prt_ring_read(ring.own, ring.nown, i, 1, events), 1);
    assert_int_equal(events[0].what, i);

    free(events);
    free(memory);
}


static void
test_writers(void **arg)
{
    void              *memory;
    size_t             n, k;
    uint64_t           claimed;
    unsigned           i, reads;
    pthread_t          threads[WRITERS];
    prt_ring_event_t  *events;

    (void) arg;

    memory = calloc(1, RING);
    prt_ring_attach(&ring, memory, RING);
    events = malloc(ring.nothers * sizeof(prt_ring_event_t));
    assert_non_null(events);

    for (i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, writer, NULL), 0);
    }

    /* no reader sees half of one */

    for (reads = 0, claimed = 0; claimed < (uint64_t) WRITERS * PUTS;
         reads++)
    {
        claimed = atomic_load(&ring.head->claimed);

        n = prt_ring_read(ring.others, ring.nothers,
                          claimed > ring.nothers ? claimed - ring.nothers : 0,
                          claimed < ring.nothers ? claimed : ring.nothers,
                          events);

        for (k = 0; k < n; k++) {
            assert_int_equal(events[k].time, events[k].what * 3);
            assert_int_equal(events[k].value, events[k].what);
            assert_int_equal(events[k].kind, 1 + (events[k].what & 3));
        }
    }

    for (i = 0; i < WRITERS; i++) {
        (void) pthread_join(threads[i], NULL);
    }

    assert_true(reads > 0);
    /* but for those whose place was taken as yet */

    n = prt_ring_read(ring.others, ring.nothers, claimed - ring.nothers,
                      ring.nothers, events);
    assert_true(n > ring.nothers / 2 && n <= ring.nothers);

    free(events);
    free(memory);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_ring),
        cmocka_unit_test(test_writers)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
