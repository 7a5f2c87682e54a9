
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * A plain C program that uses the library by its public header alone, without
 * nginx.  What it does is known: CPU 3:1, threads, and their creation.
 */


#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client.h"


/* TSan has a thread of its own, and signals come late to where it has us */

#ifdef __SANITIZE_THREAD__
#define TASKS  2
#define HOT    NULL
#else
#define TASKS  1
#define HOT    "unit_heavy"
#endif

static __thread volatile uint64_t  sink;


static uint64_t
cpu(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);

    return (uint64_t) ts.tv_sec * SEC + (uint64_t) ts.tv_nsec;
}


static void
spin_until(uint64_t until)
{
    unsigned  i;

    while (cpu() < until) {
        for (i = 0; i < 20000; i++) {
            sink += i;
        }
    }
}


__attribute__((noipa, visibility("default"))) void unit_heavy(uint64_t until);
__attribute__((noipa, visibility("default"))) void unit_light(uint64_t until);
__attribute__((noipa, visibility("default"))) void *unit_thread(void *data);


void
unit_heavy(uint64_t until)
{
    spin_until(until);
    sink++;
}


void
unit_light(uint64_t until)
{
    spin_until(until);
    sink--;
}


/*
 * 3:1, by the thread's clock, one after the other: only the sample at the border
 * may be of the wrong one
 */

static void
burn(uint64_t ns)
{
    uint64_t  start;

    start = cpu();

    unit_heavy(start + ns - ns / 4);
    unit_light(start + ns);
}


void *
unit_thread(void *data)
{
    burn(*(uint64_t *) data);

    return NULL;
}


static void
start(prt_region_t *region, int worker)
{
    prt_options_t  options;

    memset(&options, 0, sizeof(options));
    options.memory = 4 * 1024 * 1024;
    options.worker = worker;

    start_with(region, &options);
}


static void
check_split(const profile_t *p, uint64_t ns)
{
    double  heavy, light, total;

    heavy = (double) value_of(p, "unit_heavy", 1);
    light = (double) value_of(p, "unit_light", 1);
    total = (double) value_of(p, NULL, 1);

    print_message("heavy %.3f s, light %.3f s, total %.3f s of %.3f s\n",
                  heavy / 1e9, light / 1e9, total / 1e9, (double) ns / 1e9);

    /*
     * TSan puts a signal off until the thread next calls what it intercepts.
     * Where others want the CPU as well, ticks are merged: a sample may stand
     * for 20 ms of each thread's 1500.
     */

#ifndef __SANITIZE_THREAD__
    assert_true(heavy / (heavy + light) > 0.72);
    assert_true(heavy / (heavy + light) < 0.78);
#endif

    assert_true(total > 0.94 * (double) ns);
    assert_true(total < 1.06 * (double) ns);
}


static unsigned
count_tasks(void)
{
    DIR            *dir;
    unsigned        n;
    struct dirent  *entry;

    n = 0;
    dir = opendir("/proc/self/task");
    assert_non_null(dir);

    while ((entry = readdir(dir)) != NULL) {
        n += entry->d_name[0] != '.';
    }

    closedir(dir);

    return n;
}


static unsigned
count_timers(void)
{
    char      line[256];
    FILE     *f;
    unsigned  n;

    f = fopen("/proc/self/timers", "r");
    if (f == NULL) {
        return 0;
    }

    for (n = 0; fgets(line, sizeof(line), f); ) {
        n += strncmp(line, "ID:", 3) == 0;
    }

    fclose(f);

    return n;
}


/* The window is open over this process when the first timer is armed. */

static void
wait_timers(void)
{
    unsigned  i;

    for (i = 0; count_timers() == 0; i++) {
        assert_true(i < BOUND);
        usleep(1000);
    }

    /* what it starts from is read after that */
    usleep(200000);
}


