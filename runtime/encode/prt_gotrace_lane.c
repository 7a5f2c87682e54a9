
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encode/prt_gotrace_lane.h"


/* numbers of goroutines that have none of their own */
#define PRT_GOTRACE_ID    1000000000ull

/* above these a key is no number that is meant to be seen */
#define PRT_GOTRACE_KEYS  (1ull << (PRT_RING_KEY - 1))


static uint64_t prt_gotrace_id(prt_gotrace_lane_t *lane, uint64_t key);
static void prt_gotrace_pop(prt_gotrace_lane_t *lane, uint64_t time,
    unsigned to);
static uint64_t prt_gotrace_reason(prt_gotrace_lane_t *lane,
    const prt_gotrace_g_t *g, uint64_t *stack);


void
prt_gotrace_lane_init(prt_gotrace_lane_t *lane,
    prt_gotrace_process_t *process, uint64_t m, const char *root)
{
    memset(lane, 0, sizeof(prt_gotrace_lane_t));

    lane->process = process;
    lane->file = &process->trace->file;
    lane->m = m;
    lane->p = process->trace->last_p++;
    lane->root = root;

    prt_gofile_thread(lane->file, m);
}


void
prt_gotrace_lane_free(prt_gotrace_lane_t *lane)
{
    free(lane->gs.data);
    free(lane->keys.pairs);
}


prt_gotrace_g_t *
prt_gotrace_g(prt_gotrace_lane_t *lane, uint32_t g)
{
    return (prt_gotrace_g_t *) (void *) lane->gs.data + g - 1;
}


uint32_t
prt_gotrace_find(prt_gotrace_lane_t *lane, uint64_t key)
{
    uint64_t  *place;

    place = prt_idmap_add(&lane->keys, key + 1);

    if (place == NULL) {
        lane->process->trace->failed = 1;
        return 0;
    }

    if (*place == 0
        || prt_gotrace_g(lane, (uint32_t) *place)->state == PRT_GOTRACE_DEAD)
    {
        return 0;
    }

    return (uint32_t) *place;
}


uint32_t
prt_gotrace_make(prt_gotrace_lane_t *lane, uint64_t key, uint32_t root)
{
    uint64_t         *place;
    prt_gotrace_g_t   g;

    memset(&g, 0, sizeof(prt_gotrace_g_t));

    g.id = prt_gotrace_id(lane, key);
    g.root = root;

    prt_buffer_add(&lane->gs, &g, sizeof(prt_gotrace_g_t));

    place = prt_idmap_add(&lane->keys, key + 1);

    if (place == NULL || lane->gs.failed || g.id == 0) {
        lane->process->trace->failed = 1;
        return 0;
    }

    *place = lane->gs.size / sizeof(prt_gotrace_g_t);

    return (uint32_t) *place;
}


static uint64_t
prt_gotrace_id(prt_gotrace_lane_t *lane, uint64_t key)
{
    uint64_t        id, *taken;
    prt_gotrace_t  *trace;

    trace = lane->process->trace;
    id = key;

    for ( ;; ) {

        if (id == 0 || id >= PRT_GOTRACE_KEYS) {
            id = PRT_GOTRACE_ID + ++trace->last_id;
        }

        taken = prt_idmap_add(&trace->ids, id);

        if (taken == NULL) {
            return 0;
        }

        if (*taken == 0) {
            *taken = 1;
            return id;
        }

        /* of another process, or of one that was there before */

        id = 0;
    }
}


void
prt_gotrace_wake(prt_gotrace_lane_t *lane, uint64_t time)
{
    if (!lane->known) {
        lane->known = 1;
        prt_gofile_add(lane->file, time, PRT_GO_PROC_STATUS, lane->p,
                       PRT_GO_PROC_IDLE);
    }

    if (!lane->running) {
        lane->running = 1;
        lane->p_seq++;
        prt_gofile_add(lane->file, time, PRT_GO_PROC_START, lane->p,
                       lane->p_seq);
    }
}


void
prt_gotrace_sleep(prt_gotrace_lane_t *lane, uint64_t time)
{
    prt_gotrace_block(lane, time);

    if (lane->running) {
        lane->running = 0;
        prt_gofile_mark(lane->file, time, PRT_GO_PROC_STOP);
    }
}


