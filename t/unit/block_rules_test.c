
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The rules of the block and mutex profiles: what is sampled, what is idle,
 * what is preempted, and what may happen in the middle of a call.
 */


#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>

#include "block.h"


static pthread_mutex_t  mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t   cond = PTHREAD_COND_INITIALIZER;
static sem_t            sem;
static int              fds[2];
static int              work;              /* under the mutex */
static int              waiters;           /* too */


/* Never tail calls, so that each has its frame. */

#define SELF  __asm__ volatile ("" : : : "memory")


/* Sampling: on average what there was, in calls and in time. */

#define RATE     (400 * 1000)              /* ns */
#define SLEEPS   4000
#define SLEEPERS 4

KNOWN void *known_short(void *data);


KNOWN void *
known_short(void *data)
{
    unsigned   i;
    uint64_t  *total, start;

    total = data;

    for (i = 0; i < SLEEPS; i++) {
        start = now();
        usleep(50);
        *total += now() - start;
    }

    return NULL;
}


static void
test_sampling(void **state)
{
    double      calls, time;
    unsigned    i;
    uint64_t    totals[SLEEPERS], total;
    profile_t  *p;
    pthread_t   threads[SLEEPERS];

    (void) state;

    block_start(RATE);

    total = 0;
    memset(totals, 0, sizeof(totals));

    for (i = 0; i < SLEEPERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, known_short,
                                        &totals[i]), 0);
    }

    for (i = 0; i < SLEEPERS; i++) {
        pthread_join(threads[i], NULL);
        total += totals[i];
    }

    p = take("block");
    calls = (double) value_of(p, "known_short", CONTENTIONS);
    time = (double) value_of(p, "known_short", TIME);

    print_message("calls %.0f of %d, time %.1f of %.1f ms, samples %zu\n",
                  calls, SLEEPS * SLEEPERS, time / 1e6, (double) total / 1e6,
                  p->n_sample);
    drop(p);

    /* some 100 us each: a quarter is taken, and seven deviations are 10 % */

    assert_true(calls > 0.88 * SLEEPS * SLEEPERS);
    assert_true(calls < 1.12 * SLEEPS * SLEEPERS);
    assert_true(time > 0.88 * (double) total);
    assert_true(time < 1.12 * (double) total);
}


/* Threads that wait for work, and threads that wait within it. */

KNOWN void *idle_directly(void *data);
KNOWN void *idle_once(void *data);
KNOWN void *idle_poll(void *data);
KNOWN void *idle_sem(void *data);
KNOWN void *busy_twice(void *data);
KNOWN void *busy_sleep(void *data);
KNOWN void wait_here(void);
KNOWN void wait_deeper(void);


KNOWN void
wait_here(void)
{
    pthread_mutex_lock(&mutex);

    waiters++;

    while (work == 0) {
        pthread_cond_wait(&cond, &mutex);
    }

    pthread_mutex_unlock(&mutex);
}


KNOWN void
wait_deeper(void)
{
    wait_here();
    SELF;
}


KNOWN void *
idle_directly(void *data)
{
    pthread_mutex_lock(&mutex);

    while (work == 0) {
        pthread_cond_wait(&cond, &mutex);
    }

    pthread_mutex_unlock(&mutex);

    return data;
}


KNOWN void *
idle_once(void *data)
{
    wait_here();

    return data;
}


KNOWN void *
idle_poll(void *data)
{
    struct pollfd  fd;

    fd.fd = fds[0];
    fd.events = POLLIN;

    while (poll(&fd, 1, BOUND) != 1) { /* void */ }

    return data;
}


KNOWN void *
idle_sem(void *data)
{
    while (sem_wait(&sem) != 0) { /* void */ }

    return data;
}


KNOWN void *
busy_twice(void *data)
{
    wait_deeper();

    return data;
}


KNOWN void *
busy_sleep(void *data)
{
    usleep(DELAY * 1000);

    return data;
}


