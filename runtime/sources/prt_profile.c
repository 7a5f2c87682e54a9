
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <string.h>

#include "sources/prt_block.h"
#include "sources/prt_cpu.h"
#include "sources/prt_custom.h"
#include "sources/prt_goroutine.h"
#include "sources/prt_heap.h"
#include "sources/prt_profile.h"
#include "sources/prt_stall.h"
#include "sources/prt_thread.h"
#include "sources/prt_trace.h"
#include "sources/prt_wait.h"


#define PRT_HEAP_TYPES                                                        \
    { { "alloc_objects", "count" }, { "alloc_space", "bytes" },               \
      { "inuse_objects", "count" }, { "inuse_space", "bytes" } }

#define PRT_BLOCK_TYPES                                                       \
    { { "contentions", "count" }, { "delay", "nanoseconds" } }

/* for profiles that the program makes */

#define PRT_CUSTOM(i)                                                         \
    { .info = { prt_custom_names[i], prt_custom_descriptions[i],              \
                PRT_PROFILE_TEXT|PRT_PROFILE_DELTA },                         \
      .source = &prt_custom_source,                                           \
      .table = { .ncounters = PRT_CUSTOM_COUNTERS, .share = 1 },              \
      .ntypes = 1,                                                            \
      .types = { { prt_custom_names[i], "count" } },                          \
      .period_type = { prt_custom_names[i], "count" },                        \
      .period = 1,                                                            \
      .derive = prt_custom_derive }


const prt_profile_t  prt_profiles[] = {

    { .info = { "allocs",
                "Memory that was allocated since the start, in use or not.",
                PRT_PROFILE_TEXT|PRT_PROFILE_DELTA|PRT_PROFILE_MEMORY },
      .source = &prt_heap_source,
      .table = { .ncounters = PRT_HEAP_COUNTERS, .share = 6 },
      .ntypes = 4,
      .types = PRT_HEAP_TYPES,
      .period_type = { "space", "bytes" },
      .sampled = prt_heap_period,
      .default_type = "alloc_space",
      .derive = prt_heap_derive },

    { .info = { "block",
                "Calls that blocked a thread: locks, sleeps, files, name "
                "lookups, sockets that wait.",
                PRT_PROFILE_TEXT|PRT_PROFILE_DELTA|PRT_PROFILE_BLOCK },
      .source = &prt_block_source,
      .table = { .ncounters = PRT_BLOCK_COUNTERS, .share = 4 },
      .ntypes = 2,
      .types = PRT_BLOCK_TYPES,
      .period_type = { "contentions", "count" },
      .period = 1,
      .derive = prt_block_derive },

    { .info = { "goroutine",
                "Threads, requests and connections, with what each does or "
                "waits for.",
                PRT_PROFILE_TEXT|PRT_PROFILE_DELTA|PRT_PROFILE_NOW },
      .source = &prt_goroutine_source,
      .ntypes = 1,
      .types = { { "goroutine", "count" } },
      .period_type = { "goroutine", "count" },
      .period = 1 },

    { .info = { "heap",
                "Memory in use, by the stacks that allocated it. gc=1 gives "
                "free memory back to the system first.",
                PRT_PROFILE_TEXT|PRT_PROFILE_DELTA|PRT_PROFILE_MEMORY },
      .source = &prt_heap_source,
      .ntypes = 4,
      .types = PRT_HEAP_TYPES,
      .period_type = { "space", "bytes" },
      .sampled = prt_heap_period,
      .count = 2,
      .derive = prt_heap_derive },

    { .info = { "mutex",
                "Waiting for locks, at those who wait; part of block.",
                PRT_PROFILE_TEXT|PRT_PROFILE_DELTA|PRT_PROFILE_BLOCK },
      .source = &prt_block_source,
      .ntypes = 2,
      .types = PRT_BLOCK_TYPES,
      .period_type = { "contentions", "count" },
      .period = 1,
      .derive = prt_block_derive_locks },

    { .info = { "profile",
                "CPU time by stack, of all threads of all workers, over "
                "the window that seconds= gives.",
                PRT_PROFILE_WINDOW },
      .source = &prt_cpu_source,
      .table = { .ncounters = 2, .share = 6, .transient = 1 },
      .ntypes = 2,
      .types = { { "samples", "count" }, { "cpu", "nanoseconds" } },
      .period_type = { "cpu", "nanoseconds" } },

    { .info = { "stall",
                "Event handlers that held a worker's loop longer than the "
                "threshold, and what they did.",
                PRT_PROFILE_TEXT|PRT_PROFILE_DELTA },
      .source = &prt_stall_source,
      .table = { .ncounters = 2, .share = 2 },
      .ntypes = 2,
      .types = { { "contentions", "count" }, { "delay", "nanoseconds" } },
      .period_type = { "contentions", "count" },
      .period = 1 },

    { .info = { "threadcreate",
                "Stacks that created threads.",
                PRT_PROFILE_TEXT|PRT_PROFILE_DELTA },
      .source = &prt_thread_source,
      .table = { .ncounters = 1, .share = 1 },
      .ntypes = 1,
      .types = { { "threadcreate", "count" } },
      .period_type = { "threadcreate", "count" },
      .period = 1 },

    { .info = { "trace",
                "Execution trace for go tool trace, over the window that "
                "seconds= gives.",
                PRT_PROFILE_WINDOW|PRT_PROFILE_TRACE },
      .source = &prt_trace_source },

    { .info = { "wait",
                "Where requests waited: for the client, upstreams, disks, "
                "limits, subrequests.",
                PRT_PROFILE_TEXT|PRT_PROFILE_DELTA },
      .source = &prt_wait_source,
      .table = { .ncounters = 2, .share = 2 },
      .ntypes = 2,
      .types = { { "contentions", "count" }, { "delay", "nanoseconds" } },
      .period_type = { "contentions", "count" },
      .period = 1 },

    PRT_CUSTOM(0),
    PRT_CUSTOM(1),
    PRT_CUSTOM(2),
    PRT_CUSTOM(3)
};