void
prt_gotrace_create(prt_gotrace_lane_t *lane, uint64_t time, uint32_t n)
{
    uint64_t          stack;
    prt_gotrace_g_t  *g;

    g = prt_gotrace_g(lane, n);

    if (g->state != PRT_GOTRACE_UNKNOWN) {
        return;
    }

    stack = prt_gotrace_place(lane->process, 0, 0, g->root, lane->root);

    prt_gofile_add(lane->file, time, PRT_GO_CREATE, g->id, stack,
                   prt_gotrace_here(lane));

    g->state = PRT_GOTRACE_RUNNABLE;
}


void
prt_gotrace_ready(prt_gotrace_lane_t *lane, uint64_t time, uint32_t n)
{
    prt_gotrace_g_t  *g;

    g = prt_gotrace_g(lane, n);

    if (g->state == PRT_GOTRACE_UNKNOWN) {
        prt_gofile_add(lane->file, time, PRT_GO_STATUS, g->id, 0,
                       PRT_GO_WAITING);
        g->state = PRT_GOTRACE_WAITING;
    }

    if (g->state == PRT_GOTRACE_WAITING) {
        g->seq++;

        /* go tool trace books under this stack how long it waited for the loop */

        prt_gofile_add(lane->file, time, PRT_GO_UNBLOCK, g->id, g->seq,
                       prt_gotrace_place(lane->process, 0, g->labels, g->root,
                                         lane->root));
        g->state = PRT_GOTRACE_RUNNABLE;
    }
}


void
prt_gotrace_run(prt_gotrace_lane_t *lane, uint64_t time, uint32_t n)
{
    prt_gotrace_g_t  *g;

    if (lane->current == n
        || prt_gotrace_g(lane, n)->state == PRT_GOTRACE_DEAD)
    {
        return;
    }

    prt_gotrace_wake(lane, time);

    /* by the one that runs: the arrow shows who went on with it */

    prt_gotrace_ready(lane, time, n);
    prt_gotrace_block(lane, time);

    g = prt_gotrace_g(lane, n);

    g->seq++;
    prt_gofile_add(lane->file, time, PRT_GO_START, g->id, g->seq);

    g->state = PRT_GOTRACE_RUNNING;
    lane->current = n;
}


void
prt_gotrace_end(prt_gotrace_lane_t *lane, uint64_t time, uint32_t n)
{
    prt_gotrace_run(lane, time, n);

    if (lane->current != n) {
        return;
    }

    prt_gotrace_return(lane, time);

    prt_gofile_mark(lane->file, time, PRT_GO_DESTROY);

    prt_gotrace_g(lane, n)->state = PRT_GOTRACE_DEAD;
    lane->current = 0;
}


void
prt_gotrace_call(prt_gotrace_lane_t *lane, uint64_t time, uint64_t stack)
{
    prt_gotrace_return(lane, time);

    lane->p_seq++;
    prt_gofile_add(lane->file, time, PRT_GO_SYSCALL_BEGIN, lane->p_seq,
                   stack);
    lane->calling = 1;
}


void
prt_gotrace_return(prt_gotrace_lane_t *lane, uint64_t time)
{
    if (lane->calling) {
        lane->calling = 0;
        prt_gofile_mark(lane->file, time, PRT_GO_SYSCALL_END);
    }
}


void
prt_gotrace_block(prt_gotrace_lane_t *lane, uint64_t time)
{
    uint64_t          reason, stack;
    prt_gotrace_g_t  *g;

    if (lane->current == 0) {
        return;
    }

    prt_gotrace_return(lane, time);

    g = prt_gotrace_g(lane, lane->current);
    reason = prt_gotrace_reason(lane, g, &stack);

    prt_gofile_add(lane->file, time, PRT_GO_BLOCK, reason, stack);

    g->state = PRT_GOTRACE_WAITING;
    lane->current = 0;
}


/*
 * "network" is what go tool trace knows as that, and words with "sync" as
 * waiting for others; anything else is a kind of its own.
 */

