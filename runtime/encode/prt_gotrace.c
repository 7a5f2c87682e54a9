
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "encode/prt_gotrace_dump.h"
#include "platform/prt_ticks.h"


#define PRT_GOTRACE_TRIES    5             /* to stay below the limit of events */
#define PRT_GOTRACE_CUT      20            /* times a window is halved to fit */


static int prt_gotrace_sources(prt_gotrace_dump_t *dump,
    const prt_region_t *region, const prt_target_t *target);
static int prt_gotrace_map(const prt_region_t *region, unsigned slot,
    prt_gotrace_source_t *source);
static void prt_gotrace_limit(prt_gotrace_dump_t *dump, uint64_t limit);
static uint64_t prt_gotrace_count(const prt_gotrace_dump_t *dump,
    uint64_t from);
static void prt_gotrace_losses(prt_gotrace_dump_t *dump, uint64_t from);
static uint64_t prt_gotrace_lost(const prt_ring_record_t *records,
    uint64_t size, uint64_t count, uint64_t from, uint64_t begun);
static int prt_gotrace_try(prt_gotrace_dump_t *dump, prt_symbols_t *symbols);
static int prt_gotrace_source(prt_gotrace_dump_t *dump, size_t i);
static int prt_gotrace_tasks(prt_gotrace_process_t *process,
    const prt_gotrace_event_t *events, size_t n);
static void prt_gotrace_threads(prt_gotrace_process_t *process,
    const prt_gotrace_records_t *records);
static void prt_gotrace_idle(prt_gotrace_process_t *process, uint64_t time);
static int prt_gotrace_cancelled(const prt_gotrace_dump_t *dump);


int
prt_gotrace_dump(const prt_region_t *region,
    const prt_gotrace_window_t *window, prt_symbols_t *symbols,
    prt_gotrace_sink_pt sink, void *data, prt_gotrace_result_t *result,
    char error[PRT_ERROR_LEN], const atomic_int *cancel)
{
    int                  rc;
    size_t               i;
    uint64_t             limit, from, count;
    unsigned             tries;
    prt_gotrace_dump_t   dump;

    memset(&dump, 0, sizeof(prt_gotrace_dump_t));
    memset(result, 0, sizeof(prt_gotrace_result_t));

    error[0] = '\0';
    limit = window->events ? window->events : PRT_GOTRACE_EVENTS;

    if (limit > PRT_TRACE_EVENTS_MAX) {
        limit = PRT_TRACE_EVENTS_MAX;
    }

    dump.cancel = cancel;
    dump.result = result;
    dump.trace.ticks = prt_ticks();
    dump.trace.now = prt_now();
    dump.from = window->from ? prt_gotrace_ticks(&dump, window->from) : 0;
    dump.to = window->to ? prt_gotrace_ticks(&dump, window->to)
                         : dump.trace.ticks;

    rc = prt_gotrace_sources(&dump, region, &window->target);

    from = dump.from;

    if (rc == 0) {

        /* a record makes two events at most, and one and a half mostly */

        prt_gotrace_limit(&dump, limit);
    }

    for (tries = 0; rc == 0; tries++) {
        prt_gotrace_losses(&dump, from);

        rc = prt_gotrace_try(&dump, symbols);
        count = dump.trace.file.count;

        if (rc != 0 || count <= limit || tries == PRT_GOTRACE_TRIES) {
            break;
        }

        prt_gofile_free(&dump.trace.file);
        free(dump.trace.ids.pairs);

        prt_gotrace_limit(&dump, (uint64_t)
                          ((double) prt_gotrace_count(&dump, dump.from)
                           * (double) limit / (double) count * 0.95));
    }

    if (rc == 0) {
        result->events = dump.trace.file.count;
        rc = prt_gofile_write(&dump.trace.file, sink, data, &result->bytes);

        if (dump.trace.file.failed) {
            (void) snprintf(error, PRT_ERROR_LEN, "no memory for the trace");
        }

    } else if (!prt_gotrace_cancelled(&dump)) {
        (void) snprintf(error, PRT_ERROR_LEN, "no memory for the trace");
    }

    prt_gofile_free(&dump.trace.file);

    for (i = 0; i < dump.nsources; i++) {
        (void) munmap(dump.sources[i].memory, dump.sources[i].size);
        (void) munmap(dump.sources[i].ring_memory, dump.sources[i].ring_size);
    }

    free(dump.trace.ids.pairs);
    free(dump.memories.data);
    free(dump.sources);

    return rc == 0 ? 0 : -1;
}


