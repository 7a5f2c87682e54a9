
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Goroutines: the threads of this process, each with its stack at this moment,
 * and what the control thread's loop works on or waits for, as the program
 * lists it (pprofrt.h).  Both are dumps in the slot, taken when somebody asks:
 * that of the threads by the service thread, at a sync, and that of the work by
 * the loop, when it comes to it.
 */


#ifndef _PRT_GOROUTINE_H_INCLUDED_
#define _PRT_GOROUTINE_H_INCLUDED_


#include "sources/prt_profile.h"


extern const prt_source_t  prt_goroutine_source;


/*
 * Whether the program lists its work; how the control thread is told that a list
 * is wanted, by the service thread; and who is told, by the control thread,
 * that it is there.  To be set before the source starts.
 */
void prt_goroutine_set(int lists, void (*ask)(void), void (*done)(void));


#endif /* _PRT_GOROUTINE_H_INCLUDED_ */
