
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * System calls of a main program that is an event loop.
 *
 * In a process with a second thread, libc makes each of these calls a point where
 * the calling one can be cancelled: some 30 instructions more, two of them locked.
 * No thread of such a program is cancelled, so they are made directly, and those
 * on its sockets, which never wait, are not timed.
 */


#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <sys/syscall.h>

#include "sources/prt_block.h"


#define PRT_BLOCK_MAIN_HOOKS  18


static int prt_block_main_libc(void *function);
static uintptr_t prt_block_main_timed(uintptr_t a, uintptr_t b, uintptr_t c,
    uintptr_t d, long number, void *const *function)
    __attribute__((noinline));
static uintptr_t prt_block_main_slow(uintptr_t a, uintptr_t b, uintptr_t c,
    uintptr_t d, long number, void *const *function)
    __attribute__((noinline));
static uintptr_t prt_block_main_rare(long rc, uint64_t start,
    void *const *function) __attribute__((noinline));
static uintptr_t prt_block_main_failed(long rc) __attribute__((noinline));


static inline __attribute__((always_inline)) int
prt_block_main_is_error(long rc)
{
    return __builtin_expect((unsigned long) rc > -4096ul, 0);
}


/*
 * What is between the hooks' two looks at the clock is all that there is to do
 * in nearly every call; the rest is elsewhere, so that this needs no registers
 * to be saved.
 */

static PRT_BLOCK_MAIN_HOOK uintptr_t
prt_block_main_timed(uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d,
    long number, void *const *function)
{
    long      rc;
    uint64_t  start;

    prt_block_local.call = function;

    start = prt_arch_ticks();

    if (!prt_block_fast(start)) {
        return prt_block_main_slow(a, b, c, d, number, function);
    }

    rc = prt_arch_syscall4(number, a, b, c, d);

    if (prt_block_main_is_error(rc)
        || prt_block_long(prt_arch_ticks() - start))
    {
        return prt_block_main_rare(rc, start, function);
    }

    return (uintptr_t) rc;
}


/* The switches have to be looked at before the call, or the clock is no counter. */

static PRT_BLOCK_MAIN_HOOK uintptr_t
prt_block_main_slow(uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d,
    long number, void *const *function)
{
    uint64_t  start;

    start = prt_block_begin();

    return prt_block_main_rare(prt_arch_syscall4(number, a, b, c, d), start,
                               function);
}


static PRT_BLOCK_MAIN_HOOK uintptr_t
prt_block_main_rare(long rc, uint64_t start, void *const *function)
{
    if (prt_block_long(prt_ticks() - start)) {
        prt_block_ended(start, PRT_BLOCK_CALL, (uintptr_t) *function);
    }

    return prt_block_main_is_error(rc) ? prt_block_main_failed(rc)
                                       : (uintptr_t) rc;
}


static PRT_BLOCK_MAIN_HOOK uintptr_t
prt_block_main_failed(long rc)
{
    errno = (int) -rc;

    return (uintptr_t) -1;
}


/*
 * Name, system call, and the arguments that it has, six or four, of the hook's
 * four.  libc's fstat() looks for a file of an empty name.
 */

#define PRT_BLOCK_MAIN_SOCKETS(CALL)                                          \
                                                                              \
    CALL(recv, SYS_recvfrom, a, b, c, d, 0, 0)                                \
    CALL(send, SYS_sendto, a, b, c, d, 0, 0)                                  \
    CALL(recvmsg, SYS_recvmsg, a, b, c, 0, 0, 0)                              \
    CALL(sendmsg, SYS_sendmsg, a, b, c, 0, 0, 0)                              \
    CALL(readv, SYS_readv, a, b, c, 0, 0, 0)                                  \
    CALL(writev, SYS_writev, a, b, c, 0, 0, 0)                                \
    CALL(connect, SYS_connect, a, b, c, 0, 0, 0)                              \
    CALL(accept4, SYS_accept4, a, b, c, d, 0, 0)                              \
    CALL(epoll_wait, SYS_epoll_wait, a, b, c, d, 0, 0)                        \
    CALL(close, SYS_close, a, 0, 0, 0, 0, 0)

#define PRT_BLOCK_MAIN_FILES(CALL)                                            \
                                                                              \
    CALL(open64, SYS_openat, (uintptr_t) AT_FDCWD, a, b, c)                   \
    CALL(openat64, SYS_openat, a, b, c, d)                                    \
    CALL(fstat64, SYS_fstat, a, b, 0, 0)                                      \
    CALL(read, SYS_read, a, b, c, 0)                                          \
    CALL(pread64, SYS_pread64, a, b, c, d)                                    \
    CALL(write, SYS_write, a, b, c, 0)                                        \
    CALL(pwrite64, SYS_pwrite64, a, b, c, d)                                  \
    CALL(pwritev64, SYS_pwritev, a, b, c, d)