static void
test_cpu(void **state)
{
    unsigned    i;
    uint64_t    ns, begin;
    pthread_t   thread;
    prt_job_t  *job;
    profile_t  *p;

    (void) state;

    start(NULL, -1);

    job = open_profile("profile", 3600 * SEC, 250, 0);

    wait_timers();

    begin = cpu();
    ns = 1500 * MSEC;

    assert_int_equal(pthread_create(&thread, NULL, unit_thread, &ns), 0);
    burn(ns);
    ns += cpu() - begin;
    assert_int_equal(pthread_join(thread, NULL), 0);

    prt_job_end(job);

    assert_ptr_equal(wait_job(), job);
    p = unpack(job);

    check_split(p, ns);

    perftools__profiles__profile__free_unpacked(p, NULL);
    prt_job_free(job);

    prt_stop();

    assert_int_equal(count_timers(), 0);

    /* one that was joined may still be on its way out of the kernel */

    for (i = 0; i < BOUND && count_tasks() > TASKS; i++) {
        usleep(1000);
    }

    assert_int_equal(count_tasks(), TASKS);
}


static void
test_overlap(void **state)
{
    prt_job_t  *one, *two, *three, *job;
    profile_t  *p;
    unsigned    i;

    (void) state;

    start(NULL, -1);

    one = open_profile("profile", 3600 * SEC, 100, 0);
    two = open_profile("profile", SEC, 500, 0);
    three = open_profile("profile", 3600 * SEC, 0, 0);

    wait_timers();
    burn(200 * MSEC);

    prt_job_cancel(three);

    for (i = 0; i < 2; i++) {

        job = wait_job();
        assert_ptr_equal(job, i == 0 ? two : one);

        p = unpack(job);
        assert_true(value_of(p, HOT, 0) > 0);
        perftools__profiles__profile__free_unpacked(p, NULL);
        prt_job_free(job);

        if (i == 0) {
            burn(100 * MSEC);
            prt_job_end(one);
        }
    }

    /* nothing wants samples any more */

    for (i = 0; count_timers() && i < BOUND; i++) {
        usleep(1000);
    }

    assert_int_equal(count_timers(), 0);

    prt_stop();
}


