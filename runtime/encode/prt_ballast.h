
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Lets a thread's heap shrink again.
 *
 * For each thread glibc keeps freed small blocks, seven of a size, and each of
 * them holds the memory around it: of the 8 MB that libdw takes for nginx,
 * libc and libcrypto all would stay.  malloc_trim() gives it back, but that of
 * all threads, and the event loop waits for it and has to fault its own pages
 * in again (50 ms, 300 MB, in a heap of 400 MB).  So blocks of all these sizes
 * are allocated before the work, low in the heap, and fill the cache after it.
 *
 * To be used by one thread.  With another malloc() it is of no use, and does no
 * harm.
 */


#ifndef _PRT_BALLAST_H_INCLUDED_
#define _PRT_BALLAST_H_INCLUDED_


#define PRT_BALLAST_SIZES   64           /* glibc's TCACHE_MAX_BINS */
#define PRT_BALLAST_BLOCKS  7            /* TCACHE_FILL_COUNT */


/* All zero at first; 260 KB when taken in. */

typedef struct {
    unsigned   loaded;
    void      *blocks[PRT_BALLAST_SIZES][PRT_BALLAST_BLOCKS];
} prt_ballast_t;


/* Before the work; nothing happens when it is there already. */
void prt_ballast_load(prt_ballast_t *ballast);

/* After it, when all is freed. */
void prt_ballast_drop(prt_ballast_t *ballast);


#endif /* _PRT_BALLAST_H_INCLUDED_ */
