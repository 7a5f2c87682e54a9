
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Stacks by libunwind: where the tables end, and to compare with.
 */


#ifndef _PRT_LIBUNWIND_H_INCLUDED_
#define _PRT_LIBUNWIND_H_INCLUDED_


#include "platform/prt_unwind.h"


/*
 * Makes libunwind iterate over our map instead of asking the loader, and does
 * what it does at its first use.  libunwind asks for the loader's lock while
 * it holds its own; a signal in dlclose() that wants the second one would
 * wait forever.  To be called once, before the other functions.  Returns 0,
 * or -1 if libunwind's entry was not found.
 */
int prt_libunwind_init(void);

/*
 * prt_unwind() that lets libunwind do the frames for which there is no row.
 * Any thread, but not in a signal handler.
 */
unsigned prt_unwind_slow(prt_regs_t *regs, const prt_stack_bounds_t *bounds,
    uintptr_t *frames, unsigned max, prt_unwind_end_t *end);

/*
 * The stack of a ucontext by libunwind alone, for tests, which may call it in
 * a signal handler after prt_libunwind_init().
 */
__attribute__((visibility("default")))
unsigned prt_unwind_oracle(void *ucontext, uintptr_t *frames, unsigned max);


#endif /* _PRT_LIBUNWIND_H_INCLUDED_ */
