
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The store under fire: several threads and a signal handler write into the
 * same tables, processes are killed in the middle of it, and nothing is lost
 * but what is counted as lost.
 */


#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform/prt_clock.h"
#include "store/prt_region.h"
#include "store/prt_slot.h"


#define THREADS  4
#define ADDS     50000
#define STACKS   500


static const prt_table_spec_t  specs[] = {
    { .ncounters = 2, .share = 8, .transient = 1 },
    { .ncounters = 4, .share = 4 }
};


static prt_slot_t         slot;
static _Atomic uint64_t   signals;


static void *
map(size_t size)
{
    void  *p;

    p = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);

    return p;
}


/* stack i of n frames, and what is added to it */

static unsigned
stack_of(uint64_t i, uint64_t *frames)
{
    unsigned  k, n;

    n = 1 + (unsigned) (i % 40);

    for (k = 0; k < n; k++) {
        frames[k] = 0x400000 + i * 64 + k;
    }

    return n;
}


static void
add(prt_slot_t *s, uint64_t i)
{
    unsigned     n;
    uint32_t     stack, labels;
    uint64_t     frames[PRT_STACK_MAX], values[2];
    char         text[32];
    prt_label_t  label;

    n = stack_of(i, frames);
    stack = prt_intern_put(&s->transient, frames, n * 8);

    labels = 0;

    if (i % 3 == 0) {
        n = (unsigned) snprintf(text, sizeof(text), "/location/%u",
                                (unsigned) (i % 7));
        label.key = prt_slot_string(s, "location", 8);
        label.value = prt_slot_string(s, text, n);
        labels = prt_slot_labels(s, &label, 1);
    }

    values[0] = 1;
    values[1] = i;

    prt_table_add(&s->tables[0], stack, labels, values);
}


static void
sums(prt_slot_t *s, uint64_t *count, uint64_t *sum)
{
    uint32_t   i, n;
    uint64_t  *counters;

    n = prt_table_count(&s->tables[0]);
    counters = malloc(n * 16);
    assert_non_null(counters);

    prt_table_copy(&s->tables[0], counters, n);

    *count = 0;
    *sum = 0;

    for (i = 0; i < n; i++) {
        *count += counters[i * 2];
        *sum += counters[i * 2 + 1];
    }

    free(counters);
}


static void
on_signal(int signo)
{
    int       err;
    uint64_t  frames[PRT_STACK_MAX], values[2], i;

    (void) signo;

    err = errno;
    i = atomic_fetch_add(&signals, 1) % STACKS;

    values[0] = 1;
    values[1] = i;

    prt_table_add(&slot.tables[0],
                  prt_intern_put(&slot.transient, frames,
                                 stack_of(i, frames) * 8),
                  0, values);
    errno = err;
}


static void *
writer(void *data)
{
    uint64_t  i;

    (void) data;

    for (i = 0; i < ADDS; i++) {
        add(&slot, i % STACKS);
    }

    return NULL;
}


static void
test_intern(void **state)
{
    uint32_t         id, len;
    uint64_t         a[3] = { 1, 2, 3 }, b[3] = { 1, 2, 4 };
    prt_intern_t     t;
    const uint64_t  *p;

    (void) state;

    prt_intern_attach(&t, map(65536), 65536, 64);

    id = prt_intern_put(&t, a, 24);
    assert_int_not_equal(id, 0);
    assert_int_equal(prt_intern_put(&t, a, 24), id);
    assert_int_not_equal(prt_intern_put(&t, b, 24), id);
    assert_int_not_equal(prt_intern_put(&t, a, 16), id);

    p = prt_intern_get(&t, id, &len);
    assert_int_equal(len, 24);
    assert_memory_equal(p, a, 24);

    assert_null(prt_intern_get(&t, 0, &len));
    assert_null(prt_intern_get(&t, 0xffffffff, &len));
    assert_int_equal(atomic_load(&t.head->count), 3);

    prt_intern_reset(&t);
    assert_int_equal(atomic_load(&t.head->count), 0);
    assert_int_not_equal(prt_intern_put(&t, b, 24), 0);
}


