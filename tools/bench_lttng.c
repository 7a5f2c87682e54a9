
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * What an event of lttng-ust costs that has what ours has, into a ring that
 * keeps the latest ones.  tools/bench makes the session that records it.
 */


#include <stdio.h>
#include <unistd.h>

#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE

#include "bench_lttng.h"
#include "platform/prt_clock.h"


#define BENCH_CALLS   100000
#define BENCH_ROUNDS  25
#define BENCH_WAIT    10000                /* ms, for the session */


int
main(void)
{
    int       i, round;
    double    ns, best;
    uint64_t  start;

    /* one that is not recorded costs next to nothing */

    for (i = 0; i < BENCH_WAIT; i++) {
        if (lttng_ust_tracepoint_enabled(pprof_bench, phase)) {
            break;
        }

        (void) usleep(1000);
    }

    if (i == BENCH_WAIT) {
        fprintf(stderr, "no session of lttng records this\n");
        return 1;
    }

    best = 1e9;

    for (round = 0; round < BENCH_ROUNDS; round++) {
        start = prt_clock(CLOCK_THREAD_CPUTIME_ID);

        for (i = 0; i < BENCH_CALLS; i++) {
            lttng_ust_tracepoint(pprof_bench, phase, 57, (uint32_t) i);
        }

        ns = (double) (prt_clock(CLOCK_THREAD_CPUTIME_ID) - start)
             / BENCH_CALLS;
        best = ns < best ? ns : best;
    }

    printf("%-40s %8.1f ns\n", "lttng-ust, an event of the same size", best);

    return 0;
}
