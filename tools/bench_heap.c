
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


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_library.h"


#define BENCH_PAIRS   400000
#define BENCH_ROUNDS  15


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
    int             round;
    double          best[4], t;
    unsigned        i;
    prt_options_t   options;

    static const size_t  sizes[] = { 32, 256, 4096, 65536 };

    memset(&options, 0, sizeof(prt_options_t));
    options.worker = -1;

    if (argc > 1 && bench_start(argv[1], &options) != 0) {
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