static void
test_intern_full(void **state)
{
    uint32_t      id, n;
    uint64_t      key[4] = { 0 };
    prt_intern_t  t;

    (void) state;

    prt_intern_attach(&t, map(8192), 8192, 32);

    for (n = 0; n < 100000; n++) {
        key[0] = n;
        id = prt_intern_put(&t, key, 32);

        if (id == 0) {
            break;
        }
    }

    /* at least half of the memory was of use */
    assert_in_range(n, 8192 / 2 / 48, 8192 / 32);
    assert_int_equal(atomic_load(&t.head->lost), 1);

    /* what is there is still found */
    key[0] = 0;
    assert_int_not_equal(prt_intern_put(&t, key, 32), 0);
}


/* Whoever can do without leaves half of it to the others. */

static void
test_intern_spare(void **state)
{
    uint32_t      id, n, spare;
    uint64_t      key[4] = { 0 };
    prt_intern_t  t;

    (void) state;

    prt_intern_attach(&t, map(8192), 8192, 32);

    id = prt_intern_put(&t, key, 32);

    for (spare = 0; spare < 100000; spare++) {
        key[0] = spare + 1;

        if (prt_intern_spare(&t, key, 32) == 0) {
            break;
        }
    }

    key[0] = 0;
    assert_int_equal(prt_intern_spare(&t, key, 32), id);

    for (n = 0; n < 100000; n++) {
        key[0] = spare + 1 + n;

        if (prt_intern_put(&t, key, 32) == 0) {
            break;
        }
    }

    assert_in_range(spare, n - 2, n + 2);
}


static void
test_labels(void **state)
{
    prt_label_t  one[2], two[2];
    char         text[PRT_STRING_MAX], *longest;

    (void) state;

    prt_slot_attach(&slot, map(PRT_MEMORY_MIN), PRT_MEMORY_MIN, specs, 2);

    one[0].key = two[1].key = prt_slot_string(&slot, "a", 1);
    one[0].value = two[1].value = prt_slot_string(&slot, "x", 1);
    one[1].key = two[0].key = prt_slot_string(&slot, "b", 1);
    one[1].value = two[0].value = prt_slot_string(&slot, "", 0);

    assert_int_not_equal(one[1].value, 0);
    assert_int_equal(prt_slot_labels(&slot, one, 2),
                     prt_slot_labels(&slot, two, 2));
    assert_int_equal(prt_slot_labels(&slot, one, 0), 0);
    assert_string_equal(prt_slot_text(&slot, one[0].value, text), "x");
    assert_string_equal(prt_slot_text(&slot, 0, text), "");

    longest = malloc(2000);
    assert_non_null(longest);
    memset(longest, 'x', 2000);

    (void) prt_slot_text(&slot, prt_slot_string(&slot, longest, 2000), text);
    assert_int_equal(strlen(text), PRT_STRING_MAX - 1);

    free(longest);
}


static void
test_threads_and_signal(void **state)
{
    unsigned           i;
    uint64_t           count, sum, expected;
    pthread_t          threads[THREADS];
    struct sigaction   action;
    struct itimerval   timer;

    (void) state;

    prt_slot_attach(&slot, map(4 * PRT_MEMORY_MIN), 4 * PRT_MEMORY_MIN,
                    specs, 2);

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);

    memset(&timer, 0, sizeof(timer));
    timer.it_interval.tv_usec = 1000;
    timer.it_value.tv_usec = 1000;
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);

    for (i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, writer, NULL), 0);
    }

    for (i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }

    memset(&timer, 0, sizeof(timer));
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);

    expected = 0;

    for (i = 0; i < THREADS * ADDS; i++) {
        expected += i % ADDS % STACKS;
    }

    for (i = 0; i < atomic_load(&signals); i++) {
        expected += i % STACKS;
    }

    sums(&slot, &count, &sum);

    assert_int_equal(count, THREADS * ADDS + atomic_load(&signals));
    assert_int_equal(sum, expected);
    assert_int_equal(atomic_load(&slot.tables[0].head->lost_stacks), 0);

    /* each (stack, labels) once: a third of them has two kinds of labels */
    assert_in_range(prt_table_count(&slot.tables[0]), STACKS,
                    STACKS * 2 + THREADS * 20);
}


/* The same row is the same stack again. */

