
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "encode/prt_gotrace_lane.h"
#include "platform/prt_ticks.h"


#define PRT_GOTRACE_TRIES    5             /* to stay below the limit of events */
#define PRT_GOTRACE_BEFORE   65536         /* records to look back for a turn's begin */
#define PRT_GOTRACE_NOTICE   256           /* bytes */
#define PRT_GOTRACE_CUT      20            /* times a window is halved to fit */


/* a process whose slot and ring are mapped */

typedef struct {
    prt_slot_t           slot;
    prt_ring_t           ring;
    pid_t                pid;

    void                *memory;
    size_t               size;
    void                *ring_memory;
    size_t               ring_size;

    uint64_t             written;          /* when the dump began */
    uint64_t             claimed;
} prt_gotrace_source_t;


/* records of one process */

typedef struct {
    prt_gotrace_event_t *loop;             /* of the control thread, by time */
    size_t               nloop;
    prt_gotrace_event_t *others;           /* of other threads, by time */
    size_t               nothers;
} prt_gotrace_records_t;


typedef struct {
    uint64_t             time;
    uint64_t             bytes;            /* of the process, then of all */
    size_t               source;
} prt_gotrace_memory_t;


typedef struct {
    prt_gotrace_source_t       *sources;
    size_t                      nsources;
    prt_buffer_t                memories;  /* prt_gotrace_memory_t */

    prt_gotrace_t               trace;
    uint64_t                    from;      /* ticks */
    uint64_t                    to;
    uint64_t                    first;     /* ns */
    const atomic_int           *cancel;
    prt_gotrace_result_t       *result;
    char                        notice[PRT_GOTRACE_NOTICE];
} prt_gotrace_dump_t;


static int prt_gotrace_sources(prt_gotrace_dump_t *dump,
    const prt_region_t *region, const prt_target_t *target);
static int prt_gotrace_map(const prt_region_t *region, unsigned slot,
    prt_gotrace_source_t *source);
static void prt_gotrace_limit(prt_gotrace_dump_t *dump, uint64_t limit);
static uint64_t prt_gotrace_count(const prt_gotrace_dump_t *dump,
    uint64_t from);
static void prt_gotrace_losses(prt_gotrace_dump_t *dump, uint64_t from);
static int prt_gotrace_try(prt_gotrace_dump_t *dump, prt_symbols_t *symbols);
static int prt_gotrace_source(prt_gotrace_dump_t *dump, size_t i);
static int prt_gotrace_read(prt_gotrace_dump_t *dump, size_t i,
    prt_gotrace_records_t *records);
static size_t prt_gotrace_own(prt_gotrace_dump_t *dump,
    const prt_gotrace_source_t *source, prt_gotrace_event_t *events,
    uint64_t first, uint64_t n);
static size_t prt_gotrace_others(prt_gotrace_dump_t *dump,
    const prt_gotrace_source_t *source, prt_gotrace_event_t *events,
    uint64_t first, uint64_t n);
static uint64_t prt_gotrace_begins(const prt_gotrace_dump_t *dump,
    const prt_gotrace_source_t *source);
static void prt_gotrace_convert(const prt_gotrace_dump_t *dump,
    prt_gotrace_event_t *events, size_t n);
static void prt_gotrace_sort(prt_gotrace_event_t *events, size_t n);
static int prt_gotrace_event_cmp(const void *a, const void *b);
static void prt_gotrace_split(const prt_gotrace_source_t *source,
    prt_gotrace_records_t *records, size_t nown, size_t n);
static int prt_gotrace_tasks(prt_gotrace_process_t *process,
    const prt_gotrace_event_t *events, size_t n);
static void prt_gotrace_threads(prt_gotrace_process_t *process,
    const prt_gotrace_records_t *records);
static void prt_gotrace_idle(prt_gotrace_process_t *process, uint64_t time);
static int prt_gotrace_memories(prt_gotrace_dump_t *dump);
static int prt_gotrace_memory_cmp(const void *a, const void *b);
static void prt_gotrace_totals(const prt_gotrace_dump_t *dump, size_t source,
    prt_gotrace_event_t *events, size_t n);
