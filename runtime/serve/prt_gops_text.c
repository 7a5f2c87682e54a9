
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Texts with the keys, and in the units, that an agent in a Go program has, so
 * that what reads those reads ours; what has no meaning here is zero.  Lines of
 * our own follow.
 */


#include <dirent.h>
#include <gnu/libc-version.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "serve/prt_allocator.h"
#include "serve/prt_gops.h"
#include "sources/prt_record.h"


#define PRT_GOPS_TIME   64                     /* bytes, of a duration's text */
#define PRT_GOPS_LINES  8192                   /* bytes, of the program's own */


/* What the kernel has. */

typedef struct {
    uint64_t  stack;                           /* of the main thread */
    uint64_t  data;                            /* all that can be written to, without it */
    uint64_t  resident;
    uint64_t  swapped;
} prt_gops_memory_t;


static void prt_gops_size(prt_buffer_t *text, const char *key, uint64_t n);
static void prt_gops_number(prt_buffer_t *text, const char *key, uint64_t n);
static void prt_gops_program(prt_buffer_t *text);
static void prt_gops_status(prt_gops_memory_t *memory);
static void prt_gops_sampled(int64_t values[PRT_VALUES_MAX]);
static void prt_gops_collections(prt_buffer_t *text);
static const char *prt_gops_duration(uint64_t ns, char text[PRT_GOPS_TIME]);
static unsigned prt_gops_threads(void);
static unsigned prt_gops_workers(void);


void
prt_gops_memstats(prt_buffer_t *text)
{
    int                locked;
    int64_t            sampled[PRT_VALUES_MAX];
    uint64_t           other, used;
    prt_allocator_t    allocator;
    prt_gops_memory_t  memory;

    locked = prt_allocator_look(&allocator);

    prt_gops_status(&memory);
    prt_gops_sampled(sampled);

    used = allocator.system - allocator.free;
    other = memory.data > allocator.system ? memory.data - allocator.system : 0;

    prt_gops_size(text, "alloc", used);
    prt_gops_size(text, "total-alloc", (uint64_t) sampled[1]);
    prt_gops_size(text, "sys", allocator.system + memory.stack + other);
    prt_gops_number(text, "lookups", 0);
    prt_gops_number(text, "mallocs", (uint64_t) sampled[0]);
    prt_gops_number(text, "frees", (uint64_t) (sampled[0] - sampled[2]));
    prt_gops_size(text, "heap-alloc", used);
    prt_gops_size(text, "heap-sys", allocator.system);
    prt_gops_size(text, "heap-idle", allocator.free);
    prt_gops_size(text, "heap-in-use", used);
    prt_gops_size(text, "heap-released", 0);
    prt_gops_number(text, "heap-objects", (uint64_t) sampled[2]);
    prt_gops_size(text, "stack-in-use", memory.stack);
    prt_gops_size(text, "stack-sys", memory.stack);
    prt_gops_size(text, "stack-mspan-inuse", 0);
    prt_gops_size(text, "stack-mspan-sys", 0);
    prt_gops_size(text, "stack-mcache-inuse", 0);
    prt_gops_size(text, "stack-mcache-sys", 0);
    prt_gops_size(text, "other-sys", other);
    prt_gops_size(text, "gc-sys", 0);

    prt_gops_collections(text);

    prt_gops_size(text, "resident", memory.resident);
    prt_gops_size(text, "swapped", memory.swapped);
    prt_gops_number(text, "arenas", allocator.arenas);

    if (locked) {
        prt_buffer_printf(text, "malloc() is locked: what it has is not "
                          "known\n");
    }

    prt_gops_program(text);
}


