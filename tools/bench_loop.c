
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * How long nginx's event loop is held: preloaded into it, this looks at the
 * clocks where epoll_wait() returns, and where it is called the next time.
 *
 * usage: BENCH_LOOP=FILE LD_PRELOAD=bench_loop.so nginx ...
 *
 * FILE has four 64-bit numbers, which who reads it may set to 0 at any time:
 * turns, the longest of them in ns and in ns of CPU time, and the sum of the
 * latter.
 */


#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/prt_clock.h"


typedef struct {
    uint64_t  turns;
    uint64_t  wall;
    uint64_t  cpu;
    uint64_t  sum;
} bench_loop_t;

typedef int (*bench_wait_pt)(int ep, struct epoll_event *events, int n,
    int timeout);


static bench_loop_t      *bench_loop;
static bench_wait_pt      bench_wait;

static _Thread_local int       bench_thread;   /* 1: the loop's; -1: another */
static _Thread_local uint64_t  bench_wall;
static _Thread_local uint64_t  bench_cpu;


__attribute__((constructor)) static void
bench_start(void)
{
    int          fd;
    void        *map;
    const char  *path;

    *(void **) &bench_wait = dlsym(RTLD_NEXT, "epoll_wait");

    path = getenv("BENCH_LOOP");
    fd = path ? open(path, O_RDWR) : -1;

    if (fd == -1) {
        return;
    }

    /* before nginx gives up its rights, and of all its processes */

    map = mmap(NULL, sizeof(bench_loop_t), PROT_READ | PROT_WRITE, MAP_SHARED,
               fd, 0);

    bench_loop = map == MAP_FAILED ? NULL : map;

    (void) close(fd);
}


static void
bench_turn(void)
{
    uint64_t  wall, cpu;

    wall = prt_now() - bench_wall;
    cpu = prt_clock(CLOCK_THREAD_CPUTIME_ID) - bench_cpu;

    bench_loop->turns++;
    bench_loop->sum += cpu;

    if (wall > bench_loop->wall) {
        bench_loop->wall = wall;
    }

    if (cpu > bench_loop->cpu) {
        bench_loop->cpu = cpu;
    }
}


__attribute__((visibility("default"))) int
epoll_wait(int ep, struct epoll_event *events, int n, int timeout)
{
    int  rc;

    if (bench_thread == 0) {
        bench_thread = syscall(SYS_gettid) == getpid() ? 1 : -1;
    }

    if (bench_loop == NULL || bench_thread != 1) {
        return bench_wait(ep, events, n, timeout);
    }

    if (bench_wall) {
        bench_turn();
    }

    rc = bench_wait(ep, events, n, timeout);

    bench_wall = prt_now();
    bench_cpu = prt_clock(CLOCK_THREAD_CPUTIME_ID);

    return rc;
}
