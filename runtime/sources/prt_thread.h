
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The threads of this process, and the profile of the stacks that created
 * them.
 *
 * Hooks on pthread_create() and on what blocks signals bring threads in:
 * nginx's pool threads block every signal, SIGPROF too, and would be missing
 * in a CPU profile.  Threads made behind the hooks (by libc itself, or before
 * the runtime started) are found by a look into /proc/self/task.
 */


#ifndef _PRT_THREAD_H_INCLUDED_
#define _PRT_THREAD_H_INCLUDED_


#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "platform/prt_unwind.h"
#include "sources/prt_profile.h"


#define PRT_THREADS_MAX  1024


typedef enum {
    PRT_THREAD_FREE = 0,
    PRT_THREAD_STARTING,                   /* taken in pthread_create() */
    PRT_THREAD_RUNNING
} prt_thread_state_t;


typedef struct {
    _Atomic uint32_t     state;            /* prt_thread_state_t */
    pid_t                tid;
    prt_stack_bounds_t   bounds;           /* hi == 0: not known */

    void              *(*start)(void *);
    void                *arg;

    timer_t              timer;
    _Atomic uint64_t     period;           /* ns of CPU time; 0: no timer */
    _Atomic uint64_t     ticks;            /* taken since the timer was armed */
    uint64_t             first;            /* its first expiry, by the thread's clock */

    /* bytes of their own: not all are written under the lock */
    uint8_t              own;              /* the profiler's: in nobody's profile */
    uint8_t              deaf;             /* looks in a row that found SIGPROF blocked */
    uint8_t              scanned;          /* found in /proc, not by a hook */
    uint8_t              seen;
} prt_thread_t;


extern const prt_source_t  prt_thread_source;


/*
 * The calling thread's stack; hi == 0: not known.  For hooks, which must not
 * ask libc for it.
 */
extern _Thread_local prt_stack_bounds_t  prt_thread_stack
    __attribute__((tls_model("initial-exec")));


/* The list of threads; the lock is never taken in a signal handler. */
void prt_threads_lock(void);
void prt_threads_unlock(void);

/* Thread i < PRT_THREADS_MAX if it runs, else NULL; with the lock held. */
prt_thread_t *prt_threads_get(unsigned i);

/* Whether this is an element of the list.  Signal-safe. */
int prt_threads_valid(const void *thread);

/* The calling thread is the profiler's own. */
void prt_thread_own(void);

/* Finds threads that no hook saw, and forgets those that ended unseen. */
void prt_threads_scan(void);


#endif /* _PRT_THREAD_H_INCLUDED_ */