static void
prt_gops_size(prt_buffer_t *text, const char *key, uint64_t n)
{
    size_t  i;
    double  value;

    static const char *const  units[] = { "KB", "MB", "GB", "TB", "PB" };

    if (n < 1024) {
        prt_buffer_printf(text, "%s: %llu bytes\n", key,
                          (unsigned long long) n);
        return;
    }

    value = (double) n / 1024;

    for (i = 0; value >= 1024 && i + 1 < sizeof(units) / sizeof(units[0]);
         i++)
    {
        value /= 1024;
    }

    prt_buffer_printf(text, "%s: %.2f%s (%llu bytes)\n", key, value, units[i],
                      (unsigned long long) n);
}


static void
prt_gops_number(prt_buffer_t *text, const char *key, uint64_t n)
{
    prt_buffer_printf(text, "%s: %llu\n", key, (unsigned long long) n);
}


/* What the program has to say, if it fits. */

static void
prt_gops_program(prt_buffer_t *text)
{
    char  *lines;

    if (prt_process.options.memstats == NULL) {
        return;
    }

    lines = (char *) prt_buffer_room(text, PRT_GOPS_LINES);

    if (lines) {
        text->size += prt_process.options.memstats(lines, PRT_GOPS_LINES);
    }
}


static void
prt_gops_status(prt_gops_memory_t *memory)
{
    char                line[256];
    FILE               *file;
    size_t              i;
    unsigned long long  kb;

    const struct {
        const char  *format;
        uint64_t    *value;
    } rows[] = {
        { "VmRSS: %llu kB", &memory->resident },
        { "VmData: %llu kB", &memory->data },
        { "VmStk: %llu kB", &memory->stack },
        { "VmSwap: %llu kB", &memory->swapped }
    };

    memset(memory, 0, sizeof(prt_gops_memory_t));

    file = fopen("/proc/self/status", "re");
    if (file == NULL) {
        return;
    }

    while (fgets(line, sizeof(line), file) != NULL) {
        for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            if (sscanf(line, rows[i].format, &kb) == 1) {
                *rows[i].value = kb * 1024;
            }
        }
    }

    (void) fclose(file);
}


/* What the memory profile stands for; zeros where there is none. */

static void
prt_gops_sampled(int64_t values[PRT_VALUES_MAX])
{
    int64_t               row[PRT_VALUES_MAX];
    uint64_t             *counters;
    unsigned              v;
    uint32_t              i, n;
    const prt_table_t    *table;
    const prt_profile_t  *profile;

    static const uint64_t  none[PRT_COUNTERS_MAX];

    memset(values, 0, PRT_VALUES_MAX * sizeof(int64_t));

    profile = (const prt_profile_t *) prt_profile_find("allocs", 6);
    table = &prt_slot.tables[profile - prt_profiles];
    n = prt_table_count(table);

    counters = malloc((size_t) n * table->ncounters * sizeof(uint64_t) + 1);
    if (counters == NULL) {
        return;
    }

    prt_table_copy(table, counters, n);

    for (i = 0; i < n; i++) {
        profile->derive(none, &counters[(size_t) i * table->ncounters], 1,
                        row);

        for (v = 0; v < profile->ntypes; v++) {
            values[v] += row[v];
        }
    }

    free(counters);
}


/* The next best to a collection is free memory given back: "gc". */

static void
prt_gops_collections(prt_buffer_t *text)
{
    char         duration[PRT_GOPS_TIME], when[64];
    time_t       seconds;
    struct tm    tm;
    prt_trims_t  trims;

    prt_allocator_trims(&trims);

    (void) snprintf(when, sizeof(when), "-");

    if (trims.times) {
        seconds = (time_t) (trims.end / PRT_SEC);

        if (gmtime_r(&seconds, &tm)) {
            (void) strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S +0000 UTC",
                            &tm);
        }
    }

    prt_buffer_printf(text, "next-gc: when heap-alloc >= 0 bytes\n"
                      "last-gc: %s\n"
                      "gc-pause-total: %s\n"
                      "gc-pause: %llu\n"
                      "gc-pause-end: %llu\n"
                      "num-gc: %llu\n"
                      "num-forced-gc: %llu\n"
                      "gc-cpu-fraction: 0\n"
                      "enable-gc: false\n"
                      "debug-gc: false\n",
                      when, prt_gops_duration(trims.total, duration),
                      (unsigned long long) trims.last,
                      (unsigned long long) trims.end,
                      (unsigned long long) trims.times,
                      (unsigned long long) trims.times);
}


