
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>

#include "hosted_work.h"


/* The mean length of a round of heavy and light, if nobody asks for another. */

#define HOSTED_ROUND        2618033   /* ns */

/* Steps between two looks at the clock: about 20 us on a machine of 2020. */

#define HOSTED_STEPS        8192


#define hosted_step(x, c)                                                     \
    do {                                                                      \
        (x) ^= (x) << 13;                                                     \
        (x) ^= (x) >> 7;                                                      \
        (x) ^= (x) << 17;                                                     \
        (x) += (c);                                                           \
    } while (0)


struct hosted_thread_s {
    pthread_t              id;
    uint64_t               ns;
    hosted_burn_t          burn;
    int                    refs;
    int                    done;
};


static void *hosted_thread(void *data);
static uint64_t hosted_clock(clockid_t id);


volatile uint64_t  hosted_sink;


static pthread_mutex_t  hosted_mutex = PTHREAD_MUTEX_INITIALIZER;


static uint64_t
hosted_clock(clockid_t id)
{
    struct timespec  ts;

    clock_gettime(id, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}


uint64_t
hosted_cpu_clock(void)
{
    return hosted_clock(CLOCK_THREAD_CPUTIME_ID);
}


uint64_t
hosted_wall_clock(void)
{
    return hosted_clock(CLOCK_MONOTONIC);
}


long
hosted_tid(void)
{
    return syscall(SYS_gettid);
}


void
hosted_burn(hosted_burn_t *b, uint64_t ns)
{
    uint64_t  now, from, total, want, heavy, light, part, turn, random;

    b->tid = hosted_tid();

    part = (b->round ? b->round : HOSTED_ROUND) / 4;
    total = b->heavy + b->light + ns;
    heavy = b->heavy;
    light = b->light;
    now = hosted_cpu_clock();
    random = now;

    /*
     * Targets are absolute, so what one part overruns is taken from its next
     * turn, and a part's time runs from the end of the other's: nothing of the
     * thread's time is left out.
     */

    while (b->heavy < total - total / 4 || b->light < total / 4) {

        /*
         * Rounds are of no one length: samples come with the ticks of the
         * clock, and on a busy machine a thread runs from tick to tick, so they
         * would find it at the same place of each round.
         */

        random = random * 6364136223846793005 + 1442695040888963407;
        turn = part / 2 + (random >> 33) % part;

        heavy += 3 * turn;
        light += turn;

        want = total - total / 4;
        want = want < heavy ? want : heavy;

        if (want > b->heavy) {
            from = now;
            now = hosted_heavy(from + want - b->heavy);
            b->heavy += now - from;
        }

        want = total / 4;
        want = want < light ? want : light;

        if (want > b->light) {
            from = now;
            now = hosted_light(from + want - b->light);
            b->light += now - from;
        }
    }
}


uint64_t
hosted_heavy(uint64_t until)
{
    uint64_t  x, now;
    unsigned  n;

    x = until | 1;

    do {
        for (n = 0; n < HOSTED_STEPS; n++) {
            hosted_step(x, 3);
        }

        now = hosted_cpu_clock();

    } while (now < until);

    hosted_sink = x;

    return now;
}


uint64_t
hosted_light(uint64_t until)
{
    uint64_t  x, now;
    unsigned  n;

    x = until | 1;

    do {
        for (n = 0; n < HOSTED_STEPS; n++) {
            hosted_step(x, 1);
        }

        now = hosted_cpu_clock();

    } while (now < until);

    hosted_sink = x;

    return now;
}


uint64_t
hosted_deep(unsigned depth, uint64_t ns)
{
    uint64_t  spent;

    spent = hosted_deep_a(depth, ns);

    /* no tail call: the caller must be on the stack */

    __asm__ volatile ("" ::: "memory");

    return spent;
}


uint64_t
hosted_deep_a(unsigned depth, uint64_t ns)
{
    uint64_t  spent;

    spent = depth > 1 ? hosted_deep_b(depth - 1, ns) : hosted_deep_bottom(ns);

    __asm__ volatile ("" ::: "memory");

    return spent;
}


uint64_t
hosted_deep_b(unsigned depth, uint64_t ns)
{
    uint64_t  spent;

    spent = depth > 1 ? hosted_deep_a(depth - 1, ns) : hosted_deep_bottom(ns);

    __asm__ volatile ("" ::: "memory");

    return spent;
}


uint64_t
hosted_deep_bottom(uint64_t ns)
{
    uint64_t  x, now, start;
    unsigned  n;

    start = hosted_cpu_clock();
    x = start | 1;

    do {
        for (n = 0; n < HOSTED_STEPS; n++) {
            hosted_step(x, 5);
        }

        now = hosted_cpu_clock();

    } while (now - start < ns);

    hosted_sink = x;

    return now - start;
}


hosted_thread_t *
hosted_spawn(uint64_t ns, int detached)
{
    hosted_thread_t  *t;

    t = calloc(1, sizeof(hosted_thread_t));
    if (t == NULL) {
        return NULL;
    }

    t->ns = ns;
    t->refs = 2;

    if (pthread_create(&t->id, NULL, hosted_thread, t) != 0) {
        free(t);
        return NULL;
    }

    if (detached) {
        pthread_detach(t->id);
    }

    return t;
}


static void *
hosted_thread(void *data)
{
    hosted_thread_t  *t = data;

    hosted_burn(&t->burn, t->ns);

    __atomic_store_n(&t->done, 1, __ATOMIC_RELEASE);

    hosted_drop(t);

    return NULL;
}


void
hosted_join(hosted_thread_t *t, hosted_burn_t *b)
{
    pthread_join(t->id, NULL);

    *b = t->burn;

    hosted_drop(t);
}


int
hosted_poll(hosted_thread_t *t, hosted_burn_t *b)
{
    if (!__atomic_load_n(&t->done, __ATOMIC_ACQUIRE)) {
        return 0;
    }

    *b = t->burn;

    return 1;
}


void
hosted_drop(hosted_thread_t *t)
{
    if (__atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        free(t);
    }
}


uint64_t
hosted_sleep(unsigned ms)
{
    uint64_t  start;
    unsigned  n;

    start = hosted_wall_clock();

    /* usleep() need not take a second or more at once */

    for ( /* void */ ; ms; ms -= n) {
        n = ms < 500 ? ms : 500;
        usleep(n * 1000);
    }

    return hosted_wall_clock() - start;
}


uint64_t
hosted_cond(unsigned ms)
{
    uint64_t            start, end;
    pthread_cond_t      cond;
    pthread_mutex_t     mutex;
    struct timespec     ts;
    pthread_condattr_t  attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&cond, &attr);
    pthread_mutex_init(&mutex, NULL);

    pthread_mutex_lock(&mutex);

    start = hosted_wall_clock();
    end = start + (uint64_t) ms * 1000000;

    ts.tv_sec = end / 1000000000;
    ts.tv_nsec = end % 1000000000;

    while (pthread_cond_timedwait(&cond, &mutex, &ts) != ETIMEDOUT) {
        /* nobody signals: a spurious return */
    }

    end = hosted_wall_clock();

    pthread_mutex_unlock(&mutex);

    pthread_mutex_destroy(&mutex);
    pthread_cond_destroy(&cond);
    pthread_condattr_destroy(&attr);

    return end - start;
}


