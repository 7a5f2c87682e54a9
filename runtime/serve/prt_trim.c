
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <malloc.h>
#include <pthread.h>

#include "platform/prt_clock.h"
#include "serve/prt_trim.h"


static prt_trims_t      prt_trim_done;
static pthread_mutex_t  prt_trim_mutex = PTHREAD_MUTEX_INITIALIZER;


void
prt_trim(void)
{
    uint64_t  start, took;

    start = prt_now();

    (void) malloc_trim(0);

    took = prt_now() - start;

    (void) pthread_mutex_lock(&prt_trim_mutex);

    prt_trim_done.times++;
    prt_trim_done.total += took;
    prt_trim_done.last = took;
    prt_trim_done.end = prt_clock(CLOCK_REALTIME);

    (void) pthread_mutex_unlock(&prt_trim_mutex);
}


void
prt_trims(prt_trims_t *trims)
{
    (void) pthread_mutex_lock(&prt_trim_mutex);
    *trims = prt_trim_done;
    (void) pthread_mutex_unlock(&prt_trim_mutex);
}
