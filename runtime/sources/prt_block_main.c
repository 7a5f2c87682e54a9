
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * System calls of a main program that is an event loop.
 *
 * In a process with a second thread, libc makes each of these calls a point where
 * the calling one can be cancelled, which takes two locked instructions and as
 * much code as all else of the call: that alone would cost nginx more than all
 * that is done for its profiles.  No thread of such a program is cancelled, so
 * they are made directly, and those on its sockets, which never wait, are not
 * timed.
 */


#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <sys/syscall.h>

#include "sources/prt_block.h"


#define PRT_BLOCK_MAIN_HOOKS  17


static int prt_block_main_libc(void *function);


static inline __attribute__((always_inline)) uintptr_t
prt_block_main(long number, uintptr_t a, uintptr_t b, uintptr_t c,
    uintptr_t d, uintptr_t e, uintptr_t f)
{
    long  rc;

    rc = prt_arch_syscall(number, a, b, c, d, e, f);

    if (__builtin_expect((unsigned long) rc > -4096ul, 0)) {
        errno = (int) -rc;
        rc = -1;
    }

    return (uintptr_t) rc;
}


/* name, system call, and the six arguments that it has of the hook's four */

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
    CALL(open64, SYS_openat, (uintptr_t) AT_FDCWD, a, b, c, 0, 0)             \
    CALL(openat64, SYS_openat, a, b, c, d, 0, 0)                              \
    CALL(read, SYS_read, a, b, c, 0, 0, 0)                                    \
    CALL(pread64, SYS_pread64, a, b, c, d, 0, 0)                              \
    CALL(write, SYS_write, a, b, c, 0, 0, 0)                                  \
    CALL(pwrite64, SYS_pwrite64, a, b, c, d, 0, 0)                            \
    CALL(pwritev64, SYS_pwritev, a, b, c, d, 0, 0)


#define PRT_BLOCK_MAIN_SOCKET(name, number, ...)                              \
                                                                              \
    static void  *prt_block_main_##name;                                      \
                                                                              \
    static PRT_BLOCK_HOOK uintptr_t                                           \
    prt_block_main_hook_##name(uintptr_t a, uintptr_t b, uintptr_t c,         \
        uintptr_t d)                                                          \
    {                                                                         \
        (void) b;                                                             \
        (void) c;                                                             \
        (void) d;                                                             \
                                                                              \
        return prt_block_main(number, __VA_ARGS__);                           \
    }

PRT_BLOCK_MAIN_SOCKETS(PRT_BLOCK_MAIN_SOCKET)


#define PRT_BLOCK_MAIN_FILE(name, number, ...)                                \
                                                                              \
    static void  *prt_block_main_##name;                                      \
                                                                              \
    static PRT_BLOCK_HOOK uintptr_t                                           \
    prt_block_main_hook_##name(uintptr_t a, uintptr_t b, uintptr_t c,         \
        uintptr_t d)                                                          \
    {                                                                         \
        uint64_t   start;                                                     \
        uintptr_t  rc;                                                        \
                                                                              \
        (void) d;                                                             \
                                                                              \
        start = prt_arch_ticks();                                             \
                                                                              \
        if (!prt_block_fast(start)) {                                         \
            start = prt_block_begin();                                        \
        }                                                                     \
                                                                              \
        rc = prt_block_main(number, __VA_ARGS__);                             \
                                                                              \
        if (prt_block_long(prt_ticks() - start)) {                            \
            prt_block_ended(start, PRT_BLOCK_CALL,                            \
                            (uintptr_t) prt_block_main_##name);               \
        }                                                                     \
                                                                              \
        return rc;                                                            \
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
