
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Futexes over memory that processes share.
 */


#ifndef _PRT_FUTEX_H_INCLUDED_
#define _PRT_FUTEX_H_INCLUDED_


#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/prt_clock.h"


#define PRT_FOREVER  UINT64_MAX


/*
 * Sleeps while the word has this value, until "deadline" (ns of prt_now()) at
 * the latest.  May return early.
 */

static inline void
prt_futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t deadline)
{
    struct timespec  ts;

    ts.tv_sec = (time_t) (deadline / PRT_SEC);
    ts.tv_nsec = (long) (deadline % PRT_SEC);

    (void) syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value,
                   deadline == PRT_FOREVER ? NULL : &ts, NULL,
                   FUTEX_BITSET_MATCH_ANY);
}


/* Changes the word and wakes who sleeps on it.  Signal-safe. */

static inline void
prt_futex_wake(_Atomic uint32_t *word)
{
    atomic_fetch_add(word, 1);

    (void) syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}


#endif /* _PRT_FUTEX_H_INCLUDED_ */
