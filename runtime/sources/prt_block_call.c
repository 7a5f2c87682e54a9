
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Calls that may block, but for locks that can be tried.  A call costs two
 * looks at the clock.
 *
 * A hook passes on whatever may be in the registers of six arguments, so one
 * form fits all functions; those of names have up to eight.  It does not know
 * what it calls: value, errno and cancellation are between the original and
 * its caller.
 */


#include <fcntl.h>

#include "sources/prt_block.h"


typedef uintptr_t (*prt_block_call_pt)(uintptr_t, uintptr_t, uintptr_t,
    uintptr_t, uintptr_t, uintptr_t);
typedef uintptr_t (*prt_block_name_pt)(uintptr_t, uintptr_t, uintptr_t,
    uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t);


/* Those with "_chk" and "_2" are what the headers make of the others. */

#define PRT_BLOCK_CALLS(CALL)                                                 \
                                                                              \
    CALL(usleep, PRT_BLOCK_CALL)                                              \
    CALL(nanosleep, PRT_BLOCK_CALL)                                           \
    CALL(clock_nanosleep, PRT_BLOCK_CALL)                                     \
    CALL(sleep, PRT_BLOCK_CALL)                                               \
                                                                              \
    CALL(pthread_mutex_timedlock, PRT_BLOCK_LOCK)                             \
    CALL(pthread_mutex_clocklock, PRT_BLOCK_LOCK)                             \
    CALL(pthread_rwlock_timedrdlock, PRT_BLOCK_LOCK)                          \
    CALL(pthread_rwlock_timedwrlock, PRT_BLOCK_LOCK)                          \
    CALL(pthread_rwlock_clockrdlock, PRT_BLOCK_LOCK)                          \
    CALL(pthread_rwlock_clockwrlock, PRT_BLOCK_LOCK)                          \
    CALL(sem_timedwait, PRT_BLOCK_LOCK|PRT_BLOCK_WAIT)                        \
    CALL(sem_clockwait, PRT_BLOCK_LOCK|PRT_BLOCK_WAIT)                        \
    CALL(flock, PRT_BLOCK_LOCK)                                               \
    CALL(lockf, PRT_BLOCK_LOCK)                                               \
    CALL(lockf64, PRT_BLOCK_LOCK)                                             \
                                                                              \
    CALL(pthread_cond_wait, PRT_BLOCK_WAIT)                                   \
    CALL(pthread_cond_timedwait, PRT_BLOCK_WAIT)                              \
    CALL(pthread_cond_clockwait, PRT_BLOCK_WAIT)                              \
    CALL(pthread_join, PRT_BLOCK_CALL)                                        \
    CALL(pthread_timedjoin_np, PRT_BLOCK_CALL)                                \
    CALL(pthread_clockjoin_np, PRT_BLOCK_CALL)                                \
    CALL(pthread_barrier_wait, PRT_BLOCK_CALL)                                \
    CALL(wait, PRT_BLOCK_CALL)                                                \
    CALL(waitpid, PRT_BLOCK_CALL)                                             \
    CALL(wait3, PRT_BLOCK_CALL)                                               \
    CALL(wait4, PRT_BLOCK_CALL)                                               \
    CALL(waitid, PRT_BLOCK_CALL)                                              \
                                                                              \
    CALL(open, PRT_BLOCK_CALL)                                                \
    CALL(open64, PRT_BLOCK_CALL)                                              \
    CALL(openat, PRT_BLOCK_CALL)                                              \
    CALL(openat64, PRT_BLOCK_CALL)                                            \
    CALL(__open_2, PRT_BLOCK_CALL)                                            \
    CALL(__open64_2, PRT_BLOCK_CALL)                                          \
    CALL(__openat_2, PRT_BLOCK_CALL)                                          \
    CALL(__openat64_2, PRT_BLOCK_CALL)                                        \
    CALL(creat, PRT_BLOCK_CALL)                                               \
    CALL(creat64, PRT_BLOCK_CALL)                                             \
    CALL(stat, PRT_BLOCK_CALL)                                                \
    CALL(stat64, PRT_BLOCK_CALL)                                              \
    CALL(fstat, PRT_BLOCK_CALL)                                               \
    CALL(fstat64, PRT_BLOCK_CALL)                                             \
    CALL(lstat, PRT_BLOCK_CALL)                                               \
    CALL(lstat64, PRT_BLOCK_CALL)                                             \
    CALL(fstatat, PRT_BLOCK_CALL)                                             \
    CALL(fstatat64, PRT_BLOCK_CALL)                                           \
    CALL(__xstat, PRT_BLOCK_CALL)                                             \
    CALL(__xstat64, PRT_BLOCK_CALL)                                           \
    CALL(__fxstat, PRT_BLOCK_CALL)                                            \
    CALL(__fxstat64, PRT_BLOCK_CALL)                                          \
    CALL(__lxstat, PRT_BLOCK_CALL)                                            \
    CALL(__lxstat64, PRT_BLOCK_CALL)                                          \
    CALL(__fxstatat, PRT_BLOCK_CALL)                                          \
    CALL(__fxstatat64, PRT_BLOCK_CALL)                                        \
    CALL(statx, PRT_BLOCK_CALL)                                               \
    CALL(access, PRT_BLOCK_CALL)                                              \
    CALL(faccessat, PRT_BLOCK_CALL)                                           \
    CALL(fsync, PRT_BLOCK_CALL)                                               \
    CALL(fdatasync, PRT_BLOCK_CALL)                                           \
    CALL(rename, PRT_BLOCK_CALL)                                              \
    CALL(renameat, PRT_BLOCK_CALL)                                            \
    CALL(unlink, PRT_BLOCK_CALL)                                              \
    CALL(unlinkat, PRT_BLOCK_CALL)                                            \
    CALL(mkdir, PRT_BLOCK_CALL)                                               \
    CALL(mkdirat, PRT_BLOCK_CALL)                                             \
    CALL(rmdir, PRT_BLOCK_CALL)                                               \
    CALL(truncate, PRT_BLOCK_CALL)                                            \
    CALL(truncate64, PRT_BLOCK_CALL)                                          \
    CALL(ftruncate, PRT_BLOCK_CALL)                                           \
    CALL(ftruncate64, PRT_BLOCK_CALL)                                         \
                                                                              \
    CALL(read, PRT_BLOCK_CALL)                                                \
    CALL(__read_chk, PRT_BLOCK_CALL)                                          \
    CALL(pread, PRT_BLOCK_CALL)                                               \
    CALL(pread64, PRT_BLOCK_CALL)                                             \
    CALL(__pread_chk, PRT_BLOCK_CALL)                                         \
    CALL(__pread64_chk, PRT_BLOCK_CALL)                                       \
    CALL(readv, PRT_BLOCK_CALL)                                               \
    CALL(preadv, PRT_BLOCK_CALL)                                              \
    CALL(preadv64, PRT_BLOCK_CALL)                                            \
    CALL(write, PRT_BLOCK_CALL)                                               \
    CALL(pwrite, PRT_BLOCK_CALL)                                              \
    CALL(pwrite64, PRT_BLOCK_CALL)                                            \
    CALL(pwritev, PRT_BLOCK_CALL)                                             \
    CALL(pwritev64, PRT_BLOCK_CALL)                                           \
    CALL(sendfile, PRT_BLOCK_CALL)                                            \
    CALL(sendfile64, PRT_BLOCK_CALL)                                          \
    CALL(splice, PRT_BLOCK_CALL)                                              \
    CALL(copy_file_range, PRT_BLOCK_CALL)                                     \
                                                                              \
    CALL(poll, PRT_BLOCK_WAIT)                                                \
    CALL(__poll_chk, PRT_BLOCK_WAIT)                                          \
    CALL(ppoll, PRT_BLOCK_WAIT)                                               \
    CALL(__ppoll_chk, PRT_BLOCK_WAIT)                                         \
    CALL(select, PRT_BLOCK_WAIT)                                              \
    CALL(pselect, PRT_BLOCK_WAIT)


