
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/prt_clock.h"
#include "platform/prt_object.h"
#include "platform/prt_unwind.h"
#include "sources/prt_block.h"
#include "sources/prt_cpu.h"
#include "sources/prt_peek.h"
#include "sources/prt_record.h"
#include "sources/prt_trace.h"


#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id  _sigev_un._tid
#endif

/* slots' transient stacks are forgotten between windows above this use */
#define PRT_CPU_FORGET  25                 /* percent */

#define PRT_CPU_QUIET   100                /* times 0.1 ms, for a last handler */

/*
 * Threads that no hook saw are looked for with so many syncs at first, and then
 * with one in so many: it is a file of each thread.
 */
#define PRT_CPU_LOOKS   5


static int prt_cpu_start(unsigned table, char error[PRT_ERROR_LEN]);
static void prt_cpu_sync(unsigned rate);
static void prt_cpu_stop(void);
static void prt_cpu_forked(void);
static int prt_cpu_foreign(const struct sigaction *action);
static void prt_cpu_handler(int signo, siginfo_t *info, void *context);
static void prt_cpu_set(prt_thread_t *thread);
static void prt_cpu_forget(void);
static int prt_cpu_quiet(void);
static clockid_t prt_cpu_clock(pid_t tid);
static uint64_t prt_cpu_random(void);


const prt_source_t  prt_cpu_source = {
    prt_cpu_start,
    prt_cpu_sync,
    prt_cpu_stop,
    prt_cpu_forked
};


static unsigned                      prt_cpu_table;
static unsigned                      prt_cpu_looks;   /* since a window opened */
static _Atomic uint32_t              prt_cpu_rate;
static _Atomic uint32_t              prt_cpu_inside;  /* handlers running */
static _Atomic(prt_cpu_observer_pt)  prt_cpu_observer;


static int
prt_cpu_start(unsigned table, char error[PRT_ERROR_LEN])
{
    (void) error;

    prt_cpu_table = table;
    atomic_store(&prt_cpu_rate, 0);

    return 0;
}


static void
prt_cpu_sync(unsigned rate)
{
    unsigned       i, untimed, deaf, last;
    prt_thread_t  *thread;

    last = atomic_load(&prt_cpu_rate);

    if (rate == 0 && last == 0) {
        return;
    }

    if (rate != 0 && prt_cpu_take_signal() != 0) {
        rate = 0;
    }

    if (rate != 0 && last == 0) {
        prt_cpu_forget();
        prt_cpu_looks = 0;
    }

    if (rate != 0 && (prt_cpu_looks < PRT_CPU_LOOKS
                      || prt_cpu_looks % PRT_CPU_LOOKS == 0))
    {
        prt_threads_scan();
    }

    prt_cpu_looks++;

    untimed = 0;
    deaf = 0;

    prt_threads_lock();

    atomic_store(&prt_cpu_rate, rate);

    for (i = 0; i < PRT_THREADS_MAX; i++) {
        thread = prt_threads_get(i);

        if (thread == NULL || thread->own) {
            continue;
        }

        prt_cpu_set(thread);

        /* once may have been a look into our own handler */
        deaf += thread->deaf == 2;

        untimed += rate != 0 && atomic_load(&thread->period) == 0;
    }

    prt_threads_unlock();

    atomic_store(&prt_slot.head->rate, rate);
    atomic_store(&prt_slot.head->untimed, untimed);
    atomic_store(&prt_slot.head->deaf, deaf);
}


static void
prt_cpu_stop(void)
{
    struct sigaction  action;

    prt_cpu_sync(0);

    if (sigaction(SIGPROF, NULL, &action) == 0
        && action.sa_sigaction == prt_cpu_handler)
    {
        /* a signal that is still pending must not end the process */

        memset(&action, 0, sizeof(struct sigaction));
        action.sa_handler = SIG_IGN;

        (void) sigaction(SIGPROF, &action, NULL);
    }

    (void) prt_cpu_quiet();
}


static void
prt_cpu_forked(void)
{
    atomic_store(&prt_cpu_rate, 0);
    atomic_store(&prt_cpu_inside, 0);
}


/*
 * SIGPROF is ours if nobody has it.  Once taken it is kept until the process
 * stops: its default action would end the process on a late signal.
 */

