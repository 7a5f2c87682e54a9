
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Memory in whole pages.  What malloc() hands out is kept by it after free(),
 * and large blocks, when they are freed, move the thresholds of the whole
 * process.
 */


#ifndef _PRT_PAGES_H_INCLUDED_
#define _PRT_PAGES_H_INCLUDED_


#include <stddef.h>


/* Given back all at once.  All zero at first. */

typedef struct {
    struct prt_pages_chunk_s  *chunks;
    size_t                     size;     /* bytes of all */
} prt_pages_t;


/* Zeroed, 8-byte aligned; NULL when memory is short. */
void *prt_pages_alloc(prt_pages_t *pages, size_t size);
void prt_pages_free(prt_pages_t *pages);

/*
 * A block of its own, made larger: from "old" bytes (0: none yet) to "size",
 * zeroed behind.  NULL when memory is short; the old block stays then.
 */
void *prt_pages_grow(void *p, size_t old, size_t size);
void prt_pages_drop(void *p, size_t size);


#endif /* _PRT_PAGES_H_INCLUDED_ */