static uint64_t prt_gotrace_ns(const prt_gotrace_dump_t *dump,
    uint64_t ticks);
static uint64_t prt_gotrace_ticks(const prt_gotrace_dump_t *dump,
    uint64_t ns);
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

    if (limit > PRT_GOTRACE_EVENTS_MAX) {
        limit = PRT_GOTRACE_EVENTS_MAX;
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
    uint64_t               oldest;
    prt_gotrace_result_t  *result;
    prt_gotrace_source_t  *source;

    result = dump->result;

    result->left_out = prt_gotrace_count(dump, from)
                       - prt_gotrace_count(dump, dump->from);
    result->overwritten = 0;

    for (i = 0; i < dump->nsources; i++) {
        source = &dump->sources[i];

        if (source->written <= source->ring.nown) {
            continue;
        }

        oldest = source->written - source->ring.nown;

        if (prt_ring_find(source->ring.own, source->ring.nown,
                          source->written, from)
            == oldest)
        {
            result->overwritten += oldest;
        }
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


static int
prt_gotrace_read(prt_gotrace_dump_t *dump, size_t i,
    prt_gotrace_records_t *records)
{
    size_t                 nown, n;
    uint64_t               first, last, side;
    prt_gotrace_source_t  *source;

    source = &dump->sources[i];

    first = prt_gotrace_begins(dump, source);
    last = prt_ring_find(source->ring.own, source->ring.nown,
                         source->written, dump->to);
    side = prt_ring_find(source->ring.others, source->ring.nothers,
                         source->claimed, dump->from);

    if (last < first) {
        last = first;
    }

    /* a call is two events */

    n = (size_t) (last - first + 2 * (source->claimed - side));

    records->loop = malloc((n + 1) * sizeof(prt_gotrace_event_t));
    records->others = malloc((size_t) (2 * (source->claimed - side) + 1)
                             * sizeof(prt_gotrace_event_t));

    if (records->loop == NULL || records->others == NULL) {
        return -1;
    }

    nown = prt_gotrace_own(dump, source, records->loop, first, last - first);
    n = nown + prt_gotrace_others(dump, source, records->loop + nown, side,
                                  source->claimed - side);

    prt_gotrace_totals(dump, i, records->loop + nown, n - nown);
    prt_gotrace_split(source, records, nown, n);

    return 0;
}


static size_t
prt_gotrace_own(prt_gotrace_dump_t *dump, const prt_gotrace_source_t *source,
    prt_gotrace_event_t *events, uint64_t first, uint64_t n)
{
    size_t  found;

    _Static_assert(sizeof(prt_ring_event_t) == sizeof(prt_gotrace_event_t),
                   "one is made of the other in its place");

    found = prt_ring_read(source->ring.own, source->ring.nown, first, n,
                          (prt_ring_event_t *) (void *) events);

    prt_gotrace_convert(dump, events, found);

    return found;
}


static size_t
prt_gotrace_others(prt_gotrace_dump_t *dump,
    const prt_gotrace_source_t *source, prt_gotrace_event_t *events,
    uint64_t first, uint64_t n)
{
    size_t    i, k, found;
    uint64_t  to;

    found = prt_ring_read(source->ring.others, source->ring.nothers, first, n,
                          (prt_ring_event_t *) (void *) events);

    prt_gotrace_convert(dump, events, found);

    to = prt_gotrace_ns(dump, dump->to);

    for (i = 0, k = 0; i < found; i++) {
        if (events[i].time <= to) {
            events[k++] = events[i];
        }
    }

    found = k;

    for (i = 0; i < found; i++) {

        if (events[i].kind != PRT_TRACE_CALL) {
            continue;
        }

        events[k] = events[i];
        events[k].kind = PRT_TRACE_RETURN;
        events[i].time -= events[i].key < events[i].time ? events[i].key : 0;
        k++;
    }

    prt_gotrace_sort(events, k);

    return k;
}


/*
 * The first record of the window; or, where a turn of the loop was under way
 * when it began, that of its begin: one that holds the loop is shown.
 */

static uint64_t
prt_gotrace_begins(const prt_gotrace_dump_t *dump,
    const prt_gotrace_source_t *source)
{
    uint64_t          i, first, oldest;
    prt_ring_event_t  event;

    first = prt_ring_find(source->ring.own, source->ring.nown,
                          source->written, dump->from);

    oldest = source->written > source->ring.nown
             ? source->written - source->ring.nown : 0;

    if (first - oldest > PRT_GOTRACE_BEFORE) {
        oldest = first - PRT_GOTRACE_BEFORE;
    }

    for (i = first; i-- > oldest; /* void */ ) {

        if (prt_ring_read(source->ring.own, source->ring.nown, i, 1, &event)
            == 0
            || event.kind == PRT_TRACE_WAIT || event.kind == PRT_TRACE_OFF)
        {
            break;
        }

        if (event.kind == PRT_TRACE_WOKEN) {
            return i;
        }
    }

    return first;
}


/* In its place: both forms have one size. */

static void
prt_gotrace_convert(const prt_gotrace_dump_t *dump,
    prt_gotrace_event_t *events, size_t n)
{
    size_t               i;
    uint64_t             time;
    prt_ring_event_t     from;

    for (i = 0; i < n; i++) {
        memcpy(&from, &events[i], sizeof(prt_ring_event_t));
        time = from.time < dump->from ? dump->from : from.time;

        events[i].time = prt_gotrace_ns(dump, time);
        events[i].key = from.what & PRT_RING_KEYS;
        events[i].detail = (uint16_t) (from.what >> PRT_RING_KEY);
        events[i].value = from.value;
        events[i].kind = (uint16_t) from.kind;
    }
}


/* Several writers take their places at once, and calls end later. */

static void
prt_gotrace_sort(prt_gotrace_event_t *events, size_t n)
{
    if (n) {
        qsort(events, n, sizeof(prt_gotrace_event_t), prt_gotrace_event_cmp);
    }
}


/* At one time in the order of their kinds: the two parts of a message. */

static int
prt_gotrace_event_cmp(const void *a, const void *b)
{
    const prt_gotrace_event_t *x = a;
    const prt_gotrace_event_t *y = b;

    if (x->time != y->time) {
        return x->time < y->time ? -1 : 1;
    }

    return (int) x->kind - (int) y->kind;
}


/*
 * What others have written of the control thread (signal handlers, hosted code)
 * or for it goes between its own records, by time.
 */

static void
prt_gotrace_split(const prt_gotrace_source_t *source,
    prt_gotrace_records_t *records, size_t nown, size_t n)
{
    size_t                i, k, at, mine;
    uint32_t              thread;
    prt_gotrace_event_t  *event;

    mine = nown;

    for (i = nown; i < n; i++) {
        event = &records->loop[i];

        thread = event->detail < PRT_RING_THREADS
                 ? atomic_load(&source->ring.head->tids[event->detail]) : 0;

        if (event->kind == PRT_TRACE_MEMORY
            || (nown && thread == (uint32_t) source->pid))
        {
            records->loop[mine++] = *event;

        } else {
            records->others[records->nothers++] = *event;
        }
    }

    /* from the end: those of others find their place there */

    for (i = nown; i < mine; i++) {
        records->others[records->nothers + i - nown] = records->loop[i];
    }

    at = mine;
    i = nown;
    k = records->nothers + (mine - nown);

    while (k > records->nothers) {

        if (i && records->loop[i - 1].time > records->others[k - 1].time) {
            records->loop[--at] = records->loop[--i];

        } else {
            records->loop[--at] = records->others[--k];
        }
    }

    records->nloop = mine;
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

        if (tid == 0) {
            break;
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


/* All that the processes said of their memory, summed up at each moment. */

static int
prt_gotrace_memories(prt_gotrace_dump_t *dump)
{
    size_t                 i, k, n;
    uint64_t               first, total, *last;
    prt_ring_event_t       event;
    prt_gotrace_memory_t   memory, *memories;
    prt_gotrace_source_t  *source;

    free(dump->memories.data);
    memset(&dump->memories, 0, sizeof(prt_buffer_t));

    for (i = 0; i < dump->nsources; i++) {
        source = &dump->sources[i];

        first = prt_ring_find(source->ring.others, source->ring.nothers,
                              source->claimed, dump->from);

        for ( /* void */ ; first < source->claimed; first++) {

            if (prt_ring_read(source->ring.others, source->ring.nothers,
                              first, 1, &event)
                == 0
                || event.kind != PRT_TRACE_MEMORY)
            {
                continue;
            }

            memory.time = prt_gotrace_ns(dump, event.time);
            memory.bytes = event.what & PRT_RING_KEYS;
            memory.source = i;

            prt_buffer_add(&dump->memories, &memory,
                           sizeof(prt_gotrace_memory_t));
        }
    }

    last = calloc(dump->nsources + 1, sizeof(uint64_t));

    if (last == NULL || dump->memories.failed) {
        free(last);
        return -1;
    }

    memories = (prt_gotrace_memory_t *) (void *) dump->memories.data;
    n = dump->memories.size / sizeof(prt_gotrace_memory_t);
    total = 0;

    if (n) {
        qsort(memories, n, sizeof(prt_gotrace_memory_t),
              prt_gotrace_memory_cmp);
    }

    for (k = 0; k < n; k++) {
        i = memories[k].source;

        total += memories[k].bytes - last[i];
        last[i] = memories[k].bytes;
        memories[k].bytes = total;
    }

    free(last);

    return 0;
}


static int
prt_gotrace_memory_cmp(const void *a, const void *b)
{
    const prt_gotrace_memory_t *x = a;
    const prt_gotrace_memory_t *y = b;

    if (x->time != y->time) {
        return x->time < y->time ? -1 : 1;
    }

    return x->source < y->source ? -1 : x->source > y->source;
}


static void
prt_gotrace_totals(const prt_gotrace_dump_t *dump, size_t source,
    prt_gotrace_event_t *events, size_t n)
{
    size_t                       i, k, count;
    const prt_gotrace_memory_t  *memories;

    memories = (const prt_gotrace_memory_t *) (void *) dump->memories.data;
    count = dump->memories.size / sizeof(prt_gotrace_memory_t);

    for (i = 0, k = 0; i < n; i++) {

        if (events[i].kind != PRT_TRACE_MEMORY) {
            continue;
        }

        while (k < count
               && (memories[k].source != source
                   || memories[k].time < events[i].time))
        {
            k++;
        }

        if (k < count) {
            events[i].key = memories[k++].bytes;
        }
    }
}


static uint64_t
prt_gotrace_ns(const prt_gotrace_dump_t *dump, uint64_t ticks)
{
    return ticks > dump->trace.ticks
           ? dump->trace.now + prt_ticks_ns(ticks - dump->trace.ticks)
           : dump->trace.now - prt_ticks_ns(dump->trace.ticks - ticks);
}


static uint64_t
prt_gotrace_ticks(const prt_gotrace_dump_t *dump, uint64_t ns)
{
    uint64_t  back;

    if (ns > dump->trace.now) {
        return dump->trace.ticks + prt_ticks_of(ns - dump->trace.now);
    }

    back = prt_ticks_of(dump->trace.now - ns);

    return back < dump->trace.ticks ? dump->trace.ticks - back : 0;
}


static int
prt_gotrace_cancelled(const prt_gotrace_dump_t *dump)
{
    return dump->cancel
           && atomic_load_explicit(dump->cancel, memory_order_relaxed);
}