static int
prt_gotrace_sources(prt_gotrace_dump_t *dump, const prt_region_t *region,
    const prt_target_t *target)
{
    unsigned               i, n;
    uint64_t               owner;
    prt_entry_t           *entry;
    prt_slot_state_t       state;
    prt_gotrace_source_t  *source;

    n = prt_region_slots(region);

    dump->sources = calloc(n, sizeof(prt_gotrace_source_t));
    if (dump->sources == NULL) {
        return -1;
    }

    for (i = 0; i < n; i++) {
        entry = &region->head->entries[i];
        state = prt_region_state(region, i, &owner);

        if ((state != PRT_SLOT_LIVE && state != PRT_SLOT_ENDED)
            || !prt_target_matches(target, atomic_load(&entry->worker),
                                   (pid_t) (uint32_t) owner))
        {
            continue;
        }

        source = &dump->sources[dump->nsources];
        source->pid = (pid_t) (uint32_t) owner;

        if (prt_gotrace_map(region, i, source) != 0) {
            continue;
        }

        /* of those that have ended only who had a part in it is shown */

        if ((state == PRT_SLOT_ENDED
             && prt_ring_find(source->ring.own, source->ring.nown,
                              source->written, dump->from)
                == source->written)
            || atomic_load(&entry->owner) != owner)
        {
            (void) munmap(source->memory, source->size);
            (void) munmap(source->ring_memory, source->ring_size);
            continue;
        }

        dump->nsources++;
    }

    return 0;
}


static int
prt_gotrace_map(const prt_region_t *region, unsigned slot,
    prt_gotrace_source_t *source)
{
    unsigned                 n;
    const prt_table_spec_t  *specs;

    source->memory = prt_region_view(region, slot, &source->size);
    if (source->memory == NULL) {
        return -1;
    }

    source->ring_memory = prt_region_ring(region, slot, &source->ring_size);

    if (source->ring_memory == NULL) {
        (void) munmap(source->memory, source->size);
        return -1;
    }

    specs = prt_profile_tables(&n);

    prt_slot_attach(&source->slot, source->memory, source->size, specs, n);
    prt_ring_attach(&source->ring, source->ring_memory, source->ring_size);

    source->written = atomic_load_explicit(&source->ring.head->written,
                                           memory_order_acquire);
    source->claimed = atomic_load_explicit(&source->ring.head->claimed,
                                           memory_order_acquire);
    source->from_written = atomic_load(&source->ring.head->from_written);
    source->from_claimed = atomic_load(&source->ring.head->from_claimed);

    return 0;
}


/* Moves the begin of the window until there are not more records than that. */

static void
prt_gotrace_limit(prt_gotrace_dump_t *dump, uint64_t limit)
{
    unsigned  i;
    uint64_t  lo, hi, mid;

    if (prt_gotrace_count(dump, dump->from) <= limit) {
        return;
    }

    lo = dump->from;
    hi = dump->to;

    for (i = 0; i < PRT_GOTRACE_CUT + (lo ? 0 : 40); i++) {
        mid = lo + (hi - lo) / 2;

        if (prt_gotrace_count(dump, mid) <= limit) {
            hi = mid;

        } else {
            lo = mid;
        }
    }

    dump->from = hi;
}


static uint64_t
prt_gotrace_count(const prt_gotrace_dump_t *dump, uint64_t from)
{
    size_t                       i;
    uint64_t                     n;
    const prt_gotrace_source_t  *source;

    n = 0;

    for (i = 0; i < dump->nsources; i++) {
        source = &dump->sources[i];

        n += prt_ring_find(source->ring.own, source->ring.nown,
                           source->written, dump->to)
             - prt_ring_find(source->ring.own, source->ring.nown,
                             source->written, from);
        n += source->claimed
             - prt_ring_find(source->ring.others, source->ring.nothers,
                             source->claimed, from);
    }

    return n;
}


/* What is not there, of all that was asked for. */

static void
prt_gotrace_losses(prt_gotrace_dump_t *dump, uint64_t from)
{
    size_t                 i;
    prt_gotrace_result_t  *result;
    prt_gotrace_source_t  *source;

    result = dump->result;

    result->left_out = prt_gotrace_count(dump, from)
                       - prt_gotrace_count(dump, dump->from);
    result->overwritten = 0;

    for (i = 0; i < dump->nsources; i++) {
        source = &dump->sources[i];

        result->overwritten += prt_gotrace_lost(source->ring.own,
                                                source->ring.nown,
                                                source->written, from,
                                                source->from_written)
                               + prt_gotrace_lost(source->ring.others,
                                                  source->ring.nothers,
                                                  source->claimed, from,
                                                  source->from_claimed);
    }

    dump->notice[0] = '\0';

    if (result->left_out || result->overwritten) {
        (void) snprintf(dump->notice, sizeof(dump->notice),
                        "not all is here: %llu records were left out "
                        "(events=N takes more), up to %llu were overwritten "
                        "(pprof_trace_buffer is too small)",
                        (unsigned long long) result->left_out,
                        (unsigned long long) result->overwritten);
    }
}


/*
 * If the window begins before what is left of a ring: all that is not left of
 * what was written since recording began.
 */

static uint64_t
prt_gotrace_lost(const prt_ring_record_t *records, uint64_t size,
    uint64_t count, uint64_t from, uint64_t begun)
{
    uint64_t  oldest;

    if (count <= size) {
        return 0;
    }

    oldest = count - size;

    if (prt_ring_find(records, size, count, from) != oldest) {
        return 0;
    }

    return oldest > begun ? oldest - begun : 0;
}


