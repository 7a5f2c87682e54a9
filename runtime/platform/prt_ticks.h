
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The cheapest clock for durations: the processor's counter where the kernel
 * itself keeps time by it, else CLOCK_MONOTONIC.  All threads and processes of
 * the machine read the same one.
 */


#ifndef _PRT_TICKS_H_INCLUDED_
#define _PRT_TICKS_H_INCLUDED_


#include <stdatomic.h>
#include <stdint.h>

#include "platform/prt_arch.h"
#include "platform/prt_clock.h"


#define PRT_TICKS_SHIFT  32


/* not to be used but by the functions here */
extern int               prt_ticks_counter;    /* it is the processor's */
extern _Atomic uint64_t  prt_ticks_mult;       /* ns a tick << PRT_TICKS_SHIFT */


/*
 * Finds out which clock it is, and how fast it runs; waits for 1 ms at most,
 * and only at the first call of a family of processes.  Before it ticks are
 * nanoseconds of CLOCK_MONOTONIC.
 */
void prt_ticks_start(void);

/*
 * The longer it is since the start, the better the speed of the counter is
 * known: to be called now and then, by one thread at a time.
 */
void prt_ticks_refine(void);


/* Signal-safe; keeps errno. */
static inline uint64_t
prt_ticks(void)
{
    return prt_ticks_counter ? prt_arch_ticks() : prt_now();
}


/* What a difference of ticks is in nanoseconds.  Signal-safe. */
static inline uint64_t
prt_ticks_ns(uint64_t ticks)
{
    return (uint64_t) ((unsigned __int128) ticks
                       * atomic_load_explicit(&prt_ticks_mult,
                                              memory_order_relaxed)
                       >> PRT_TICKS_SHIFT);
}


/* The inverse.  Signal-safe. */
static inline uint64_t
prt_ticks_of(uint64_t ns)
{
    return (uint64_t) (((unsigned __int128) ns << PRT_TICKS_SHIFT)
                       / atomic_load_explicit(&prt_ticks_mult,
                                              memory_order_relaxed));
}


/* Ticks a second.  Signal-safe. */
static inline uint64_t
prt_ticks_rate(void)
{
    return prt_ticks_of(PRT_SEC);
}


#endif /* _PRT_TICKS_H_INCLUDED_ */
