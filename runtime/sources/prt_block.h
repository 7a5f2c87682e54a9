
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The block and mutex profiles: calls in which a thread was blocked, each with
 * the function that blocked as its leaf, by stack and labels; "mutex" is the
 * part that waited for locks, at the one who waits (Go's is at the one who
 * unlocks).
 *
 * The rule is Go's: a delay of "rate" or more is always counted, a shorter one
 * with the probability delay / rate, and then as rate / delay calls of "rate"
 * in all: both sums are unbiased.  A delay is the time from the call to its
 * return.
 *
 * Which calls did block:
 *
 * - A lock that could not be had at once: always, if it is the lock's call
 *   that waited and not a time-out's.
 * - Any other call that took PRT_BLOCK_MIN or more, and in which the thread
 *   went to sleep of its own accord, by the kernel's count of voluntary
 *   switches.  So neither long work in the kernel counts, nor a thread that
 *   was merely preempted, nor a virtual machine that was.
 *
 * Reading that count is a system call.  It is read after a call that took long,
 * and before one if it was not read for PRT_BLOCK_LOOK; for what may have slept
 * in between, an event loop's wait, one switch is taken off.  So within
 * PRT_BLOCK_LOOK of a sleep that no hook saw (a page fault, a raw system call,
 * one shorter than PRT_BLOCK_MIN) a call that was preempted counts as blocked;
 * and a call that blocked right after an event loop's wait which took
 * PRT_BLOCK_WAITED without sleeping does not count.
 *
 * Waiting for work is no blocking: an event loop's wait is not looked at, and
 * a thread that waits (on a condition variable, a semaphore, a descriptor) in
 * its start routine or in one function called from there, both of one object,
 * is idle; so is nginx's thread pool.
 */


#ifndef _PRT_BLOCK_H_INCLUDED_
#define _PRT_BLOCK_H_INCLUDED_


#include "platform/prt_hook.h"
#include "platform/prt_ticks.h"
#include "sources/prt_profile.h"


#define PRT_BLOCK_MIN     20000            /* ns */
#define PRT_BLOCK_LOOK    500000           /* ns */
#define PRT_BLOCK_WAITED  4000             /* ns; a sleep takes longer */


/* counters of a row */

typedef enum {
    PRT_BLOCK_CONTENTIONS = 0,
    PRT_BLOCK_DELAY,
    PRT_BLOCK_LOCK_CONTENTIONS,            /* of these, for locks */
    PRT_BLOCK_LOCK_DELAY,
    PRT_BLOCK_COUNTERS
} prt_block_counter_t;


/* what a call is */

#define PRT_BLOCK_CALL    0
#define PRT_BLOCK_LOCK    1                /* it is in "mutex", too */
#define PRT_BLOCK_WAIT    2                /* it may be idle */


/* of a thread; all zero at its start */

typedef struct {
    uint64_t   seen;                       /* ticks, of the last look; 0: never */
    uint64_t   switches;                   /* voluntary ones at that look ... */
    uint64_t   random;
    void      *const *call;                /* the last timed one of the main program */
    uint32_t   waits;                      /* ... and waits of event loops since */
    uint16_t   paused;
    uint16_t   own;                        /* the profiler's */
} prt_block_local_t;


/* PRT_BLOCK_MIN and the others in ticks; INT64_MAX: off */

typedef struct {
    _Atomic int64_t  min;
    _Atomic int64_t  look;
    _Atomic int64_t  waited;

    /* as look, or INT64_MIN where the clock is not the processor's counter */
    _Atomic int64_t  fast;
} prt_block_limits_t;


extern const prt_source_t  prt_block_source;

extern prt_block_limits_t  prt_block_limits;

extern _Thread_local prt_block_local_t  prt_block_local
    __attribute__((tls_model("initial-exec")));

extern const prt_hook_t  prt_block_call_hooks[];
extern const unsigned    prt_block_ncall_hooks;