static void
test_rows(void **state)
{
    uint32_t         i, n, stack, labels, len;
    uint64_t         sum, frames[PRT_STACK_MAX], k, counters[2 * 1024];
    const uint64_t  *p;

    (void) state;

    prt_slot_attach(&slot, map(4 * PRT_MEMORY_MIN), 4 * PRT_MEMORY_MIN,
                    specs, 2);

    for (k = 0; k < STACKS; k++) {
        add(&slot, k);
        add(&slot, k);
    }

    n = prt_table_count(&slot.tables[0]);
    assert_int_equal(n, STACKS + 1);
    prt_table_copy(&slot.tables[0], counters, n);

    sum = 0;

    for (i = 1; i < n; i++) {
        assert_true(prt_table_key(&slot.tables[0], i, &stack, &labels));

        p = prt_intern_get(&slot.transient, stack, &len);
        assert_non_null(p);

        k = counters[i * 2 + 1] / 2;
        assert_int_equal(len, stack_of(k, frames) * 8);
        assert_memory_equal(p, frames, len);
        assert_int_equal(labels != 0, k % 3 == 0);
        assert_int_equal(counters[i * 2], 2);
        sum += k;
    }

    assert_int_equal(sum, STACKS * (STACKS - 1) / 2);

    prt_slot_forget(&slot, specs);
    assert_int_equal(prt_table_count(&slot.tables[0]), 1);
    assert_int_equal(prt_slot_used(&slot), 0);
    assert_int_equal(atomic_load(&slot.head->epoch), 1);
}


/* A full table loses detail, never totals. */

static void
test_full(void **state)
{
    uint64_t  i, count, sum, expected;

    (void) state;

    prt_slot_attach(&slot, map(PRT_MEMORY_MIN), PRT_MEMORY_MIN, specs, 2);

    expected = 0;

    for (i = 0; i < 40000; i++) {
        add(&slot, i);
        expected += i;
    }

    sums(&slot, &count, &sum);

    assert_int_equal(count, 40000);
    assert_int_equal(sum, expected);
    assert_true(atomic_load(&slot.tables[0].head->lost_stacks) > 0);
}


/* A writer killed anywhere leaves tables that read and take more. */

static void
test_killed_writer(void **state)
{
    int        status;
    pid_t      pid;
    uint32_t   n, row, stack, labels, len;
    uint64_t   before, count, sum;
    unsigned   round;

    (void) state;

    prt_slot_attach(&slot, map(PRT_MEMORY_MIN), PRT_MEMORY_MIN, specs, 2);

    for (round = 0; round < 100; round++) {

        pid = fork();
        assert_true(pid >= 0);

        if (pid == 0) {
            uint64_t  i;

            for (i = round; ; i += 7) {
                add(&slot, i);
            }
        }

        (void) usleep((useconds_t) (rand() % 3000));

        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);

        n = prt_table_count(&slot.tables[0]);

        for (row = 1; row < n; row++) {
            if (prt_table_key(&slot.tables[0], row, &stack, &labels)
                && stack != 0)
            {
                assert_non_null(prt_intern_get(&slot.transient, stack, &len));
                assert_int_equal(len % 8, 0);
            }
        }

        sums(&slot, &before, &sum);
        add(&slot, round);
        sums(&slot, &count, &sum);
        assert_int_equal(count, before + 1);
    }
}


static void
test_region(void **state)
{
    int             a, b, status, pipefd[2];
    char            error[PRT_ERROR_LEN], c;
    pid_t           pid;
    size_t          size;
    uint64_t        owner;
    prt_region_t   *region;
    struct rlimit   limit, none;

    (void) state;

    region = prt_region_create(1, error);
    assert_non_null(region);
    assert_int_equal(prt_region_slots(region), 10);

    a = prt_region_claim(region, PRT_MEMORY_MIN, 0, 0, error);
    assert_true(a >= 0);
    prt_region_publish(region, (unsigned) a);
    assert_int_equal(prt_region_state(region, (unsigned) a, &owner),
                     PRT_SLOT_LIVE);
    assert_int_equal((pid_t) (uint32_t) owner, getpid());

    /* a child's slot, of another size; then the child dies */

    assert_int_equal(pipe(pipefd), 0);
    pid = fork();
    assert_true(pid >= 0);

    if (pid == 0) {
        b = prt_region_claim(region, 2 * PRT_MEMORY_MIN, 0, 1, error);

        strcpy(prt_region_map(region, (unsigned) b, &size), "from the child");
        prt_region_publish(region, (unsigned) b);

        c = (char) b;
        (void) !write(pipefd[1], &c, 1);
        pause();
        _exit(0);
    }

    assert_int_equal(read(pipefd[0], &c, 1), 1);
    b = c;
    assert_int_not_equal(a, b);
    assert_int_equal(prt_region_state(region, (unsigned) b, &owner),
                     PRT_SLOT_LIVE);
    assert_int_equal((pid_t) (uint32_t) owner, pid);

    /* who has no descriptor left to look with does not take it for dead */

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);

    assert_int_equal(prt_region_state(region, (unsigned) b, &owner),
                     PRT_SLOT_LIVE);

    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);

    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);

    assert_int_equal(prt_region_state(region, (unsigned) b, &owner),
                     PRT_SLOT_ENDED);

    /* what it recorded is still there */
    assert_string_equal(prt_region_map(region, (unsigned) b, &size),
                        "from the child");
    assert_int_equal(size, 2 * PRT_MEMORY_MIN);

    prt_region_destroy(region);
}


