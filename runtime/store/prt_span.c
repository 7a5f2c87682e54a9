
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <sched.h>
#include <string.h>

#include "platform/prt_arch.h"
#include "platform/prt_clock.h"
#include "store/prt_span.h"


#define PRT_SPAN_BUSY     1                /* a bit of lo */

/*
 * A change takes some instructions, unless its thread lost the CPU within; or
 * was left there by a signal handler, which is not waited for.
 */
#define PRT_SPAN_PAUSES   100
#define PRT_SPAN_TIMEOUT  (100 * PRT_MSEC)
#define PRT_SPAN_LOOKS    8


static uint64_t prt_span_cut_one(prt_spans_t *spans, prt_span_t *span,
    uint64_t lo, uint64_t hi, uint64_t serial, prt_span_cut_pt cut,
    unsigned *stuck);
static uint64_t prt_span_claim(prt_span_t *span, uint64_t lo, uint64_t hi);
static int prt_span_wait(unsigned i, uint64_t *deadline);
static uint64_t prt_span_remain(prt_spans_t *spans, const prt_span_t *span,
    uint64_t lo, uint64_t hi);


int
prt_span_put(prt_spans_t *spans, uint64_t lo, uint64_t hi, uint64_t serial,
    const prt_live_block_t *block)
{
    uint32_t     i, used;
    uint64_t     empty;
    prt_span_t  *span;

    for (i = 0; i < PRT_SPANS_MAX; i++) {
        span = &spans->spans[i];
        empty = 0;

        if (atomic_load_explicit(&span->lo, memory_order_relaxed) != 0
            || !atomic_compare_exchange_strong(&span->lo, &empty,
                                               lo | PRT_SPAN_BUSY))
        {
            continue;
        }

        atomic_store_explicit(&span->hi, hi, memory_order_relaxed);
        span->serial = serial;
        span->stack = block->stack;
        span->labels = block->labels;
        span->objects = block->objects;

        used = atomic_load(&spans->used);

        while (used <= i
               && !atomic_compare_exchange_weak(&spans->used, &used, i + 1))
        {
            /* used is what it is now */
        }

        atomic_store_explicit(&span->lo, lo, memory_order_release);

        return 0;
    }

    return -1;
}


uint64_t
prt_span_cut(prt_spans_t *spans, uint64_t lo, uint64_t hi, uint64_t serial,
    prt_span_cut_pt cut, unsigned *stuck)
{
    uint32_t  i, splits;
    uint64_t  bytes;
    unsigned  looks;

    bytes = 0;
    looks = 0;

    /* what another thread split off meanwhile may stand where we have been */

    do {
        splits = atomic_load(&spans->splits);
        *stuck = 0;

        for (i = 0; i < atomic_load(&spans->used); i++) {
            bytes += prt_span_cut_one(spans, &spans->spans[i], lo, hi, serial,
                                      cut, stuck);
        }

    } while (atomic_load(&spans->splits) != splits
             && ++looks < PRT_SPAN_LOOKS);

    return bytes;
}


static uint64_t
prt_span_cut_one(prt_spans_t *spans, prt_span_t *span, uint64_t lo,
    uint64_t hi, uint64_t serial, prt_span_cut_pt cut, unsigned *stuck)
{
    uint64_t          start, end, rest;
    prt_live_block_t  block;

    start = prt_span_claim(span, lo, hi);

    if (start == 0 || start == PRT_SPAN_BUSY) {
        *stuck += start == PRT_SPAN_BUSY;
        return 0;
    }

    end = atomic_load_explicit(&span->hi, memory_order_relaxed);

    if (span->serial >= serial || start >= hi || end <= lo) {
        atomic_store_explicit(&span->lo, start, memory_order_release);
        return 0;
    }

    block.stack = span->stack;
    block.labels = span->labels;
    block.objects = 0;

    if (start < lo) {

        /* the object stays with its lower part */

        rest = end > hi ? prt_span_remain(spans, span, hi, end) : 0;
        block.bytes = end - lo - rest;

        atomic_store_explicit(&span->hi, lo, memory_order_relaxed);
        atomic_store_explicit(&span->lo, start, memory_order_release);

    } else if (end > hi) {
        block.bytes = hi - start;
        atomic_store_explicit(&span->lo, hi, memory_order_release);

    } else {
        block.bytes = end - start;
        block.objects = span->objects;
        atomic_store_explicit(&span->lo, 0, memory_order_release);
    }

    cut(&block);

    return block.bytes;
}


/*
 * The start of a span that is ours to change now; 0: it is none of [lo, hi);
 * PRT_SPAN_BUSY: it stays another's.
 */

static uint64_t
prt_span_claim(prt_span_t *span, uint64_t lo, uint64_t hi)
{
    uint64_t  start, deadline;
    unsigned  i;

    deadline = 0;

    for (i = 0; prt_span_wait(i, &deadline); i++) {
        start = atomic_load_explicit(&span->lo, memory_order_acquire);

        /* it may change until it is ours, but never grows */

        if (start == 0 || start >= hi
            || atomic_load_explicit(&span->hi, memory_order_relaxed) <= lo)
        {
            return 0;
        }

        if (!(start & PRT_SPAN_BUSY)
            && atomic_compare_exchange_strong(&span->lo, &start,
                                              start | PRT_SPAN_BUSY))
        {
            return start;
        }
    }

    return PRT_SPAN_BUSY;
}


/* Returns 0 when it took too long. */

static int
prt_span_wait(unsigned i, uint64_t *deadline)
{
    if (i == 0) {
        return 1;
    }

    if (i < PRT_SPAN_PAUSES) {
        prt_pause();
        return 1;
    }

    if (*deadline == 0) {
        *deadline = prt_now() + PRT_SPAN_TIMEOUT;
    }

    (void) sched_yield();

    return prt_now() < *deadline;
}


/* What is left above a cut, as a span of its own.  Returns its size. */

static uint64_t
prt_span_remain(prt_spans_t *spans, const prt_span_t *span, uint64_t lo,
    uint64_t hi)
{
    prt_live_block_t  block;

    memset(&block, 0, sizeof(prt_live_block_t));

    block.stack = span->stack;
    block.labels = span->labels;

    if (prt_span_put(spans, lo, hi, span->serial, &block) != 0) {
        return 0;
    }

    atomic_fetch_add(&spans->splits, 1);

    return hi - lo;
}
