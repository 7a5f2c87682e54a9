
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * A hook subtracts the size from a counter of the thread and jumps on; all else
 * happens when the counter is used up, once in "rate" bytes.  A block is in a
 * filter of counters by address as long as it is known, so that giving back
 * one that is not costs a load.
 */


#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "platform/prt_clock.h"
#include "sources/prt_heap.h"
#include "sources/prt_heap_sample.h"
#include "sources/prt_memo.h"
#include "sources/prt_record.h"
#include "sources/prt_thread.h"


#define PRT_HEAP_LATER        (1024 * 1024)     /* bytes, to the next look */


static int prt_heap_start(unsigned table, char error[PRT_ERROR_LEN]);
static void prt_heap_sync(unsigned rate);
static void prt_heap_stop(void);
static void prt_heap_forked(void);

static void prt_heap_record(void *p, size_t size);
static void prt_heap_mark(const void *p, int change);
static void prt_heap_count(const prt_live_block_t *block, int alloc, int freed);
static double prt_heap_uniform(void);
static uint64_t prt_heap_distance(void);


const prt_source_t  prt_heap_source = {
    prt_heap_start,
    prt_heap_sync,
    prt_heap_stop,
    prt_heap_forked
};


static unsigned              prt_heap_table;
static _Atomic int           prt_heap_active;
static uint64_t              prt_heap_rate;
static int                   prt_heap_mmap;

_Atomic uint8_t  prt_heap_filter[1 << PRT_HEAP_FILTER_BITS];

_Thread_local prt_heap_local_t  prt_heap_local
    __attribute__((tls_model("initial-exec")));


void
prt_heap_set(uint64_t rate, int mmap)
{
    prt_heap_rate = rate;
    prt_heap_mmap = rate ? mmap : 0;
}


int64_t
prt_heap_period(void)
{
    return (int64_t) prt_heap_rate;
}


int
prt_heap_mappings(void)
{
    return prt_heap_mmap;
}


static int
prt_heap_start(unsigned table, char error[PRT_ERROR_LEN])
{
    prt_heap_table = table;

    if (prt_heap_rate == 0) {
        return 0;
    }

    /* of a run before this one: its slot is another's */
    prt_memo_reset();
    memset((void *) prt_heap_filter, 0, sizeof(prt_heap_filter));

    atomic_store(&prt_heap_active, 1);

    if (prt_heap_hooks_install() < 0
        || (prt_heap_mmap && prt_heap_maps_install() < 0))
    {
        snprintf(error, PRT_ERROR_LEN, "no memory for the memory hooks");
        return -1;
    }

    return 0;
}


/* The hooks get into new objects by the thread source's refresh. */

static void
prt_heap_sync(unsigned rate)
{
    (void) rate;
}


static void
prt_heap_stop(void)
{
    /* the hooks stay: who calls them now passes through */

    atomic_store(&prt_heap_active, 0);
}


/* A child must not count in its parent's slot, whose blocks it inherits. */

static void
prt_heap_forked(void)
{
    prt_heap_stop();
    memset((void *) prt_heap_filter, 0, sizeof(prt_heap_filter));
}


void
prt_heap_own(void)
{
    prt_heap_local.own = 1;
}


void
prt_heap_derive(const uint64_t *before, const uint64_t *delta, int live,
    int64_t *values)
{
    unsigned  i;

    for (i = 0; i < 2; i++) {
        values[i] = (int64_t) delta[PRT_HEAP_ALLOC_OBJECTS + i];

        if (live) {
            values[2 + i] = (int64_t) (delta[PRT_HEAP_ALLOC_OBJECTS + i]
                                       - delta[PRT_HEAP_FREE_OBJECTS + i]);
            continue;
        }

        /* nothing is in use in a process that has ended */

        values[2 + i] = -(int64_t) (before[PRT_HEAP_ALLOC_OBJECTS + i]
                                    - before[PRT_HEAP_FREE_OBJECTS + i]);
    }
}


int
prt_heap_counts(void)
{
    return !prt_heap_local.own
           && atomic_load_explicit(&prt_heap_active, memory_order_relaxed);
}


