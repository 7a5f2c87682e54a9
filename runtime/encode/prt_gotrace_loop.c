
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The records of an event loop to events: a lane with a goroutine for each thing
 * that the loop works on, and one for the loop itself.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encode/prt_gotrace_lane.h"


#define PRT_GOTRACE_LOOP   "event loop"
#define PRT_GOTRACE_OWN    1               /* its goroutine */

/* records to look at for what somebody is going to wait for */
#define PRT_GOTRACE_PEEK   256

/* ns after the end of a goroutine that are worth going back to the one before */
#define PRT_GOTRACE_BACK   1000

#define PRT_GOTRACE_BYTES  (1u << 31)      /* of DONE's value: it is in KiB */


typedef struct {
    prt_gotrace_lane_t          lane;
    const prt_gotrace_event_t  *events;
    size_t                      n;

    uint32_t                    base;      /* that the event began with; 0: none */
    uint64_t                    ended;     /* when one ended within it; 0: none did */
    uint64_t                    memory;    /* not yet told; 0: none */
    unsigned                    began:1;   /* the loop has come back once */

    prt_buffer_t                names;     /* labels of tasks, in their order */
    size_t                      ntasks;
} prt_gotrace_loop_t;


static void prt_gotrace_names(prt_gotrace_loop_t *loop);
static void prt_gotrace_event(prt_gotrace_loop_t *loop, size_t i);
static void prt_gotrace_notice(prt_gotrace_loop_t *loop, uint64_t time,
    const char *notice);
static void prt_gotrace_woken(prt_gotrace_loop_t *loop, size_t i);
static void prt_gotrace_due(prt_gotrace_loop_t *loop, size_t i);
static void prt_gotrace_go(prt_gotrace_loop_t *loop, size_t i);
static void prt_gotrace_peek(prt_gotrace_loop_t *loop, size_t i);
static void prt_gotrace_wait(prt_gotrace_loop_t *loop,
    const prt_gotrace_event_t *event);
static void prt_gotrace_stage(prt_gotrace_loop_t *loop, uint64_t time);
static void prt_gotrace_over(prt_gotrace_loop_t *loop, size_t i);
static void prt_gotrace_back(prt_gotrace_loop_t *loop, uint64_t time);
static uint32_t prt_gotrace_at(prt_gotrace_loop_t *loop,
    const prt_gotrace_event_t *event);
static void prt_gotrace_begin(prt_gotrace_loop_t *loop,
    const prt_gotrace_event_t *event);
static void prt_gotrace_phase(prt_gotrace_loop_t *loop,
    const prt_gotrace_event_t *event);
static void prt_gotrace_done(prt_gotrace_loop_t *loop,
    const prt_gotrace_event_t *event);
static void prt_gotrace_memory(prt_gotrace_loop_t *loop, uint64_t time);


void
prt_gotrace_loop(prt_gotrace_process_t *process, uint64_t m,
    const prt_gotrace_event_t *events, size_t n, const char *notice)
{
    size_t              i;
    prt_gotrace_loop_t  loop;

    for (i = 0; i < n && events[i].kind != PRT_TRACE_WOKEN; i++) {
        /* void */
    }

    if (i == n) {
        return;
    }

    memset(&loop, 0, sizeof(prt_gotrace_loop_t));

    loop.events = events + i;
    loop.n = n - i;

    prt_gotrace_lane_init(&loop.lane, process, m, PRT_GOTRACE_LOOP);

    if (prt_gotrace_make(&loop.lane, 0, 0) == PRT_GOTRACE_OWN) {
        prt_gotrace_names(&loop);

        if (notice) {
            prt_gotrace_notice(&loop, loop.events[0].time, notice);
        }

        for (i = 0; i < loop.n && !process->trace->failed; i++) {
            prt_gotrace_event(&loop, i);
        }
    }

    prt_gotrace_lane_free(&loop.lane);
    free(loop.names.data);
}