/* calls on sockets, and waits for events */
extern const prt_hook_t  prt_block_socket_hooks[];
extern const unsigned    prt_block_nsocket_hooks;

/*
 * Hooks in the main program, before all others, if that is an event loop.
 * Returns -1 without memory.
 */
int prt_block_install_main(void);

/*
 * The function of libc that the calling thread would be in, if there were no
 * such hooks and it was at this program counter; 0: it is in none of them.
 * Signal-safe.
 */
uintptr_t prt_block_main_original(uint64_t pc);

/* a lock, and what tries it */

typedef struct {
    prt_hook_t   hook;
    const char  *try;
} prt_block_lock_t;

#define PRT_BLOCK_LOCKS  4

extern const prt_block_lock_t  prt_block_locks[PRT_BLOCK_LOCKS];

/* the same functions without a try */
extern const prt_hook_t        prt_block_timed_hooks[PRT_BLOCK_LOCKS];


/*
 * ns; 0: no hooks at all.  With "nonblocking" sockets of the main program are
 * not timed, nor its waits for events.  To be set before the source starts.
 */
void prt_block_set_rate(uint64_t rate, int nonblocking);

/* The calling thread is the profiler's own: it never blocks. */
void prt_block_own(void);

/* The values of a row: all, and those of locks. */
void prt_block_derive(const uint64_t *before, const uint64_t *delta, int live,
    int64_t *values);
void prt_block_derive_locks(const uint64_t *before, const uint64_t *delta,
    int live, int64_t *values);

/* That rate, for the comments; 0: off. */
uint64_t prt_block_rate(void);


#define prt_block_limit(name)                                                 \
    atomic_load_explicit(&prt_block_limits.name, memory_order_relaxed)


/* The calling thread waited for events so long, in ticks: it may have slept. */

static inline void
prt_block_waited(uint64_t ticks)
{
    if ((int64_t) ticks >= prt_block_limit(waited)) {
        prt_block_local.waits++;
    }
}


/*
 * Between these the calling thread waits for work: an event loop that calls
 * poll() or select().  They nest.  Signal-safe.
 */

static inline void
prt_block_pause(void)
{
    prt_block_local.paused++;
}


static inline void
prt_block_resume(void)
{
    prt_block_local.paused--;
}


/*
 * Hooks are in a section of their own, so that a stack tells whether one
 * called the other: only the outermost counts.  A mark of the thread would
 * stay behind when a signal handler jumps out of a call.
 */

#define PRT_BLOCK_HOOK       __attribute__((section("prt_block_hooks")))
#define PRT_BLOCK_MAIN_HOOK  __attribute__((section("prt_block_main")))

/* of the linker: where they are */
extern const char  __start_prt_block_hooks[];
extern const char  __stop_prt_block_hooks[];
extern const char  __start_prt_block_main[];
extern const char  __stop_prt_block_main[];

/*
 * A call of "function" ended that began at "start" (ticks): one that took
 * long, one that waited for a lock, a look-up before which there were so many
 * switches.  All are signal-safe and keep errno.
 */
void prt_block_ended(uint64_t start, unsigned what, uintptr_t function);
void prt_block_locked(uint64_t start, unsigned what, uintptr_t function);
void prt_block_found(uint64_t start, uint64_t switches, uintptr_t function);

/* Looks at the thread's switches if that is due; returns the ticks. */
uint64_t prt_block_begin(void);

uint64_t prt_block_switches(void);


/* Whether the short way of a hook is open that began at "now". */

static inline int
prt_block_fast(uint64_t now)
{
    return __builtin_expect((int64_t) (now - prt_block_local.seen)
                            <= prt_block_limit(fast), 1);
}


static inline int
prt_block_long(uint64_t ticks)
{
    return __builtin_expect((int64_t) ticks >= prt_block_limit(min), 0);
}


#endif /* _PRT_BLOCK_H_INCLUDED_ */
