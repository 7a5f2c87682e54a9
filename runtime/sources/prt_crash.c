
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/prt_clock.h"
#include "sources/prt_crash.h"
#include "sources/prt_record.h"
#include "sources/prt_thread.h"


#define PRT_CRASH_STACK    (64 * 1024)     /* bytes, for when the stack is full */
#define PRT_CRASH_SIGNALS                                                     \
    (sizeof(prt_crash_signals) / sizeof(prt_crash_signals[0]))


static void prt_crash_stack(void);
static void prt_crash_restore(void);
static void prt_crash_handler(int signo, siginfo_t *info, void *context);
static void prt_crash_note(int signo, void *context);
static unsigned prt_crash_walk(void *context, uint64_t *frames);
static int prt_crash_async(int signo, const siginfo_t *info);


/* not SIGTRAP and SIGSYS: who uses breakpoints or filters calls goes on */

static const int         prt_crash_signals[] = {
    SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT
};

static struct sigaction  prt_crash_former[NSIG];
static uint8_t           prt_crash_set[NSIG];

static _Atomic pid_t     prt_crash_pid;    /* whose slot it is; 0: stopped */
static _Atomic uint64_t *prt_crash_count;
static void            (*prt_crash_noted)(void);


void
prt_crash_start(_Atomic uint64_t *crashes, void (*noted)(void))
{
    int               signo;
    size_t            i;
    struct sigaction  action;

    prt_crash_count = crashes;
    prt_crash_noted = noted;

    prt_crash_stack();

    memset(&action, 0, sizeof(struct sigaction));
    sigemptyset(&action.sa_mask);
    action.sa_sigaction = prt_crash_handler;
    action.sa_flags = SA_SIGINFO|SA_ONSTACK;

    for (i = 0; i < PRT_CRASH_SIGNALS; i++) {
        signo = prt_crash_signals[i];
        prt_crash_set[signo] = 0;

        if (sigaction(signo, NULL, &prt_crash_former[signo]) != 0
            || prt_crash_former[signo].sa_handler == SIG_IGN)
        {
            continue;
        }

        prt_crash_set[signo] = sigaction(signo, &action, NULL) == 0;
    }

    atomic_store(&prt_crash_pid, getpid());
}


/* The control thread's, if it has none.  It stays. */

static void
prt_crash_stack(void)
{
    stack_t       stack;
    static void  *memory;

    if (sigaltstack(NULL, &stack) != 0 || !(stack.ss_flags & SS_DISABLE)) {
        return;
    }

    if (memory == NULL) {
        memory = mmap(NULL, PRT_CRASH_STACK, PROT_READ|PROT_WRITE,
                      MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE, -1, 0);

        if (memory == MAP_FAILED) {
            memory = NULL;
            return;
        }
    }

    memset(&stack, 0, sizeof(stack_t));
    stack.ss_sp = memory;
    stack.ss_size = PRT_CRASH_STACK;

    (void) sigaltstack(&stack, NULL);
}


void
prt_crash_stop(void)
{
    uint32_t  noted;

    /* it lives, so an earlier handler has recovered from what was noted */

    if (atomic_load(&prt_crash_pid) == getpid()) {
        noted = PRT_CRASH_NOTED;

        (void) atomic_compare_exchange_strong(&prt_slot.head->crash.state,
                                              &noted, PRT_CRASH_NONE);
    }

    prt_crash_restore();
}


/* The slot is the parent's, and what is noted there as well. */

void
prt_crash_forked(void)
{
    prt_crash_restore();
}


static void
prt_crash_restore(void)
{
    int               signo;
    size_t            i;
    struct sigaction  action;

    atomic_store(&prt_crash_pid, 0);

    for (i = 0; i < PRT_CRASH_SIGNALS; i++) {
        signo = prt_crash_signals[i];

        if (!prt_crash_set[signo]) {
            continue;
        }

        prt_crash_set[signo] = 0;

        /* who came after us knows of us, and may call us still */

        if (sigaction(signo, NULL, &action) == 0
            && action.sa_sigaction == prt_crash_handler)
        {
            (void) sigaction(signo, &prt_crash_former[signo], NULL);
        }
    }
}


/* Signal-safe, as everything that it calls. */

static void
prt_crash_handler(int signo, siginfo_t *info, void *context)
{
    int  err;

    err = errno;

    /* a child that shares our memory (vfork()) is another process */

    if (atomic_load(&prt_crash_pid) == getpid()) {
        prt_crash_note(signo, context);
    }

    (void) sigaction(signo, &prt_crash_former[signo], NULL);

    /*
     * An instruction that failed does so again when we return, with the former
     * disposition and the registers as they were.  What was sent does not come
     * again by itself: blocked until we return, it comes then, and tells who
     * sent it.
     */

    if (prt_crash_async(signo, info)
        && syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), signo,
                   info)
           != 0)
    {
        (void) syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), signo);
    }

    errno = err;
}


static int
prt_crash_async(int signo, const siginfo_t *info)
{
    return info->si_code <= 0
           || (signo == SIGBUS && info->si_code == BUS_MCEERR_AO);
}


static void
prt_crash_note(int signo, void *context)
{
    uint32_t           none;
    prt_slot_crash_t  *crash;

    none = PRT_CRASH_NONE;
    crash = &prt_slot.head->crash;

    if (!atomic_compare_exchange_strong(&crash->state, &none,
                                        PRT_CRASH_WRITING))
    {
        return;
    }

    crash->signo = (uint32_t) signo;
    crash->labels = prt_labels;
    crash->time = prt_now();
    crash->nframes = prt_crash_walk(context, crash->frames);

    atomic_store(&crash->state, PRT_CRASH_NOTED);
    atomic_fetch_add(prt_crash_count, 1);

    prt_crash_noted();
}


static unsigned
prt_crash_walk(void *context, uint64_t *frames)
{
    unsigned    n;
    uintptr_t   caller;
    prt_regs_t  regs;

    prt_regs_from_ucontext(&regs, context);

    n = prt_record_stack(&regs, &prt_thread_stack, frames, prt_unwind);

    if (!PRT_ARCH_TABLE || n != 2 || frames[1] != PRT_FRAME_NO_OBJECT) {
        return n;
    }

    /* a call of what is no function: its return address was pushed last */

    prt_regs_from_ucontext(&regs, context);

    if (prt_load(prt_regs_sp(&regs), &caller) != 0) {
        return n;
    }

    regs.pc = caller;
    regs.interrupted = 0;
    prt_regs_sp(&regs) += PRT_ARCH_RETURN;

    return 1 + prt_record_stack(&regs, &prt_thread_stack, frames + 1,
                                prt_unwind);
}
