
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * For the tests of the block and mutex profiles.
 */


#ifndef _BLOCK_H_INCLUDED_
#define _BLOCK_H_INCLUDED_


#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client.h"


#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED  1                       /* their functions are in between */
#else
#define SANITIZED  0
#endif

#define KNOWN      __attribute__((noipa, visibility("default")))

#define DELAY      30                      /* ms */


/* in the order of the profile's values */
enum { CONTENTIONS, TIME };


static prt_region_t  *block_region;


static inline uint64_t
now(void)
{
    struct timespec  ts;

    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &ts), 0);

    return (uint64_t) ts.tv_sec * SEC + (uint64_t) ts.tv_nsec;
}


/* "clock" in so many ms from now */

static inline struct timespec
deadline(clockid_t clock, unsigned ms)
{
    struct timespec  ts;

    assert_int_equal(clock_gettime(clock, &ts), 0);

    ts.tv_nsec += ms * (long) MSEC;
    ts.tv_sec += ts.tv_nsec / (long) SEC;
    ts.tv_nsec %= (long) SEC;

    return ts;
}


static inline void
block_start(uint64_t rate)
{
    char           error[PRT_ERROR_LEN];
    prt_options_t  options;

    memset(&options, 0, sizeof(options));
    options.memory = 16 * 1024 * 1024;
    options.worker = -1;
    options.heap_rate = PRT_HEAP_OFF;
    options.block_rate = rate;

    /* a new one each time: what ended processes counted counts on */

    block_region = prt_region_create(1, error);
    assert_non_null(block_region);

    start_with(block_region, &options);
}


static inline int
block_stop(void **state)
{
    (void) state;

    prt_stop();

    if (block_region) {
        prt_region_destroy(block_region);
        block_region = NULL;
    }

    return 0;
}


static inline profile_t *
take(const char *name)
{
    prt_job_t  *job;
    profile_t  *p;

    job = open_profile(name, 0, 0, 0);

    assert_ptr_equal(wait_job(), job);

    p = unpack(job);
    prt_job_free(job);

    return p;
}


static inline void
drop(profile_t *p)
{
    perftools__profiles__profile__free_unpacked(p, NULL);
}


static inline int64_t
counted(const char *name, const char *function, int value)
{
    int64_t     n;
    profile_t  *p;

    p = take(name);
    n = value_of(p, function, (unsigned) value);
    drop(p);

    return n;
}


/* In a thread: f(), DELAY after the caller has begun to sleep. */

typedef struct {
    pthread_t      thread;
    void         (*f)(void *data);
    void          *data;
    pid_t          caller;
    unsigned       ms;
} later_t;


static inline int
asleep(pid_t tid)
{
    int    n;
    char   path[64], state;
    FILE  *f;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int) tid);

    f = fopen(path, "r");
    if (f == NULL) {
        return 1;
    }

    n = fscanf(f, "%*d (%*[^)]) %c", &state);
    fclose(f);

    return n == 1 && state == 'S';
}


static inline void *
later_main(void *data)
{
    unsigned          i;
    later_t          *l;
    struct timespec   ts;

    l = data;

    /* however long it takes to get there, on a busy machine */

    for (i = 0; i < BOUND && !asleep(l->caller); i++) {
        usleep(1000);
    }

    ts.tv_sec = 0;
    ts.tv_nsec = l->ms * (long) MSEC;
    nanosleep(&ts, NULL);

    l->f(l->data);

    return NULL;
}


static inline void
later(later_t *l, void (*f)(void *), void *data)
{
    l->f = f;
    l->data = data;
    l->caller = (pid_t) syscall(SYS_gettid);
    l->ms = DELAY;

    assert_int_equal(pthread_create(&l->thread, NULL, later_main, l), 0);
}


#endif /* _BLOCK_H_INCLUDED_ */
