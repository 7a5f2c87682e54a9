
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * What takes the locks of all of malloc(): its figures, and free memory given
 * back to the system, which comes closest to a collection of garbage.
 *
 * A thread that hangs within malloc() never gives its lock back, so each call
 * has a thread of its own, which it may keep; one at a time.
 */


#ifndef _PRT_ALLOCATOR_H_INCLUDED_
#define _PRT_ALLOCATOR_H_INCLUDED_


#include <stdint.h>


typedef struct {
    uint64_t  times;
    uint64_t  total;                       /* ns that they took */
    uint64_t  last;                        /* ns that the last one took ... */
    uint64_t  end;                         /* ... and when it ended: ns since 1970 */
} prt_trims_t;


typedef struct {
    uint64_t  system;                      /* bytes that malloc() has in all */
    uint64_t  free;                        /* bytes of it */
    uint64_t  arenas;
} prt_allocator_t;


/*
 * Both hold the allocator while they work.  Any thread of ours but the one that
 * serves the loop; -1 if it is not done, since malloc() is locked for long.
 */
int prt_allocator_trim(void);
int prt_allocator_look(prt_allocator_t *allocator);

/* What was done in this process so far. */
void prt_allocator_trims(prt_trims_t *trims);

/* In a child of fork(): the thread is the parent's. */
void prt_allocator_forked(void);


#endif /* _PRT_ALLOCATOR_H_INCLUDED_ */