static int
prt_gotrace_try(prt_gotrace_dump_t *dump, prt_symbols_t *symbols)
{
    size_t          i;
    prt_gotrace_t  *trace;

    trace = &dump->trace;

    prt_gofile_init(&trace->file);
    memset(&trace->ids, 0, sizeof(prt_idmap_t));

    trace->symbols = symbols;
    trace->last_id = 0;
    trace->last_task = 0;
    trace->last_p = 0;
    trace->failed = 0;

    dump->result->processes = 0;
    dump->result->from = 0;
    dump->result->to = 0;

    if (prt_gotrace_memories(dump) != 0) {
        return -1;
    }

    for (i = 0; i < dump->nsources; i++) {

        if (prt_gotrace_cancelled(dump)
            || prt_gotrace_source(dump, i) != 0)
        {
            return -1;
        }
    }

    return trace->failed || trace->file.failed ? -1 : 0;
}


static int
prt_gotrace_source(prt_gotrace_dump_t *dump, size_t i)
{
    int                     rc;
    uint64_t                last, first, p;
    prt_gotrace_result_t   *result;
    prt_gotrace_source_t   *source;
    prt_gotrace_process_t   process;
    prt_gotrace_records_t   records;

    source = &dump->sources[i];

    memset(&process, 0, sizeof(prt_gotrace_process_t));
    memset(&records, 0, sizeof(prt_gotrace_records_t));

    process.trace = &dump->trace;
    process.slot = source->slot;
    process.ring = source->ring;
    process.pid = source->pid;

    p = dump->trace.last_p;
    rc = prt_gotrace_read(dump, i, &records);

    if (rc == 0) {
        rc = prt_gotrace_tasks(&process, records.loop, records.nloop);
    }

    if (rc == 0) {
        rc = prt_gotrace_tasks(&process, records.others, records.nothers);
    }

    if (rc == 0) {
        prt_gotrace_loop(&process, (uint64_t) source->pid, records.loop,
                         records.nloop, dump->notice[0] ? dump->notice : NULL);
        prt_gotrace_threads(&process, &records);

        if (dump->trace.last_p == p) {
            prt_gotrace_idle(&process, prt_gotrace_ns(dump, dump->to));

        } else {
            /* it is told once */
            dump->notice[0] = '\0';
        }
    }

    if (records.nloop) {
        result = dump->result;
        first = records.loop[0].time;
        last = records.loop[records.nloop - 1].time;

        result->processes++;
        result->from = result->from == 0 || first < result->from
                       ? first : result->from;
        result->to = last > result->to ? last : result->to;
    }

    free(records.loop);
    free(records.others);
    prt_gotrace_process_free(&process);

    return rc;
}


/* They have their numbers before they begin: threads are told one by one. */

static int
prt_gotrace_tasks(prt_gotrace_process_t *process,
    const prt_gotrace_event_t *events, size_t n)
{
    size_t     i;
    uint64_t  *number;

    for (i = 0; i < n; i++) {

        if (events[i].kind != PRT_TRACE_BEGIN) {
            continue;
        }

        number = prt_idmap_add(&process->tasks, events[i].key);

        if (number == NULL) {
            return -1;
        }

        *number = ++process->trace->last_task;
    }

    return 0;
}


static void
prt_gotrace_threads(prt_gotrace_process_t *process,
    const prt_gotrace_records_t *records)
{
    size_t                i, n;
    uint32_t              thread, tid;
    prt_gotrace_event_t  *events;

    if (records->nothers == 0) {
        return;
    }

    events = malloc(records->nothers * sizeof(prt_gotrace_event_t));

    if (events == NULL) {
        process->trace->failed = 1;
        return;
    }

    for (thread = 1; thread < PRT_RING_THREADS; thread++) {
        tid = atomic_load(&process->ring.head->tids[thread]);

        /* one that is about to write its number is no end of them */

        if (tid == 0) {
            continue;
        }

        for (i = 0, n = 0; i < records->nothers; i++) {
            if (records->others[i].detail == thread) {
                events[n++] = records->others[i];
            }
        }

        if (n) {
            prt_gotrace_thread(process, tid, events, n);
        }
    }

    free(events);
}


/* A process that did nothing has its lane, too. */

static void
prt_gotrace_idle(prt_gotrace_process_t *process, uint64_t time)
{
    prt_gotrace_lane_t  lane;

    prt_gotrace_lane_init(&lane, process, (uint64_t) process->pid, "idle");
    prt_gotrace_wake(&lane, time);
    prt_gotrace_sleep(&lane, time);
    prt_gotrace_lane_free(&lane);
}


static int
prt_gotrace_cancelled(const prt_gotrace_dump_t *dump)
{
    return dump->cancel
           && atomic_load_explicit(dump->cancel, memory_order_relaxed);
}
