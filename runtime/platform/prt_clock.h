
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#ifndef _PRT_CLOCK_H_INCLUDED_
#define _PRT_CLOCK_H_INCLUDED_


#include <stdint.h>
#include <time.h>


#define PRT_MSEC  1000000ull                   /* ns */
#define PRT_SEC   1000000000ull


static inline uint64_t
prt_clock(clockid_t id)
{
    struct timespec  ts;

    if (clock_gettime(id, &ts) != 0) {
        return 0;
    }

    return (uint64_t) ts.tv_sec * PRT_SEC + (uint64_t) ts.tv_nsec;
}


/* ns of CLOCK_MONOTONIC, the same in all processes of the machine.  Signal-safe. */

static inline uint64_t
prt_now(void)
{
    return prt_clock(CLOCK_MONOTONIC);
}


#endif /* _PRT_CLOCK_H_INCLUDED_ */
