
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The records of a process as the translation wants them: in ns, by time, those
 * of its control thread apart from others.
 */


#include <stdlib.h>
#include <string.h>

#include "encode/prt_gotrace_dump.h"
#include "platform/prt_ticks.h"


#define PRT_GOTRACE_BEFORE   65536         /* records to look back for a turn's begin */


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
static int prt_gotrace_memory_cmp(const void *a, const void *b);
static void prt_gotrace_totals(const prt_gotrace_dump_t *dump, size_t source,
    prt_gotrace_event_t *events, size_t n);


int
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


int
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


uint64_t
prt_gotrace_ns(const prt_gotrace_dump_t *dump, uint64_t ticks)
{
    return ticks > dump->trace.ticks
           ? dump->trace.now + prt_ticks_ns(ticks - dump->trace.ticks)
           : dump->trace.now - prt_ticks_ns(dump->trace.ticks - ticks);
}


uint64_t
prt_gotrace_ticks(const prt_gotrace_dump_t *dump, uint64_t ns)
{
    uint64_t  back;

    if (ns > dump->trace.now) {
        return dump->trace.ticks + prt_ticks_of(ns - dump->trace.now);
    }

    back = prt_ticks_of(dump->trace.now - ns);

    return back < dump->trace.ticks ? dump->trace.ticks - back : 0;
}
