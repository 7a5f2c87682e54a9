
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Where the sources of this process record: its slot.  The way of a stack
 * into a table is here, once for all sources.
 */


#ifndef _PRT_RECORD_H_INCLUDED_
#define _PRT_RECORD_H_INCLUDED_


#include "platform/prt_unwind.h"
#include "store/prt_slot.h"


/*
 * A stack that is not whole ends in one of these instead of an address; they
 * are named as frames of their own, so that what is missing is seen.
 */

#define PRT_FRAME_LOST        1            /* no room for the stack */
#define PRT_FRAME_TRUNCATED   2            /* more than PRT_STACK_MAX frames */
#define PRT_FRAME_NO_OBJECT   3            /* came from outside of all objects */
#define PRT_FRAME_NO_ROW      4            /* no unwind information there */
#define PRT_FRAME_BROKEN      5            /* the stack's memory made no sense */
#define PRT_FRAME_TAIL        6            /* CPU after a thread's last tick */
#define PRT_FRAME_UNSEEN      7            /* what an event did was not seen */
#define PRT_FRAMES_SPECIAL    8

/* a frame that is a name, by the number of a string in the slot */
#define PRT_FRAME_NAME        (1ull << 63)


/* this process's slot; its tables are numbered as prt_profiles[] is */
extern prt_slot_t  prt_slot;

typedef unsigned (*prt_walker_pt)(prt_regs_t *regs,
    const prt_stack_bounds_t *bounds, uintptr_t *frames, unsigned max,
    prt_unwind_end_t *end);


/*
 * The stack from "regs" outwards; room for PRT_STACK_MAX frames and one of
 * the above.  Signal-safe if the walker is: prt_unwind(), but not
 * prt_unwind_slow().
 */
unsigned prt_record_stack(prt_regs_t *regs, const prt_stack_bounds_t *bounds,
    uint64_t *frames, prt_walker_pt walker);

/* The number of this stack for a table; 0: no room.  Signal-safe. */
uint32_t prt_record_intern(unsigned table, const uint64_t *frames, unsigned n);

/* Adds to the counters of this stack with these labels.  Signal-safe. */
void prt_record(unsigned table, const uint64_t *frames, unsigned n,
    uint32_t labels, const uint64_t *values);

/*
 * Writes into the slot where objects lie that it does not know yet, by the
 * last prt_objects_refresh(), whoever called that.  On one thread at a time.
 */
void prt_record_objects(void);


#endif /* _PRT_RECORD_H_INCLUDED_ */
