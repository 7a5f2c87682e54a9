
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * A dump at work: the processes, and what they recorded.
 */


#ifndef _PRT_GOTRACE_DUMP_H_INCLUDED_
#define _PRT_GOTRACE_DUMP_H_INCLUDED_


#include "encode/prt_gotrace_lane.h"


#define PRT_GOTRACE_NOTICE   256           /* bytes */


/* a process whose slot and ring are mapped */

typedef struct {
    prt_slot_t           slot;
    prt_ring_t           ring;
    pid_t                pid;

    void                *memory;
    size_t               size;
    void                *ring_memory;
    size_t               ring_size;

    uint64_t             written;          /* when the dump began */
    uint64_t             claimed;
    uint64_t             from_written;     /* both when recording began */
    uint64_t             from_claimed;
} prt_gotrace_source_t;


/* records of one process */

typedef struct {
    prt_gotrace_event_t *loop;             /* of the control thread, by time */
    size_t               nloop;
    prt_gotrace_event_t *others;           /* of other threads, by time */
    size_t               nothers;
} prt_gotrace_records_t;


typedef struct {
    uint64_t             time;
    uint64_t             bytes;            /* of the process, then of all */
    size_t               source;
} prt_gotrace_memory_t;


typedef struct {
    prt_gotrace_source_t       *sources;
    size_t                      nsources;
    prt_buffer_t                memories;  /* prt_gotrace_memory_t */

    prt_gotrace_t               trace;
    uint64_t                    from;      /* ticks */
    uint64_t                    to;
    const atomic_int           *cancel;
    prt_gotrace_result_t       *result;
    char                        notice[PRT_GOTRACE_NOTICE];
} prt_gotrace_dump_t;


/*
 * The records of process i in the window, by malloc(); those that other threads
 * made on its control thread are among that one's.
 */
int prt_gotrace_read(prt_gotrace_dump_t *dump, size_t i,
    prt_gotrace_records_t *records);

/* All that the processes said of their memory, summed up at each moment. */
int prt_gotrace_memories(prt_gotrace_dump_t *dump);

/* Ticks as ns of prt_now(), and the inverse. */
uint64_t prt_gotrace_ns(const prt_gotrace_dump_t *dump,
    uint64_t ticks);
uint64_t prt_gotrace_ticks(const prt_gotrace_dump_t *dump,
    uint64_t ns);


#endif /* _PRT_GOTRACE_DUMP_H_INCLUDED_ */
