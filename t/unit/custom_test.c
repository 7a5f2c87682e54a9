
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * What hosted code can tell, by the public header alone: custom profiles of
 * several processes, blocking that is reported, threads that register.
 */


#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"


#define KNOWN  __attribute__((noipa, visibility("default")))
#define KEYS   200000


static char           keys[KEYS];
static prt_custom_t  *things;


KNOWN int put_here(unsigned i, uint64_t value);
KNOWN int put_there(unsigned i, uint64_t value);
KNOWN void blocks(unsigned ms, int lock);


int
put_here(unsigned i, uint64_t value)
{
    int  rc = prt_custom_add(things, &keys[i], value);

    __asm__ volatile ("" : "+r" (rc));

    return rc;
}


int
put_there(unsigned i, uint64_t value)
{
    int  rc = prt_custom_add(things, &keys[i], value);

    __asm__ volatile ("" : "+r" (rc));

    return rc;
}


void
blocks(unsigned ms, int lock)
{
    uint64_t  since;

    since = prt_blocking();

    usleep(ms * 1000);

    prt_blocked(since, "ring full", 9, lock);

    __asm__ volatile ("");
}


static void
start(prt_region_t *region)
{
    prt_options_t  options;

    memset(&options, 0, sizeof(options));

    options.worker = -1;
    options.block_rate = 1;

    start_with(region, &options);
}


static const char *
text_of(const profile_t *p, int64_t string)
{
    assert_true(string >= 0 && (size_t) string < p->n_string_table);

    return p->string_table[string];
}


/* The name of frame i of a sample, outermost inlined function. */

static const char *
frame(const profile_t *p, const Perftools__Profiles__Sample *sample, size_t i)
{
    size_t                           k, m;
    Perftools__Profiles__Location   *location;

    if (i >= sample->n_location_id) {
        return "";
    }

    for (k = 0; k < p->n_location; k++) {
        location = p->location[k];

        if (location->id != sample->location_id[i] || location->n_line == 0) {
            continue;
        }

        for (m = 0; m < p->n_function; m++) {
            if (p->function[m]->id
                == location->line[location->n_line - 1]->function_id)
            {
                return text_of(p, p->function[m]->name);
            }
        }
    }

    return "";
}


/* The sum of a value under a leaf; of all if that is NULL. */

static int64_t
sum_of(const char *profile, unsigned value, const char *leaf,
    const char *caller)
{
    size_t      i;
    int64_t     sum;
    prt_job_t  *job;
    profile_t  *p;

    job = open_profile(profile, 0, 0, 0);
    assert_ptr_equal(wait_job(), job);

    p = unpack(job);
    sum = 0;

    for (i = 0; i < p->n_sample; i++) {

        if ((leaf == NULL || strcmp(frame(p, p->sample[i], 0), leaf) == 0)
            && (caller == NULL
                || strcmp(frame(p, p->sample[i], 1), caller) == 0))
        {
            sum += p->sample[i]->value[value];
        }
    }

    perftools__profiles__profile__free_unpacked(p, NULL);
    prt_job_free(job);

    return sum;
}


static int
has_comment(const char *profile, const char *begin)
{
    int         has;
    size_t      i;
    prt_job_t  *job;
    profile_t  *p;

    job = open_profile(profile, 0, 0, 0);
    assert_ptr_equal(wait_job(), job);

    p = unpack(job);
    has = 0;

    for (i = 0; i < p->n_comment; i++) {
        has |= strncmp(text_of(p, p->comment[i]), begin, strlen(begin)) == 0;
    }

    perftools__profiles__profile__free_unpacked(p, NULL);
    prt_job_free(job);

    return has;
}


