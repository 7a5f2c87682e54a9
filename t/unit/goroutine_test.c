
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Goroutines of a plain C program: its threads, which are not disturbed, and
 * what its loop lists.
 */


#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "client.h"


#define ENTRIES  300                       /* of the list, in parts of ... */
#define PART     64
#define NAP      3000                      /* ms */


static atomic_int   stopping;
static atomic_int   naps;
static atomic_uint  slept;                 /* ms */
static unsigned     next;
static unsigned     parent;
static uint32_t     labels;
static unsigned     lists;


__attribute__((noipa, visibility("default"))) void *unit_napper(void *data);
__attribute__((noipa, visibility("default"))) void *unit_spinner(void *data);
__attribute__((noipa, visibility("default"))) void unit_handler(void);
__attribute__((noipa, visibility("default"))) void unit_creator(void);


/* A signal would end it early. */

void *
unit_napper(void *data)
{
    uint64_t         from;
    struct timespec  ts, now;

    (void) data;

    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    from = (uint64_t) now.tv_sec * SEC + (uint64_t) now.tv_nsec;

    ts.tv_sec = NAP / 1000;
    ts.tv_nsec = 0;

    if (nanosleep(&ts, NULL) == 0) {
        atomic_fetch_add(&naps, 1);
    }

    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    from = (uint64_t) now.tv_sec * SEC + (uint64_t) now.tv_nsec - from;

    atomic_store(&slept, (unsigned) (from / MSEC));

    return NULL;
}


void *
unit_spinner(void *data)
{
    (void) data;

    while (!atomic_load(&stopping)) { /* void */ }

    return NULL;
}


void
unit_handler(void)
{
    atomic_fetch_add(&naps, 0);
}


void
unit_creator(void)
{
    atomic_fetch_add(&naps, 0);
}


static uint64_t
name(const char *text)
{
    return prt_frame(text, strlen(text));
}


/* A part of the list at each call; the first entry is the parent of all. */

static void
list_some(void)
{
    unsigned         i;
    uint64_t         frames[2];
    prt_goroutine_t  g;

    if (next == 0 && !prt_goroutines_wanted()) {
        return;
    }

    prt_goroutines_begin();

    for (i = 0; i < PART && next < ENTRIES; i++, next++) {
        memset(&g, 0, sizeof(prt_goroutine_t));

        frames[0] = prt_frame_of((const void *) unit_handler);
        frames[1] = name("unit root/a%]");

        g.state = name(next ? "unit wait" : "unit parent");
        g.id = 1000 + next;
        g.lasts = next == 7 ? 185 * SEC : SEC;
        g.age = 200 * SEC;
        g.creator = (const void *) unit_creator;
        g.parent = next ? parent : 0;
        g.labels = labels;
        g.work = next == 7;
        g.nframes = 2;
        g.frames = frames;

        if (next == 0) {
            parent = prt_goroutines_add(&g);
            assert_int_not_equal(parent, 0);

        } else {
            assert_int_not_equal(prt_goroutines_add(&g), 0);
        }
    }

    prt_goroutines_end(next == ENTRIES);

    if (next == ENTRIES) {
        next = 0;
        lists++;
    }
}


static prt_job_t *
loop_until(int answer)
{
    prt_job_t      *job;
    struct pollfd   fd;

    for ( ;; ) {
        job = prt_job_finished();
        if (job) {
            return job;
        }

        if (answer) {
            list_some();
        }

        fd.fd = prt_eventfd();
        fd.events = POLLIN;

        (void) poll(&fd, 1, next ? 0 : 20);
    }
}


static void
start(int goroutines)
{
    prt_options_t     options;
    prt_label_text_t  text;

    memset(&options, 0, sizeof(options));

    options.memory = 4 * 1024 * 1024;
    options.worker = 3;
    options.goroutines = goroutines;

    start_with(NULL, &options);

    text.key = "location";
    text.key_len = strlen(text.key);
    text.value = "~ [a-z]+";
    text.value_len = strlen(text.value);

    labels = prt_labels_make(&text, 1);
    next = 0;
    lists = 0;
}


/* The answer's text; to be freed. */

static char *
text_of(int debug, int answer)
{
    char                *text;
    prt_job_t           *job;
    const prt_answer_t  *a;

    job = open_profile("goroutine", 0, 0, debug);
    assert_ptr_equal(loop_until(answer), job);

    a = prt_job_answer(job);
    assert_int_equal(a->status, PRT_OK);

    text = calloc(1, a->size + 1);
    assert_non_null(text);
    memcpy(text, a->data, a->size);

    prt_job_free(job);

    return text;
}