/* Those that do not block where sockets are nonblocking. */

#define PRT_BLOCK_SOCKETS(CALL)                                               \
                                                                              \
    CALL(writev, PRT_BLOCK_CALL)                                              \
    CALL(connect, PRT_BLOCK_CALL)                                             \
    CALL(accept, PRT_BLOCK_WAIT)                                              \
    CALL(accept4, PRT_BLOCK_WAIT)                                             \
    CALL(recv, PRT_BLOCK_CALL)                                                \
    CALL(__recv_chk, PRT_BLOCK_CALL)                                          \
    CALL(recvfrom, PRT_BLOCK_CALL)                                            \
    CALL(recvmsg, PRT_BLOCK_CALL)                                             \
    CALL(recvmmsg, PRT_BLOCK_CALL)                                            \
    CALL(send, PRT_BLOCK_CALL)                                                \
    CALL(sendto, PRT_BLOCK_CALL)                                              \
    CALL(sendmsg, PRT_BLOCK_CALL)                                             \
    CALL(sendmmsg, PRT_BLOCK_CALL)


/* Where the functions that try them are not to be used: in the same order. */

#define PRT_BLOCK_TIMED(CALL)                                                 \
                                                                              \
    CALL(pthread_mutex_lock, PRT_BLOCK_LOCK)                                  \
    CALL(pthread_rwlock_rdlock, PRT_BLOCK_LOCK)                               \
    CALL(pthread_rwlock_wrlock, PRT_BLOCK_LOCK)                               \
    CALL(sem_wait, PRT_BLOCK_LOCK|PRT_BLOCK_WAIT)


