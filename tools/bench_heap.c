
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * What a pair of malloc() and free() costs, with and without the memory
 * profiles, and under other allocators and profilers that are preloaded into
 * this program.  tools/bench runs it for each and puts them side by side.
 *
 * usage: bench_heap [LIBRARY]
 *
 * With LIBRARY (libpprofrt.so) the profiler runs, at its default rate.  Prints
 * nanoseconds of CPU time a pair, the best of some rounds, for each size.
 */


#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pprofrt.h"


#define BENCH_PAIRS   400000
#define BENCH_ROUNDS  15


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


static double
bench_pairs(size_t size)
{
    int     i;
    void   *p;
    double  start;

    start = bench_now();

    for (i = 0; i < BENCH_PAIRS; i++) {
        p = malloc(size);
        __asm__ volatile ("" : : "r" (p) : "memory");
        free(p);
    }

    return (bench_now() - start) / BENCH_PAIRS;
}


int
main(int argc, char **argv)
{
    int       round;
    double    best[4], t;
    unsigned  i;

    static const size_t  sizes[] = { 32, 256, 4096, 65536 };

    if (argc > 1 && bench_start(argv[1]) != 0) {
        return 1;
    }

    for (i = 0; i < 4; i++) {
        best[i] = 1e9;
    }

    for (round = 0; round < BENCH_ROUNDS; round++) {
        for (i = 0; i < 4; i++) {
            t = bench_pairs(sizes[i]);
            best[i] = t < best[i] ? t : best[i];
        }
    }

    printf("%.2f %.2f %.2f %.2f\n", best[0], best[1], best[2], best[3]);

    return 0;
}
