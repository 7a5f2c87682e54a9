
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * What names cost: time and resident memory of 10 000 distinct addresses, the
 * first time, the next, and after the memory was given back; in the order of
 * addresses, as profiles are encoded, and from object to object, as texts are.
 * Each in a process of its own, in a thread that is not the main one.
 *
 * usage: bench_symbols [-d DEBUG_PATH] [OBJECT...]
 *
 * Objects are nginx ($TEST_NGINX_BINARY), libc and libcrypto where none is
 * given.
 */


#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../t/unit/elf_image.h"
#include "encode/prt_symbol.h"


#define BENCH_ADDRESSES  10000
#define BENCH_OBJECTS    16
#define BENCH_BASE       ((uint64_t) 1 << 61)
#define BENCH_SPACE      ((uint64_t) 1 << 32)


typedef struct {
    const char     *debug_path;
    const char     *paths[BENCH_OBJECTS];
    unsigned        npaths;
    prt_image_t     images[BENCH_OBJECTS];
    unsigned        nimages;
    unsigned        interleaved;
} bench_t;


static void bench_add(bench_t *bench, const char *path);
static int bench_add_loaded(struct dl_phdr_info *info, size_t size,
    void *data);
static void bench_sources(bench_t *bench);
static int bench_process(bench_t *bench);
static void *bench_run(void *data);
static double bench_look_up(bench_t *bench, prt_symbols_t *symbols);
static double bench_status(const char *name);
static double bench_now(void);


int
main(int argc, char **argv)
{
    int          i, rc;
    unsigned     k;
    bench_t      bench;
    const char  *nginx;

    memset(&bench, 0, sizeof(bench_t));
    bench.debug_path = PRT_SYMBOLS_DEBUG_PATH;

    i = 1;

    if (argc > 2 && strcmp(argv[1], "-d") == 0) {
        bench.debug_path = argv[2];
        i = 3;
    }

    if (i == argc) {
        nginx = getenv("TEST_NGINX_BINARY");
        bench_add(&bench, nginx ? nginx : "/usr/sbin/nginx");

        (void) dlopen("libcrypto.so.3", RTLD_NOW);
        (void) dl_iterate_phdr(bench_add_loaded, &bench);
    }

    for ( /* void */ ; i < argc; i++) {
        bench_add(&bench, argv[i]);
    }

    for (k = 0; k < bench.npaths; k++) {

        if (elf_image(&bench.images[bench.nimages], bench.paths[k],
                      BENCH_BASE + bench.nimages * BENCH_SPACE)
            != 0)
        {
            printf("%s: not to be had\n", bench.paths[k]);
            continue;
        }

        bench.nimages++;
    }

    if (bench.nimages == 0) {
        return 1;
    }

    bench_sources(&bench);

    printf("\n%-22s %9s %9s %9s %12s %12s %12s\n", "ms, MB resident more",
           "first", "next", "reopened", "at most", "trimmed", "destroyed");

    rc = bench_process(&bench);

    bench.interleaved = 1;

    return rc | bench_process(&bench);
}


static void
bench_add(bench_t *bench, const char *path)
{
    if (bench->npaths < BENCH_OBJECTS) {
        bench->paths[bench->npaths++] = path;
    }
}


static int
bench_add_loaded(struct dl_phdr_info *info, size_t size, void *data)
{
    char  *path;

    (void) size;

    if (strstr(info->dlpi_name, "/libc.so.")
        || strstr(info->dlpi_name, "/libcrypto.so."))
    {
        path = realpath(info->dlpi_name, NULL);

        if (path) {
            bench_add(data, path);
        }
    }

    return 0;
}


