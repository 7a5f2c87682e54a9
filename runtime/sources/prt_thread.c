
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/prt_hook.h"
#include "platform/prt_libunwind.h"
#include "sources/prt_cpu.h"
#include "sources/prt_record.h"
#include "sources/prt_thread.h"


static int prt_thread_source_start(unsigned table, char error[PRT_ERROR_LEN]);
static void prt_thread_source_sync(unsigned rate);
static void prt_thread_source_stop(void);
static void prt_thread_source_forked(void);

static int prt_thread_hook_create(pthread_t *thread,
    const pthread_attr_t *attr, void *(*start)(void *), void *arg);
static int prt_thread_hook_sigmask(int how, const sigset_t *set,
    sigset_t *old);
static int prt_thread_hook_procmask(int how, const sigset_t *set,
    sigset_t *old);
static const sigset_t *prt_thread_mask(int how, const sigset_t *set,
    sigset_t *copy);

static void *prt_thread_main(void *data);
static void prt_thread_exit(void *data);
static void prt_thread_enter(prt_thread_t *thread);
static prt_thread_t *prt_thread_take(void);
static void prt_thread_bounds(prt_stack_bounds_t *bounds);
static void prt_thread_look(pid_t tid, int blocks);
static int prt_thread_exists(pid_t tid);
static void prt_thread_look_bounds(prt_thread_t *thread);
static int prt_thread_blocks(pid_t tid);
static ssize_t prt_thread_read(pid_t tid, const char *name, char *text,
    size_t size);


const prt_source_t  prt_thread_source = {
    prt_thread_source_start,
    prt_thread_source_sync,
    prt_thread_source_stop,
    prt_thread_source_forked
};


static int  (*prt_thread_create)(pthread_t *, const pthread_attr_t *,
    void *(*)(void *), void *) = pthread_create;
static int  (*prt_thread_sigmask)(int, const sigset_t *, sigset_t *) =
    pthread_sigmask;
static int  (*prt_thread_procmask)(int, const sigset_t *, sigset_t *) =
    sigprocmask;


static const prt_hook_t  prt_thread_hooks[] = {
    { "pthread_create", (void *) prt_thread_hook_create,
      (void **) &prt_thread_create },
    { "pthread_sigmask", (void *) prt_thread_hook_sigmask,
      (void **) &prt_thread_sigmask },
    { "sigprocmask", (void *) prt_thread_hook_procmask,
      (void **) &prt_thread_procmask }
};


_Thread_local prt_stack_bounds_t  prt_thread_stack
    __attribute__((tls_model("initial-exec")));

static unsigned         prt_thread_table;
static _Atomic int      prt_thread_active;
static prt_thread_t     prt_threads[PRT_THREADS_MAX];
static pthread_mutex_t  prt_threads_mutex = PTHREAD_MUTEX_INITIALIZER;


static int
prt_thread_source_start(unsigned table, char error[PRT_ERROR_LEN])
{
    unsigned       i;
    prt_thread_t  *thread;

    prt_thread_table = table;

    /* threads of a run before this one are found again by a scan */

    prt_threads_lock();

    for (i = 0; i < PRT_THREADS_MAX; i++) {
        prt_cpu_detach(&prt_threads[i]);
        atomic_store(&prt_threads[i].state, PRT_THREAD_FREE);
    }

    prt_threads_unlock();

    thread = prt_thread_take();
    prt_thread_enter(thread);

    atomic_store(&prt_thread_active, 1);

    if (prt_hooks_install(prt_thread_hooks,
                          sizeof(prt_thread_hooks) / sizeof(prt_hook_t))
        < 0)
    {
        snprintf(error, PRT_ERROR_LEN, "no memory for the thread hooks");
        return -1;
    }

    return 0;
}


static void
prt_thread_source_sync(unsigned rate)
{
    (void) rate;

    (void) prt_hooks_refresh();
}


static void
prt_thread_source_stop(void)
{
    /* the hooks stay: who calls them now passes through */

    atomic_store(&prt_thread_active, 0);
}


static void
prt_thread_source_forked(void)
{
    prt_thread_source_stop();

    memset(prt_threads, 0, sizeof(prt_threads));

    /* another thread of the parent may have held it */
    prt_threads_mutex = (pthread_mutex_t) PTHREAD_MUTEX_INITIALIZER;
}


