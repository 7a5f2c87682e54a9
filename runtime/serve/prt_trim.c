
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <malloc.h>
#include <stdatomic.h>

#include "platform/prt_clock.h"
#include "serve/prt_trim.h"


/* Each is right by itself: a child of fork() may not find a lock taken. */

static _Atomic uint64_t  prt_trim_times;
static _Atomic uint64_t  prt_trim_total;
static _Atomic uint64_t  prt_trim_last;
static _Atomic uint64_t  prt_trim_end;


void
prt_trim(void)
{
    uint64_t  start, took;

    start = prt_now();

    (void) malloc_trim(0);

    took = prt_now() - start;

    atomic_fetch_add(&prt_trim_times, 1);
    atomic_fetch_add(&prt_trim_total, took);
    atomic_store(&prt_trim_last, took);
    atomic_store(&prt_trim_end, prt_clock(CLOCK_REALTIME));
}


void
prt_trims(prt_trims_t *trims)
{
    trims->times = atomic_load(&prt_trim_times);
    trims->total = atomic_load(&prt_trim_total);
    trims->last = atomic_load(&prt_trim_last);
    trims->end = atomic_load(&prt_trim_end);
}
