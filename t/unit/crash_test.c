
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Processes that die by a signal: another one of the region tells where, and
 * whoever else cares for the signal sees what he would see without us.
 */


#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "pprofrt.h"


#define PATIENCE  60000      /* ms */
#define HANDLED   42


void crash_null(void);
void crash_call(void);
void crash_deep(void);
void crash_abort(void);
void crash_sent(void);
void crash_thread(void);
void crash_forked(void);

typedef void (*crash_pt)(void);


static const int        signals[] = {
    SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT
};

static prt_region_t    *region;
static void *volatile   nothing = (void *) 16;
static volatile int     zero;


/* some functions that are known by name, and none that is inlined */

__attribute__((noinline)) void
crash_null(void)
{
    *(volatile int *) nothing = 1;
}


__attribute__((noinline)) void
crash_call(void)
{
    void  (*function)(void);

    *(void **) &function = nothing;
    function();
    zero = 0;
}


__attribute__((noinline)) static int
deep(volatile char *above)
{
    volatile char  here[4096];

    here[0] = above[0];

    return above[0] ? 0 : deep(here) + here[0];
}


__attribute__((noinline)) void
crash_deep(void)
{
    volatile char  here[1] = { 0 };

    zero = deep(here);
}


__attribute__((noinline)) void
crash_abort(void)
{
    abort();
}


__attribute__((noinline)) void
crash_sent(void)
{
    kill(getpid(), SIGBUS);
    zero = 0;
}


static void *
thread_main(void *data)
{
    (void) data;

    crash_null();

    return NULL;
}


__attribute__((noinline)) void
crash_thread(void)
{
    pthread_t  thread;

    pthread_create(&thread, NULL, thread_main, NULL);
    pthread_join(thread, NULL);
}


/* Not the process's own end. */

__attribute__((noinline)) void
crash_forked(void)
{
    int    status;
    pid_t  pid;

    pid = fork();

    if (pid == 0) {
        crash_null();
    }

    waitpid(pid, &status, 0);
    _exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV ? 0 : 1);
}


/* A process of the region with one label, which comes to its end there. */

static pid_t
run(crash_pt crash, void (*before)(void))
{
    int             i;
    char            error[PRT_ERROR_LEN];
    pid_t           pid;
    prt_options_t   options;
    struct rlimit   limit;

    static const prt_label_text_t  labels[] = {
        PRT_LABEL("location", "/here")
    };

    pid = fork();
    assert_true(pid >= 0);

    if (pid != 0) {
        return pid;
    }

    /* no core dumps; and a stack that ends soon */

    limit.rlim_cur = 0;
    limit.rlim_max = 0;
    (void) setrlimit(RLIMIT_CORE, &limit);

    /* the test's own are none of what is tested */

    for (i = 0; i < 5; i++) {
        (void) signal(signals[i], SIG_DFL);
    }

    if (before) {
        before();
    }

    memset(&options, 0, sizeof(options));
    options.worker = 7;

    if (prt_start(region, &options, error) != 0) {
        _exit(100);
    }

    prt_labels = prt_labels_make(labels, 1);

    crash();
    _exit(101);
}


/* What is known of it; 0: nothing, in a short while. */

static int
find(pid_t pid, prt_death_info_t *death, int patience)
{
    int                i;
    unsigned           n, k;
    prt_death_info_t   deaths[8];

    for (i = 0; i < patience; i += 10) {
        n = prt_deaths(deaths, 8);

        for (k = 0; k < n; k++) {
            if (deaths[k].pid == pid) {
                *death = deaths[k];
                return 1;
            }
        }

        usleep(10000);
    }

    return 0;
}


static void
dies(crash_pt crash, int signo, const char *name, const char *where)
{
    int                status;
    pid_t              pid;
    prt_job_t         *job;
    const char        *text;
    prt_death_info_t   death;

    pid = run(crash, NULL);

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), signo);

    assert_true(find(pid, &death, PATIENCE));
    assert_int_equal(death.worker, 7);
    assert_int_equal(death.signo, signo);
    assert_string_equal(death.signal, name);
    assert_true(death.age < 60000000000ull);

    if (strstr(death.where, where) == NULL
        || strncmp(death.where, "location \"/here\": ", 18) != 0)
    {
        fail_msg("%s is not: %s", death.where, where);
    }

    /* one line for the log */

    while ((job = prt_job_finished()) == NULL) {
        usleep(1000);
    }

    text = prt_job_notice(job);
    assert_non_null(text);
    assert_non_null(strstr(text, death.where));
    assert_non_null(strstr(text, name));
    prt_job_free(job);

    usleep(100000);
    assert_null(prt_job_finished());
}


static void
test_where(void **state)
{
    (void) state;

    dies(crash_null, SIGSEGV, "SIGSEGV", ": crash_null, run, ");
    dies(crash_abort, SIGABRT, "SIGABRT", ", crash_abort, run");
    dies(crash_sent, SIGBUS, "SIGBUS", ", crash_sent, run");
}


static void
test_stacks(void **state)
{
    (void) state;

    /* of a call of nothing the caller is known; a stack that is full is read */

    dies(crash_call, SIGSEGV, "SIGSEGV", "crash_call, run");
    dies(crash_deep, SIGSEGV, "SIGSEGV", "deep, deep, deep");
}


