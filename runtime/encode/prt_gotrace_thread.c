
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Records that any thread may make, and the lane of a thread that has no loop:
 * one goroutine, which runs while there is something to tell of it.
 */


#include <stdlib.h>
#include <string.h>

#include "encode/prt_gotrace_lane.h"


/* records between the two parts of a message, at most; others may write */
#define PRT_GOTRACE_APART  16


static void prt_gotrace_task_begin(prt_gotrace_lane_t *lane,
    const prt_gotrace_event_t *event, const prt_gotrace_event_t *parent);
static void prt_gotrace_region(prt_gotrace_lane_t *lane,
    const prt_gotrace_event_t *event);
static const prt_gotrace_event_t *prt_gotrace_second(
    const prt_gotrace_event_t *events, size_t n, size_t i,
    prt_trace_kind_t kind);


void
prt_gotrace_thread(prt_gotrace_process_t *process, uint64_t m,
    const prt_gotrace_event_t *events, size_t n)
{
    size_t              i;
    prt_gotrace_lane_t  lane;

    prt_gotrace_lane_init(&lane, process, m, "thread");

    if (prt_gotrace_make(&lane, 0, 0) == 0) {
        n = 0;
    }

    for (i = 0; i < n && !process->trace->failed; i++) {
        prt_gotrace_any(&lane, events, n, i);

        if (lane.current == 0) {
            prt_gotrace_sleep(&lane, events[i].time);
        }
    }

    prt_gotrace_lane_free(&lane);
}


void
prt_gotrace_any(prt_gotrace_lane_t *lane, const prt_gotrace_event_t *events,
    size_t n, size_t i)
{
    uint64_t                    time, task;
    uint32_t                    own;
    prt_gofile_t               *file;
    const prt_gotrace_event_t  *event, *second;

    event = &events[i];
    file = lane->file;
    time = event->time;

    if (event->kind == PRT_TRACE_SAMPLE) {
        prt_gofile_sample(file, time, lane->m, lane->p,
                          lane->current ? prt_gotrace_g(lane, lane->current)
                                          ->id : 0,
                          prt_gotrace_in(lane, event->value));
        return;
    }

    if (event->kind < PRT_TRACE_CALL || event->kind == PRT_TRACE_MEMORY
        || event->kind == PRT_TRACE_PARENT || event->kind == PRT_TRACE_TEXT)
    {
        return;
    }

    own = 0;

    if (lane->current == 0) {

        if (event->kind == PRT_TRACE_RETURN) {
            return;
        }

        own = prt_gotrace_find(lane, 0);

        if (own == 0) {
            return;
        }

        prt_gotrace_run(lane, time, own);
    }

    switch (event->kind) {

    case PRT_TRACE_CALL:
        prt_gotrace_call(lane, time, prt_gotrace_in(lane, event->value));
        lane->alone = own != 0;
        own = 0;
        break;

    case PRT_TRACE_RETURN:
        prt_gotrace_return(lane, time);

        if (lane->alone) {
            lane->alone = 0;
            own = lane->current;
        }

        break;

    case PRT_TRACE_BEGIN:
        second = prt_gotrace_second(events, n, i, PRT_TRACE_PARENT);
        prt_gotrace_task_begin(lane, event, second);
        break;

    case PRT_TRACE_FINISH:
        task = prt_gotrace_task(lane->process, event->key);

        if (task) {
            prt_gofile_add(file, time, PRT_GO_TASK_END, task,
                           prt_gotrace_here(lane));
        }

        break;

    case PRT_TRACE_ENTER:
        prt_gotrace_region(lane, event);
        break;

    case PRT_TRACE_LEAVE:
        prt_gotrace_leave(lane, time, PRT_GOTRACE_REGION,
                          prt_gotrace_string(lane->process, event->value));
        break;

    case PRT_TRACE_LOG:
        second = prt_gotrace_second(events, n, i, PRT_TRACE_TEXT);
        task = prt_gotrace_task(lane->process, event->key);

        if (task == 0) {
            task = prt_gotrace_task_of(lane, lane->current);
        }

        if (second) {
            prt_gofile_add(file, time, PRT_GO_LOG, task,
                           prt_gotrace_string(lane->process, event->value),
                           prt_gotrace_string(lane->process, second->value),
                           prt_gotrace_here(lane));
        }

        break;

    default:
        break;
    }

    if (own && prt_gotrace_g(lane, own)->nregions == 0) {
        prt_gotrace_block(lane, time);
    }
}


static void
prt_gotrace_task_begin(prt_gotrace_lane_t *lane,
    const prt_gotrace_event_t *event, const prt_gotrace_event_t *parent)
{
    uint64_t  task;

    task = prt_gotrace_task(lane->process, event->key);

    if (task == 0) {
        return;
    }

    prt_gofile_add(lane->file, event->time, PRT_GO_TASK_BEGIN, task,
                   parent ? prt_gotrace_task(lane->process, parent->key) : 0,
                   prt_gotrace_string(lane->process, event->value),
                   prt_gotrace_here(lane));
}


static void
prt_gotrace_region(prt_gotrace_lane_t *lane, const prt_gotrace_event_t *event)
{
    uint64_t  task;

    task = prt_gotrace_task(lane->process, event->key);

    if (task == 0) {
        task = prt_gotrace_task_of(lane, lane->current);
    }

    prt_gotrace_enter(lane, event->time, PRT_GOTRACE_REGION, task,
                      prt_gotrace_string(lane->process, event->value));
}


/* The other record of two that one thread has made at the same time. */

static const prt_gotrace_event_t *
prt_gotrace_second(const prt_gotrace_event_t *events, size_t n, size_t i,
    prt_trace_kind_t kind)
{
    size_t  k;

    for (k = i + 1; k < n && k < i + PRT_GOTRACE_APART; k++) {

        if (events[k].kind == kind && events[k].time == events[i].time
            && events[k].detail == events[i].detail)
        {
            return &events[k];
        }
    }

    return NULL;
}