/* They read files and talk to servers, by calls that may be hooked as well. */

#define PRT_BLOCK_NAMES(NAME)                                                 \
                                                                              \
    NAME(getaddrinfo)                                                         \
    NAME(getnameinfo)                                                         \
    NAME(gethostbyname)                                                       \
    NAME(gethostbyname2)                                                      \
    NAME(gethostbyaddr)                                                       \
    NAME(gethostbyname_r)                                                     \
    NAME(gethostbyname2_r)                                                    \
    NAME(gethostbyaddr_r)                                                     \
    NAME(res_query)                                                           \
    NAME(res_search)                                                          \
    NAME(res_nquery)                                                          \
    NAME(res_nsearch)


/* Waiting for work, of which only counts that the thread may have slept. */

#define PRT_BLOCK_EVENTS(EVENT)                                               \
                                                                              \
    EVENT(epoll_wait)                                                         \
    EVENT(epoll_pwait)                                                        \
    EVENT(epoll_pwait2)


/*
 * The first function is for what is rare, and keeps the second one small: the
 * switches have to be looked at before the call, or the clock is no counter.
 */

#define PRT_BLOCK_CALL_HOOK(name, what)                                       \
                                                                              \
    static prt_block_call_pt  prt_block_call_##name;                          \
                                                                              \
    static __attribute__((noinline)) PRT_BLOCK_HOOK uintptr_t                 \
    prt_block_look_##name(uintptr_t a, uintptr_t b, uintptr_t c,              \
        uintptr_t d, uintptr_t e, uintptr_t f)                                \
    {                                                                         \
        uint64_t   start;                                                     \
        uintptr_t  rc;                                                        \
                                                                              \
        start = prt_block_begin();                                            \
        rc = prt_block_call_##name(a, b, c, d, e, f);                         \
                                                                              \
        if (prt_block_long(prt_ticks() - start)) {                            \
            prt_block_ended(start, what, (uintptr_t) prt_block_call_##name);  \
        }                                                                     \
                                                                              \
        return rc;                                                            \
    }                                                                         \
                                                                              \
    static PRT_BLOCK_HOOK uintptr_t                                           \
    prt_block_hook_##name(uintptr_t a, uintptr_t b, uintptr_t c,              \
        uintptr_t d, uintptr_t e, uintptr_t f)                                \
    {                                                                         \
        uint64_t   start;                                                     \
        uintptr_t  rc;                                                        \
                                                                              \
        start = prt_arch_ticks();                                             \
                                                                              \
        if (!prt_block_fast(start)) {                                         \
            return prt_block_look_##name(a, b, c, d, e, f);                   \
        }                                                                     \
                                                                              \
        rc = prt_block_call_##name(a, b, c, d, e, f);                         \
                                                                              \
        if (prt_block_long(prt_arch_ticks() - start)) {                       \
            prt_block_ended(start, what, (uintptr_t) prt_block_call_##name);  \
        }                                                                     \
                                                                              \
        return rc;                                                            \
    }

PRT_BLOCK_CALLS(PRT_BLOCK_CALL_HOOK)
PRT_BLOCK_SOCKETS(PRT_BLOCK_CALL_HOOK)
PRT_BLOCK_TIMED(PRT_BLOCK_CALL_HOOK)


#define PRT_BLOCK_NAME_HOOK(name)                                             \
                                                                              \
    static prt_block_name_pt  prt_block_call_##name;                          \
                                                                              \
    static PRT_BLOCK_HOOK uintptr_t                                           \
    prt_block_hook_##name(uintptr_t a, uintptr_t b, uintptr_t c,              \
        uintptr_t d, uintptr_t e, uintptr_t f, uintptr_t g, uintptr_t h)      \
    {                                                                         \
        uint64_t   start, switches;                                           \
        uintptr_t  rc;                                                        \
                                                                              \
        switches = prt_block_switches();                                      \
        start = prt_ticks();                                                  \
        rc = prt_block_call_##name(a, b, c, d, e, f, g, h);                   \
                                                                              \
        if (prt_block_long(prt_ticks() - start)) {                            \
            prt_block_found(start, switches,                                  \
                            (uintptr_t) prt_block_call_##name);               \
        }                                                                     \
                                                                              \
        return rc;                                                            \
    }

PRT_BLOCK_NAMES(PRT_BLOCK_NAME_HOOK)


#define PRT_BLOCK_EVENT_HOOK(name)                                            \
                                                                              \
    static prt_block_call_pt  prt_block_call_##name;                          \
                                                                              \
    static PRT_BLOCK_HOOK uintptr_t                                           \
    prt_block_hook_##name(uintptr_t a, uintptr_t b, uintptr_t c,              \
        uintptr_t d, uintptr_t e, uintptr_t f)                                \
    {                                                                         \
        uint64_t   start;                                                     \
        uintptr_t  rc;                                                        \
                                                                              \
        start = prt_ticks();                                                  \
        rc = prt_block_call_##name(a, b, c, d, e, f);                         \
                                                                              \
        if ((int64_t) (prt_ticks() - start) >= prt_block_limit(waited)) {     \
            prt_block_local.waits++;                                          \
        }                                                                     \
                                                                              \
        return rc;                                                            \
    }