static void
test_idle(void **state)
{
    int        waiting;
    int64_t    n;
    unsigned   i;
    pthread_t  threads[6];

    static const struct {
        const char  *name;
        void      *(*start)(void *);
        int          idle;
    } kinds[] = {
        { "idle_directly", idle_directly, 1 },
        { "idle_once", idle_once, 1 },
        { "idle_poll", idle_poll, 1 },
        { "idle_sem", idle_sem, 1 },
        { "busy_twice", busy_twice, 0 },
        { "busy_sleep", busy_sleep, 0 }
    };

    (void) state;

    /* there their functions are between a thread's start and its routine */

    if (SANITIZED) {
        print_message("# skipped: not with sanitizers\n");
        return;
    }

    block_start(1);

    work = 0;
    waiters = 0;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(sem_init(&sem, 0, 0), 0);

    for (i = 0; i < 6; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, kinds[i].start,
                                        NULL), 0);
    }

    /* the mutex is to be had when those who count themselves wait */

    do {
        usleep(DELAY * 1000);

        pthread_mutex_lock(&mutex);
        waiting = waiters;
        pthread_mutex_unlock(&mutex);
    } while (waiting < 2);

    usleep(DELAY * 1000);

    pthread_mutex_lock(&mutex);
    work = 1;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);

    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(sem_post(&sem), 0);

    for (i = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
    }

    for (i = 0; i < 6; i++) {

        /* the mutex they may have had to wait for is no idleness */

        n = counted("block", kinds[i].name, TIME)
            - counted("mutex", kinds[i].name, TIME);

        print_message("%s: %.2f ms\n", kinds[i].name, (double) n / 1e6);

        if (kinds[i].idle) {
            assert_int_equal(n, 0);

        } else {
            assert_true(n > (int64_t) (DELAY * MSEC / 4));
        }
    }

    /* the main thread's are no idleness, however near to main() */
    assert_true(counted("block", "test_idle", TIME)
                >= (int64_t) (DELAY * MSEC));

    close(fds[0]);
    close(fds[1]);
}


/*
 * A thread that shares a processor with another one is preempted in its
 * calls for most of the time, and never sleeps.
 */

static _Atomic int  spinning;

KNOWN uint64_t known_calls(void);


static void *
spin(void *data)
{
    while (spinning) { /* void */ }

    return data;
}


KNOWN uint64_t
known_calls(void)
{
    int          fd;
    uint64_t     start;
    static char  page[65536];

    fd = open("/proc/self/exe", O_RDONLY);
    assert_true(fd != -1);

    start = now();

    while (now() - start < SEC) {
        assert_true(pread(fd, page, sizeof(page), 0) > 0);
    }

    close(fd);

    return now() - start;
}


static void
test_preempted(void **state)
{
    int         cpu;
    double      blocked, took;
    cpu_set_t   one, all;
    unsigned    i;
    pthread_t   threads[3];

    (void) state;

    block_start(1);

    assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);

    for (cpu = 0; !CPU_ISSET(cpu, &all); cpu++) { /* void */ }

    CPU_ZERO(&one);
    CPU_SET(cpu, &one);

    /* threads inherit it */
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);

    spinning = 1;

    for (i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, spin, NULL), 0);
    }

    /* asleep just before */
    usleep(1000);

    took = (double) known_calls();

    spinning = 0;

    for (i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }

    assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);

    blocked = (double) counted("block", "known_calls", TIME);

    print_message("preempted: %.3f of %.0f ms count as blocked\n",
                  blocked / 1e6, took / 1e6);

    /* a page that had to be read would be blocking indeed */
    assert_true(blocked < 0.02 * took);
}


/* A signal that interrupts a call, and one whose handler makes calls. */

KNOWN void on_usleep(int signo);
KNOWN ssize_t known_read(void);
KNOWN ssize_t known_after(void);


static void
on_nothing(int signo)
{
    (void) signo;
}


KNOWN void
on_usleep(int signo)
{
    (void) signo;

    usleep(DELAY * 1000);
    assert_int_equal(write(fds[1], "x", 1), 1);
}


KNOWN ssize_t
known_read(void)
{
    char     c;
    ssize_t  n;

    n = read(fds[0], &c, 1);
    SELF;

    return n;
}


KNOWN ssize_t
known_after(void)
{
    char     c;
    ssize_t  n;

    n = read(fds[0], &c, 1);
    SELF;

    return n;
}


static void
handle(void (*handler)(int), int flags)
{
    struct sigaction  action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = handler;
    action.sa_flags = flags;
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
}


static void
interrupt(void *data)
{
    pthread_kill(*(pthread_t *) data, SIGUSR1);
}


