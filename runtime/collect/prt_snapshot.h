
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Snapshots of one profile in all slots.  Used by the service thread only; the
 * handles in "memory" are good until the next one is taken, which may map a
 * slot anew.
 */


#ifndef _PRT_SNAPSHOT_H_INCLUDED_
#define _PRT_SNAPSHOT_H_INCLUDED_


#include "pprofrt.h"
#include "sources/prt_profile.h"
#include "store/prt_region.h"


typedef struct {
    int                  worker;           /* PRT_ANY: all */
    pid_t                pid;              /* PRT_ANY: all */
} prt_target_t;


typedef struct {
    unsigned             slot;
    uint64_t             owner;
    pid_t                pid;
    int                  worker;

    prt_slot_t           memory;
    uint64_t             counts[PRT_COUNTS];
    uint64_t            *counters;         /* rows * ncounters; NULL: none */
    uint32_t             rows;
    uint32_t             epoch;            /* of the transient tables */

    /* dumps, if they were asked for; NULL: the process has not made one */
    prt_dump_copy_t     *threads;
    prt_dump_copy_t     *work;

    unsigned             live:1;
    unsigned             silent:1;         /* did not follow the last sync */
} prt_snapshot_slot_t;


typedef struct {
    uint64_t             now;              /* prt_now() */
    unsigned             n;
    prt_snapshot_slot_t  slots[];
} prt_snapshot_t;


/*
 * The slots that the target means.  A window ("since" != 0) also takes those
 * whose process has ended, if it ran after "since"; a profile of all that was
 * counted takes them always.  "sync" is the sync that
 * they were asked to follow.  NULL: no memory.
 */
prt_snapshot_t *prt_snapshot_take(prt_region_t *region, unsigned profile,
    const prt_target_t *target, uint64_t since, uint64_t sync);
void prt_snapshot_free(prt_snapshot_t *snapshot);

/*
 * Adds the dumps of this number or later ones; returns how many of those asked
 * for it are without.
 */
unsigned prt_snapshot_dumps(prt_snapshot_t *snapshot, uint64_t number);

/* Takes slots[i] out of it. */
void prt_snapshot_drop(prt_snapshot_t *snapshot, unsigned i);

/* The same process in another snapshot (NULL: none); NULL: not there. */
const prt_snapshot_slot_t *prt_snapshot_find(const prt_snapshot_t *snapshot,
    const prt_snapshot_slot_t *slot);

int prt_target_matches(const prt_target_t *target, int worker, pid_t pid);


#endif /* _PRT_SNAPSHOT_H_INCLUDED_ */
