
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The difference of two snapshots of all slots, as a report.
 */


#ifndef _PRT_MERGE_H_INCLUDED_
#define _PRT_MERGE_H_INCLUDED_


#include "collect/prt_arena.h"
#include "collect/prt_snapshot.h"
#include "collect/prt_report.h"


typedef struct {
    prt_report_t         report;
    prt_arena_t         *arena;            /* what the report points to */
} prt_merge_t;


/*
 * "start" NULL: everything so far.  "rate" is what was asked for, in Hz.
 * Processes that have no part in it are dropped from "end".  Returns NULL
 * when memory is short.
 */
prt_merge_t *prt_merge(prt_region_t *region, unsigned profile,
    const prt_target_t *target, const prt_snapshot_t *start,
    prt_snapshot_t *end, unsigned rate);

/*
 * One sample without values: a stack of this process, whose objects are in the
 * slot, with its labels.
 */
prt_merge_t *prt_merge_stack(const prt_slot_t *slot, const uint64_t *frames,
    unsigned n, uint32_t labels);

/* Only the objects of all slots, to translate addresses back. */
prt_merge_t *prt_merge_objects(const prt_snapshot_t *snapshot);

void prt_merge_free(prt_merge_t *merge);


#endif /* _PRT_MERGE_H_INCLUDED_ */
