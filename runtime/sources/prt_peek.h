
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Stacks of other threads of this process.
 *
 * A signal changes what it interrupts: nanosleep(), poll() and others return
 * EINTR whatever SA_RESTART says.  So a thread that sleeps in the kernel is read
 * without one: its task's "syscall" file has the stack pointer and the program
 * counter.  Only a thread that runs gets a signal.
 */


#ifndef _PRT_PEEK_H_INCLUDED_
#define _PRT_PEEK_H_INCLUDED_


#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

#include "platform/prt_unwind.h"
#include "store/prt_slot.h"


#define PRT_PEEK_RUNNING  (-1)             /* in place of a system call's number */


/*
 * The stack of a thread as it is now, PRT_STACK_MAX frames and a special one at
 * most; returns how many, or 0: it cannot be had, or the thread was on the move.
 * *call is the number of the system call that it sleeps in, PRT_PEEK_RUNNING
 * for none.  The thread must not end meanwhile.  Takes 20 ms at
 * most, and as long as a handler needs that is preempted.
 *
 * Service thread.
 */
unsigned prt_peek(pid_t tid, const prt_stack_bounds_t *bounds,
    uint64_t frames[PRT_STACK_MAX + 1], long *call);

/*
 * A SIGPROF that no timer sent; returns 1 if it was ours.  Signal-safe.
 */
int prt_peek_signal(const siginfo_t *info, const void *context);


#endif /* _PRT_PEEK_H_INCLUDED_ */