int
prt_cpu_take_signal(void)
{
    Dl_info            info;
    const char        *name;
    struct sigaction   action;

    if (sigaction(SIGPROF, NULL, &action) != 0) {
        return -1;
    }

    if (prt_cpu_foreign(&action)) {
        name = "an unknown object";

        if (dladdr((void *) action.sa_sigaction, &info) && info.dli_fname) {
            name = strrchr(info.dli_fname, '/');
            name = name ? name + 1 : info.dli_fname;
        }

        atomic_store(&prt_slot.head->taken,
                     prt_slot_string(&prt_slot, name, strlen(name)));

        return -1;
    }

    /* also when it was lent: who has given it back is not named any more */

    atomic_store(&prt_slot.head->taken, 0);

    if (action.sa_sigaction == prt_cpu_handler) {
        return 0;
    }

    memset(&action, 0, sizeof(struct sigaction));
    sigemptyset(&action.sa_mask);
    action.sa_sigaction = prt_cpu_handler;
    action.sa_flags = SA_SIGINFO|SA_RESTART|SA_ONSTACK;

    return sigaction(SIGPROF, &action, NULL);
}


static int
prt_cpu_foreign(const struct sigaction *action)
{
    if (action->sa_flags & SA_SIGINFO) {
        return action->sa_sigaction != prt_cpu_handler;
    }

    return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}


int
prt_cpu_signal_taken(void)
{
    struct sigaction  action;

    return sigaction(SIGPROF, NULL, &action) == 0 && prt_cpu_foreign(&action);
}


/* Signal-safe, as everything that it calls. */

static void
prt_cpu_handler(int signo, siginfo_t *info, void *context)
{
    int                   err;
    unsigned              n;
    uint64_t              frames[PRT_STACK_MAX + 1], values[2];
    uintptr_t             original;
    prt_regs_t            regs;
    prt_thread_t         *thread;
    prt_cpu_observer_pt   observer;

    (void) signo;

    err = errno;
    thread = info->si_value.sival_ptr;

    atomic_fetch_add(&prt_cpu_inside, 1);

    if (prt_peek_signal(info, context)) {
        goto done;
    }

    if (info->si_code != SI_TIMER || !prt_threads_valid(thread)) {
        prt_slot_count(&prt_slot, PRT_COUNT_FOREIGN, 1);
        goto done;
    }

    /* the period is 0 when the timer was deleted with its signal on the way */

    values[0] = 1 + (uint64_t) info->si_overrun;
    values[1] = values[0] * atomic_load_explicit(&thread->period,
                                                 memory_order_relaxed);

    if (values[1] != 0) {

        prt_regs_from_ucontext(&regs, context);

        atomic_fetch_add_explicit(&thread->ticks, values[0],
                                  memory_order_relaxed);

        n = prt_record_stack(&regs, &thread->bounds, frames, prt_unwind);

        observer = atomic_load_explicit(&prt_cpu_observer,
                                        memory_order_relaxed);
        if (observer) {
            observer(context, frames, n);
        }

        /* in a system call that we make: who reads knows it by libc's name */

        original = n ? prt_block_main_original(frames[0]) : 0;

        if (original) {
            frames[0] = original + 1;
        }

        prt_record(prt_cpu_table, frames, n, prt_labels, values);
        prt_trace_sample(frames, n, values[0]);

        prt_slot_count(&prt_slot, PRT_COUNT_SIGNALS, 1);
        prt_slot_count(&prt_slot, PRT_COUNT_SAMPLES, values[0]);
        prt_slot_count(&prt_slot, PRT_COUNT_CPU, values[1]);
    }

done:

    atomic_fetch_sub(&prt_cpu_inside, 1);

    errno = err;
}


void
prt_cpu_attach(prt_thread_t *thread)
{
    prt_cpu_set(thread);
}


void
prt_cpu_detach(prt_thread_t *thread)
{
    if (atomic_load(&thread->period) != 0) {
        atomic_store(&thread->period, 0);
        (void) timer_delete(thread->timer);
    }
}


