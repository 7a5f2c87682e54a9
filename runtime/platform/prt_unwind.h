
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Stacks, by the tables of the loaded objects (prt_object.h).
 */


#ifndef _PRT_UNWIND_H_INCLUDED_
#define _PRT_UNWIND_H_INCLUDED_


#include <stdint.h>

#include "platform/prt_arch.h"


/* The stack of a thread; hi 0: not known. */

typedef struct {
    uintptr_t              lo;
    uintptr_t              hi;
} prt_stack_bounds_t;


typedef enum {
    PRT_UNWIND_END = 0,                   /* the thread's start was reached */
    PRT_UNWIND_TRUNCATED,                 /* there are more than "max" frames */
    PRT_UNWIND_NO_OBJECT,                 /* pc is in no object */
    PRT_UNWIND_NO_ROW,                    /* pc has no rule that we know */
    PRT_UNWIND_BAD_CFA,                   /* the caller's frame is not above */
    PRT_UNWIND_BAD_LOAD                   /* it is not on readable memory */
} prt_unwind_end_t;


/*
 * Walks from "regs" on and stores frames: return addresses, and pc + 1 where
 * a frame was interrupted, so that each frame's instruction ends before it.
 * Returns how many, at most "max".
 *
 * "regs" is left at the frame where the walk ended, for another walker to go
 * on: it is the last one stored, and with TRUNCATED the first one that was
 * not.  Memory outside of the bounds is probed before it is read.
 *
 * Signal-safe.
 */
unsigned prt_unwind(prt_regs_t *regs, const prt_stack_bounds_t *bounds,
    uintptr_t *frames, unsigned max, prt_unwind_end_t *end);


/*
 * Whether the frame at "regs" is of a size that its code alone tells: then the
 * same code with the same sp has its caller's frame at the same place.
 * Signal-safe.
 */
int prt_unwind_fixed(const prt_regs_t *regs);


/*
 * Asked at a pc without object or row, as in code made at run time.  It may
 * set "regs" to the caller's frame and return 1; 0: not known.  The caller's
 * sp has to be higher.  It has to be signal-safe, and to read the stack by
 * prt_load() only.  Returns the one that was set before; NULL: none.
 */
typedef int (*prt_unwind_foreign_pt)(prt_regs_t *regs,
    const prt_stack_bounds_t *bounds);

prt_unwind_foreign_pt prt_unwind_foreign(prt_unwind_foreign_pt foreign);


/* Reads a word of doubtful memory: 0, or -1 if it is not there.  Signal-safe. */
int prt_load(uintptr_t addr, uintptr_t *value);


#endif /* _PRT_UNWIND_H_INCLUDED_ */