static void
test_forms(void **state)
{
    char                     *text;
    size_t                    n;
    int                       found;
    unsigned                  tries, ended;
    pthread_t                 napper, spinner;
    prt_job_t                *job;
    profile_t                *p;
    const prt_worker_info_t  *worker;

    (void) state;

    atomic_store(&stopping, 0);
    atomic_store(&naps, 0);

    start(1);

    assert_int_equal(pthread_create(&napper, NULL, unit_napper, NULL), 0);
    assert_int_equal(pthread_create(&spinner, NULL, unit_spinner, NULL), 0);

    /* it may take its time to fall asleep */

    do {
        job = open_profile("goroutine", 0, 0, 0);
        assert_ptr_equal(loop_until(1), job);
        p = unpack(job);
        found = value_of(p, "unit_napper", 0) == 1
                && value_of(p, "system call clock_nanosleep", 0) == 1;
        perftools__profiles__profile__free_unpacked(p, NULL);
        prt_job_free(job);
    } while (!found && atomic_load(&naps) == 0);

    assert_true(found);

    /* where the machine is slow a thread that runs may be given up */

    for (tries = 0; ; tries++) {
        assert_in_range(tries, 0, 200);

        job = open_profile("goroutine", 0, 0, 0);
        assert_ptr_equal(loop_until(1), job);
        p = unpack(job);

        if (value_of(p, "unit_spinner", 0) == 1) {
            break;
        }

        perftools__profiles__profile__free_unpacked(p, NULL);
        prt_job_free(job);
    }

    assert_int_equal(value_of(p, "unit wait", 0), ENTRIES - 1);
    assert_int_equal(value_of(p, "unit parent", 0), 1);
    assert_int_equal(value_of(p, "unit_handler", 0), ENTRIES);
    assert_int_equal(value_of(p, "unit root/a%]", 0), ENTRIES);
    assert_int_equal(value_of(p, "list_some", 0), 0);

    /* of the equal ones there is one sample */

    assert_true(p->n_sample < 12);

    perftools__profiles__profile__free_unpacked(p, NULL);
    prt_job_free(job);

    text = text_of(1, 1);
    assert_memory_equal(text, "goroutine profile: total ", 25);
    assert_non_null(strstr(text, "\n299 @ 0x"));
    assert_non_null(strstr(text, "\tunit wait+0x0"));
    free(text);

    text = text_of(2, 1);

    assert_non_null(strstr(text, "goroutine 1000 [unit parent, location "
                                 "~ [a-z)+, worker 3]:\nunit parent(...)\n"
                                 "\t??:0 +0x0\nunit_handler(...)\n\t"));
    assert_non_null(strstr(text, "\ngoroutine 1007 [unit wait, 3 minutes, "
                                 "location ~ [a-z)+, worker 3]:\n"));
    assert_non_null(strstr(text, "\nunit root\xe2\x88\x95" "a_](...)\n"));
    assert_non_null(strstr(text, "\ncreated by unit_creator in goroutine 1000\n\t"));
    assert_null(strstr(text, "# missing"));
    free(text);

    /* the index */

    job = prt_job_state(NULL);
    assert_ptr_equal(loop_until(1), job);
    ended = (unsigned) atomic_load(&naps);
    assert_in_range(prt_job_count(job, prt_profile_find("goroutine", 9)),
                    ENTRIES + 3 - ended, ENTRIES + 6);

    worker = prt_job_workers(job, &n);
    assert_int_equal(n, 1);
    assert_int_equal(worker->oldest, 200 * SEC);
    assert_string_equal(worker->oldest_state, "unit wait");
    prt_job_free(job);

    assert_true(lists >= 4);

    atomic_store(&stopping, 1);
    assert_int_equal(pthread_join(napper, NULL), 0);
    assert_int_equal(pthread_join(spinner, NULL), 0);

    /* it was looked at again and again, and slept on */

    assert_int_equal(atomic_load(&naps), 1);
    assert_true(atomic_load(&slept) >= NAP);

    prt_stop();
}


static void
test_difference(void **state)
{
    pthread_t   napper;
    prt_job_t  *job;
    profile_t  *p;

    (void) state;

    start(1);

    job = open_profile("goroutine", 500 * MSEC, 0, 0);

    while (lists == 0) {
        assert_null(prt_job_finished());
        list_some();
        (void) usleep(next ? 0 : 1000);
    }

    assert_int_equal(pthread_create(&napper, NULL, unit_napper, NULL), 0);

    assert_ptr_equal(loop_until(1), job);
    p = unpack(job);

    assert_int_equal(value_of(p, "unit_napper", 0), 1);
    assert_int_equal(value_of(p, "unit wait", 0), 0);
    assert_true(p->duration_nanos >= (int64_t) (500 * MSEC));

    perftools__profiles__profile__free_unpacked(p, NULL);
    prt_job_free(job);

    assert_int_equal(pthread_join(napper, NULL), 0);
    prt_stop();
}


static void
test_silent_loop(void **state)
{
    char  *text;

    (void) state;

    start(1);

    text = text_of(2, 0);
    assert_memory_equal(text, "# missing: worker 3 pid ", 24);
    assert_non_null(strstr(text, "its event loop does not answer"));
    assert_non_null(strstr(text, "\ngoroutine "));
    assert_null(strstr(text, "unit wait"));
    free(text);

    /* it comes to it later */

    text = text_of(2, 1);
    assert_null(strstr(text, "# missing"));
    assert_non_null(strstr(text, "unit wait"));
    free(text);

    prt_stop();
}


/* A program that has nothing to list is not waited for. */

static void
test_no_list(void **state)
{
    char  *text;

    (void) state;

    start(0);

    text = text_of(2, 0);
    assert_null(strstr(text, "# missing"));
    assert_non_null(strstr(text, "goroutine "));
    assert_non_null(strstr(text, "\nmain(...)\n"));
    free(text);

    assert_false(prt_goroutines_wanted());

    prt_stop();
}


static int
stop(void **state)
{
    (void) state;

    atomic_store(&stopping, 1);
    prt_stop();

    return 0;
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_teardown(test_forms, stop),
        cmocka_unit_test_teardown(test_difference, stop),
        cmocka_unit_test_teardown(test_silent_loop, stop),
        cmocka_unit_test_teardown(test_no_list, stop)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
