
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * What the parts of merging share.  All return -1, or NULL, when memory is
 * short.
 */


#ifndef _PRT_MERGER_H_INCLUDED_
#define _PRT_MERGER_H_INCLUDED_


#include "collect/prt_images.h"
#include "collect/prt_merge.h"


typedef struct {
    prt_arena_t         *arena;
    prt_images_t         images;

    prt_report_sample_t *samples;
    size_t               nsamples;
    size_t               room;
} prt_merger_t;


/* A new sample, the last of the list. */
prt_report_sample_t *prt_merge_sample(prt_merger_t *m);

int prt_merge_frames(prt_merger_t *m, const uint64_t *raw, uint32_t n,
    prt_report_sample_t *sample);
int prt_merge_labels(prt_merger_t *m, const prt_snapshot_slot_t *slot,
    uint32_t labels, prt_report_sample_t *sample);

/*
 * The dumps of a process: a sample for each record; over a window those of its
 * begin count -1.
 */
int prt_merge_dumps(prt_merger_t *m, int window,
    const prt_snapshot_slot_t *start, const prt_snapshot_slot_t *end);


#endif /* _PRT_MERGER_H_INCLUDED_ */
