
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * What programs of the bench have in common that run with the library and
 * without it: they load it themselves.
 */


#ifndef _BENCH_LIBRARY_H_INCLUDED_
#define _BENCH_LIBRARY_H_INCLUDED_


#include <dlfcn.h>
#include <stdio.h>
#include <time.h>

#include "pprofrt.h"


/* Returns -1, and says why, if the profiler does not run. */

static inline int
bench_start(const char *library, const prt_options_t *options)
{
    int    (*start)(prt_region_t *, const prt_options_t *, char *);
    char     error[PRT_ERROR_LEN];
    void    *handle;

    handle = dlopen(library, RTLD_NOW);

    if (handle == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return -1;
    }

    *(void **) &start = dlsym(handle, "prt_start");

    if (start == NULL || start(NULL, options, error) != 0) {
        fprintf(stderr, "prt_start() failed\n");
        return -1;
    }

    return 0;
}


/* ns of CPU time of the calling thread */

static inline double
bench_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);

    return (double) ts.tv_sec * 1e9 + (double) ts.tv_nsec;
}


#endif /* _BENCH_LIBRARY_H_INCLUDED_ */
