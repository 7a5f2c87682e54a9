
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Stacks that were taken before.
 *
 * A hook meets the same stacks again and again, and most of what a walk costs
 * is that the tables, and the interned stack, are in no cache of the processor
 * by then.  A stack that is remembered is known again by its return addresses:
 * where the same code has the same stack pointer, its return address is at the
 * same place, and if that is the same one, so is its caller's.  This holds for
 * frames of a fixed size, and stacks with others are not remembered.
 */


#ifndef _PRT_MEMO_H_INCLUDED_
#define _PRT_MEMO_H_INCLUDED_


#include "platform/prt_unwind.h"


/* What is remembered belongs to a slot: to be called before it is another's. */
void prt_memo_reset(void);

/*
 * The number of the stack from "regs" outwards, as prt_record_intern() gives it
 * for a table that is not transient; 0: no room.  Signal-safe.
 */
uint32_t prt_memo_stack(unsigned table, prt_regs_t *regs,
    const prt_stack_bounds_t *bounds);


#endif /* _PRT_MEMO_H_INCLUDED_ */