/* A time.Duration; no trim takes minutes. */

static const char *
prt_gops_duration(uint64_t ns, char text[PRT_GOPS_TIME])
{
    if (ns == 0) {
        (void) snprintf(text, PRT_GOPS_TIME, "0s");

    } else if (ns < 1000) {
        (void) snprintf(text, PRT_GOPS_TIME, "%uns", (unsigned) ns);

    } else if (ns < PRT_MSEC) {
        (void) snprintf(text, PRT_GOPS_TIME, "%.6g\xC2\xB5s",
                        (double) ns / 1000);

    } else if (ns < PRT_SEC) {
        (void) snprintf(text, PRT_GOPS_TIME, "%.9gms",
                        (double) ns / PRT_MSEC);

    } else {
        (void) snprintf(text, PRT_GOPS_TIME, "%.12gs", (double) ns / PRT_SEC);
    }

    return text;
}


void
prt_gops_version(prt_buffer_t *text)
{
    const char  *program;

    program = prt_process.options.version;

    prt_buffer_printf(text, "%s%spprofrt/%s, "
#ifdef __clang__
                      "clang " __clang_version__
#else
                      "gcc " __VERSION__
#endif
                      ", glibc %s\n",
                      program ? program : "", program ? ", " : "",
                      PRT_VERSION, gnu_get_libc_version());
}


void
prt_gops_stats(prt_buffer_t *text, prt_job_t *state)
{
    size_t                    n;
    cpu_set_t                 cpus;
    const prt_worker_info_t  *w;

    CPU_ZERO(&cpus);
    (void) sched_getaffinity(0, sizeof(cpu_set_t), &cpus);

    prt_buffer_printf(text, "goroutines: %llu\n"
                      "OS threads: %u\n"
                      "GOMAXPROCS: %u\n"
                      "num CPU: %d\n",
                      (unsigned long long) prt_job_count(state,
                          prt_profile_find("goroutine", 9)),
                      prt_gops_threads(), prt_gops_workers(),
                      CPU_COUNT(&cpus));

    w = prt_job_workers(state, &n);

    if (n == 0) {
        return;
    }

    prt_buffer_printf(text, "connections: %llu\n"
                      "requests: %llu\n"
                      "stalls: %llu\n"
                      "refused gops clients: %u\n",
                      (unsigned long long) w->gauges.connections,
                      (unsigned long long) w->gauges.requests,
                      (unsigned long long) w->stalls, w->gops_refused);

    if (w->held) {
        prt_buffer_printf(text, "event loop held: %.1fs, %s\n",
                          (double) w->held / PRT_SEC, w->held_by);
    }
}


static unsigned
prt_gops_threads(void)
{
    DIR            *dir;
    unsigned        n;
    struct dirent  *entry;

    dir = opendir("/proc/self/task");
    if (dir == NULL) {
        return 0;
    }

    for (n = 0; (entry = readdir(dir)) != NULL; /* void */ ) {
        n += entry->d_name[0] != '.';
    }

    (void) closedir(dir);

    return n;
}


/* Of the newest generation. */

static unsigned
prt_gops_workers(void)
{
    unsigned       i, n, slots;
    uint32_t       cycle;
    uint64_t       owner;
    prt_region_t  *region;

    region = prt_process.region;
    slots = prt_region_slots(region);
    cycle = atomic_load(&region->head->cycle);
    n = 0;

    for (i = 0; i < slots; i++) {
        n += atomic_load(&region->head->entries[i].cycle) == cycle
             && prt_region_state(region, i, &owner) == PRT_SLOT_LIVE;
    }

    return n;
}