static void
test_threadcreate(void **state)
{
    char                 error[PRT_ERROR_LEN];
    uint64_t             ns;
    unsigned             i;
    pthread_t            thread;
    prt_job_t           *job;
    profile_t           *p;
    prt_region_t        *region;
    const prt_answer_t  *answer;

    (void) state;

    /* in one of its own: what ended in another counts on */

    region = prt_region_create(1, error);
    assert_non_null(region);

    start(region, 3);

    ns = MSEC;

    for (i = 0; i < 5; i++) {
        assert_int_equal(pthread_create(&thread, NULL, unit_thread, &ns), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }

    job = open_profile("threadcreate", 0, 0, 0);
    assert_ptr_equal(wait_job(), job);
    p = unpack(job);
    assert_int_equal(value_of(p, "test_threadcreate", 0), 5);
    perftools__profiles__profile__free_unpacked(p, NULL);
    prt_job_free(job);

    job = open_profile("threadcreate", 0, 0, 1);
    assert_ptr_equal(wait_job(), job);
    answer = prt_job_answer(job);
    assert_int_equal(answer->status, PRT_OK);
    assert_memory_equal(answer->data, "threadcreate profile: total 5\n5 @ 0x",
                        strlen("threadcreate profile: total 5\n5 @ 0x"));
    prt_job_free(job);

    prt_stop();
    prt_region_destroy(region);
}


static void
test_state(void **state)
{
    size_t                    n;
    prt_job_t                *job;
    const prt_worker_info_t  *workers;

    (void) state;

    start(NULL, 3);

    job = prt_job_state((void *) "state");
    assert_ptr_equal(wait_job(), job);
    assert_string_equal(prt_job_data(job), "state");

    workers = prt_job_workers(job, &n);
    assert_int_equal(n, 1);
    assert_int_equal(workers[0].worker, 3);
    assert_int_equal(workers[0].pid, getpid());
    assert_false(workers[0].silent);
    assert_true(workers[0].rss > 0);
    assert_true(workers[0].age > 0);

    prt_job_free(job);
    prt_stop();
}


static void
test_errors(void **state)
{
    char                    error[PRT_ERROR_LEN];
    unsigned                i;
    prt_job_t              *job;
    prt_options_t           options;
    prt_profile_request_t   request;
    struct sigaction        action, old;

    (void) state;

    memset(&options, 0, sizeof(options));
    options.memory = 1;
    assert_int_equal(prt_start(NULL, &options, error), -1);
    assert_non_null(strstr(error, "memory"));

    assert_null(prt_profile_find("heat", 4));
    assert_null(prt_job_state(NULL));

    /* somebody else has SIGPROF */

    memset(&action, 0, sizeof(action));
    action.sa_handler = (void (*)(int)) exit;
    sigaction(SIGPROF, &action, &old);

    start(NULL, 0);

    memset(&request, 0, sizeof(request));
    request.profile = prt_profile_find("profile", 7);
    request.window = MSEC;
    request.worker = PRT_ANY;
    request.pid = PRT_ANY;

    job = prt_job_profile(&request, NULL);
    assert_ptr_equal(wait_job(), job);
    assert_int_equal(prt_job_answer(job)->status, PRT_FAILED);
    assert_non_null(strstr(prt_job_answer(job)->error, "SIGPROF"));
    assert_non_null(strstr(prt_job_answer(job)->error, "libc.so"));
    prt_job_free(job);

    /* what it blocks stays blocked, and we do not count what was not made */

    {
        sigset_t        set, now;
        pthread_t       thread;
        profile_t      *p;
        pthread_attr_t  attr;

        sigemptyset(&set);
        sigaddset(&set, SIGPROF);
        assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
        assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &now), 0);
        assert_int_equal(sigismember(&now, SIGPROF), 1);
        assert_int_equal(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);

        pthread_attr_init(&attr);
        assert_int_equal(pthread_attr_setstacksize(&attr, (size_t) 1 << 46),
                         0);
        assert_int_not_equal(pthread_create(&thread, &attr, unit_thread, NULL),
                             0);
        pthread_attr_destroy(&attr);

        job = open_profile("threadcreate", 0, 0, 0);
        assert_ptr_equal(wait_job(), job);
        p = unpack(job);
        assert_int_equal(value_of(p, "test_errors", 0), 0);
        perftools__profiles__profile__free_unpacked(p, NULL);
        prt_job_free(job);
    }

    sigaction(SIGPROF, &old, NULL);

    /* and once it is given back, also after it was ours before, it works */

    for (i = 0; i < 2; i++) {
        job = open_profile("profile", MSEC, 100, 0);
        assert_ptr_equal(wait_job(), job);
        assert_int_equal(prt_job_answer(job)->status, PRT_OK);
        prt_job_free(job);

        sigaction(SIGPROF, NULL, &old);
        sigaction(SIGPROF, &action, NULL);

        job = open_profile("profile", MSEC, 100, 0);
        assert_ptr_equal(wait_job(), job);
        assert_int_equal(prt_job_answer(job)->status, PRT_FAILED);
        prt_job_free(job);

        sigaction(SIGPROF, &old, NULL);
    }

    request.worker = 7;
    job = prt_job_profile(&request, NULL);
    assert_ptr_equal(wait_job(), job);
    assert_int_equal(prt_job_answer(job)->status, PRT_NOT_FOUND);
    assert_non_null(strstr(prt_job_answer(job)->error, "worker 0 (pid"));
    prt_job_free(job);

    prt_stop();
}


/* Until another process has used so much more. */