void *
prt_heap_sample(void *p, size_t size)
{
    int                err;
    prt_heap_local_t  *local;

    local = &prt_heap_local;

    if (!prt_heap_counts()) {
        local->left = PRT_HEAP_LATER;
        return p;
    }

    if (p == NULL) {
        return NULL;
    }

    err = errno;

    if (local->random == 0) {
        local->random = prt_now() ^ (uintptr_t) local ^ (uintptr_t) p;
        local->left = prt_heap_distance();
    }

    if (size < local->left) {
        local->left -= size;

    } else {
        local->left = prt_heap_distance();
        prt_heap_record(p, size);
    }

    errno = err;

    return p;
}


static void
prt_heap_record(void *p, size_t size)
{
    double            likely, objects;
    prt_live_block_t  block, missed;

    likely = -expm1(-(double) size / (double) prt_heap_rate);
    objects = 1 / likely;

    /* a whole number, and right on average */

    block.objects = (uint64_t) (objects + prt_heap_uniform());
    block.bytes = (uint64_t) ((double) size * objects + 0.5);

    prt_heap_taken(&block);

    /* it was given back in a way that we did not see */

    if (prt_heap_known(p) && prt_heap_forget(p, &missed)) {
        prt_heap_released(&missed);
        prt_slot_count(&prt_slot, PRT_COUNT_HEAP_MISSED, 1);
    }

    prt_heap_add(p, &block);
}


void
prt_heap_taken(prt_live_block_t *block)
{
    prt_regs_t  regs;

    prt_regs_here(&regs);

    block->stack = prt_memo_stack(prt_heap_table, &regs, &prt_thread_stack);
    block->labels = prt_labels;

    prt_heap_count(block, 1, 0);
}


void
prt_heap_add(void *p, const prt_live_block_t *block)
{
    prt_heap_mark(p, 1);

    if (prt_live_put(&prt_slot.live, (uintptr_t) p, block) == 0) {
        return;
    }

    /* what would never be seen to end is not in use, rather than a leak */

    prt_heap_released(block);
    prt_slot_count(&prt_slot, PRT_COUNT_HEAP_LOST, 1);

    prt_heap_mark(p, -1);
}


/* A counter of the filter that is full stays so: it must not miss a block. */

static void
prt_heap_mark(const void *p, int change)
{
    uint8_t           n;
    _Atomic uint8_t  *filter;

    filter = prt_heap_filter_of(p);
    n = atomic_load(filter);

    while (n != UINT8_MAX
           && !atomic_compare_exchange_weak(filter, &n,
                                            (uint8_t) (n + change)))
    {
        /* n is what it is now */
    }
}


int
prt_heap_forget(const void *p, prt_live_block_t *block)
{
    /* realloc() and free() take NULL */

    if (p == NULL
        || !atomic_load_explicit(&prt_heap_active, memory_order_relaxed)
        || !prt_live_take(&prt_slot.live, (uintptr_t) p, block))
    {
        return 0;
    }

    prt_heap_mark(p, -1);

    return 1;
}


void
prt_heap_gone(const void *p)
{
    prt_live_block_t  block;

    if (prt_heap_forget(p, &block)) {
        prt_heap_released(&block);
    }
}


void
prt_heap_released(const prt_live_block_t *block)
{
    prt_heap_count(block, 0, 1);
}


static void
prt_heap_count(const prt_live_block_t *block, int alloc, int freed)
{
    uint64_t  values[PRT_HEAP_COUNTERS];

    memset(values, 0, sizeof(values));

    if (alloc) {
        values[PRT_HEAP_ALLOC_OBJECTS] = block->objects;
        values[PRT_HEAP_ALLOC_SPACE] = block->bytes;
    }

    if (freed) {
        values[PRT_HEAP_FREE_OBJECTS] = block->objects;
        values[PRT_HEAP_FREE_SPACE] = block->bytes;
    }

    prt_table_add(&prt_slot.tables[prt_heap_table], block->stack,
                  block->labels, values);
}


/* In (0, 1); splitmix64. */

static double
prt_heap_uniform(void)
{
    uint64_t  x;

    x = prt_heap_local.random += 0x9e3779b97f4a7c15;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    x ^= x >> 31;

    return ((double) (x >> 12) + 0.5) * 0x1p-52;
}


static uint64_t
prt_heap_distance(void)
{
    /* never 0: a block of no bytes would be likely to be a sample, and is not */

    return 1 + (uint64_t) (-log(prt_heap_uniform()) * (double) prt_heap_rate);
}
