
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Free memory given back to the system: what comes closest to a collection
 * of garbage.
 */


#ifndef _PRT_TRIM_H_INCLUDED_
#define _PRT_TRIM_H_INCLUDED_


#include <stdint.h>


typedef struct {
    uint64_t  times;
    uint64_t  total;                       /* ns that they took */
    uint64_t  last;                        /* ns that the last one took ... */
    uint64_t  end;                         /* ... and when it ended: ns since 1970 */
} prt_trims_t;


/* Holds the allocator while it works.  Any thread of ours. */
void prt_trim(void);

/* What was done in this process so far. */
void prt_trims(prt_trims_t *trims);


#endif /* _PRT_TRIM_H_INCLUDED_ */