/*
 * A hook: allocates nothing of its own and keeps errno.  libunwind may carry
 * on here, where the caller is about to allocate a stack anyway.
 */

static int
prt_thread_hook_create(pthread_t *id, const pthread_attr_t *attr,
    void *(*start)(void *), void *arg)
{
    int                  rc, err;
    unsigned             n;
    uint64_t             frames[PRT_STACK_MAX + 1], one;
    prt_regs_t           regs;
    prt_thread_t        *thread;
    prt_stack_bounds_t   bounds;

    thread = NULL;
    n = 0;

    if (atomic_load(&prt_thread_active)) {
        err = errno;

        /* a stack is walked from here upwards: its end is not needed exactly */

        memset(&bounds, 0, sizeof(prt_stack_bounds_t));

        prt_regs_here(&regs);
        n = prt_record_stack(&regs, &bounds, frames, prt_unwind_slow);

        thread = prt_thread_take();
        errno = err;
    }

    if (thread) {
        thread->start = start;
        thread->arg = arg;

        rc = prt_thread_create(id, attr, prt_thread_main, thread);

    } else {
        rc = prt_thread_create(id, attr, start, arg);
    }

    if (rc == 0 && n) {
        one = 1;
        prt_record(prt_thread_table, frames, n, prt_labels, &one);

    }

    if (rc != 0 && thread) {
        atomic_store(&thread->state, PRT_THREAD_FREE);
    }

    return rc;
}


/*
 * What blocks SIGPROF takes a thread out of the profile without a word, and
 * nginx's pool threads block all they can.  Where it is somebody else's signal
 * it is blocked as he wants it.
 */

static int
prt_thread_hook_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    sigset_t  copy;

    return prt_thread_sigmask(how, prt_thread_mask(how, set, &copy), old);
}


static int
prt_thread_hook_procmask(int how, const sigset_t *set, sigset_t *old)
{
    sigset_t  copy;

    return prt_thread_procmask(how, prt_thread_mask(how, set, &copy), old);
}


static const sigset_t *
prt_thread_mask(int how, const sigset_t *set, sigset_t *copy)
{
    if (set == NULL || how == SIG_UNBLOCK || !atomic_load(&prt_thread_active)
        || sigismember(set, SIGPROF) != 1 || prt_cpu_signal_taken())
    {
        return set;
    }

    *copy = *set;
    sigdelset(copy, SIGPROF);

    return copy;
}


static void *
prt_thread_main(void *data)
{
    void          *arg, *result;
    sigset_t       set;
    prt_thread_t  *thread;
    void        *(*start)(void *);

    thread = data;
    start = thread->start;
    arg = thread->arg;

    /* inherited from a thread that started before the hooks, perhaps */

    if (!prt_cpu_signal_taken()) {
        sigemptyset(&set);
        sigaddset(&set, SIGPROF);
        (void) pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    }

    prt_thread_enter(thread);

    pthread_cleanup_push(prt_thread_exit, thread);

    result = start(arg);

    pthread_cleanup_pop(1);

    return result;
}


static void
prt_thread_exit(void *data)
{
    sigset_t       set;
    prt_thread_t  *thread;

    thread = data;

    /* a signal on its way must not find its element in another's hands */

    sigemptyset(&set);
    sigaddset(&set, SIGPROF);
    (void) pthread_sigmask(SIG_BLOCK, &set, NULL);

    prt_threads_lock();

    /* the list may have been begun anew since this thread started */

    if (atomic_load(&thread->state) == PRT_THREAD_RUNNING
        && thread->tid == (pid_t) syscall(SYS_gettid))
    {
        prt_cpu_tail(thread);
        prt_cpu_detach(thread);
        atomic_store(&thread->state, PRT_THREAD_FREE);
    }

    prt_threads_unlock();
}


static void
prt_thread_enter(prt_thread_t *thread)
{
    pid_t               tid;
    unsigned            i;
    prt_thread_t       *other;
    prt_stack_bounds_t  bounds;

    tid = (pid_t) syscall(SYS_gettid);

    prt_thread_bounds(&bounds);
    prt_thread_stack = bounds;

    prt_threads_lock();

    /* a scan may have been faster */

    for (i = 0; i < PRT_THREADS_MAX; i++) {
        other = prt_threads_get(i);

        if (other && other->tid == tid) {
            prt_cpu_detach(other);
            atomic_store(&other->state, PRT_THREAD_FREE);
        }
    }

    thread->tid = tid;
    thread->bounds = bounds;

    atomic_store(&thread->state, PRT_THREAD_RUNNING);

    prt_cpu_attach(thread);

    prt_threads_unlock();
}


