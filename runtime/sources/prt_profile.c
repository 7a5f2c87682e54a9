
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <string.h>

#include "sources/prt_cpu.h"
#include "sources/prt_profile.h"
#include "sources/prt_thread.h"


const prt_profile_t  prt_profiles[] = {

    { .info = { "profile",
                "CPU time by stack, of all threads of all workers, over "
                "the window that seconds= gives.",
                PRT_PROFILE_WINDOW },
      .source = &prt_cpu_source,
      .table = { .ncounters = 2, .share = 6, .transient = 1 },
      .ntypes = 2,
      .types = { { "samples", "count" }, { "cpu", "nanoseconds" } },
      .period_type = { "cpu", "nanoseconds" } },

    { .info = { "threadcreate",
                "Stacks that created threads.",
                PRT_PROFILE_TEXT|PRT_PROFILE_DELTA },
      .source = &prt_thread_source,
      .table = { .ncounters = 1, .share = 1 },
      .ntypes = 1,
      .types = { { "threadcreate", "count" } },
      .period_type = { "threadcreate", "count" },
      .period = 1 },
};


const unsigned  prt_nprofiles = sizeof(prt_profiles) / sizeof(prt_profiles[0]);


const prt_profile_info_t *
prt_profile_info(unsigned i)
{
    return i < prt_nprofiles ? &prt_profiles[i].info : NULL;
}


const prt_profile_info_t *
prt_profile_find(const char *name, size_t len)
{
    unsigned  i;

    for (i = 0; i < prt_nprofiles; i++) {

        if (strlen(prt_profiles[i].info.name) == len
            && memcmp(prt_profiles[i].info.name, name, len) == 0)
        {
            return &prt_profiles[i].info;
        }
    }

    return NULL;
}


const prt_table_spec_t *
prt_profile_tables(unsigned *n)
{
    unsigned                 i;
    static prt_table_spec_t  specs[PRT_TABLES_MAX];

    _Static_assert(sizeof(prt_profiles) / sizeof(prt_profiles[0])
                   <= PRT_TABLES_MAX, "a table for each profile");

    for (i = 0; i < prt_nprofiles; i++) {
        specs[i] = prt_profiles[i].table;
    }

    *n = prt_nprofiles;

    return specs;
}