void
prt_cpu_tail(prt_thread_t *thread)
{
    unsigned    n;
    uint64_t    period, now, due, ticks, frames[PRT_STACK_MAX + 2], values[2];
    prt_regs_t  regs;

    atomic_fetch_add(&prt_cpu_inside, 1);

    period = atomic_load(&thread->period);
    now = prt_clock(CLOCK_THREAD_CPUTIME_ID);
    ticks = atomic_load(&thread->ticks);
    due = 0;

    if (period != 0 && now >= thread->first) {
        due = 1 + (now - thread->first) / period;
    }

    if (due <= ticks) {
        atomic_fetch_sub(&prt_cpu_inside, 1);
        return;
    }

    values[0] = due - ticks;
    values[1] = values[0] * period;

    prt_regs_here(&regs);

    frames[0] = PRT_FRAME_TAIL;
    n = 1 + prt_record_stack(&regs, &thread->bounds, frames + 1, prt_unwind);

    prt_record(prt_cpu_table, frames, n, 0, values);

    prt_slot_count(&prt_slot, PRT_COUNT_SAMPLES, values[0]);
    prt_slot_count(&prt_slot, PRT_COUNT_CPU, values[1]);

    atomic_fetch_sub(&prt_cpu_inside, 1);
}


/* Brings the thread's timer to the present rate, with the list locked. */

static void
prt_cpu_set(prt_thread_t *thread)
{
    uint64_t           period, first;
    unsigned           rate;
    struct sigevent    event;
    struct itimerspec  spec;

    rate = thread->own ? 0 : atomic_load(&prt_cpu_rate);
    period = rate ? PRT_SEC / rate : 0;

    if (atomic_load(&thread->period) == period) {
        return;
    }

    prt_cpu_detach(thread);

    if (period == 0) {
        return;
    }

    memset(&event, 0, sizeof(struct sigevent));
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGPROF;
    event.sigev_value.sival_ptr = thread;
    event.sigev_notify_thread_id = thread->tid;

    if (timer_create(prt_cpu_clock(thread->tid), &event, &thread->timer)
        != 0)
    {
        atomic_store(&prt_slot.head->untimed_errno, (uint32_t) errno);
        return;
    }

    /*
     * The first tick comes after a random part of the period: with a whole
     * one, threads that live shorter would never be seen.
     */

    first = 1 + prt_cpu_random() % period;

    spec.it_value.tv_sec = (time_t) (first / PRT_SEC);
    spec.it_value.tv_nsec = (long) (first % PRT_SEC);
    spec.it_interval.tv_sec = (time_t) (period / PRT_SEC);
    spec.it_interval.tv_nsec = (long) (period % PRT_SEC);

    thread->first = prt_clock(prt_cpu_clock(thread->tid)) + first;
    atomic_store(&thread->ticks, 0);
    atomic_store(&thread->period, period);

    if (timer_settime(thread->timer, 0, &spec, NULL) != 0) {
        atomic_store(&prt_slot.head->untimed_errno, (uint32_t) errno);
        prt_cpu_detach(thread);
    }
}


/*
 * No window is open over this process, so nobody has a snapshot that he will
 * come back with, and no timer runs.
 */

static void
prt_cpu_forget(void)
{
    unsigned                 n;
    const prt_table_spec_t  *specs;

    if (prt_slot_used(&prt_slot) < PRT_CPU_FORGET || !prt_cpu_quiet()) {
        return;
    }

    specs = prt_profile_tables(&n);

    prt_slot_forget(&prt_slot, specs);
}


/* No handler is at work; the last one may be held up, even by a debugger. */

static int
prt_cpu_quiet(void)
{
    unsigned  i;

    for (i = 0; atomic_load(&prt_cpu_inside) != 0; i++) {

        if (i == PRT_CPU_QUIET) {
            return 0;
        }

        (void) usleep(100);
    }

    return 1;
}


/* The kernel's name of the CPU clock of one thread (man clock_getcpuclockid) */

static clockid_t
prt_cpu_clock(pid_t tid)
{
    return (clockid_t) ((~(unsigned) tid << 3) | 4 | 2);
}


static uint64_t
prt_cpu_random(void)
{
    static uint64_t  state;

    state ^= prt_now();
    state = prt_hash(&state, 1);

    return state;
}


void
prt_cpu_observe(prt_cpu_observer_pt observer)
{
    atomic_store(&prt_cpu_observer, observer);
}
