
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * What the hooks of prt_block_call.c and prt_block_lock.c hand over.
 */


#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "platform/prt_object.h"
#include "sources/prt_block.h"
#include "sources/prt_record.h"
#include "sources/prt_thread.h"
#include "sources/prt_trace.h"


/* frames of a thread's start, in libc, and of the functions above them */
#define PRT_BLOCK_START  2
#define PRT_BLOCK_IDLE   2


static int prt_block_start(unsigned table, char error[PRT_ERROR_LEN]);
static void prt_block_sync(unsigned rate);
static void prt_block_stop(void);
static void prt_block_switch(int on);
static int prt_block_install_sockets(void);
static int prt_block_trusted(const prt_block_lock_t *lock);

static int prt_block_counts(void);
static int prt_block_sampled(uint64_t delay);
static int prt_block_slept(uint64_t start);
static void prt_block_look(void);
static void prt_block_record(uint64_t delay, unsigned what,
    uintptr_t function) __attribute__((noinline));
static unsigned prt_block_trim(const uint64_t *frames, unsigned n);
static int prt_block_is_hook(uint64_t frame);
static int prt_block_idle(const uint64_t *frames, unsigned n);
static double prt_block_uniform(void);


const prt_source_t  prt_block_source = {
    prt_block_start,
    prt_block_sync,
    prt_block_stop,
    prt_block_stop
};


prt_block_limits_t  prt_block_limits = {
    INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX
};

_Thread_local prt_block_local_t  prt_block_local
    __attribute__((tls_model("initial-exec")));

static unsigned     prt_block_table;
static _Atomic int  prt_block_active;
static uint64_t     prt_block_ns;          /* the rate; 0: off */
static int          prt_block_nonblocking;


void
prt_block_set_rate(uint64_t rate, int nonblocking)
{
    prt_block_ns = rate;
    prt_block_nonblocking = nonblocking;
}


uint64_t
prt_block_rate(void)
{
    return prt_block_ns;
}


static int
prt_block_start(unsigned table, char error[PRT_ERROR_LEN])
{
    unsigned           i;
    static prt_hook_t  locks[PRT_BLOCK_LOCKS];

    prt_block_table = table;

    if (prt_block_ns == 0) {
        return 0;
    }

    prt_block_switch(1);
    atomic_store(&prt_block_active, 1);

    for (i = 0; i < PRT_BLOCK_LOCKS; i++) {
        locks[i] = prt_block_trusted(&prt_block_locks[i])
                   ? prt_block_locks[i].hook : prt_block_timed_hooks[i];
    }

    if (prt_block_install_sockets() < 0
        || prt_hooks_install(prt_block_call_hooks, prt_block_ncall_hooks) < 0
        || prt_hooks_install(locks, PRT_BLOCK_LOCKS) < 0)
    {
        snprintf(error, PRT_ERROR_LEN, "no memory for the blocking hooks");
        return -1;
    }

    return 0;
}


static int
prt_block_install_sockets(void)
{
    if (!prt_block_nonblocking) {
        return prt_hooks_install(prt_block_socket_hooks,
                                 prt_block_nsocket_hooks);
    }

    if (prt_block_install_main() < 0) {
        return -1;
    }

    return prt_hooks_install_outside(prt_block_socket_hooks,
                                     prt_block_nsocket_hooks);
}


/*
 * A library that is preloaded in front of libc's locks, and not of what tries
 * them, would miss what we lock.
 */

static int
prt_block_trusted(const prt_block_lock_t *lock)
{
    void     *function, *try;
    Dl_info   mine, theirs;

    function = dlsym(RTLD_DEFAULT, lock->hook.name);
    try = dlsym(RTLD_DEFAULT, lock->try);

    if (function == NULL || try == NULL) {
        (void) dlerror();
        return 0;
    }

    return dladdr(function, &theirs) != 0 && dladdr(try, &mine) != 0
           && mine.dli_fbase == theirs.dli_fbase;
}


/* The hooks get into new objects by the thread source's refresh. */

static void
prt_block_sync(unsigned rate)
{
    (void) rate;
}


/*
 * The hooks stay: who calls them now passes through.  In a child of fork() as
 * well, which must not count in its parent's slot.
 */