/* A task is called what its location is in the end. */

static void
prt_gotrace_names(prt_gotrace_loop_t *loop)
{
    size_t                      i;
    uint32_t                    none;
    uint64_t                   *place;
    prt_idmap_t                 open;
    const prt_gotrace_event_t  *event;

    memset(&open, 0, sizeof(prt_idmap_t));
    none = 0;

    for (i = 0; i < loop->n; i++) {
        event = &loop->events[i];

        if (event->kind != PRT_TRACE_TASK && event->kind != PRT_TRACE_PHASE
            && event->kind != PRT_TRACE_DONE)
        {
            continue;
        }

        place = prt_idmap_add(&open, event->key + 1);

        if (place == NULL) {
            loop->lane.process->trace->failed = 1;
            break;
        }

        if (event->kind == PRT_TRACE_TASK) {
            prt_buffer_add(&loop->names, &none, sizeof(uint32_t));
            *place = loop->names.size / sizeof(uint32_t);

        } else if (event->kind == PRT_TRACE_DONE) {
            *place = 0;

        } else if (*place) {
            ((uint32_t *) (void *) loop->names.data)[*place - 1] =
                                                                event->value;
        }
    }

    loop->lane.process->trace->failed |= loop->names.failed;

    free(open.pairs);
}


static void
prt_gotrace_event(prt_gotrace_loop_t *loop, size_t i)
{
    const prt_gotrace_event_t  *event;

    event = &loop->events[i];

    if (event->kind == PRT_TRACE_WOKEN) {
        prt_gotrace_woken(loop, i);
        return;
    }

    if (!loop->began) {
        return;
    }

    switch (event->kind) {

    case PRT_TRACE_WAIT:
    case PRT_TRACE_OFF:
        prt_gotrace_back(loop, event->time);
        prt_gotrace_sleep(&loop->lane, event->time);
        loop->base = 0;
        loop->began = event->kind == PRT_TRACE_WAIT;
        break;

    case PRT_TRACE_RUN:
        prt_gotrace_go(loop, i);
        break;

    case PRT_TRACE_OWNER:

        if (loop->lane.current) {
            prt_gotrace_g(&loop->lane, loop->lane.current)->owner =
                                   prt_gotrace_find(&loop->lane, event->key);
        }

        break;

    case PRT_TRACE_BLOCK:
        prt_gotrace_wait(loop, event);
        break;

    case PRT_TRACE_END:
        prt_gotrace_over(loop, i);
        break;

    case PRT_TRACE_TASK:
        prt_gotrace_begin(loop, event);
        break;

    case PRT_TRACE_PHASE:
        prt_gotrace_phase(loop, event);
        break;

    case PRT_TRACE_DONE:
        prt_gotrace_done(loop, event);
        break;

    case PRT_TRACE_MEMORY:
        loop->memory = event->key;
        break;

    default:
        prt_gotrace_back(loop, event->time);
        prt_gotrace_any(&loop->lane, loop->events, loop->n, i);
        break;
    }

    prt_gotrace_memory(loop, event->time);
}


/* What is to be said of the whole trace, as a task with one message. */

static void
prt_gotrace_notice(prt_gotrace_loop_t *loop, uint64_t time,
    const char *notice)
{
    uint64_t       task, name;
    prt_gofile_t  *file;

    file = loop->lane.file;
    task = ++loop->lane.process->trace->last_task;
    name = prt_gofile_string(file, "pprof");

    prt_gotrace_run(&loop->lane, time, PRT_GOTRACE_OWN);

    prt_gofile_add(file, time, PRT_GO_TASK_BEGIN, task, 0, name,
                   prt_gotrace_here(&loop->lane));
    prt_gofile_add(file, time, PRT_GO_LOG, task, name,
                   prt_gofile_string(file, notice),
                   prt_gotrace_here(&loop->lane));
    prt_gofile_add(file, time, PRT_GO_TASK_END, task,
                   prt_gotrace_here(&loop->lane));

    prt_gotrace_sleep(&loop->lane, time);
}


