
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * What a profile says of its own quality.
 */


#ifndef _PRT_COMMENTS_H_INCLUDED_
#define _PRT_COMMENTS_H_INCLUDED_


#include "collect/prt_merge.h"


/*
 * Fills comments and period of the report: asked and achieved rate, what was
 * lost, workers included and missing, version.  Returns -1 when memory is
 * short.
 */
int prt_comments(prt_merge_t *merge, unsigned profile,
    const prt_target_t *target, const prt_snapshot_t *start,
    const prt_snapshot_t *end, unsigned rate);


#endif /* _PRT_COMMENTS_H_INCLUDED_ */
