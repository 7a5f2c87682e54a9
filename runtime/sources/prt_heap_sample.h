
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * What the memory hooks do of each call, inlined into them: count bytes up to
 * the next sample, and tell whether a block was one.  The rest is called once
 * in "rate" bytes, and may be called anywhere, a signal handler included: all
 * of it is lock-free, allocates nothing, keeps errno, and does not mind being
 * left by longjmp().
 */


#ifndef _PRT_HEAP_SAMPLE_H_INCLUDED_
#define _PRT_HEAP_SAMPLE_H_INCLUDED_


#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "store/prt_live.h"


#define PRT_HEAP_FILTER_BITS  14


/* of a thread; all zero at its start */

typedef struct {
    uint64_t             left;             /* bytes until the next sample */
    uint64_t             random;           /* 0: not begun */
    uint32_t             own;              /* the profiler's */
} prt_heap_local_t;


extern _Thread_local prt_heap_local_t  prt_heap_local
    __attribute__((tls_model("initial-exec")));

extern _Atomic uint8_t  prt_heap_filter[1 << PRT_HEAP_FILTER_BITS];


/*
 * Install the hooks on the allocator, and on mappings.  Each returns 0, or -1
 * without memory.
 */
int prt_heap_hooks_install(void);
int prt_heap_maps_install(void);

/* Whether what this thread does at the moment counts at all. */
int prt_heap_counts(void);

/* The counter is used up by this block; NULL: it was not to be had. */
void *prt_heap_sample(void *p, size_t size);

/* Sets the stack and the labels of a new block, and counts it. */
void prt_heap_taken(prt_live_block_t *block);

/* A block that may be known is given back. */
void prt_heap_gone(const void *p);

/*
 * realloc() does the same in two steps: forget() returns 1 with the block if
 * it is known, and then it is given back by released(), or put back by add().
 */
int prt_heap_forget(const void *p, prt_live_block_t *block);
void prt_heap_released(const prt_live_block_t *block);
void prt_heap_add(void *p, const prt_live_block_t *block);


static inline _Atomic uint8_t *
prt_heap_filter_of(const void *p)
{
    return &prt_heap_filter[((uintptr_t) p >> 4) * 0x9e3779b97f4a7c15
                            >> (64 - PRT_HEAP_FILTER_BITS)];
}


/*
 * Whether an allocation of this size is no sample: then it is counted, and the
 * hook has nothing to do after the call.
 */

static inline int
prt_heap_passes(size_t size)
{
    if (__builtin_expect(size >= prt_heap_local.left, 0)) {
        return 0;
    }

    prt_heap_local.left -= size;

    return 1;
}


static inline int
prt_heap_known(const void *p)
{
    return __builtin_expect(atomic_load_explicit(prt_heap_filter_of(p),
                                                 memory_order_relaxed) != 0,
                            0);
}


#endif /* _PRT_HEAP_SAMPLE_H_INCLUDED_ */