uint64_t
hosted_lock(void)
{
    uint64_t  start, end;

    start = hosted_wall_clock();

    pthread_mutex_lock(&hosted_mutex);

    end = hosted_wall_clock();

    pthread_mutex_unlock(&hosted_mutex);

    return end - start;
}


void
hosted_lock_hold(unsigned ms, volatile unsigned long *held)
{
    pthread_mutex_lock(&hosted_mutex);

    *held = 1;

    hosted_sleep(ms);

    pthread_mutex_unlock(&hosted_mutex);
}


uint64_t
hosted_hang(unsigned ms, int spin)
{
    uint64_t         x, start, end, now;
    unsigned         n;
    struct timespec  ts;

    start = hosted_wall_clock();
    end = start + (uint64_t) ms * 1000000;
    x = start | 1;

    for (now = start; now < end; now = hosted_wall_clock()) {

        if (spin) {
            for (n = 0; n < HOSTED_STEPS; n++) {
                hosted_step(x, 7);
            }

            hosted_sink = x;
            continue;
        }

        /* the system call itself, below whatever may be hooked in libc */

        ts.tv_sec = (end - now) / 1000000000;
        ts.tv_nsec = (end - now) % 1000000000;

        syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &ts, NULL);
    }

    return now - start;
}


void
hosted_crash(void)
{
    abort();
}


void
hosted_text(unsigned char *p, size_t len)
{
    size_t              n;
    uint64_t            x;
    const char         *word;
    static const char  *words[] = {
        "worker ", "request ", "the ", "location ", "upstream ", "of ",
        "connection\n", "a ", "response ", "header ", "phase ", "and ",
        "filter ", "buffer ", "event ", "cycle.\n"
    };

    x = 88172645463325252;

    while (len) {
        hosted_step(x, 0);

        word = words[x & 15];
        n = strlen(word);
        n = n < len ? n : len;

        memcpy(p, word, n);
        p += n;
        len -= n;
    }
}