PRT_BLOCK_EVENTS(PRT_BLOCK_EVENT_HOOK)


/* Most of what it does is no lock. */

static int prt_block_hook_fcntl(int fd, int cmd, uintptr_t arg);
static int prt_block_hook_fcntl64(int fd, int cmd, uintptr_t arg);


typedef int (*prt_block_fcntl_pt)(int, int, uintptr_t);

static prt_block_fcntl_pt  prt_block_call_fcntl;
static prt_block_fcntl_pt  prt_block_call_fcntl64;


static inline __attribute__((always_inline)) int
prt_block_fcntl(prt_block_fcntl_pt call, int fd, int cmd, uintptr_t arg)
{
    int       rc;
    uint64_t  start;

    if (cmd != F_SETLKW && cmd != F_OFD_SETLKW) {
        return call(fd, cmd, arg);
    }

    start = prt_block_begin();
    rc = call(fd, cmd, arg);

    if (prt_block_long(prt_ticks() - start)) {
        prt_block_ended(start, PRT_BLOCK_LOCK, (uintptr_t) call);
    }

    return rc;
}


PRT_BLOCK_HOOK static int
prt_block_hook_fcntl(int fd, int cmd, uintptr_t arg)
{
    return prt_block_fcntl(prt_block_call_fcntl, fd, cmd, arg);
}


PRT_BLOCK_HOOK static int
prt_block_hook_fcntl64(int fd, int cmd, uintptr_t arg)
{
    return prt_block_fcntl(prt_block_call_fcntl64, fd, cmd, arg);
}


#define prt_block_hook(name)                                                  \
    { #name, (void *) prt_block_hook_##name,                                  \
      (void **) &prt_block_call_##name },
#define prt_block_hook_what(name, what)  prt_block_hook(name)

const prt_hook_t  prt_block_call_hooks[] = {
    PRT_BLOCK_CALLS(prt_block_hook_what)
    PRT_BLOCK_NAMES(prt_block_hook)
    prt_block_hook(fcntl)
    prt_block_hook(fcntl64)
};


const prt_hook_t  prt_block_socket_hooks[] = {
    PRT_BLOCK_SOCKETS(prt_block_hook_what)
    PRT_BLOCK_EVENTS(prt_block_hook)
};


const prt_hook_t  prt_block_timed_hooks[PRT_BLOCK_LOCKS] = {
    PRT_BLOCK_TIMED(prt_block_hook_what)
};


const unsigned  prt_block_ncall_hooks = sizeof(prt_block_call_hooks)
                                        / sizeof(prt_hook_t);

const unsigned  prt_block_nsocket_hooks = sizeof(prt_block_socket_hooks)
                                          / sizeof(prt_hook_t);
