
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * A profile of one's own in a module that works without the profiler as well:
 * its functions are weak, and there if nginx has loaded it before.
 */


#include <pprofrt.h>

#include "hosted_work.h"


#pragma weak prt_custom_new
#pragma weak prt_custom_add
#pragma weak prt_custom_remove


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
