
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The memory profiles: what is in use and what was allocated, by stack and
 * labels.  Hooks on the allocator's functions count bytes; on average one
 * allocation in "rate" bytes is sampled, by a Poisson process over the bytes,
 * and stands for as many as it is likely to be one of.  So the estimates of
 * objects and bytes are unbiased for every size.  Mappings are counted each.
 */


#ifndef _PRT_HEAP_H_INCLUDED_
#define _PRT_HEAP_H_INCLUDED_


#include "sources/prt_profile.h"


/* counters of a row; what is in use is the difference */

typedef enum {
    PRT_HEAP_ALLOC_OBJECTS = 0,
    PRT_HEAP_ALLOC_SPACE,
    PRT_HEAP_FREE_OBJECTS,
    PRT_HEAP_FREE_SPACE,
    PRT_HEAP_COUNTERS
} prt_heap_counter_t;


extern const prt_source_t  prt_heap_source;


/*
 * Mean number of bytes between two samples, 0: no hooks at all; and whether
 * anonymous memory that the program maps counts, too.  To be set before the
 * source starts.
 */
void prt_heap_set(uint64_t rate, int mmap);

/* That rate, 0: off; and the other. */
int64_t prt_heap_period(void);
int prt_heap_mappings(void);

/* The calling thread's allocations are the profiler's own: never sampled. */
void prt_heap_own(void);

/* The values of a row: allocated and in use. */
void prt_heap_derive(const uint64_t *before, const uint64_t *delta, int live,
    int64_t *values);


#endif /* _PRT_HEAP_H_INCLUDED_ */