static prt_thread_t *
prt_thread_take(void)
{
    unsigned       i;
    uint32_t       expected;
    prt_thread_t  *thread;

    for (i = 0; i < PRT_THREADS_MAX; i++) {
        thread = &prt_threads[i];
        expected = PRT_THREAD_FREE;

        if (atomic_compare_exchange_strong(&thread->state, &expected,
                                           PRT_THREAD_STARTING))
        {
            thread->tid = 0;
            thread->bounds.lo = 0;
            thread->bounds.hi = 0;
            thread->own = 0;
            thread->deaf = 0;
            thread->scanned = 0;
            thread->seen = 0;

            return thread;
        }
    }

    return NULL;
}


static void
prt_thread_bounds(prt_stack_bounds_t *bounds)
{
    void            *base;
    size_t           size;
    pthread_attr_t   attr;

    memset(bounds, 0, sizeof(prt_stack_bounds_t));

    if (pthread_getattr_np(pthread_self(), &attr) != 0) {
        return;
    }

    if (pthread_attr_getstack(&attr, &base, &size) == 0) {
        bounds->lo = (uintptr_t) base;
        bounds->hi = (uintptr_t) base + size;
    }

    (void) pthread_attr_destroy(&attr);
}


void
prt_thread_own(void)
{
    prt_thread_t  *thread;

    thread = prt_thread_take();

    if (thread) {
        thread->own = 1;
        prt_thread_enter(thread);
    }
}


int
prt_thread_register(void)
{
    pid_t          tid;
    unsigned       i, known;
    prt_thread_t  *thread;

    if (!atomic_load(&prt_thread_active)) {
        return -1;
    }

    tid = (pid_t) syscall(SYS_gettid);
    known = 0;

    prt_threads_lock();

    for (i = 0; i < PRT_THREADS_MAX; i++) {
        thread = prt_threads_get(i);
        known |= thread && thread->tid == tid && !thread->scanned;
    }

    prt_threads_unlock();

    if (known) {
        return 0;
    }

    thread = prt_thread_take();
    if (thread == NULL) {
        return -1;
    }

    prt_thread_enter(thread);

    return 0;
}


void
prt_thread_unregister(void)
{
    pid_t          tid;
    unsigned       i;
    prt_thread_t  *thread;

    tid = (pid_t) syscall(SYS_gettid);

    prt_threads_lock();

    for (i = 0; i < PRT_THREADS_MAX; i++) {
        thread = prt_threads_get(i);

        if (thread && thread->tid == tid) {
            prt_cpu_tail(thread);
            prt_cpu_detach(thread);
            atomic_store(&thread->state, PRT_THREAD_FREE);
        }
    }

    prt_threads_unlock();
}


void
prt_threads_lock(void)
{
    (void) pthread_mutex_lock(&prt_threads_mutex);
}


void
prt_threads_unlock(void)
{
    (void) pthread_mutex_unlock(&prt_threads_mutex);
}


prt_thread_t *
prt_threads_get(unsigned i)
{
    return atomic_load(&prt_threads[i].state) == PRT_THREAD_RUNNING
           ? &prt_threads[i] : NULL;
}


int
prt_threads_valid(const void *thread)
{
    uintptr_t  offset;

    offset = (uintptr_t) thread - (uintptr_t) prt_threads;

    return offset < sizeof(prt_threads) && offset % sizeof(prt_thread_t) == 0;
}