static void
prt_gotrace_woken(prt_gotrace_loop_t *loop, size_t i)
{
    uint64_t  time;

    time = loop->events[i].time;

    prt_gotrace_sleep(&loop->lane, time);

    loop->began = 1;
    loop->base = 0;
    loop->ended = 0;

    prt_gotrace_wake(&loop->lane, time);
    prt_gotrace_memory(loop, time);
    prt_gotrace_due(loop, i);
}


/*
 * What came with this turn could run from now on: until it does it waits for
 * those before it.
 */

static void
prt_gotrace_due(prt_gotrace_loop_t *loop, size_t i)
{
    size_t                      k;
    uint32_t                    g;
    prt_gotrace_state_t         state;
    const prt_gotrace_event_t  *event;

    for (k = i + 1; k < loop->n; k++) {
        event = &loop->events[k];

        if (event->kind == PRT_TRACE_WAIT || event->kind == PRT_TRACE_WOKEN
            || event->kind == PRT_TRACE_OFF)
        {
            return;
        }

        if (event->kind != PRT_TRACE_RUN
            || !(event->detail & PRT_TRACE_READY)
            || (event->detail & PRT_TRACE_NEW))
        {
            continue;
        }

        g = prt_gotrace_at(loop, event);

        if (g == 0) {
            return;
        }

        state = prt_gotrace_g(&loop->lane, g)->state;

        if (state == PRT_GOTRACE_UNKNOWN || state == PRT_GOTRACE_WAITING) {
            prt_gotrace_ready(&loop->lane, loop->events[i].time, g);
        }
    }
}


/* The goroutine of a record, made if there is none. */

static uint32_t
prt_gotrace_at(prt_gotrace_loop_t *loop, const prt_gotrace_event_t *event)
{
    uint32_t  g;

    g = prt_gotrace_find(&loop->lane, event->key);

    if (g == 0) {
        g = prt_gotrace_make(&loop->lane, event->key,
                             event->kind == PRT_TRACE_RUN ? event->value : 0);
    }

    return g;
}


static void
prt_gotrace_go(prt_gotrace_loop_t *loop, size_t i)
{
    uint32_t                    g;
    const prt_gotrace_event_t  *event;

    event = &loop->events[i];

    prt_gotrace_back(loop, event->time);

    /* another life of what had the same number */

    g = prt_gotrace_find(&loop->lane, event->key);

    if (g && (event->detail & PRT_TRACE_NEW)
        && prt_gotrace_g(&loop->lane, g)->state != PRT_GOTRACE_UNKNOWN
        && !(event->detail & PRT_TRACE_READY))
    {
        prt_gotrace_end(&loop->lane, event->time, g);

        /* nothing goes back to it */

        if (g == loop->base) {
            loop->base = 0;
        }
    }

    g = prt_gotrace_at(loop, event);

    if (g == 0) {
        return;
    }

    if (event->detail & PRT_TRACE_READY) {
        loop->base = g;

    } else if (loop->lane.current != g) {
        prt_gotrace_peek(loop, i);
    }

    if (event->detail & PRT_TRACE_NEW) {
        prt_gotrace_create(&loop->lane, event->time, g);
    }

    prt_gotrace_run(&loop->lane, event->time, g);
    prt_gotrace_stage(loop, event->time);
}


/*
 * The one that runs gives way to another within an event: what it waits for from
 * here on is told when the event is over, if it does not go on before.
 */

