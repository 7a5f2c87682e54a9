
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The profiler's table walker against libunwind: both take the stack of every
 * CPU sample, in the signal handler, on whatever nginx does at that moment.
 * The profiler is looked for at run time, so the example module does not need
 * it.
 */


#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

#include "hosted_work.h"


#define HOSTED_ORACLE_FRAMES    256
#define HOSTED_ORACLE_EXAMPLES  8
#define HOSTED_ORACLE_SPECIAL   16         /* smaller ones are no addresses */


typedef void (*hosted_observer_pt)(ucontext_t *context,
    const uint64_t *frames, unsigned n);
typedef void (*hosted_observe_pt)(hosted_observer_pt observer);
typedef unsigned (*hosted_oracle_pt)(void *context, uintptr_t *frames,
    unsigned max);


static void hosted_oracle_sample(ucontext_t *context, const uint64_t *frames,
    unsigned n);
static size_t hosted_oracle_name(char *p, size_t size, uint64_t frame);


static hosted_oracle_pt   hosted_oracle_walk;
static _Atomic uint64_t   hosted_oracle_samples;
static _Atomic uint64_t   hosted_oracle_identical;
static _Atomic uint64_t   hosted_oracle_longer;   /* the table saw more */
static _Atomic uint64_t   hosted_oracle_whole;    /* ended at the thread's start */
static _Atomic uint32_t   hosted_oracle_nexamples;

static struct {
    uint32_t              at;              /* the first frame that differs */
    uint64_t              before;          /* the frame before it */
    uint64_t              table;           /* 0: none */
    uint64_t              libunwind;       /* 0: none */
} hosted_oracle_examples[HOSTED_ORACLE_EXAMPLES];


int
hosted_oracle_start(void)
{
    hosted_observe_pt  observe;

    observe = (hosted_observe_pt) dlsym(RTLD_DEFAULT, "prt_cpu_observe");
    hosted_oracle_walk = (hosted_oracle_pt) dlsym(RTLD_DEFAULT,
                                                  "prt_unwind_oracle");

    if (observe == NULL || hosted_oracle_walk == NULL) {
        return -1;
    }

    observe(hosted_oracle_sample);

    return 0;
}


static void
hosted_oracle_sample(ucontext_t *context, const uint64_t *frames, unsigned n)
{
    unsigned   i, k;
    uintptr_t  other[HOSTED_ORACLE_FRAMES];

    k = hosted_oracle_walk(context, other, HOSTED_ORACLE_FRAMES);

    atomic_fetch_add(&hosted_oracle_samples, 1);

    if (n && frames[n - 1] < HOSTED_ORACLE_SPECIAL) {
        n--;

    } else {
        atomic_fetch_add(&hosted_oracle_whole, 1);
    }

    for (i = 0; i < n && i < k && frames[i] == other[i]; i++) { /* void */ }

    if (i == n && i == k) {
        atomic_fetch_add(&hosted_oracle_identical, 1);
        return;
    }

    if (i == k) {
        atomic_fetch_add(&hosted_oracle_longer, 1);
    }

    k = i < k ? k : 0;
    n = i < n ? n : 0;
    i = i ? i : 1;

    {
        uint32_t  slot;

        slot = atomic_fetch_add(&hosted_oracle_nexamples, 1);

        if (slot < HOSTED_ORACLE_EXAMPLES) {
            hosted_oracle_examples[slot].at = i;
            hosted_oracle_examples[slot].before = frames[i - 1];
            hosted_oracle_examples[slot].table = n ? frames[i] : 0;
            hosted_oracle_examples[slot].libunwind = k ? other[i] : 0;
        }
    }
}


/* The answer: one JSON object. */

size_t
hosted_oracle_json(char *text, size_t size)
{
    size_t    n;
    uint32_t  i, examples;

    examples = atomic_load(&hosted_oracle_nexamples);

    n = (size_t) snprintf(text, size, "{\"samples\":%llu,\"identical\":%llu,"
            "\"longer\":%llu,\"whole\":%llu,\"different\":[",
            (unsigned long long) atomic_load(&hosted_oracle_samples),
            (unsigned long long) atomic_load(&hosted_oracle_identical),
            (unsigned long long) atomic_load(&hosted_oracle_longer),
            (unsigned long long) atomic_load(&hosted_oracle_whole));

    for (i = 0; i < examples && i < HOSTED_ORACLE_EXAMPLES; i++) {
        n += (size_t) snprintf(text + n, size - n, "%s\"frame %u, called by ",
                               i ? "," : "", hosted_oracle_examples[i].at);
        n += hosted_oracle_name(text + n, size - n,
                                hosted_oracle_examples[i].before);
        n += (size_t) snprintf(text + n, size - n, ": table ");
        n += hosted_oracle_name(text + n, size - n,
                                hosted_oracle_examples[i].table);
        n += (size_t) snprintf(text + n, size - n, ", libunwind ");
        n += hosted_oracle_name(text + n, size - n,
                                hosted_oracle_examples[i].libunwind);
        n += (size_t) snprintf(text + n, size - n, "\"");
    }

    n += (size_t) snprintf(text + n, size - n, "]}\n");

    return n;
}


static size_t
hosted_oracle_name(char *p, size_t size, uint64_t frame)
{
    Dl_info      info;
    const char  *name;

    if (frame == 0 || dladdr((void *) (uintptr_t) (frame - 1), &info) == 0) {
        return (size_t) snprintf(p, size, "nothing");
    }

    name = strrchr(info.dli_fname, '/');

    return (size_t) snprintf(p, size, "%s+0x%llx",
                             name ? name + 1 : info.dli_fname,
                             (unsigned long long)
                             (frame - 1 - (uintptr_t) info.dli_fbase));
}