_Static_assert(PRT_CUSTOM_MAX == 4, "a row for each");


const unsigned  prt_nprofiles = sizeof(prt_profiles) / sizeof(prt_profiles[0]);


const prt_profile_info_t *
prt_profile_info(unsigned i)
{
    return i < prt_nprofiles && prt_profile_used(i) ? &prt_profiles[i].info
                                                    : NULL;
}


const prt_profile_info_t *
prt_profile_find(const char *name, size_t len)
{
    unsigned  i;

    for (i = 0; i < prt_nprofiles && prt_profile_used(i); i++) {

        if (strlen(prt_profiles[i].info.name) == len
            && memcmp(prt_profiles[i].info.name, name, len) == 0)
        {
            return &prt_profiles[i].info;
        }
    }

    return NULL;
}


int
prt_profile_used(unsigned i)
{
    return prt_profiles[i].info.name[0] != '\0';
}


unsigned
prt_custom_number(unsigned profile)
{
    return profile - (prt_nprofiles - PRT_CUSTOM_MAX);
}


int
prt_profile_first(unsigned i)
{
    return prt_profiles[i].table.ncounters != 0
           || (prt_profiles[i].info.flags
               & (PRT_PROFILE_NOW|PRT_PROFILE_TRACE));
}


const prt_table_spec_t *
prt_profile_tables(unsigned *n)
{
    unsigned                 i, k;
    static prt_table_spec_t  specs[PRT_TABLES_MAX];

    _Static_assert(sizeof(prt_profiles) / sizeof(prt_profiles[0])
                   <= PRT_TABLES_MAX, "a table for each profile");

    for (i = 0; i < prt_nprofiles; i++) {
        specs[i] = prt_profiles[i].table;

        for (k = 0; specs[i].ncounters == 0 && k < prt_nprofiles; k++) {
            if (prt_profiles[k].table.ncounters
                && prt_profiles[k].source == prt_profiles[i].source)
            {
                specs[i].same = k;
            }
        }
    }

    *n = prt_nprofiles;

    return specs;
}
