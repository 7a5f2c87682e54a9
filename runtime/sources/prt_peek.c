
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/prt_futex.h"
#include "sources/prt_cpu.h"
#include "sources/prt_peek.h"
#include "sources/prt_record.h"


#define PRT_PEEK_TIMEOUT  (20 * PRT_MSEC)
#define PRT_PEEK_TEXT     256              /* bytes of the file */


typedef enum {
    PRT_PEEK_IDLE = 0,
    PRT_PEEK_ASKED,
    PRT_PEEK_BUSY,                         /* the thread is at it */
    PRT_PEEK_DONE
} prt_peek_state_t;


/*
 * One for all: a signal that comes late finds that nobody has asked, or
 * another thread.
 */

static struct {
    _Atomic uint32_t     state;            /* prt_peek_state_t, and a futex */
    _Atomic pid_t        tid;              /* late signals read it at any time */
    prt_stack_bounds_t   bounds;
    unsigned             n;
    uint64_t             frames[PRT_STACK_MAX + 1];
} prt_peek_request;


static unsigned prt_peek_running(pid_t tid, const prt_stack_bounds_t *bounds,
    uint64_t *frames);
static int prt_peek_send(pid_t tid);
static ssize_t prt_peek_read(pid_t tid, char *text);
static int prt_peek_parse(const char *text, long *call, prt_regs_t *regs);


unsigned
prt_peek(pid_t tid, const prt_stack_bounds_t *bounds,
    uint64_t frames[PRT_STACK_MAX + 1], long *call)
{
    char        before[PRT_PEEK_TEXT], after[PRT_PEEK_TEXT];
    ssize_t     len;
    unsigned    n;
    prt_regs_t  regs;

    len = prt_peek_read(tid, before);

    if (len <= 0) {
        return 0;
    }

    *call = PRT_PEEK_RUNNING;

    if (before[0] == 'r') {
        return prt_peek_running(tid, bounds, frames);
    }

    if (prt_peek_parse(before, call, &regs) != 0) {
        return 0;
    }

    n = prt_record_stack(&regs, bounds, frames, prt_unwind);

    /* else it has woken, and the stack may be of two minds */

    if (prt_peek_read(tid, after) != len
        || memcmp(before, after, (size_t) len) != 0)
    {
        return 0;
    }

    return n;
}


static unsigned
prt_peek_running(pid_t tid, const prt_stack_bounds_t *bounds,
    uint64_t *frames)
{
    uint32_t  state;
    uint64_t  deadline;
    unsigned  n;

    if (prt_cpu_take_signal() != 0) {
        return 0;
    }

    atomic_store(&prt_peek_request.tid, tid);
    prt_peek_request.bounds = *bounds;

    atomic_store(&prt_peek_request.state, PRT_PEEK_ASKED);

    deadline = prt_now() + PRT_PEEK_TIMEOUT;
    n = 0;

    if (prt_peek_send(tid) == 0) {

        while ((state = atomic_load(&prt_peek_request.state)) != PRT_PEEK_DONE
               && prt_now() < deadline)
        {
            prt_futex_wait(&prt_peek_request.state, state, deadline);
        }
    }

    state = PRT_PEEK_ASKED;

    if (!atomic_compare_exchange_strong(&prt_peek_request.state, &state,
                                        PRT_PEEK_IDLE))
    {
        /* at it, though preempted perhaps: the memory is in use until then */

        while (atomic_load(&prt_peek_request.state) != PRT_PEEK_DONE) {
            (void) usleep(100);
        }

        n = prt_peek_request.n;
        memcpy(frames, prt_peek_request.frames, n * sizeof(uint64_t));

        atomic_store(&prt_peek_request.state, PRT_PEEK_IDLE);
    }

    return n;
}


static int
prt_peek_send(pid_t tid)
{
    siginfo_t  info;

    memset(&info, 0, sizeof(siginfo_t));

    info.si_signo = SIGPROF;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_ptr = &prt_peek_request;

    return (int) syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, SIGPROF, &info);
}


int
prt_peek_signal(const siginfo_t *info, const void *context)
{
    uint32_t    state;
    prt_regs_t  regs;

    if (info->si_code != SI_QUEUE
        || info->si_value.sival_ptr != &prt_peek_request)
    {
        return 0;
    }

    if (atomic_load(&prt_peek_request.tid) != (pid_t) syscall(SYS_gettid)) {
        return 1;
    }

    state = PRT_PEEK_ASKED;

    if (!atomic_compare_exchange_strong(&prt_peek_request.state, &state,
                                        PRT_PEEK_BUSY))
    {
        return 1;
    }

    prt_regs_from_ucontext(&regs, context);

    prt_peek_request.n = prt_record_stack(&regs, &prt_peek_request.bounds,
                                          prt_peek_request.frames, prt_unwind);

    atomic_store(&prt_peek_request.state, PRT_PEEK_DONE);

    (void) syscall(SYS_futex, &prt_peek_request.state, FUTEX_WAKE, 1, NULL,
                   NULL, 0);

    return 1;
}


static ssize_t
prt_peek_read(pid_t tid, char *text)
{
    int      fd;
    char     path[64];
    ssize_t  n;

    (void) snprintf(path, sizeof(path), "/proc/self/task/%d/syscall",
                    (int) tid);

    fd = open(path, O_RDONLY|O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    n = read(fd, text, PRT_PEEK_TEXT - 1);
    (void) close(fd);

    if (n > 0) {
        text[n] = '\0';
    }

    return n;
}


/* "NUMBER ARGUMENT * 6 SP PC", or "-1 SP PC" where it waits for something else */

static int
prt_peek_parse(const char *text, long *call, prt_regs_t *regs)
{
    char        *p;
    unsigned     n;
    uint64_t     words[8];

    *call = strtol(text, &p, 10);

    for (n = 0; n < 8 && *p == ' '; n++) {
        words[n] = strtoull(p, &p, 16);
    }

    if (n < 2 || words[n - 1] == 0) {
        return -1;
    }

    memset(regs, 0, sizeof(prt_regs_t));

    regs->r[PRT_ARCH_SP] = words[n - 2];
    regs->pc = words[n - 1];
    regs->valid = 1u << PRT_ARCH_SP;
    regs->interrupted = 1;

    return 0;
}