static void
test_names(void **state)
{
    unsigned   i;
    uint64_t   since;
    const prt_profile_info_t  *info;

    (void) state;

    errno = 0;
    assert_null(prt_custom_new("", "nothing"));
    assert_int_equal(errno, EINVAL);
    assert_null(prt_custom_new("a b", "blank"));
    assert_null(prt_custom_new("a/b", "slash"));
    assert_null(prt_custom_new("trace", "a path of its own"));
    assert_null(prt_custom_new("page", "<b>"));
    assert_null(prt_custom_new(
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "64 bytes"));
    assert_int_equal(errno, EINVAL);

    assert_null(prt_custom_new("heap", "taken"));
    assert_int_equal(errno, EEXIST);

    things = prt_custom_new("things", "What there is.");
    assert_non_null(things);
    assert_ptr_equal(prt_custom_new("things", "Again."), things);
    assert_non_null(prt_profile_find("things", 6));
    assert_null(prt_profile_find("", 0));

    for (i = 0; (info = prt_profile_info(i)) != NULL; i++) {
        assert_true(info->name[0] != '\0');
    }

    assert_string_equal(prt_profile_info(i - 1)->name, "things");
    assert_string_equal(prt_profile_info(i - 1)->description,
                        "What there is.");

    /* nothing runs */

    assert_int_equal(put_here(0, 1), -1);
    assert_int_equal(prt_custom_remove(things, &keys[0]), -1);
    assert_int_equal(prt_custom_add(NULL, &keys[0], 1), -1);
    assert_int_equal(prt_custom_count(things), 0);
    assert_int_equal(prt_thread_register(), -1);
    prt_thread_unregister();

    since = prt_blocking();
    assert_true(since == 0);
    prt_blocked(since, "nothing", 7, 0);
}


static void
test_add(void **state)
{
    unsigned  i;

    (void) state;

    start(NULL);

    for (i = 0; i < 100; i++) {
        assert_int_equal(i % 4 ? put_here(i, 1) : put_there(i, 10), 0);
    }

    assert_int_equal(prt_custom_count(things), 100);
    assert_int_equal(sum_of("things", 0, "put_here", NULL), 75);
    assert_int_equal(sum_of("things", 0, "put_there", NULL), 250);
    assert_int_equal(sum_of("things", 0, NULL, NULL), 325);

    /* taken out where it was put in; one that is in moves */

    assert_int_equal(prt_custom_remove(things, &keys[0]), 0);
    assert_int_equal(prt_custom_remove(things, &keys[0]), -1);
    assert_int_equal(put_here(4, 5), 0);

    assert_int_equal(prt_custom_count(things), 99);
    assert_int_equal(sum_of("things", 0, "put_here", NULL), 80);
    assert_int_equal(sum_of("things", 0, "put_there", NULL), 230);

    /* in and out many times */

    for (i = 0; i < KEYS; i++) {
        assert_int_equal(put_there(1000, 1), 0);
        assert_int_equal(prt_custom_remove(things, &keys[1000]), 0);
    }

    assert_int_equal(sum_of("things", 0, NULL, NULL), 310);

    /* after a restart it is empty, and has its name */

    prt_stop();
    assert_int_equal(prt_custom_count(things), 0);
    assert_int_equal(put_here(1, 1), -1);

    start(NULL);
    assert_int_equal(sum_of("things", 0, NULL, NULL), 0);
    assert_int_equal(put_here(1, 1), 0);
    assert_int_equal(sum_of("things", 0, NULL, NULL), 1);

    prt_stop();
}


/* It says so when it has no more room, and loses nothing that it took. */

static void
test_full(void **state)
{
    unsigned  i, in;

    (void) state;

    start(NULL);

    for (i = 0, in = 0; i < KEYS; i++) {
        in += put_here(i, 1) == 0;
    }

    assert_true(in >= 40000 && in < KEYS);
    assert_int_equal(prt_custom_count(things), in);
    assert_int_equal(sum_of("things", 0, NULL, NULL), in);

    for (i = 0; i < KEYS; i++) {
        in -= prt_custom_remove(things, &keys[i]) == 0;
    }

    assert_int_equal(in, 0);
    assert_int_equal(prt_custom_count(things), 0);
    assert_int_equal(sum_of("things", 0, NULL, NULL), 0);

    assert_true(has_comment("things", "custom profiles: "));

    prt_stop();
}


/*
 * Children have the profiles in different orders, and others of the name that
 * the first one has as well; one dies.
 */