static void
bench_sources(bench_t *bench)
{
    size_t          k;
    unsigned        i, sources;
    prt_symbols_t  *symbols;

    static const struct {
        unsigned     source;
        const char  *name;
    } names[] = {
        { PRT_SYMBOL_DEBUG, "debug info" },
        { PRT_SYMBOL_SYMTAB, ".symtab" },
        { PRT_SYMBOL_DYNSYM, ".dynsym" },
        { PRT_SYMBOL_PLT, "PLT" },
        { PRT_SYMBOL_FDE, "FDEs" },
        { PRT_SYMBOL_NONE, "nothing" }
    };

    symbols = prt_symbols_create();

    if (symbols == NULL
        || prt_symbols_debug_path(symbols, bench->debug_path) != 0)
    {
        exit(1);
    }

    for (i = 0; i < bench->nimages; i++) {
        sources = prt_symbols_sources(symbols, &bench->images[i]);

        printf("%s:", bench->images[i].path);

        for (k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
            if (sources & names[k].source) {
                printf(" %s", names[k].name);
            }
        }

        printf("\n");
    }

    prt_symbols_destroy(symbols);
}


static int
bench_process(bench_t *bench)
{
    int        status;
    pid_t      pid;
    pthread_t  thread;

    (void) fflush(stdout);

    pid = fork();

    if (pid == 0) {

        if (pthread_create(&thread, NULL, bench_run, bench) != 0) {
            _exit(1);
        }

        (void) pthread_join(thread, NULL);

        (void) fflush(stdout);
        _exit(0);
    }

    return pid == -1 || waitpid(pid, &status, 0) != pid || status != 0;
}


static void *
bench_run(void *data)
{
    int             fd;
    double          first, next, reopened, before, peak, kept;
    bench_t        *bench;
    prt_symbols_t  *symbols;

    bench = data;

    /* What was the most so far is forgotten: proc(5). */

    fd = open("/proc/self/clear_refs", O_WRONLY|O_CLOEXEC);

    if (fd != -1) {
        (void) !write(fd, "5", 1);
        (void) close(fd);
    }

    before = bench_status("VmRSS:");

    symbols = prt_symbols_create();

    if (symbols == NULL
        || prt_symbols_debug_path(symbols, bench->debug_path) != 0)
    {
        fprintf(stderr, "bench_symbols: no memory\n");
        exit(1);
    }

    first = bench_look_up(bench, symbols);
    next = bench_look_up(bench, symbols);
    peak = bench_status("VmHWM:");

    prt_symbols_trim(symbols);
    kept = bench_status("VmRSS:");
    reopened = bench_look_up(bench, symbols);

    prt_symbols_destroy(symbols);

    printf("%-22s %9.1f %9.2f %9.2f %12.1f %12.1f %12.1f\n",
           bench->interleaved ? "from object to object" : "by address",
           first, next, reopened, peak - before, kept - before,
           bench_status("VmRSS:") - before);

    return NULL;
}


static double
bench_look_up(bench_t *bench, prt_symbols_t *symbols)
{
    double              start;
    uint64_t            step;
    unsigned            i, k, n, each;
    prt_symbol_t        found[PRT_SYMBOL_INLINES];
    const prt_image_t  *image;

    start = bench_now();
    each = BENCH_ADDRESSES / bench->nimages;

    for (n = 0; n < each * bench->nimages; n++) {

        i = bench->interleaved ? n % bench->nimages : n / each;
        k = bench->interleaved ? n / bench->nimages : n % each;

        image = &bench->images[i];
        step = image->segments[0].size / each;

        if (prt_symbols_lookup(symbols, image,
                               image->segments[0].vaddr + k * step, found,
                               PRT_SYMBOL_INLINES)
            == 0)
        {
            fprintf(stderr, "bench_symbols: no memory\n");
            exit(1);
        }
    }

    return bench_now() - start;
}


/* MB */

static double
bench_status(const char *name)
{
    FILE   *f;
    char    line[256];
    double  kb;

    f = fopen("/proc/self/status", "r");
    kb = 0;

    while (f && fgets(line, sizeof(line), f)) {
        if (strncmp(line, name, strlen(name)) == 0) {
            kb = strtod(line + strlen(name), NULL);
        }
    }

    if (f) {
        (void) fclose(f);
    }

    return kb / 1024;
}


/* ms */

static double
bench_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec * 1e3 + (double) ts.tv_nsec / 1e6;
}
