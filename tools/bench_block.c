
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * What calls cost that could block and do not, with and without the block
 * profile.  tools/bench runs it both ways and puts them side by side.
 *
 * usage: bench_block [LIBRARY]
 *
 * With LIBRARY (libpprofrt.so) the profiler runs, with hooks on blocking calls
 * alone.  Prints nanoseconds of CPU time, the best of some rounds, for: a pair
 * of pthread_mutex_lock() and pthread_mutex_unlock(), one of
 * pthread_rwlock_rdlock() and pthread_rwlock_unlock(), read() of a byte.
 */


#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pprofrt.h"


#define BENCH_CALLS   200000
#define BENCH_ROUNDS  25
#define BENCH_KINDS   3


static pthread_mutex_t   bench_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t  bench_rwlock = PTHREAD_RWLOCK_INITIALIZER;
static int               bench_fd;


static int
bench_start(const char *library)
{
    int            (*start)(prt_region_t *, const prt_options_t *, char *);
    char             error[PRT_ERROR_LEN];
    void            *handle;
    prt_options_t    options;

    handle = dlopen(library, RTLD_NOW);

    if (handle == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return -1;
    }

    *(void **) &start = dlsym(handle, "prt_start");

    memset(&options, 0, sizeof(options));
    options.worker = -1;
    options.heap_rate = PRT_HEAP_OFF;

    if (start == NULL || start(NULL, &options, error) != 0) {
        fprintf(stderr, "prt_start() failed\n");
        return -1;
    }

    return 0;
}


static double
bench_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);

    return (double) ts.tv_sec * 1e9 + (double) ts.tv_nsec;
}


static void
bench_call(unsigned kind)
{
    char  c;

    switch (kind) {

    case 0:
        pthread_mutex_lock(&bench_mutex);
        pthread_mutex_unlock(&bench_mutex);
        break;

    case 1:
        pthread_rwlock_rdlock(&bench_rwlock);
        pthread_rwlock_unlock(&bench_rwlock);
        break;

    default:
        if (read(bench_fd, &c, 1) != 1) {
            exit(1);
        }
    }
}


static double
bench_calls(unsigned kind)
{
    int     i;
    double  start;

    start = bench_now();

    for (i = 0; i < BENCH_CALLS; i++) {
        bench_call(kind);
    }

    return (bench_now() - start) / BENCH_CALLS;
}


/* There is always another thread, as in a program that needs locks. */

static void *
bench_thread(void *data)
{
    for ( ;; ) {
        pause();
    }

    return data;
}


int
main(int argc, char **argv)
{
    int        round;
    double     best[BENCH_KINDS], t;
    unsigned   kind;
    pthread_t  thread;

    if (argc > 1 && bench_start(argv[1]) != 0) {
        return 1;
    }

    bench_fd = open("/dev/zero", O_RDONLY);

    if (bench_fd == -1
        || pthread_create(&thread, NULL, bench_thread, NULL) != 0)
    {
        return 1;
    }

    for (kind = 0; kind < BENCH_KINDS; kind++) {
        best[kind] = 1e9;
    }

    for (round = 0; round < BENCH_ROUNDS; round++) {
        for (kind = 0; kind < BENCH_KINDS; kind++) {
            t = bench_calls(kind);
            best[kind] = t < best[kind] ? t : best[kind];
        }
    }

    printf("%.2f %.2f %.2f\n", best[0], best[1], best[2]);

    return 0;
}