static void
prt_block_stop(void)
{
    atomic_store(&prt_block_active, 0);
    prt_block_switch(0);
}


static void
prt_block_switch(int on)
{
    int64_t  look;

    look = on ? (int64_t) prt_ticks_of(PRT_BLOCK_LOOK) : INT64_MAX;

    atomic_store(&prt_block_limits.min,
                 on ? (int64_t) prt_ticks_of(PRT_BLOCK_MIN) : INT64_MAX);
    atomic_store(&prt_block_limits.look, look);
    atomic_store(&prt_block_limits.waited,
                 on ? (int64_t) prt_ticks_of(PRT_BLOCK_WAITED) : INT64_MAX);
    atomic_store(&prt_block_limits.fast,
                 prt_ticks_counter ? look : INT64_MIN);
}


void
prt_block_own(void)
{
    prt_block_local.own = 1;
}


void
prt_block_derive(const uint64_t *before, const uint64_t *delta, int live,
    int64_t *values)
{
    (void) before;
    (void) live;

    values[0] = (int64_t) delta[PRT_BLOCK_CONTENTIONS];
    values[1] = (int64_t) delta[PRT_BLOCK_DELAY];
}


void
prt_block_derive_locks(const uint64_t *before, const uint64_t *delta, int live,
    int64_t *values)
{
    (void) before;
    (void) live;

    values[0] = (int64_t) delta[PRT_BLOCK_LOCK_CONTENTIONS];
    values[1] = (int64_t) delta[PRT_BLOCK_LOCK_DELAY];
}


void
prt_block_ended(uint64_t start, unsigned what, uintptr_t function)
{
    int       err;
    uint64_t  delay;

    delay = prt_ticks() - start;
    err = errno;

    if (!prt_block_counts() || !prt_block_sampled(delay)) {
        /* it may have slept */
        prt_block_local.seen = 0;

    } else if (prt_block_slept(start)) {
        prt_block_record(delay, what, function);
    }

    errno = err;
}


void
prt_block_locked(uint64_t start, unsigned what, uintptr_t function)
{
    int       err;
    uint64_t  delay;

    delay = prt_ticks() - start;
    err = errno;

    prt_block_local.seen = 0;

    if ((int64_t) delay > 0 && prt_block_counts() && prt_block_sampled(delay)) {
        prt_block_record(delay, what, function);
    }

    errno = err;
}


void
prt_block_found(uint64_t start, uint64_t switches, uintptr_t function)
{
    int       err;
    uint64_t  delay;

    delay = prt_ticks() - start;
    err = errno;

    if (!prt_block_counts() || !prt_block_sampled(delay)) {
        prt_block_local.seen = 0;

    } else if (prt_block_switches() != switches) {
        prt_block_record(delay, PRT_BLOCK_CALL, function);
    }

    errno = err;
}


static int
prt_block_counts(void)
{
    return !prt_block_local.own && !prt_block_local.paused
           && atomic_load_explicit(&prt_block_active, memory_order_relaxed);
}


/* Whether it is one that counts, by its length in ticks. */

static int
prt_block_sampled(uint64_t delay)
{
    double  ns;

    ns = (double) prt_ticks_ns(delay);

    return ns >= (double) prt_block_ns
           || ns > prt_block_uniform() * (double) prt_block_ns;
}


/* Whether the thread slept since "start", and not before it only. */

static int
prt_block_slept(uint64_t start)
{
    uint64_t            before;
    prt_block_local_t  *local;

    local = &prt_block_local;

    before = local->switches + local->waits;

    /* a signal handler within the call has looked */

    if ((int64_t) (local->seen - start) > 0) {
        before = 0;
    }

    prt_block_look();

    return local->switches > before;
}


uint64_t
prt_block_begin(void)
{
    uint64_t  now;

    now = prt_ticks();

    if ((int64_t) (now - prt_block_local.seen) <= prt_block_limit(look)) {
        return now;
    }

    prt_block_look();

    return prt_block_local.seen;
}


static void
prt_block_look(void)
{
    prt_block_local_t  *local;

    local = &prt_block_local;

    local->switches = prt_block_switches();
    local->waits = 0;
    local->seen = prt_ticks();
}


