
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * What a frame costs: our tables beside libunwind, on the same stack, with
 * warm caches; and what a sample costs: ours, with all that the signal handler
 * does, beside that of gperftools' profiler.  Takes some seconds.
 *
 * usage: bench_unwind
 */


#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>

#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include "platform/prt_libunwind.h"
#include "platform/prt_object.h"
#include "platform/prt_unwind.h"
#include "sources/prt_profile.h"
#include "sources/prt_record.h"


#define BENCH_DEPTH            20
#define BENCH_FRAMES           256
#define BENCH_TIME             400000000  /* ns for each */


typedef unsigned (*bench_pt)(uintptr_t *frames);

typedef struct {
    const char  *name;
    bench_pt     walk;
} bench_t;


static unsigned bench_table(uintptr_t *frames);
static unsigned bench_table_probing(uintptr_t *frames);
static unsigned bench_unw_step(uintptr_t *frames);
static unsigned bench_unw_backtrace(uintptr_t *frames);
static unsigned bench_sample(uintptr_t *frames);
static unsigned bench_gperftools(uintptr_t *frames);


static const bench_t  benches[] = {
    { "table", bench_table },
    { "table, unknown stack", bench_table_probing },
    { "unw_step", bench_unw_step },
    { "unw_backtrace", bench_unw_backtrace },
    { "sample", bench_sample },
    { "gperftools' sample", bench_gperftools },
};

static void  (*gperftools)(int signo, siginfo_t *info, void *context);

static prt_stack_bounds_t  bounds;


static uint64_t
bench_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec;
}


static unsigned
bench_walk(const prt_stack_bounds_t *stack, uintptr_t *frames)
{
    prt_regs_t        regs;
    prt_unwind_end_t  end;

    prt_regs_here(&regs);

    return prt_unwind(&regs, stack, frames, BENCH_FRAMES, &end);
}


static unsigned
bench_table(uintptr_t *frames)
{
    return bench_walk(&bounds, frames);
}


static unsigned
bench_table_probing(uintptr_t *frames)
{
    static const prt_stack_bounds_t  unknown;

    return bench_walk(&unknown, frames);
}


static unsigned
bench_unw_step(uintptr_t *frames)
{
    unsigned       n;
    unw_word_t     ip;
    unw_cursor_t   cursor;
    unw_context_t  context;

    unw_getcontext(&context);
    unw_init_local(&cursor, &context);

    n = 0;

    do {
        unw_get_reg(&cursor, UNW_REG_IP, &ip);
        frames[n++] = ip;
    } while (n < BENCH_FRAMES && unw_step(&cursor) > 0);

    return n;
}


static unsigned
bench_unw_backtrace(uintptr_t *frames)
{
    return (unsigned) unw_backtrace((void **) frames, BENCH_FRAMES);
}


/* stack, interning and counting, as prt_cpu_handler() does it */

static unsigned
bench_sample(uintptr_t *frames)
{
    unsigned    n;
    uint64_t    values[2] = { 1, 10000000 };
    prt_regs_t  regs;

    prt_regs_here(&regs);

    n = prt_record_stack(&regs, &bounds, (uint64_t *) frames, prt_unwind);
    prt_record(0, (uint64_t *) frames, n, 0, values);

    return n;
}


/* the handler that libprofiler.so installs, called as the kernel would */

static unsigned
bench_gperftools(uintptr_t *frames)
{
    siginfo_t   info;
    ucontext_t  context;

    if (gperftools == NULL) {
        return 0;
    }

    memset(&info, 0, sizeof(info));
    getcontext(&context);

    gperftools(SIGPROF, &info, &context);

    return bench_table(frames);
}