void
prt_threads_scan(void)
{
    DIR            *dir;
    unsigned        i, n;
    prt_thread_t   *thread;
    struct dirent  *entry;

    /* of the service thread alone */
    static pid_t    tids[PRT_THREADS_MAX];
    static uint8_t  blocks[PRT_THREADS_MAX];

    dir = opendir("/proc/self/task");
    if (dir == NULL) {
        return;
    }

    /* threads that start and end wait for the lock, so files are read before */

    for (n = 0; n < PRT_THREADS_MAX && (entry = readdir(dir)) != NULL; ) {

        if (entry->d_name[0] != '.') {
            tids[n] = (pid_t) strtol(entry->d_name, NULL, 10);
            blocks[n] = (uint8_t) prt_thread_blocks(tids[n]);
            n++;
        }
    }

    (void) closedir(dir);

    prt_threads_lock();

    for (i = 0; i < PRT_THREADS_MAX; i++) {
        thread = prt_threads_get(i);

        if (thread) {
            thread->seen = 0;
        }
    }

    for (i = 0; i < n; i++) {
        prt_thread_look(tids[i], blocks[i]);
    }

    for (i = 0; i < PRT_THREADS_MAX; i++) {
        thread = prt_threads_get(i);

        /* ended in a way that ran no cleanup */

        if (thread && !thread->seen && n < PRT_THREADS_MAX
            && !prt_thread_exists(thread->tid))
        {
            prt_cpu_detach(thread);
            atomic_store(&thread->state, PRT_THREAD_FREE);
        }
    }

    prt_threads_unlock();
}


static void
prt_thread_look(pid_t tid, int blocks)
{
    unsigned       i, starting;
    prt_thread_t  *thread;

    starting = 0;

    for (i = 0; i < PRT_THREADS_MAX; i++) {
        thread = prt_threads_get(i);

        if (thread && thread->tid == tid) {
            thread->seen = 1;

            if (thread->scanned) {
                prt_thread_look_bounds(thread);
            }

            if (!blocks) {
                thread->deaf = 0;

            } else if (thread->deaf < 2) {
                thread->deaf++;
            }

            return;
        }

        starting |= atomic_load(&prt_threads[i].state) == PRT_THREAD_STARTING;
    }

    if (starting) {
        /* most likely this one: it will come by itself */
        return;
    }

    thread = prt_thread_take();
    if (thread == NULL) {
        return;
    }

    thread->tid = tid;
    thread->scanned = 1;
    thread->seen = 1;
    thread->deaf = (uint8_t) blocks;

    prt_thread_look_bounds(thread);

    atomic_store(&thread->state, PRT_THREAD_RUNNING);
}


/* It may have started after the list of tasks was read. */

static int
prt_thread_exists(pid_t tid)
{
    return syscall(SYS_tgkill, getpid(), tid, 0) == 0;
}


/*
 * The stack of a thread that no hook saw: where its stack pointer is while it
 * sleeps.  Until then its bounds are unknown, and the walker checks each load.
 */

static void
prt_thread_look_bounds(prt_thread_t *thread)
{
    FILE           *maps;
    char            text[256], line[512], *p, *last;
    ssize_t         n;
    uintptr_t       sp, lo, hi;

    if (thread->bounds.hi != 0) {
        return;
    }

    n = prt_thread_read(thread->tid, "syscall", text, sizeof(text));

    if (n <= 0 || text[0] == 'r') {
        return;
    }

    /* "... SP PC" */

    last = strrchr(text, ' ');
    if (last == NULL) {
        return;
    }

    *last = '\0';
    p = strrchr(text, ' ');
    if (p == NULL) {
        return;
    }

    sp = (uintptr_t) strtoull(p + 1, NULL, 16);

    maps = fopen("/proc/self/maps", "re");
    if (maps == NULL) {
        return;
    }

    while (fgets(line, sizeof(line), maps)) {

        if (sscanf(line, "%lx-%lx", &lo, &hi) == 2 && sp >= lo && sp < hi) {
            thread->bounds.lo = lo;
            atomic_thread_fence(memory_order_release);
            thread->bounds.hi = hi;
            break;
        }
    }

    (void) fclose(maps);
}


static int
prt_thread_blocks(pid_t tid)
{
    char     text[4096], *p;
    ssize_t  n;

    n = prt_thread_read(tid, "status", text, sizeof(text));
    if (n <= 0) {
        return 0;
    }

    p = strstr(text, "\nSigBlk:");

    return p && (strtoull(p + 8, NULL, 16) >> (SIGPROF - 1) & 1);
}


static ssize_t
prt_thread_read(pid_t tid, const char *name, char *text, size_t size)
{
    int      fd;
    char     path[64];
    ssize_t  n;

    snprintf(path, sizeof(path), "/proc/self/task/%d/%s", (int) tid, name);

    fd = open(path, O_RDONLY|O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    n = read(fd, text, size - 1);
    (void) close(fd);

    if (n > 0) {
        text[n] = '\0';
    }

    return n;
}