/* Processes that come and go never share a slot, and none is refused. */

static void
test_region_crowd(void **state)
{
    int             i, status, mine;
    char            error[PRT_ERROR_LEN];
    pid_t           pids[32];
    size_t          size;
    unsigned        round;
    _Atomic int    *taken;
    prt_region_t   *region;

    (void) state;

    region = prt_region_create(1, error);
    assert_non_null(region);
    taken = map(4096);

    for (round = 0; round < 10; round++) {

        for (i = 0; i < 32; i++) {
            pids[i] = fork();
            assert_true(pids[i] >= 0);

            if (pids[i] == 0) {
                mine = prt_region_claim(region, PRT_MEMORY_MIN, 0, i, error);
                if (mine == -1) {
                    _exit(1);
                }

                prt_region_publish(region, (unsigned) mine);

                if (atomic_fetch_add(&taken[mine], 1) != 0
                    || *(char *) prt_region_map(region, (unsigned) mine, &size)
                       != '\0')
                {
                    _exit(2);
                }

                *(char *) prt_region_map(region, (unsigned) mine, &size) = 'x';
                (void) usleep(1000);

                atomic_fetch_sub(&taken[mine], 1);

                if (i % 2) {
                    prt_region_release(region, (unsigned) mine);
                }

                _exit(0);
            }
        }

        for (i = 0; i < 32; i++) {
            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
            assert_int_equal(status, 0);
        }
    }

    assert_in_range(prt_region_slots(region), 10, 64);

    prt_region_destroy(region);
}


static void
test_windows(void **state)
{
    int             i, status, mine;
    char            error[PRT_ERROR_LEN];
    pid_t           pid;
    prt_region_t   *region;
    prt_window_t    wanted;

    (void) state;

    region = prt_region_create(1, error);
    assert_non_null(region);

    mine = prt_region_claim(region, PRT_MEMORY_MIN, 0, 0, error);
    assert_true(mine >= 0);
    prt_region_publish(region, (unsigned) mine);

    memset(&wanted, 0, sizeof(wanted));
    wanted.rate = 99;

    for (i = 0; i < PRT_WINDOWS_MAX; i++) {
        assert_int_equal(prt_region_window_open(region, (unsigned) mine,
                                                &wanted), i);
    }

    assert_int_equal(prt_region_window_open(region, (unsigned) mine, &wanted),
                     -1);
    prt_region_window_close(region, 7);
    assert_int_equal(prt_region_window_open(region, (unsigned) mine, &wanted),
                     7);
    prt_region_window_close(region, 7);

    /* the window of one that died is free again, ours stay */

    pid = fork();
    assert_true(pid >= 0);

    if (pid == 0) {
        i = prt_region_claim(region, PRT_MEMORY_MIN, 0, 1, error);
        prt_region_publish(region, (unsigned) i);
        _exit(prt_region_window_open(region, (unsigned) i, &wanted) == 7
              ? 0 : 1);
    }

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(prt_region_window_open(region, (unsigned) mine, &wanted),
                     -1);

    prt_region_window_sweep(region, (unsigned) mine);

    assert_int_equal(atomic_load(&region->head->windows[6].open), 1);
    assert_int_equal(prt_region_window_open(region, (unsigned) mine, &wanted),
                     7);

    prt_region_destroy(region);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_intern),
        cmocka_unit_test(test_intern_full),
        cmocka_unit_test(test_intern_spare),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_threads_and_signal),
        cmocka_unit_test(test_killed_writer),
        cmocka_unit_test(test_region),
        cmocka_unit_test(test_region_crowd),
        cmocka_unit_test(test_windows)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