static void
wait_cpu(pid_t pid, uint64_t ns)
{
    unsigned         i;
    uint64_t         used, first;
    clockid_t        clock;
    struct timespec  ts;

    assert_int_equal(clock_getcpuclockid(pid, &clock), 0);

    first = 0;

    for (i = 0; i < BOUND; i++) {
        assert_int_equal(clock_gettime(clock, &ts), 0);
        used = (uint64_t) ts.tv_sec * SEC + (uint64_t) ts.tv_nsec;
        first = first ? first : used;

        if (used - first >= ns) {
            return;
        }

        usleep(1000);
    }

    fail();
}


/* A family: one answers for all; one of them is stopped, another dies. */

static void
test_family(void **state)
{
    int            i, status, ready[2];
    char           error[PRT_ERROR_LEN], c;
    pid_t          pids[3];
    size_t         k;
    int64_t        before;
    unsigned       silent, ended;
    prt_job_t     *job;
    profile_t     *p;
    prt_region_t  *region;

    (void) state;

    region = prt_region_create(4, error);
    assert_non_null(region);
    assert_int_equal(pipe(ready), 0);

    for (i = 0; i < 3; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);

        if (pids[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            start(region, i);
            (void) !write(ready[1], "", 1);

            for ( ;; ) {
                burn(10 * MSEC);
            }
        }
    }

    for (i = 0; i < 3; i++) {
        assert_int_equal(read(ready[0], &c, 1), 1);
    }

    start(region, 3);

    job = open_profile("profile", 3600 * SEC, 100, 0);

    /* each has worked for some samples, and this one too, so all are sampled */

    wait_timers();

    for (i = 0; i < 3; i++) {
        wait_cpu(pids[i], 100 * MSEC);
    }

    assert_int_equal(kill(pids[0], SIGSTOP), 0);
    assert_int_equal(kill(pids[1], SIGKILL), 0);
    assert_int_equal(waitpid(pids[1], &status, 0), pids[1]);

    prt_job_end(job);

    assert_ptr_equal(wait_job(), job);
    p = unpack(job);

    silent = 0;
    ended = 0;

    for (k = 0; k < p->n_comment; k++) {
        silent += strstr(p->string_table[p->comment[k]], "worker 0 pid")
                  && strstr(p->string_table[p->comment[k]], "not answer");
        ended += strstr(p->string_table[p->comment[k]], "worker 1 pid")
                 && strstr(p->string_table[p->comment[k]], "until it ended");
    }

    assert_int_equal(silent, 1);
    assert_int_equal(ended, 1);

    /* all three are in it */

    for (i = 0; i < 3; i++) {
        before = 0;

        for (k = 0; k < p->n_sample; k++) {
            size_t  l;

            for (l = 0; l < p->sample[k]->n_label; l++) {
                if (strcmp(p->string_table[p->sample[k]->label[l]->key],
                           "pid") == 0
                    && p->sample[k]->label[l]->num == pids[i])
                {
                    before += p->sample[k]->value[1];
                }
            }
        }

        print_message("worker %d: %.3f s\n", i, (double) before / 1e9);
        assert_true(before > 0);
    }

    perftools__profiles__profile__free_unpacked(p, NULL);
    prt_job_free(job);

    for (i = 0; i < 3; i++) {
        if (i != 1) {
            kill(pids[i], SIGKILL);
            waitpid(pids[i], &status, 0);
        }
    }

    prt_stop();
    prt_region_destroy(region);
}


/* also after a test that failed in the middle */

static int
stop(void **state)
{
    (void) state;

    prt_stop();

    return 0;
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_teardown(test_cpu, stop),
        cmocka_unit_test_teardown(test_overlap, stop),
        cmocka_unit_test_teardown(test_threadcreate, stop),
        cmocka_unit_test_teardown(test_state, stop),
        cmocka_unit_test_teardown(test_errors, stop),
        cmocka_unit_test_teardown(test_family, stop)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