static void
test_interrupted(void **state)
{
    later_t    l;
    int64_t    delay;
    pthread_t  self;

    (void) state;

    block_start(1);

    self = pthread_self();
    assert_int_equal(pipe(fds), 0);

    handle(on_nothing, 0);
    later(&l, interrupt, &self);

    errno = 0;
    assert_int_equal(known_read(), -1);
    assert_int_equal(errno, EINTR);
    pthread_join(l.thread, NULL);

    delay = counted("block", "known_read", TIME);
    assert_true(delay >= (int64_t) (DELAY * MSEC / 2));

    /*
     * The handler's own sleep is within the read, and counts once.  TSan keeps
     * a signal until the call has returned.
     */

#ifndef __SANITIZE_THREAD__

    handle(on_usleep, SA_RESTART);
    later(&l, interrupt, &self);

    assert_int_equal(known_after(), 1);
    pthread_join(l.thread, NULL);

    assert_int_equal(counted("block", "on_usleep", CONTENTIONS), 0);
    assert_int_equal(counted("block", "known_after", CONTENTIONS), 1);

#endif

    close(fds[0]);
    close(fds[1]);
}


/* A handler that never returns into the call leaves nothing behind. */

static sigjmp_buf  jump;

KNOWN void known_deep(unsigned depth);


static void
on_jump(int signo)
{
    (void) signo;
    siglongjmp(jump, 1);
}


KNOWN void
known_deep(unsigned depth)
{
    char  room[256];

    __asm__ volatile ("" : : "r" (room) : "memory");

    if (depth) {
        known_deep(depth - 1);

    } else {
        usleep(DELAY * 1000);
    }

    SELF;
}


static void
test_jump(void **state)
{
    later_t    l;
    pthread_t  self;

    (void) state;

    block_start(1);

    self = pthread_self();
    assert_int_equal(pipe(fds), 0);
    handle(on_jump, 0);

    if (sigsetjmp(jump, 1) == 0) {
        later(&l, interrupt, &self);
        (void) known_read();
        fail();
    }

    pthread_join(l.thread, NULL);

    /* both above and below the frame of the call that was left */

    known_deep(0);
    known_deep(20);

    assert_int_equal(counted("block", "known_read", CONTENTIONS), 0);
    assert_int_equal(counted("block", "known_deep", CONTENTIONS), 2);

    close(fds[0]);
    close(fds[1]);
}


/* Cancellation: at the same points, and the handlers of it run. */

static _Atomic int  cleaned;


static void
clean(void *data)
{
    (void) data;
    cleaned++;
}


/* whose cancelled wait has taken the mutex again */

static void
clean_mutex(void *data)
{
    assert_int_equal(pthread_mutex_unlock(&mutex), 0);
    clean(data);
}


static void *
cancelled_read(void *data)
{
    pthread_cleanup_push(clean, NULL);
    (void) known_read();
    pthread_cleanup_pop(1);

    return data;
}


static void *
cancelled_sleep(void *data)
{
    pthread_cleanup_push(clean, NULL);

    for ( ;; ) {
        sleep(60);
    }

    pthread_cleanup_pop(1);

    return data;
}


static void *
cancelled_cond(void *data)
{
    pthread_mutex_lock(&mutex);
    pthread_cleanup_push(clean_mutex, NULL);

    for ( ;; ) {
        pthread_cond_wait(&cond, &mutex);
    }

    pthread_cleanup_pop(1);

    return data;
}


/*
 * A semaphore that can be had: it is a cancellation point all the same, for
 * who has been cancelled by then.
 */

static _Atomic int  cancelled;


static void *
cancelled_sem(void *data)
{
    int  old;

    pthread_cleanup_push(clean, NULL);

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);

    while (!cancelled) {
        usleep(1000);
    }

    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);

    (void) sem_wait(&sem);

    pthread_cleanup_pop(1);

    return data;
}


