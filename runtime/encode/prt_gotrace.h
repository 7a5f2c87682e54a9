
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Go's execution trace format of version 1.22, of which the only description is
 * the parser of Go's own tools (src/internal/trace of Go 1.22 to 1.27).
 *
 * A dump is one generation: rings have no sequence numbers and no states, both
 * are made up here, from the first return of each loop from its wait on.  So
 * nothing of what was before matters, and rings may be cut off anywhere.
 */


#ifndef _PRT_GOTRACE_H_INCLUDED_
#define _PRT_GOTRACE_H_INCLUDED_


#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "collect/prt_snapshot.h"
#include "encode/prt_symbol.h"


/* go tool trace wants 1.1 KB of memory and 12 us for each */
#define PRT_GOTRACE_EVENTS  1000000


typedef struct {
    uint64_t             from;             /* ns of prt_now(); 0: all that is there */
    uint64_t             to;               /* 0: now */
    uint64_t             events;           /* at most so many, about; 0: the above */
    prt_target_t         target;           /* which processes */
} prt_gotrace_window_t;


/* What became of it. */

typedef struct {
    uint64_t             from;             /* ns of prt_now(): of the first record ... */
    uint64_t             to;               /* ... and the last */
    uint64_t             events;
    uint64_t             bytes;
    uint64_t             overwritten;      /* records of the window that were, before it */
    uint64_t             left_out;         /* records, so that there are not more events */
    unsigned             processes;        /* that had any */
} prt_gotrace_result_t;


/* Takes the next bytes; not 0: no more, please. */
typedef int (*prt_gotrace_sink_pt)(void *data, const void *bytes, size_t size);


/*
 * What the processes have recorded in this window, those that have ended as
 * well, into the sink; the newest part of it if there are too many events.
 * Symbols may be NULL: functions are then numbers.  Maps the slots anew, so it may
 * run on any thread but the control thread, which it would hold.  Returns 0, or -1
 * with "error" filled; the sink's error, or that *cancel was raised, leaves it
 * empty.
 */
int prt_gotrace_dump(const prt_region_t *region,
    const prt_gotrace_window_t *window, prt_symbols_t *symbols,
    prt_gotrace_sink_pt sink, void *data, prt_gotrace_result_t *result,
    char error[PRT_ERROR_LEN], const atomic_int *cancel);


#endif /* _PRT_GOTRACE_H_INCLUDED_ */
