
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Claims: what only one process of the region may work on at a time.  A claim
 * is no lock: nobody waits in it, and that of a process that has died is free.
 */


#ifndef _PRT_CLAIM_H_INCLUDED_
#define _PRT_CLAIM_H_INCLUDED_


#include "store/prt_region.h"


/*
 * Takes it for the process of this slot; 1: it is ours now, 0: somebody has it,
 * maybe another thread of this very process.  *dead is the pid of the process
 * that had it and died, 0: none.  Any thread.
 */
int prt_claim_take(const prt_region_t *region, unsigned slot,
    _Atomic uint64_t *claim, pid_t *dead);

/* By the one who has it. */
void prt_claim_give(_Atomic uint64_t *claim);

/* Whether it could be taken.  Any thread. */
int prt_claim_free(const prt_region_t *region, const _Atomic uint64_t *claim);


#endif /* _PRT_CLAIM_H_INCLUDED_ */
