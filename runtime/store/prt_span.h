
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Spans of memory that the program has mapped, by their addresses: a span may
 * be cut anywhere, also by several threads at once.
 *
 * Of one process, from any thread and any hook: lock-free and signal-safe.
 * Spans are few, and a cut costs a system call anyway: they are looked
 * through.
 *
 * The kernel may give an address away again before who unmapped it comes to
 * cut it out here.  So everything has a serial number: that of a span is taken
 * after it was mapped, that of a cut before it is unmapped, and a cut leaves
 * alone what is newer.
 */


#ifndef _PRT_SPAN_H_INCLUDED_
#define _PRT_SPAN_H_INCLUDED_


#include "store/prt_live.h"


#define PRT_SPANS_MAX  8192


typedef struct {
    _Atomic uint64_t     lo;               /* 0: empty; odd: being changed */
    _Atomic uint64_t     hi;
    uint64_t             serial;
    uint32_t             stack;
    uint32_t             labels;
    uint64_t             objects;          /* 0: cut off from another */
} prt_span_t;


typedef struct {
    _Atomic uint64_t     serial;
    _Atomic uint32_t     splits;
    _Atomic uint32_t     used;             /* those from here on are empty */
    prt_span_t           spans[PRT_SPANS_MAX];
} prt_spans_t;


typedef void (*prt_span_cut_pt)(const prt_live_block_t *block);


static inline uint64_t
prt_span_serial(prt_spans_t *spans)
{
    return atomic_fetch_add(&spans->serial, 1) + 1;
}


/*
 * Even addresses.  Of "block" the stack, the labels and the objects count.
 * Returns 0, or -1 if there is no room.
 */
int prt_span_put(prt_spans_t *spans, uint64_t lo, uint64_t hi,
    uint64_t serial, const prt_live_block_t *block);

/*
 * Takes [lo, hi) out of all spans that are older; "cut" is told of each part.
 * The object of a span that is cut in two goes with the lower one.  If there
 * is no room for the upper one, that is taken out as well.  Returns the bytes;
 * "stuck" is the number of spans that could not be looked at, because whoever
 * changes them does not come to an end.
 */
uint64_t prt_span_cut(prt_spans_t *spans, uint64_t lo, uint64_t hi,
    uint64_t serial, prt_span_cut_pt cut, unsigned *stuck);


#endif /* _PRT_SPAN_H_INCLUDED_ */
