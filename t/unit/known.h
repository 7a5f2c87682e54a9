
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * For tests of the memory profiles: allocations that are known, and what the
 * profile has of them.  The rate is such that a bound of 5 % is six times the
 * deviation to expect, or more: there are many such bounds in a run of all tests.
 */


#ifndef _KNOWN_H_INCLUDED_
#define _KNOWN_H_INCLUDED_


#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

#include "client.h"


#define RATE      2048                     /* bytes */
#define KEPT_MAX  800000

#define KNOWN     __attribute__((noipa, visibility("default")))

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED  1
#else
#define SANITIZED  0
#endif


/* in the order of the profile's values */
enum { ALLOC_OBJECTS, ALLOC_SPACE, INUSE_OBJECTS, INUSE_SPACE };


static prt_region_t  *region;

static void      *kept[KEPT_MAX];
static unsigned   nkept;


/* never a tail call, and never optimised away */

static inline void *
keep(void *p)
{
    assert_non_null(p);
    __asm__ volatile ("" : : "r" (p) : "memory");

    return p;
}


#define KNOWN_FUNCTION(name, call)                                            \
                                                                              \
    KNOWN void *name(size_t size);                                            \
                                                                              \
    KNOWN void *                                                              \
    name(size_t size)                                                         \
    {                                                                         \
        return keep(call);                                                    \
    }


/* A new region each time: what ended processes allocated counts on. */

static inline void
start_heap(uint64_t rate, size_t memory, int heap_mmap)
{
    char           error[PRT_ERROR_LEN];
    prt_options_t  options;

    memset(&options, 0, sizeof(options));
    options.memory = memory;
    options.worker = -1;
    options.heap_rate = rate;
    options.heap_mmap = heap_mmap;

    region = prt_region_create(1, error);
    assert_non_null(region);

    start_with(region, &options);
}


static inline void
start(uint64_t rate, size_t memory)
{
    start_heap(rate, memory, 0);
}


static inline profile_t *
heap(const char *name)
{
    prt_job_t  *job;
    profile_t  *p;

    job = open_profile(name, 0, 0, 0);

    assert_ptr_equal(wait_job(), job);

    p = unpack(job);
    prt_job_free(job);

    return p;
}


/* A library that was built beside this program. */

static inline void *
library(const char *name)
{
    char      path[4096];
    void     *handle;
    ssize_t   n;

    n = readlink("/proc/self/exe", path, sizeof(path) - 64);
    assert_true(n > 0);

    path[n] = '\0';
    strcpy(strrchr(path, '/') + 1, name);

    handle = dlopen(path, RTLD_NOW);

    if (handle == NULL) {
        print_error("%s\n", dlerror());
    }

    assert_non_null(handle);

    return handle;
}


static inline void *
function(void *handle, const char *name)
{
    void  *p;

    p = dlsym(handle, name);
    assert_non_null(p);

    return p;
}


static inline void
allocate(void *(*f)(size_t), size_t size, unsigned n)
{
    while (n--) {
        assert_true(nkept < KEPT_MAX);
        kept[nkept++] = f(size);
    }
}


static inline void
release(void)
{
    while (nkept) {
        free(kept[--nkept]);
    }
}


static inline void
near(const profile_t *p, const char *function, unsigned value, double expected)
{
    double  measured;

    measured = (double) value_of(p, function, value);

    print_message("%s: %s %.0f of %.0f, %+.2f %%\n", function,
                  p->string_table[p->sample_type[value]->type], measured,
                  expected, expected ? (measured / expected - 1) * 100 : 0);

    if (expected == 0) {
        assert_true(measured == 0);
        return;
    }

    assert_true(measured > 0.95 * expected);
    assert_true(measured < 1.05 * expected);
}


static inline void
check(const profile_t *p, const char *function, double objects, double bytes,
    double inuse_objects, double inuse_bytes)
{
    near(p, function, ALLOC_OBJECTS, objects);
    near(p, function, ALLOC_SPACE, bytes);
    near(p, function, INUSE_OBJECTS, inuse_objects);
    near(p, function, INUSE_SPACE, inuse_bytes);
}


static inline int
stop(void **state)
{
    (void) state;

    release();
    prt_stop();

    if (region) {
        prt_region_destroy(region);
        region = NULL;
    }

    return 0;
}


#endif /* _KNOWN_H_INCLUDED_ */