static void
prt_gotrace_peek(prt_gotrace_loop_t *loop, size_t i)
{
    size_t                      k;
    prt_gotrace_g_t            *g;
    const prt_gotrace_event_t  *event;

    if (loop->lane.current == 0) {
        return;
    }

    for (k = i + 1; k < loop->n && k < i + PRT_GOTRACE_PEEK; k++) {
        event = &loop->events[k];

        if (event->kind == PRT_TRACE_WAIT
            || (event->kind == PRT_TRACE_RUN
                && (event->detail & PRT_TRACE_READY)))
        {
            return;
        }

        if (event->kind != PRT_TRACE_BLOCK
            || prt_gotrace_find(&loop->lane, event->key)
               != loop->lane.current)
        {
            continue;
        }

        g = prt_gotrace_g(&loop->lane, loop->lane.current);
        g->wait = event->detail;
        g->labels = event->value;
        g->stage = event->detail;

        prt_gotrace_stage(loop, loop->events[i].time);
        return;
    }
}


static void
prt_gotrace_wait(prt_gotrace_loop_t *loop, const prt_gotrace_event_t *event)
{
    uint32_t          n;
    prt_gotrace_g_t  *g;

    n = prt_gotrace_find(&loop->lane, event->key);

    if (n == 0) {
        return;
    }

    g = prt_gotrace_g(&loop->lane, n);
    g->wait = event->detail;
    g->stage = event->detail;

    if (event->value) {
        g->labels = event->value;
    }

    if (loop->lane.current == n) {
        prt_gotrace_stage(loop, event->time);
    }
}


/* Stages of an upstream are regions, from its first wait there to the next. */

static void
prt_gotrace_stage(prt_gotrace_loop_t *loop, uint64_t time)
{
    char              text[PRT_STRING_MAX];
    uint64_t          name, state, task;
    unsigned          i;
    prt_gotrace_g_t  *g;

    if (loop->lane.current == 0) {
        return;
    }

    g = prt_gotrace_g(&loop->lane, loop->lane.current);
    name = 0;

    if (g->stage && g->stage < PRT_RING_STATES) {
        state = atomic_load(&loop->lane.process->ring.head->states[g->stage]);

        (void) prt_slot_text(&loop->lane.process->slot, (uint32_t) state,
                             text);

        if (strncmp(text, "upstream ", sizeof("upstream ") - 1) == 0) {
            name = prt_gofile_string(loop->lane.file, text);
        }
    }

    for (i = 0; i < g->nregions; i++) {

        if (g->regions[i].level == PRT_GOTRACE_STAGE) {

            if (g->regions[i].name == name) {
                return;
            }

            prt_gotrace_leave(&loop->lane, time, PRT_GOTRACE_STAGE, 0);
            break;
        }
    }

    task = prt_gotrace_task_of(&loop->lane, loop->lane.current);

    if (name && task) {
        prt_gotrace_enter(&loop->lane, time, PRT_GOTRACE_STAGE, task, name);
    }
}


static void
prt_gotrace_over(prt_gotrace_loop_t *loop, size_t i)
{
    uint32_t                    g;
    const prt_gotrace_event_t  *event;

    event = &loop->events[i];

    g = prt_gotrace_find(&loop->lane, event->key);

    if (g == 0 || g == PRT_GOTRACE_OWN) {
        return;
    }

    if (loop->lane.current != g) {
        prt_gotrace_peek(loop, i);
    }

    prt_gotrace_end(&loop->lane, event->time, g);

    if (g == loop->base) {
        loop->base = 0;
        return;
    }

    loop->ended = event->time;
}


/* The event goes on with the goroutine that it began with. */

static void
prt_gotrace_back(prt_gotrace_loop_t *loop, uint64_t time)
{
    uint64_t  ended;

    ended = loop->ended;
    loop->ended = 0;

    if (ended && loop->base && loop->lane.current == 0
        && time > ended + PRT_GOTRACE_BACK)
    {
        prt_gotrace_run(&loop->lane, ended, loop->base);
    }
}


