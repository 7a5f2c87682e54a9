
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Dumps: what was written is read, whole or not at all, while others are being
 * written; what has no room is counted; numbers that are nobody's harm nobody.
 */


#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/prt_dump.h"


#define SIZE     (64 * 1024)
#define ROUNDS   3000
#define RECORDS  200


static _Alignas(64) uint64_t  memory[SIZE / sizeof(uint64_t)];
static prt_dump_t             dump;
static prt_dump_writer_t      writer;
static atomic_int             done;


static void
reset(size_t size)
{
    memset(memory, 0, sizeof(memory));
    prt_dump_attach(&dump, memory, size);
}


static uint32_t
add(uint64_t id, const uint64_t *frames, uint32_t n)
{
    prt_dump_record_t  record;

    memset(&record, 0, sizeof(prt_dump_record_t));

    record.id = id;
    record.lasts = (uint32_t) id;
    record.age = (uint32_t) id + 1;
    record.labels = 5;
    record.state = 7;
    record.parent = 3;
    record.work = 1;

    return prt_dump_add(&writer, &record, frames, n);
}


static void
test_read(void **state)
{
    uint32_t           i, n, low;
    uint64_t           frames[3];
    prt_dump_copy_t   *copy;
    const uint64_t    *stack;
    prt_dump_record_t  record;

    (void) state;

    reset(SIZE);

    assert_false(prt_dump_answers(&dump, 1));
    assert_null(prt_dump_read(&dump, 1));

    prt_dump_begin(&writer, &dump);

    assert_null(prt_dump_read(&dump, 0));

    for (i = 0; i < 100; i++) {
        frames[0] = 10;
        frames[1] = 11;
        frames[2] = i % 4;

        assert_int_equal(add(i + 1, frames, 3), i + 1);
    }

    low = writer.low;

    prt_dump_end(&writer, 9, 2, 300, 200);

    /* equal stacks are there once */

    assert_int_equal(dump.size - low, 4 * 4);

    assert_true(prt_dump_answers(&dump, 8));
    assert_false(prt_dump_answers(&dump, 10));
    assert_null(prt_dump_read(&dump, 10));

    copy = prt_dump_read(&dump, 9);
    assert_non_null(copy);

    assert_int_equal(copy->count, 100);
    assert_int_equal(copy->lost, 0);
    assert_int_equal(copy->parts, 2);
    assert_int_equal(copy->took, 300);
    assert_int_equal(copy->longest, 200);

    for (i = 0; i < 100; i++) {
        prt_dump_record(copy, i, &record);

        assert_int_equal(record.id, i + 1);
        assert_int_equal(record.lasts, i + 1);
        assert_int_equal(record.age, i + 2);
        assert_int_equal(record.labels, 5);
        assert_int_equal(record.state, 7);
        assert_int_equal(record.parent, 3);
        assert_int_equal(record.work, 1);

        stack = prt_dump_stack(copy, record.stack, &n);

        assert_int_equal(n, 3);
        assert_int_equal(stack[0], 10);
        assert_int_equal(stack[2], i % 4);
    }

    free(copy);
}


static void
test_full(void **state)
{
    uint32_t           i, n, records;
    uint64_t           frames[20], k;
    prt_dump_copy_t   *copy;
    prt_dump_record_t  record;

    (void) state;

    reset(8192);
    prt_dump_begin(&writer, &dump);

    for (i = 0, records = 0; i < 1000; i++) {

        for (k = 0; k < 20; k++) {
            frames[k] = i * 100 + k;
        }

        records += add(i + 1, frames, 20) != 0;
    }

    prt_dump_end(&writer, 1, 1, 0, 0);

    copy = prt_dump_read(&dump, 1);
    assert_non_null(copy);

    /* each is counted that is not there, or has no stack */

    assert_int_equal(copy->count, records);
    assert_in_range(records, 10, 999);

    for (i = 0, n = 0; i < records; i++) {
        uint32_t  len;

        prt_dump_record(copy, i, &record);
        assert_int_equal(record.id, i + 1);

        n += prt_dump_stack(copy, record.stack, &len) == NULL;
    }

    assert_int_equal(copy->lost, 1000 - records + n);

    free(copy);

    /* the next one has all the room again */

    prt_dump_begin(&writer, &dump);
    assert_int_equal(add(1, frames, 20), 1);
    prt_dump_end(&writer, 2, 1, 0, 0);

    copy = prt_dump_read(&dump, 2);
    assert_non_null(copy);
    assert_int_equal(copy->count, 1);
    assert_int_equal(copy->lost, 0);
    free(copy);
}


