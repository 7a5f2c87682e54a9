
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * What an event of the trace costs, with its look at the clock, and a dump of a
 * million of them.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "encode/prt_gotrace.h"
#include "platform/prt_clock.h"
#include "serve/prt_job.h"


#define BENCH_CALLS   100000
#define BENCH_ROUNDS  25
#define BENCH_KINDS   4
#define BENCH_TURNS   260000               /* of four records, and a few events more */


static const char *const  bench_names[BENCH_KINDS] = {
    "of the event loop", "of hosted code (a region's begin)",
    "the same while nothing is recorded", "a look at the clock alone"
};


static void
bench_call(unsigned kind)
{
    switch (kind) {

    case 0:
        prt_trace_phase(prt_trace_now(), 57, 1);
        break;

    case 3:
        if (prt_trace_now() == 0) {
            exit(1);
        }

        break;

    default:
        prt_trace_region(0, "region", 6);
    }
}


static double
bench_calls(unsigned kind)
{
    int       i, round;
    double    ns, best;
    uint64_t  start;

    best = 1e9;

    for (round = 0; round < BENCH_ROUNDS; round++) {
        start = prt_clock(CLOCK_THREAD_CPUTIME_ID);

        for (i = 0; i < BENCH_CALLS; i++) {
            bench_call(kind);
        }

        ns = (double) (prt_clock(CLOCK_THREAD_CPUTIME_ID) - start)
             / BENCH_CALLS;
        best = ns < best ? ns : best;
    }

    return best;
}


static int
bench_sink(void *data, const void *bytes, size_t size)
{
    (void) bytes;

    *(size_t *) data += size;

    return 0;
}


static void
bench_turns(void)
{
    int       i;
    unsigned  state;
    uint64_t  root;

    root = prt_frame("http connection", 15);
    state = prt_trace_state(prt_frame("keepalive", 9), PRT_TRACE_NETWORK);

    for (i = 0; i < BENCH_TURNS; i++) {
        prt_trace_woken(prt_trace_now());
        prt_trace_run(prt_trace_now(), 1 + (uint64_t) i % 100,
                      PRT_TRACE_READY, root);
        prt_trace_block(prt_trace_now(), 1 + (uint64_t) i % 100, state, 0);
        prt_trace_wait(prt_trace_now());
    }
}


int
main(void)
{
    int                     i;
    char                    error[PRT_ERROR_LEN];
    size_t                  bytes;
    uint64_t                from, start;
    prt_job_t              *job;
    prt_options_t           options;
    prt_gotrace_window_t    window;
    prt_gotrace_result_t    result;
    prt_profile_request_t   request;

    memset(&options, 0, sizeof(prt_options_t));
    options.worker = -1;
    options.trace_buffer = 64 * 1024 * 1024;

    if (prt_start(NULL, &options, error) != 0) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }

    printf("%-40s %8.1f ns\n", bench_names[2], bench_calls(2));

    memset(&request, 0, sizeof(request));
    request.profile = prt_profile_find("trace", 5);
    request.window = 3600 * PRT_SEC;
    request.worker = PRT_ANY;
    request.pid = PRT_ANY;

    job = prt_job_profile(&request, NULL);

    for (i = 0; i < 10000 && !prt_tracing; i++) {
        (void) usleep(1000);
    }

    if (job == NULL || !prt_tracing) {
        return 1;
    }

    for (i = 0; i < BENCH_KINDS; i++) {
        if (i != 2) {
            printf("%-40s %8.1f ns\n", bench_names[i],
                   bench_calls((unsigned) i));
        }
    }

    from = prt_now();
    bench_turns();

    memset(&window, 0, sizeof(window));
    window.from = from;
    window.events = PRT_GOTRACE_EVENTS * 2;
    window.target.worker = PRT_ANY;
    window.target.pid = PRT_ANY;
    bytes = 0;

    start = prt_clock(CLOCK_THREAD_CPUTIME_ID);

    if (prt_gotrace_dump(prt_process.region, &window, NULL, bench_sink, &bytes,
                         &result, error, NULL)
        != 0)
    {
        fprintf(stderr, "%s\n", error);
        return 1;
    }

    printf("a dump of %llu events, %.1f MB %13.3f s\n",
           (unsigned long long) result.events, (double) bytes / 1e6,
           (double) (prt_clock(CLOCK_THREAD_CPUTIME_ID) - start) / 1e9);

    prt_job_cancel(job);
    prt_stop();

    return 0;
}