static void
test_processes(void **state)
{
    int            i, status;
    char           c;
    pid_t          pids[3];
    unsigned       k;
    prt_region_t  *region;
    prt_custom_t  *other;
    int            ready[2];

    (void) state;

    region = prt_region_create(4, (char[PRT_ERROR_LEN]) { "" });
    assert_non_null(region);
    assert_int_equal(pipe(ready), 0);

    for (i = 0; i < 3; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);

        if (pids[i] != 0) {
            continue;
        }

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);

        /* the third one's tables lie the other way round */

        other = i == 2 ? prt_custom_new("second", "Another.") : NULL;
        start(region);
        things = prt_custom_new(i == 2 ? "first" : "second", "This one.");
        other = i == 2 ? other : prt_custom_new("first", "Another.");

        if (i == 2) {
            prt_custom_t  *swap = things;

            things = other;
            other = swap;
        }

        for (k = 0; k < 10; k++) {
            if (put_here(k, 1) != 0
                || prt_custom_add(other, &keys[k], 100) != 0)
            {
                _exit(1);
            }
        }

        (void) !write(ready[1], "", 1);

        for ( ;; ) {
            pause();
        }
    }

    for (i = 0; i < 3; i++) {
        assert_int_equal(read(ready[0], &c, 1), 1);
    }

    /* this one asks, and has none */

    assert_non_null(prt_custom_new("first", "Here."));
    assert_non_null(prt_custom_new("second", "Here, too."));
    start(region);

    assert_int_equal(sum_of("second", 0, NULL, NULL), 30);
    assert_int_equal(sum_of("first", 0, NULL, NULL), 3000);
    assert_int_equal(sum_of("things", 0, NULL, NULL), 0);

    assert_int_equal(kill(pids[0], SIGKILL), 0);
    assert_int_equal(waitpid(pids[0], &status, 0), pids[0]);

    assert_int_equal(sum_of("second", 0, NULL, NULL), 20);
    assert_int_equal(sum_of("first", 0, NULL, NULL), 2000);

    for (i = 1; i < 3; i++) {
        assert_int_equal(kill(pids[i], SIGKILL), 0);
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
    }

    prt_stop();

    assert_non_null(prt_custom_new("third", "The last."));
    assert_null(prt_custom_new("fourth", "One too many."));
    assert_int_equal(errno, ENOSPC);

    prt_region_destroy(region);
    close(ready[0]);
    close(ready[1]);
}


/* A child that does not start has nothing of its parent's. */

static void
test_fork(void **state)
{
    int    status;
    pid_t  pid;

    (void) state;

    start(NULL);
    assert_int_equal(put_here(0, 1), 0);

    pid = fork();
    assert_true(pid >= 0);

    if (pid == 0) {
        _exit(prt_custom_count(things) != 0 || put_here(1, 1) != -1
              || prt_custom_remove(things, &keys[0]) != -1);
    }

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(sum_of("things", 0, NULL, NULL), 1);

    prt_stop();
}


static void
test_block(void **state)
{
    (void) state;

    start(NULL);

    blocks(60, 0);
    blocks(40, 1);

    /* with the name for the sleep, which is not counted itself */

    assert_int_equal(sum_of("block", 0, "ring full", "blocks"), 2);
    assert_int_equal(sum_of("mutex", 0, "ring full", "blocks"), 1);
    assert_int_equal(sum_of("block", 0, "usleep", "blocks"), 0);
    assert_in_range(sum_of("block", 1, "ring full", "blocks"), 98 * MSEC,
                    60 * SEC);
    assert_in_range(sum_of("mutex", 1, "ring full", "blocks"), 39 * MSEC,
                    60 * SEC);

    /* what blocks after it is */

    usleep(20000);
    assert_int_equal(sum_of("block", 0, "usleep", "test_block"), 1);

    prt_stop();
}


static void *
registers(void *data)
{
    int  *rc = data;

    rc[0] = prt_thread_register();
    rc[1] = prt_thread_register();
    prt_thread_unregister();
    prt_thread_unregister();
    rc[2] = prt_thread_register();

    return NULL;
}


static void
test_threads(void **state)
{
    int        rc[3] = { -2, -2, -2 };
    unsigned   i;
    pthread_t  thread;

    (void) state;

    start(NULL);

    /* more often than there is room for: nothing is left behind */

    for (i = 0; i < 3000; i++) {
        assert_int_equal(pthread_create(&thread, NULL, registers, rc), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(rc[0], 0);
        assert_int_equal(rc[1], 0);
        assert_int_equal(rc[2], 0);
    }

    prt_stop();
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_block),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_processes)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