#define PRT_BLOCK_MAIN_SOCKET(name, number, ...)                              \
                                                                              \
    static void  *prt_block_main_##name;                                      \
                                                                              \
    static PRT_BLOCK_MAIN_HOOK uintptr_t                                      \
    prt_block_main_hook_##name(uintptr_t a, uintptr_t b, uintptr_t c,         \
        uintptr_t d)                                                          \
    {                                                                         \
        long  rc;                                                             \
                                                                              \
        (void) b;                                                             \
        (void) c;                                                             \
        (void) d;                                                             \
                                                                              \
        rc = prt_arch_syscall(number, __VA_ARGS__);                           \
                                                                              \
        return prt_block_main_is_error(rc) ? prt_block_main_failed(rc)        \
                                           : (uintptr_t) rc;                  \
    }

PRT_BLOCK_MAIN_SOCKETS(PRT_BLOCK_MAIN_SOCKET)


#define PRT_BLOCK_MAIN_FILE(name, number, ...)                                \
                                                                              \
    static void  *prt_block_main_##name;                                      \
                                                                              \
    static PRT_BLOCK_MAIN_HOOK uintptr_t                                      \
    prt_block_main_hook_##name(uintptr_t a, uintptr_t b, uintptr_t c,         \
        uintptr_t d)                                                          \
    {                                                                         \
        (void) c;                                                             \
        (void) d;                                                             \
                                                                              \
        return prt_block_main_timed(__VA_ARGS__, number,                      \
                                    &prt_block_main_##name);                  \
    }

PRT_BLOCK_MAIN_FILES(PRT_BLOCK_MAIN_FILE)


#define PRT_BLOCK_MAIN_ROW(name, ...)                                         \
    { #name, (void *) prt_block_main_hook_##name, &prt_block_main_##name },

static const prt_hook_t  prt_block_main_hooks[] = {
    PRT_BLOCK_MAIN_SOCKETS(PRT_BLOCK_MAIN_ROW)
    PRT_BLOCK_MAIN_FILES(PRT_BLOCK_MAIN_ROW)
};

_Static_assert(sizeof(prt_block_main_hooks) / sizeof(prt_hook_t)
               == PRT_BLOCK_MAIN_HOOKS, "the size of what is installed");


int
prt_block_install_main(void)
{
    unsigned           i, n;
    static prt_hook_t  hooks[PRT_BLOCK_MAIN_HOOKS];

    if (!PRT_ARCH_DIRECT) {
        return 0;
    }

    n = 0;

    /* what is in front of libc wants to be called */

    for (i = 0; i < PRT_BLOCK_MAIN_HOOKS; i++) {
        if (prt_block_main_libc(dlsym(RTLD_DEFAULT,
                                      prt_block_main_hooks[i].name)))
        {
            hooks[n++] = prt_block_main_hooks[i];
        }
    }

    return prt_hooks_install_main(hooks, n);
}


static int
prt_block_main_libc(void *function)
{
    Dl_info  info, libc;

    if (function == NULL) {
        (void) dlerror();
        return 0;
    }

    return dladdr(function, &info) != 0
           && dladdr((void *) gnu_get_libc_version, &libc) != 0
           && info.dli_fbase == libc.dli_fbase;
}


/*
 * What lies in the section has nothing between its parts: the one that begins
 * last before the program counter is the one that it is in.
 */

uintptr_t
prt_block_main_original(uint64_t pc)
{
    unsigned           i;
    uintptr_t          start, last;
    void       *const *call;

    static void *const  shared[] = {
        (void *) prt_block_main_timed, (void *) prt_block_main_slow,
        (void *) prt_block_main_rare, (void *) prt_block_main_failed
    };

    if (pc < (uintptr_t) __start_prt_block_main
        || pc >= (uintptr_t) __stop_prt_block_main)
    {
        return 0;
    }

    last = 0;
    call = NULL;

    for (i = 0; i < PRT_BLOCK_MAIN_HOOKS; i++) {
        start = (uintptr_t) prt_block_main_hooks[i].replacement;

        if (start <= pc && start > last) {
            last = start;
            call = (void *const *) prt_block_main_hooks[i].original;
        }
    }

    for (i = 0; i < sizeof(shared) / sizeof(void *); i++) {
        start = (uintptr_t) shared[i];

        if (start <= pc && start > last) {
            last = start;
            call = prt_block_local.call;
        }
    }

    return call ? (uintptr_t) *call : 0;
}
