
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The CPU profile: a timer per thread on that thread's CPU clock, and SIGPROF
 * to that thread.  A tick that the kernel merged into one signal (it delivers
 * at most CONFIG_HZ a second) is counted by its overrun, so totals are right
 * at any rate.  A thread that sleeps gets no signal, so no EINTR.
 */


#ifndef _PRT_CPU_H_INCLUDED_
#define _PRT_CPU_H_INCLUDED_


#include <ucontext.h>

#include "sources/prt_profile.h"
#include "sources/prt_thread.h"


extern const prt_source_t  prt_cpu_source;


/*
 * A thread comes or goes, with prt_threads_lock() held.  A signal of its timer
 * may still be on its way after detach; it counts nothing.
 */
void prt_cpu_attach(prt_thread_t *thread);
void prt_cpu_detach(prt_thread_t *thread);

/*
 * Makes SIGPROF ours if nobody has it: 0, or -1 and the slot says who does.
 * Service thread.
 */
int prt_cpu_take_signal(void);

/* Whether SIGPROF has a handler that is not ours. */
int prt_cpu_signal_taken(void);

/*
 * The calling thread ends.  The kernel looks at its timer at a tick only, so
 * up to a whole tick (4 ms at 250 Hz) of what it used was not sampled, which
 * for a thread of 20 ms is a tenth; it is counted here.  With SIGPROF blocked
 * and prt_threads_lock() held.
 */
void prt_cpu_tail(prt_thread_t *thread);

/*
 * For tests: called in the signal handler with each sample's context and the
 * stack that was taken.  Must be signal-safe itself.
 */
typedef void (*prt_cpu_observer_pt)(ucontext_t *context,
    const uint64_t *frames, unsigned n);

PRT_EXPORT void prt_cpu_observe(prt_cpu_observer_pt observer);


#endif /* _PRT_CPU_H_INCLUDED_ */
