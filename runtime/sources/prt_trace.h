
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The execution trace: what happens, in the order in which it does, in a ring
 * beside the slot.  It is on in a process while a window of the profile "trace"
 * that means it is open, or the region's recording is (prt_region_head_t).
 *
 * The control thread's records stand in a ring of their own, so that they need
 * no atomic operation; those of other threads and of signal handlers in
 * another.  What the records are is known to this file and to the transcoder
 * (encode/prt_gotrace.h).
 */


#ifndef _PRT_TRACE_H_INCLUDED_
#define _PRT_TRACE_H_INCLUDED_


#include "sources/prt_profile.h"
#include "store/prt_ring.h"


/*
 * Kinds of records.  "key" and "detail" are the two parts of "what"; a detail
 * of other threads' records is always the thread's number in the ring.
 */

typedef enum {
    PRT_TRACE_NONE = 0,

    /* the control thread's loop */
    PRT_TRACE_WOKEN,                       /* it came back from its wait */
    PRT_TRACE_WAIT,                        /* it is about to wait */
    PRT_TRACE_OFF,                         /* recording ends here */
    PRT_TRACE_RUN,                         /* key: goroutine, which goes on; detail:
                                              PRT_TRACE_NEW, PRT_TRACE_READY;
                                              value: its root, a string */
    PRT_TRACE_OWNER,                       /* key: whose task that goroutine works for */
    PRT_TRACE_BLOCK,                       /* key: goroutine; detail: state; value: labels */
    PRT_TRACE_END,                         /* key: goroutine, which is over */
    PRT_TRACE_TASK,                        /* key: goroutine, whose task begins */
    PRT_TRACE_PHASE,                       /* key: goroutine; value: labels */
    PRT_TRACE_DONE,                        /* key: goroutine, whose task ends; detail:
                                              status; value: bytes, or KiB | 1 << 31 */

    /* of any thread */
    PRT_TRACE_CALL,                        /* key: ns that it blocked; value: stack */
    PRT_TRACE_SAMPLE,                      /* key: weight; value: stack of a CPU sample */
    PRT_TRACE_MEMORY,                      /* key: bytes */
    PRT_TRACE_BEGIN,                       /* key: task; value: name */
    PRT_TRACE_PARENT,                      /* key: the parent of the task before */
    PRT_TRACE_FINISH,                      /* key: task */
    PRT_TRACE_ENTER,                       /* key: task; value: name of a region */
    PRT_TRACE_LEAVE,                       /* as before */
    PRT_TRACE_LOG,                         /* key: task; value: key */
    PRT_TRACE_TEXT,                        /* value: text of the log before */

    PRT_TRACE_RETURN                       /* of the transcoder: a CALL's end */
} prt_trace_kind_t;


extern const prt_source_t  prt_trace_source;

/* This process's ring; its head is NULL where there is none. */
extern prt_ring_t  prt_trace_ring;


/*
 * Where the ring lies, and how the control thread is told that recording has
 * been switched.  To be set before the source starts.
 */
void prt_trace_set(void *memory, size_t size, void (*ask)(void));

/* A call that blocked for so long, in ticks, is over.  Signal-safe. */
void prt_trace_call(uint64_t ticks, const uint64_t *frames, unsigned n);

/* A CPU sample.  Signal-safe. */
void prt_trace_sample(const uint64_t *frames, unsigned n, uint64_t weight);


#endif /* _PRT_TRACE_H_INCLUDED_ */
