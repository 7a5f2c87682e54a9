
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The stack of the process's end: a signal that is about to kill it is noted in
 * the slot, which outlives it.  Then everything is as if nobody had looked: the
 * former disposition is back, and the same signal comes once more, so that core
 * dumps and the parent's log say what they always did.
 *
 * A signal that somebody ignores is left alone, and a handler that was there
 * before is called as ever.  Only the first of these signals is noted.
 */


#ifndef _PRT_CRASH_H_INCLUDED_
#define _PRT_CRASH_H_INCLUDED_


#include <stdatomic.h>
#include <stdint.h>

#include "pprofrt.h"


typedef enum {
    PRT_CRASH_NONE = 0,
    PRT_CRASH_WRITING,
    PRT_CRASH_NOTED,
    PRT_CRASH_TOLD                         /* somebody else has seen it */
} prt_crash_state_t;


/*
 * Control thread.  "crashes" counts up when one was noted, and then "noted" is
 * called, which has to be signal-safe.
 */
void prt_crash_start(_Atomic uint64_t *crashes, void (*noted)(void));
void prt_crash_stop(void);

/* In a child of fork(), whose end is not its parent's. */
void prt_crash_forked(void);


#endif /* _PRT_CRASH_H_INCLUDED_ */