static void
test_cancelled(void **state)
{
    void       *result;
    unsigned    i;
    pthread_t   thread;

    static void *(*const  starts[])(void *) = {
        cancelled_read, cancelled_sleep, cancelled_cond, cancelled_sem
    };

    (void) state;

    /* ASan cannot, with or without us */

#ifdef __SANITIZE_ADDRESS__
    print_message("# skipped: not with ASan\n");
    return;
#endif

    block_start(1);

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(sem_init(&sem, 0, 1), 0);
    cleaned = 0;

    for (i = 0; i < 4; i++) {
        cancelled = 0;
        assert_int_equal(pthread_create(&thread, NULL, starts[i], &cleaned),
                         0);
        usleep(DELAY * 1000);
        assert_int_equal(pthread_cancel(thread), 0);
        cancelled = 1;
        assert_int_equal(pthread_join(thread, &result), 0);
        assert_ptr_equal(result, PTHREAD_CANCELED);
        assert_int_equal(cleaned, i + 1);
    }

    assert_int_equal(pthread_mutex_trylock(&mutex), 0);
    pthread_mutex_unlock(&mutex);

    assert_int_equal(sem_trywait(&sem), 0);

    close(fds[0]);
    close(fds[1]);
}


/* A child of fork() counts nothing; off means off; and on again. */

KNOWN void known_sleep(void);


KNOWN void
known_sleep(void)
{
    usleep(DELAY * 1000);
    SELF;
}


static void
test_fork(void **state)
{
    int         status;
    pid_t       pid;
    profile_t  *p;

    (void) state;

    block_start(1);

    pid = fork();
    assert_true(pid != -1);

    if (pid == 0) {
        known_sleep();
        _exit(0);
    }

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);

    p = take("block");
    assert_int_equal(value_of(p, "known_sleep", CONTENTIONS), 0);

    if (!SANITIZED) {
        assert_int_equal(value_of(p, "waitpid", CONTENTIONS), 1);
    }

    drop(p);
}


static void
test_off(void **state)
{
    profile_t  *p;

    (void) state;

    /* the hooks of the tests before stay, and pass through */

    block_start(PRT_BLOCK_OFF);
    known_sleep();

    p = take("block");
    assert_int_equal(p->n_sample, 0);
    drop(p);
}


/* Threads fight for locks while profiles are taken. */

#define FIGHTERS  6

static _Atomic int       fighting;
static pthread_rwlock_t  rwlock = PTHREAD_RWLOCK_INITIALIZER;
static uint64_t          shared;


static void *
fight(void *data)
{
    uint64_t         x;
    struct timespec  ts;

    x = (uintptr_t) data + 1;

    while (fighting) {
        x = x * 6364136223846793005 + 1442695040888963407;

        switch (x >> 61) {

        case 0:
            usleep(x >> 57);
            break;

        case 1:
            pthread_rwlock_rdlock(&rwlock);
            x += shared & 1;
            pthread_rwlock_unlock(&rwlock);
            break;

        case 2:
            pthread_rwlock_wrlock(&rwlock);
            shared++;
            pthread_rwlock_unlock(&rwlock);
            break;

        case 3:
            ts = deadline(CLOCK_REALTIME, 1);
            pthread_mutex_lock(&mutex);
            (void) pthread_cond_timedwait(&cond, &mutex, &ts);
            pthread_mutex_unlock(&mutex);
            break;

        case 4:
            pthread_cond_broadcast(&cond);
            break;

        default:
            pthread_mutex_lock(&mutex);
            work++;
            pthread_mutex_unlock(&mutex);
            break;
        }
    }

    return NULL;
}


static void
test_fight(void **state)
{
    int64_t     before, after;
    unsigned    i;
    pthread_t   threads[FIGHTERS];

    (void) state;

    block_start(1);

    fighting = 1;
    before = 0;

    for (i = 0; i < FIGHTERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, fight,
                                        (void *) (uintptr_t) i), 0);
    }

    for (i = 0; i < 10; i++) {
        usleep(100000);
        after = counted("block", "fight", TIME);
        assert_true(after >= before);
        before = after;
    }

    fighting = 0;

    for (i = 0; i < FIGHTERS; i++) {
        pthread_join(threads[i], NULL);
    }

    after = counted("block", "fight", TIME);
    assert_true(after > 0);
    assert_true(counted("mutex", "fight", TIME) <= after);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_teardown(test_sampling, block_stop),
        cmocka_unit_test_teardown(test_idle, block_stop),
        cmocka_unit_test_teardown(test_preempted, block_stop),
        cmocka_unit_test_teardown(test_interrupted, block_stop),
        cmocka_unit_test_teardown(test_jump, block_stop),
        cmocka_unit_test_teardown(test_cancelled, block_stop),
        cmocka_unit_test_teardown(test_fork, block_stop),
        cmocka_unit_test_teardown(test_off, block_stop),
        cmocka_unit_test_teardown(test_fight, block_stop)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