static void
bench_prepare(void)
{
    int                      (*start)(const char *path);
    void                      *library, *memory;
    unsigned                   n;
    struct itimerval           off;
    struct sigaction           action;
    const prt_table_spec_t    *specs;

    memory = mmap(NULL, PRT_MEMORY_DEFAULT, PROT_READ|PROT_WRITE,
                  MAP_SHARED|MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        exit(1);
    }

    specs = prt_profile_tables(&n);
    prt_slot_attach(&prt_slot, memory, PRT_MEMORY_DEFAULT, specs, n);

    library = dlopen("libprofiler.so.0", RTLD_NOW);
    if (library == NULL) {
        return;
    }

    start = (int (*)(const char *)) dlsym(library, "ProfilerStart");

    if (start && start("/dev/null")) {

        /* its handler is wanted, not its timer */

        memset(&off, 0, sizeof(off));
        (void) setitimer(ITIMER_PROF, &off, NULL);
        (void) sigaction(SIGPROF, NULL, &action);

        gperftools = action.sa_sigaction;
    }
}


static void
bench_run(void)
{
    double     best, ns;
    unsigned   i, j, n, rounds;
    uint64_t   start, begin;
    uintptr_t  frames[BENCH_FRAMES];

    for (i = 0; i < sizeof(benches) / sizeof(benches[0]); i++) {

        n = benches[i].walk(frames);

        if (n == 0) {
            printf("%-24s not there\n", benches[i].name);
            continue;
        }

        best = 1e9;
        begin = bench_now();
        rounds = 0;

        do {
            start = bench_now();

            for (j = 0; j < 50; j++) {
                n = benches[i].walk(frames);
            }

            ns = (double) (bench_now() - start) / 50;
            best = ns < best ? ns : best;
            rounds++;

        } while (bench_now() - begin < BENCH_TIME);

        printf("%-24s %3u frames  %9.0f ns a stack  %8.1f ns a frame\n",
               benches[i].name, n, best, best / n);
    }
}


/* Frames of several shapes, to use more than one row of the tables. */

static __attribute__((noinline)) void
bench_descend(unsigned depth)
{
    volatile char  fill[64 + (depth & 3) * 32];

    fill[0] = (char) depth;

    if (depth == 0) {
        bench_run();

    } else {
        bench_descend(depth - 1);
    }

    fill[1] = fill[0];
}


static int
bench_compare(const void *one, const void *two)
{
    if (*(const int *) one == 0) {
        bench_descend(*(const int *) two);
    }

    return 0;
}


static void
bench_tables(void)
{
    unsigned              i;
    size_t                rows, bytes, functions;
    uint64_t              start;
    const prt_map_t      *map;
    const prt_object_t   *object;

    start = bench_now();
    prt_objects_refresh();
    start = bench_now() - start;

    map = prt_map_acquire();

    rows = 0;
    bytes = 0;
    functions = 0;

    for (i = 0; i < prt_map_count(map); i++) {
        object = prt_map_object(map, i);

        if (object->table) {
            rows += object->table->nrows;
            bytes += object->table->memory;
            functions += object->table->nfunctions;
        }
    }

    printf("%u objects, %zu functions, %zu rows in %zu bytes (%.1f a row), "
           "made in %.1f ms\n",
           prt_map_count(map), functions, rows, bytes,
           (double) bytes / (double) rows, (double) start / 1e6);

    prt_map_release();

    start = bench_now();

    for (i = 0; i < 1000; i++) {
        prt_objects_refresh();
    }

    printf("refresh without change: %.0f ns\n",
           (double) (bench_now() - start) / 1000);
}


int
main(void)
{
    int    numbers[2];
    FILE  *maps;
    char   line[512];

    maps = fopen("/proc/self/maps", "r");

    while (maps && fgets(line, sizeof(line), maps)) {
        if (strstr(line, "[stack]")) {
            sscanf(line, "%lx-%lx", &bounds.lo, &bounds.hi);
        }
    }

    if (maps) {
        fclose(maps);
    }

    bench_prepare();
    bench_tables();

    if (prt_libunwind_init() != 0) {
        fprintf(stderr, "bench_unwind: no libunwind\n");
        return 1;
    }

    unw_set_caching_policy(unw_local_addr_space, UNW_CACHE_GLOBAL);

    numbers[0] = 0;
    numbers[1] = BENCH_DEPTH - 8;

    qsort(numbers, 2, sizeof(int), bench_compare);

    return 0;
}