uint64_t
prt_block_switches(void)
{
    struct rusage  usage;

    /* cannot fail: errno stays */

    return getrusage(RUSAGE_THREAD, &usage) == 0 ? (uint64_t) usage.ru_nvcsw
                                                 : 0;
}


static void
prt_block_record(uint64_t delay, unsigned what, uintptr_t function)
{
    double      ns, rate, calls;
    unsigned    n, skip;
    uint64_t    frames[PRT_STACK_MAX + 1], values[PRT_BLOCK_COUNTERS];
    prt_regs_t  regs;

    prt_regs_here(&regs);

    n = prt_record_stack(&regs, &prt_thread_stack, frames, prt_unwind);
    skip = prt_block_trim(frames, n);

    if (skip == n) {
        return;
    }

    /* the hook's place is its original's; a frame's code ends before it */
    frames[skip] = function + 1;

    if ((what & PRT_BLOCK_WAIT)
        && prt_block_idle(frames + skip + 1, n - skip - 1))
    {
        return;
    }

    prt_trace_call(delay, frames + skip, n - skip);

    ns = (double) prt_ticks_ns(delay);
    rate = (double) prt_block_ns;
    calls = ns < rate ? rate / ns : 1;

    /* a whole number, and right on average */

    values[PRT_BLOCK_CONTENTIONS] = (uint64_t) (calls + prt_block_uniform());
    values[PRT_BLOCK_DELAY] = (uint64_t) (ns < rate ? rate : ns);
    values[PRT_BLOCK_LOCK_CONTENTIONS] = 0;
    values[PRT_BLOCK_LOCK_DELAY] = 0;

    if (what & PRT_BLOCK_LOCK) {
        values[PRT_BLOCK_LOCK_CONTENTIONS] = values[PRT_BLOCK_CONTENTIONS];
        values[PRT_BLOCK_LOCK_DELAY] = values[PRT_BLOCK_DELAY];
    }

    prt_record(prt_block_table, frames + skip, n - skip, prt_labels, values);
}


/*
 * Our own frames before the hook, which may be two functions; "n" if it was
 * called within another one.
 */

static unsigned
prt_block_trim(const uint64_t *frames, unsigned n)
{
    unsigned  i, hook;

    for (hook = 0; hook < n && !prt_block_is_hook(frames[hook]); hook++) {
        /* void */
    }

    while (hook + 1 < n && prt_block_is_hook(frames[hook + 1])) {
        hook++;
    }

    for (i = hook + 1; i < n; i++) {
        if (prt_block_is_hook(frames[i])) {
            return n;
        }
    }

    return hook < n ? hook : 0;
}


static int
prt_block_is_hook(uint64_t frame)
{
    return (frame > (uintptr_t) __start_prt_block_hooks
            && frame <= (uintptr_t) __stop_prt_block_hooks)
           || (frame > (uintptr_t) __start_prt_block_main
               && frame <= (uintptr_t) __stop_prt_block_main);
}


/* Whether these are the callers of a thread that waits for work. */

static int
prt_block_idle(const uint64_t *frames, unsigned n)
{
    unsigned             i, k;
    const prt_map_t     *map;
    const prt_object_t  *object, *objects[PRT_BLOCK_IDLE + PRT_BLOCK_START];

    map = prt_map_acquire();
    k = 0;

    for (i = 0; i < n; i++) {
        object = prt_map_find(map, (uintptr_t) frames[i] - 1);

        /* the thread's start leads through us */

        if (object && object->own) {
            continue;
        }

        if (object == NULL || k == PRT_BLOCK_IDLE + PRT_BLOCK_START) {
            k = 0;
            break;
        }

        objects[k++] = object;
    }

    prt_map_release();

    /* a main program's start is not of one object */

    return k > PRT_BLOCK_START
           && objects[k - 1] == objects[k - 2]
           && objects[0] == objects[k - PRT_BLOCK_START - 1];
}


/* In [0, 1); splitmix64. */

static double
prt_block_uniform(void)
{
    uint64_t            x;
    prt_block_local_t  *local;

    local = &prt_block_local;

    if (local->random == 0) {
        local->random = prt_now() ^ (uintptr_t) local;
    }

    x = local->random += 0x9e3779b97f4a7c15;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    x ^= x >> 31;

    return (double) (x >> 11) * 0x1p-53;
}