static void
test_thread(void **state)
{
    int                status;
    pid_t              pid;
    prt_job_t         *job;
    prt_death_info_t   death;

    (void) state;

    pid = run(crash_thread, NULL);
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status));

    assert_true(find(pid, &death, PATIENCE));
    assert_non_null(strstr(death.where, "crash_null, thread_main"));

    while ((job = prt_job_finished()) == NULL) {
        usleep(1000);
    }

    prt_job_free(job);
}


/* Whoever had the signal before us has it as ever. */

static void *volatile  fault = (void *) 16;

static void
handler(int signo, siginfo_t *info, void *context)
{
    (void) signo;
    (void) context;

    _exit(info->si_addr == fault && info->si_code > 0 ? HANDLED : 102);
}


static void
handle(void)
{
    struct sigaction  action;

    memset(&action, 0, sizeof(struct sigaction));
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO;

    (void) sigaction(SIGSEGV, &action, NULL);
}


/* Of one that was sent it is known by whom, and how. */

static void
sent_handler(int signo, siginfo_t *info, void *context)
{
    (void) signo;
    (void) context;

    _exit(info->si_code == SI_USER && info->si_pid == getpid() ? HANDLED : 105);
}


static void
handle_sent(void)
{
    struct sigaction  action;

    memset(&action, 0, sizeof(struct sigaction));
    action.sa_sigaction = sent_handler;
    action.sa_flags = SA_SIGINFO;

    (void) sigaction(SIGBUS, &action, NULL);
}


static void
ignore(void)
{
    (void) signal(SIGFPE, SIG_IGN);
}


static void
ignored(void)
{
    struct sigaction  action;

    (void) raise(SIGFPE);
    (void) sigaction(SIGFPE, NULL, &action);
    _exit(action.sa_handler == SIG_IGN ? HANDLED : 103);
}


static void
stopped(void)
{
    int               i;
    struct sigaction  action;

    prt_stop();

    for (i = 0; i < 5; i++) {
        (void) sigaction(signals[i], NULL, &action);

        if (action.sa_handler != SIG_DFL) {
            _exit(104);
        }
    }

    _exit(HANDLED);
}


/* A handler of before that goes on; the process ends as it should. */

static sigjmp_buf  recovery;

static void
recover(int signo)
{
    (void) signo;

    siglongjmp(recovery, 1);
}


static void
handle_recovery(void)
{
    (void) signal(SIGSEGV, recover);
}


static void
recovered(void)
{
    if (sigsetjmp(recovery, 1) == 0) {
        crash_null();
    }

    prt_stop();
    _exit(HANDLED);
}


static void
test_others(void **state)
{
    int                status;
    pid_t              pid;
    prt_death_info_t   death;

    (void) state;

    pid = run(crash_null, handle);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), HANDLED);

    pid = run(crash_sent, handle_sent);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), HANDLED);

    pid = run(ignored, ignore);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), HANDLED);
    assert_false(find(pid, &death, 500));

    pid = run(stopped, NULL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), HANDLED);

    pid = run(recovered, handle_recovery);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), HANDLED);
    assert_false(find(pid, &death, 500));

    pid = run(crash_forked, NULL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_false(find(pid, &death, 500));
}


/* Nothing can be noted: it is found missing when somebody looks. */

static void
killed(void)
{
    (void) kill(getpid(), SIGKILL);
}


static void
look(void)
{
    int         notice;
    prt_job_t  *job;

    assert_non_null(prt_job_state(NULL));

    do {
        while ((job = prt_job_finished()) == NULL) {
            usleep(1000);
        }

        /* those of the tests before may come as well */

        notice = prt_job_notice(job) != NULL;
        prt_job_free(job);

    } while (notice);
}


static void
test_killed(void **state)
{
    int                status;
    pid_t              pid, other;
    unsigned           i, n, rows;
    prt_death_info_t   death, deaths[8];

    (void) state;

    memset(&death, 0, sizeof(death));

    pid = run(killed, NULL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_false(find(pid, &death, 10));

    look();
    assert_true(find(pid, &death, 10));
    assert_int_equal(death.worker, 7);
    assert_int_equal(death.signo, SIGKILL);
    assert_non_null(strstr(death.signal, "SIGKILL"));
    assert_true(death.age < 60000000000ull);

    /* who ends in order is missed by nobody; and once is enough */

    other = run(stopped, NULL);
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_int_equal(WEXITSTATUS(status), HANDLED);

    look();
    assert_false(find(other, &death, 10));

    n = prt_deaths(deaths, 8);

    for (i = 0, rows = 0; i < n; i++) {
        rows += deaths[i].pid == pid;
    }

    assert_int_equal(rows, 1);

    /* who comes next looks as well */

    pid = run(killed, NULL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    other = run(stopped, NULL);
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_true(find(pid, &death, 10));

    /* what was noted is told as it was noted, whoever looks first */

    pid = run(crash_null, NULL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(find(pid, &death, PATIENCE));
    assert_int_equal(death.signo, SIGSEGV);
}


static int
setup(void **state)
{
    char           error[PRT_ERROR_LEN];
    prt_options_t  options;

    (void) state;

    region = prt_region_create(4, error);
    if (region == NULL) {
        return -1;
    }

    memset(&options, 0, sizeof(options));
    options.worker = 0;

    return prt_start(region, &options, error);
}


static int
teardown(void **state)
{
    (void) state;

    prt_stop();

    return 0;
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_where),
        cmocka_unit_test(test_stacks),
        cmocka_unit_test(test_thread),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_killed)
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