/* What another process has left there is believed no further than memory goes. */

static void
test_nonsense(void **state)
{
    uint32_t           i, k, n;
    uint64_t           frames[2];
    prt_dump_copy_t   *copy;
    const uint64_t    *stack;
    prt_dump_record_t  record;

    (void) state;

    for (i = 0; i < 200; i++) {
        reset(4096);
        srand(i);

        for (k = 0; k < 4096 / sizeof(uint64_t); k++) {
            memory[k] = ((uint64_t) rand() << (rand() % 40)) ^ (uint64_t) rand();
        }

        atomic_store(&dump.head->version, 2);

        copy = prt_dump_read(&dump, 0);
        assert_non_null(copy);

        for (k = 0; k < copy->count; k++) {
            prt_dump_record(copy, k, &record);
            stack = prt_dump_stack(copy, record.stack, &n);

            if (stack) {
                assert_true(stack >= copy->words);
                assert_true(stack + n <= copy->words + copy->size);
            }
        }

        free(copy);
    }

    /* one that died while it wrote does not keep the next from it */

    reset(4096);
    frames[0] = 0;
    frames[1] = 1;

    prt_dump_begin(&writer, &dump);
    assert_null(prt_dump_read(&dump, 0));

    prt_dump_begin(&writer, &dump);
    assert_int_equal(add(1, frames, 2), 1);
    prt_dump_end(&writer, 1, 1, 0, 0);

    copy = prt_dump_read(&dump, 1);
    assert_non_null(copy);
    assert_int_equal(copy->count, 1);
    free(copy);
}


/* Every record of a dump has its number. */

static void *
write_all(void *data)
{
    uint32_t  i;
    uint64_t  round, frames[4];

    (void) data;

    for (round = 1; round <= ROUNDS; round++) {
        prt_dump_begin(&writer, &dump);

        for (i = 0; i < RECORDS; i++) {
            frames[0] = round;
            frames[1] = i % 8;
            frames[2] = round * 3;
            frames[3] = i % 8;

            (void) add(round, frames, 4);
        }

        prt_dump_end(&writer, round, 1, 0, 0);
    }

    atomic_store(&done, 1);

    return NULL;
}


static void
test_race(void **state)
{
    int                last;
    uint32_t           i, n;
    uint64_t           seen, reads;
    pthread_t          thread;
    prt_dump_copy_t   *copy;
    const uint64_t    *stack;
    prt_dump_record_t  record;

    (void) state;

    reset(SIZE);
    atomic_store(&done, 0);
    reads = 0;
    seen = 1;

    assert_int_equal(pthread_create(&thread, NULL, write_all, NULL), 0);

    do {
        last = atomic_load(&done);

        copy = prt_dump_read(&dump, seen);
        if (copy == NULL) {
            continue;
        }

        reads++;
        assert_int_equal(copy->count, RECORDS);

        prt_dump_record(copy, 0, &record);
        assert_true(record.id >= seen);
        seen = record.id;

        for (i = 0; i < RECORDS; i++) {
            prt_dump_record(copy, i, &record);
            assert_int_equal(record.id, seen);

            stack = prt_dump_stack(copy, record.stack, &n);
            assert_int_equal(n, 4);
            assert_int_equal(stack[0], seen);
            assert_int_equal(stack[1], i % 8);
            assert_int_equal(stack[2], seen * 3);
        }

        free(copy);

    } while (!last);

    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(reads > 0);
    assert_int_equal(seen, ROUNDS);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_race)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