static void
prt_gotrace_begin(prt_gotrace_loop_t *loop, const prt_gotrace_event_t *event)
{
    uint32_t              g, labels;
    uint64_t              task;
    prt_gotrace_labels_t  all;

    g = prt_gotrace_at(loop, event);

    if (g == 0 || loop->ntasks >= loop->names.size / sizeof(uint32_t)) {
        return;
    }

    prt_gotrace_run(&loop->lane, event->time, g);

    labels = ((uint32_t *) (void *) loop->names.data)[loop->ntasks++];
    all = prt_gotrace_labels(loop->lane.process, labels);
    task = ++loop->lane.process->trace->last_task;

    prt_gotrace_g(&loop->lane, g)->task = task;

    prt_gofile_add(loop->lane.file, event->time, PRT_GO_TASK_BEGIN, task, 0,
                   all.task, prt_gotrace_here(&loop->lane));
}


static void
prt_gotrace_phase(prt_gotrace_loop_t *loop, const prt_gotrace_event_t *event)
{
    uint32_t               n;
    uint64_t               task;
    unsigned               i;
    prt_gotrace_g_t       *g;
    prt_gotrace_labels_t   all;

    n = prt_gotrace_at(loop, event);

    if (n == 0) {
        return;
    }

    prt_gotrace_run(&loop->lane, event->time, n);

    all = prt_gotrace_labels(loop->lane.process, event->value);
    task = prt_gotrace_task_of(&loop->lane, n);

    g = prt_gotrace_g(&loop->lane, n);
    g->labels = event->value;

    for (i = 0; i < g->nregions; i++) {
        if (g->regions[i].level == PRT_GOTRACE_PHASE
            && g->regions[i].name == all.phase)
        {
            return;
        }
    }

    prt_gotrace_leave(&loop->lane, event->time, PRT_GOTRACE_PHASE, 0);

    /* without its begin a task would be one more, without a name */

    if (all.phase && task) {
        prt_gotrace_enter(&loop->lane, event->time, PRT_GOTRACE_PHASE, task,
                          all.phase);
    }
}


static void
prt_gotrace_done(prt_gotrace_loop_t *loop, const prt_gotrace_event_t *event)
{
    char              text[PRT_STRING_MAX];
    uint32_t          n;
    uint64_t          bytes, task;
    prt_gofile_t     *file;
    prt_gotrace_g_t  *g;

    n = prt_gotrace_at(loop, event);

    if (n == 0) {
        return;
    }

    task = prt_gotrace_g(&loop->lane, n)->task;

    if (task == 0) {
        return;
    }

    prt_gotrace_run(&loop->lane, event->time, n);
    prt_gotrace_leave(&loop->lane, event->time, PRT_GOTRACE_STAGE, 0);
    prt_gotrace_leave(&loop->lane, event->time, PRT_GOTRACE_PHASE, 0);

    bytes = event->value & ~PRT_GOTRACE_BYTES;

    if (event->value & PRT_GOTRACE_BYTES) {
        bytes <<= 10;
    }

    (void) snprintf(text, sizeof(text), "%u, %llu bytes", event->detail,
                    (unsigned long long) bytes);

    file = loop->lane.file;

    prt_gofile_add(file, event->time, PRT_GO_LOG, task,
                   prt_gofile_string(file, "status"),
                   prt_gofile_string(file, text),
                   prt_gotrace_here(&loop->lane));
    prt_gofile_add(file, event->time, PRT_GO_TASK_END, task,
                   prt_gotrace_here(&loop->lane));

    g = prt_gotrace_g(&loop->lane, n);
    g->task = 0;
    g->stage = 0;
    g->labels = 0;
}


/* Only a processor that runs can tell it. */

static void
prt_gotrace_memory(prt_gotrace_loop_t *loop, uint64_t time)
{
    if (loop->memory && loop->lane.running && !loop->lane.calling) {
        prt_gofile_add(loop->lane.file, time, PRT_GO_HEAP_ALLOC,
                       loop->memory);
        loop->memory = 0;
    }
}
