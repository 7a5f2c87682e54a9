
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * A profile of one's own, and a task in the trace, in a module that works
 * without the profiler as well: its functions are weak, and there if nginx has
 * loaded it before.
 */


#include <pprofrt.h>

#include "hosted_work.h"


#pragma weak prt_custom_new
#pragma weak prt_custom_add
#pragma weak prt_custom_remove
#pragma weak prt_tracing
#pragma weak prt_trace_task
#pragma weak prt_trace_task_end
#pragma weak prt_trace_region
#pragma weak prt_trace_region_end
#pragma weak prt_trace_log

#define HOSTED_TEXT(text)  text, sizeof(text) - 1


#define HOSTED_LEASES  1000


static char    hosted_leases[HOSTED_LEASES];
static size_t  hosted_leased;


static prt_custom_t *
hosted_lease_profile(void)
{
    static prt_custom_t  *profile;

    if (profile == NULL && prt_custom_new) {
        profile = prt_custom_new("leases", "What is leased, by who leased it.");
    }

    return profile;
}


size_t
hosted_lease_keep(size_t n)
{
    prt_custom_t  *profile;

    profile = hosted_lease_profile();

    while (profile && n-- && hosted_leased < HOSTED_LEASES) {
        if (prt_custom_add(profile, &hosted_leases[hosted_leased], 1) != 0) {
            break;
        }

        hosted_leased++;
    }

    return hosted_leased;
}


size_t
hosted_lease_drop(size_t n)
{
    prt_custom_t  *profile;

    profile = hosted_lease_profile();

    while (profile && n-- && hosted_leased) {
        hosted_leased--;
        (void) prt_custom_remove(profile, &hosted_leases[hosted_leased]);
    }

    return hosted_leased;
}


void
hosted_trace(unsigned ms)
{
    uint64_t  task;

    if (!prt_trace_task) {
        return;
    }

    task = prt_trace_task(0, HOSTED_TEXT("nightly"));

    prt_trace_region(task, HOSTED_TEXT("work"));

    (void) hosted_hang(ms / 2, 1);
    prt_trace_log(task, HOSTED_TEXT("hosted"), HOSTED_TEXT("half"));
    (void) hosted_hang(ms - ms / 2, 1);

    prt_trace_region_end(task, HOSTED_TEXT("work"));
    prt_trace_task_end(task);
}
