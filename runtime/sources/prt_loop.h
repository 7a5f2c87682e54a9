
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The control thread's event loop, as it says itself: when the event at work
 * began, for whoever wants to know whether it is held, and those that took too
 * long.
 */


#ifndef _PRT_LOOP_H_INCLUDED_
#define _PRT_LOOP_H_INCLUDED_


#include <sys/types.h>

#include "pprofrt.h"
#include "platform/prt_unwind.h"
#include "store/prt_slot.h"


/* An event that took too long. */

typedef struct {
    uint64_t             begin;            /* ticks */
    uint64_t             end;
    uint32_t             labels;           /* at its end */
    unsigned             nframes;
    uint64_t             frames[PRT_STACK_MAX + 3];  /* its handler, and who called that */
} prt_loop_stall_t;


/*
 * On the control thread, before the loop begins.  Events that take "threshold"
 * ns are kept; 0: none.
 */
void prt_loop_start(uint64_t threshold);
void prt_loop_stop(void);

/* When the event that is at work began, in ticks; 0: none is.  Any thread. */
uint64_t prt_loop_since(void);

/* The loop's thread, its stack and its labels.  Any thread. */
pid_t prt_loop_thread(prt_stack_bounds_t *bounds);
uint32_t prt_loop_labels(void);

/*
 * The oldest of those that were kept, NULL: none.  It is valid until
 * prt_loop_forget(), which makes room for another.  Service thread.
 */
const prt_loop_stall_t *prt_loop_stalled(void);
void prt_loop_forget(void);


#endif /* _PRT_LOOP_H_INCLUDED_ */