static uint64_t
prt_gotrace_reason(prt_gotrace_lane_t *lane, const prt_gotrace_g_t *g,
    uint64_t *stack)
{
    char                    text[PRT_STRING_MAX], name[PRT_STRING_MAX];
    uint64_t                state;
    prt_gotrace_process_t  *process;

    process = lane->process;

    state = g->wait && g->wait < PRT_RING_STATES
            ? atomic_load(&process->ring.head->states[g->wait]) : 0;

    *stack = prt_gotrace_place(process, (uint32_t) state, g->labels, g->root,
                               lane->root);

    if (g->root == 0) {
        return prt_gofile_string(lane->file, "waiting for work");
    }

    (void) prt_slot_text(&process->slot, (uint32_t) state, text);

    switch (state >> 32) {

    case PRT_TRACE_SYNC:
        (void) snprintf(name, sizeof(name), "sync (%.*s)",
                        (int) (sizeof(name) - sizeof("sync ()")), text);
        return prt_gofile_string(lane->file, name);

    case PRT_TRACE_NETWORK:
        return prt_gofile_string(lane->file, "network");

    default:
        return prt_gofile_string(lane->file, text);
    }
}


uint64_t
prt_gotrace_task_of(prt_gotrace_lane_t *lane, uint32_t n)
{
    prt_gotrace_g_t  *g;

    g = prt_gotrace_g(lane, n);

    return prt_gotrace_g(lane, g->owner ? g->owner : n)->task;
}


void
prt_gotrace_enter(prt_gotrace_lane_t *lane, uint64_t time,
    prt_gotrace_level_t level, uint64_t task, uint64_t name)
{
    prt_gotrace_g_t       *g;
    prt_gotrace_region_t  *region;

    if (lane->current == 0) {
        return;
    }

    g = prt_gotrace_g(lane, lane->current);

    if (g->nregions == PRT_GOTRACE_REGIONS) {
        return;
    }

    region = &g->regions[g->nregions++];
    region->task = task;
    region->name = name;
    region->level = level;

    prt_gofile_add(lane->file, time, PRT_GO_REGION_BEGIN, task, name,
                   prt_gotrace_here(lane));
}


/* Of phases and stages there is one at a time, whatever it is called. */

void
prt_gotrace_leave(prt_gotrace_lane_t *lane, uint64_t time,
    prt_gotrace_level_t level, uint64_t name)
{
    unsigned               i;
    prt_gotrace_g_t       *g;
    prt_gotrace_region_t  *region;

    if (lane->current == 0) {
        return;
    }

    g = prt_gotrace_g(lane, lane->current);

    for (i = g->nregions; i-- > 0; /* void */ ) {
        region = &g->regions[i];

        if (region->level == level
            && (level != PRT_GOTRACE_REGION || region->name == name))
        {
            prt_gotrace_pop(lane, time, i);
            return;
        }
    }
}


static void
prt_gotrace_pop(prt_gotrace_lane_t *lane, uint64_t time, unsigned to)
{
    prt_gotrace_g_t       *g;
    prt_gotrace_region_t  *region;

    g = prt_gotrace_g(lane, lane->current);

    while (g->nregions > to) {
        region = &g->regions[--g->nregions];

        prt_gofile_add(lane->file, time, PRT_GO_REGION_END, region->task,
                       region->name, prt_gotrace_here(lane));
    }
}


uint64_t
prt_gotrace_here(prt_gotrace_lane_t *lane)
{
    prt_gotrace_g_t  *g;

    if (lane->current == 0) {
        return prt_gotrace_place(lane->process, 0, 0, 0, lane->root);
    }

    g = prt_gotrace_g(lane, lane->current);

    return prt_gotrace_place(lane->process, 0, g->labels, g->root,
                             lane->root);
}


uint64_t
prt_gotrace_in(prt_gotrace_lane_t *lane, uint32_t stack)
{
    prt_gotrace_g_t  *g;

    if (lane->current == 0) {
        return prt_gotrace_stack(lane->process, stack, 0, 0, lane->root);
    }

    g = prt_gotrace_g(lane, lane->current);

    return prt_gotrace_stack(lane->process, stack, g->labels, g->root,
                             lane->root);
}
