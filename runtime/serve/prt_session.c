
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The stages of a job: all processes of the region follow a sync, the window
 * is open, they follow another, and what they recorded is collected.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/prt_ticks.h"
#include "serve/prt_job.h"
#include "sources/prt_profile.h"


static uint64_t prt_session_new(prt_job_t *job, uint64_t now);
static uint64_t prt_session_opening(prt_job_t *job, uint64_t now);
static uint64_t prt_session_running(prt_job_t *job, uint64_t now);
static uint64_t prt_session_closing(prt_job_t *job, uint64_t now);
static uint64_t prt_session_collect(prt_job_t *job);
static uint64_t prt_session_symbol(prt_job_t *job);
static uint64_t prt_session_state(prt_job_t *job);
static uint64_t prt_session_count(const prt_profile_t *profile,
    const uint64_t *counters, int live);
static void prt_session_worker(prt_worker_info_t *info,
    const prt_snapshot_slot_t *slot);
static void prt_session_held(prt_worker_info_t *info,
    const prt_slot_head_t *head, const prt_slot_t *slot);
static int prt_session_missing(prt_job_t *job);
static int prt_session_taken(prt_job_t *job, const prt_snapshot_t *snapshot);
static void prt_session_dump(prt_job_t *job);
static int prt_session_dumped(prt_job_t *job);
static int prt_session_slot(prt_job_t *job, unsigned i, prt_slot_t *slot);
static void prt_session_dumps(prt_job_t *job, const prt_snapshot_t *snapshot,
    unsigned profile);
static void prt_session_oldest(prt_worker_info_t *info,
    const prt_snapshot_slot_t *slot);
static void prt_session_close(prt_job_t *job);


uint64_t
prt_session_step(prt_job_t *job, uint64_t now)
{
    if (job->kind == PRT_JOB_RECORDER) {
        return prt_recorder_step(job, now);
    }

    switch (job->stage) {

    case PRT_STAGE_NEW:
        return prt_session_new(job, now);

    case PRT_STAGE_OPENING:
        return prt_session_opening(job, now);

    case PRT_STAGE_RUNNING:
        return prt_session_running(job, now);

    default:
        return prt_session_closing(job, now);
    }
}


void
prt_session_drop(prt_job_t *job)
{
    prt_recorder_drop(job);
    prt_session_close(job);
    prt_job_free(job);
}


static uint64_t
prt_session_new(prt_job_t *job, uint64_t now)
{
    prt_window_t  wanted;

    if (prt_session_missing(job)) {
        return 0;
    }

    if (job->kind == PRT_JOB_PROFILE
        && (job->request.profile->flags & PRT_PROFILE_WINDOW))
    {
        memset(&wanted, 0, sizeof(prt_window_t));

        wanted.profile = job->profile;
        wanted.rate = job->request.rate;
        wanted.worker = job->target.worker;
        wanted.pid = job->target.pid;

        job->window = prt_region_window_open(prt_process.region,
                                             prt_process.slot, &wanted);
        if (job->window == -1) {
            prt_job_fail(job, PRT_BUSY, "%d profiles are running already; "
                         "wait for one to end", PRT_WINDOWS_MAX);
            return 0;
        }
    }

    return prt_session_sync(job, PRT_STAGE_OPENING, now);
}


static uint64_t
prt_session_opening(prt_job_t *job, uint64_t now)
{
    if (now < job->deadline
        && !(prt_session_synced(job) && prt_session_dumped(job)))
    {
        return job->deadline;
    }

    if (job->kind == PRT_JOB_SYMBOL) {
        return prt_session_symbol(job);
    }

    if (job->kind == PRT_JOB_STATE) {
        return prt_session_state(job);
    }

    if (job->request.profile->flags & PRT_PROFILE_TRACE) {
        job->from = prt_now();
        job->stage = PRT_STAGE_RUNNING;
        job->deadline = job->from + job->request.window;

        return prt_session_running(job, now);
    }

    if (job->request.window == 0) {
        return prt_session_collect(job);
    }

    job->start = prt_snapshot_take(prt_process.region, job->profile,
                                   &job->target, 0, job->sync);

    if (job->start && job->dump
        && prt_snapshot_dumps(job->start, job->dump) && now < job->deadline)
    {
        prt_snapshot_free(job->start);
        job->start = NULL;
        return now + PRT_MSEC;
    }

    if (job->start == NULL) {
        prt_session_close(job);
        prt_job_fail(job, PRT_FAILED, "no memory for the profile");
        return 0;
    }

    if (job->window != -1 && prt_session_taken(job, job->start)) {
        return 0;
    }

    job->stage = PRT_STAGE_RUNNING;
    job->deadline = job->start->now + job->request.window;

    return prt_session_running(job, now);
}


static uint64_t
prt_session_running(prt_job_t *job, uint64_t now)
{
    if (now < job->deadline && !atomic_load(&job->ended)) {
        return job->deadline;
    }

    return prt_session_sync(job, PRT_STAGE_CLOSING, now);
}


static uint64_t
prt_session_closing(prt_job_t *job, uint64_t now)
{
    if (now < job->deadline
        && !(prt_session_synced(job) && prt_session_dumped(job)))
    {
        return job->deadline;
    }

    return prt_session_collect(job);
}


static uint64_t
prt_session_collect(prt_job_t *job)
{
    prt_snapshot_t  *end;

    /* the rings are read where they lie, by the encoder */

    if (job->request.profile->flags & PRT_PROFILE_TRACE) {
        job->to = prt_now();

        prt_session_close(job);
        prt_encoder_push(job);

        return 0;
    }

    end = prt_snapshot_take(prt_process.region, job->profile, &job->target,
                            job->start ? job->start->now : 0, job->sync);

    /* somebody else's question may be answered just now */

    if (end && job->dump && prt_snapshot_dumps(end, job->dump)
        && prt_now() < job->deadline)
    {
        prt_snapshot_free(end);
        return prt_now() + PRT_MSEC;
    }

    if (end) {
        job->merge = prt_merge(prt_process.region, job->profile, &job->target,
                               job->start, end, job->request.rate);
    }

    /* only now: a process without a window may forget what it recorded */

    prt_session_close(job);
    prt_snapshot_free(end);

    if (job->merge == NULL) {
        prt_job_fail(job, PRT_FAILED, "no memory for the profile");
        return 0;
    }

    prt_encoder_push(job);

    return 0;
}


static uint64_t
prt_session_symbol(prt_job_t *job)
{
    prt_snapshot_t  *snapshot;

    snapshot = prt_snapshot_take(prt_process.region, 0, &job->target, 0,
                                 job->sync);
    if (snapshot) {
        job->merge = prt_merge_objects(snapshot);
        prt_snapshot_free(snapshot);
    }

    if (job->merge == NULL) {
        prt_job_fail(job, PRT_FAILED, "no memory for the symbols");
        return 0;
    }

    prt_encoder_push(job);

    return 0;
}


static uint64_t
prt_session_state(prt_job_t *job)
{
    unsigned                    i, k, n;
    uint32_t                    row;
    prt_snapshot_t             *snapshot;
    const prt_snapshot_slot_t  *slot;

    prt_death_look();

    for (k = 0; k < prt_nprofiles && prt_profile_used(k); k++) {

        snapshot = prt_snapshot_take(prt_process.region, k, &job->target, 0,
                                     job->sync);

        if (snapshot && job->workers == NULL) {
            job->workers = calloc(snapshot->n + 1, sizeof(prt_worker_info_t));
        }

        if (snapshot == NULL || job->workers == NULL) {
            prt_snapshot_free(snapshot);
            prt_job_fail(job, PRT_FAILED, "no memory for the state");
            return 0;
        }

        for (i = 0; i < snapshot->n; i++) {
            slot = &snapshot->slots[i];

            if (k == 0 && slot->live) {
                prt_session_worker(&job->workers[job->nworkers++], slot);
            }

            n = slot->memory.tables[k].ncounters;

            for (row = 0; row < slot->rows; row++) {
                job->counts[k] += prt_session_count(&prt_profiles[k],
                                                    &slot->counters[row * n],
                                                    slot->live);
            }
        }

        if (k == 0) {
            job->naming = prt_naming_read(snapshot, &job->nnaming);
        }

        if (prt_profiles[k].info.flags & PRT_PROFILE_NOW) {
            (void) prt_snapshot_dumps(snapshot, job->dump);
            prt_session_dumps(job, snapshot, k);
        }

        prt_snapshot_free(snapshot);
    }

    prt_job_finish(job);

    return 0;
}


static void
prt_session_dumps(prt_job_t *job, const prt_snapshot_t *snapshot,
    unsigned profile)
{
    size_t                      w;
    unsigned                    i;
    const prt_snapshot_slot_t  *slot;

    for (i = 0; i < snapshot->n; i++) {
        slot = &snapshot->slots[i];

        job->counts[profile] += slot->threads ? slot->threads->count : 0;
        job->counts[profile] += slot->work ? slot->work->count : 0;

        for (w = 0; slot->work && w < job->nworkers; w++) {
            if (job->workers[w].slot == slot->slot) {
                prt_session_oldest(&job->workers[w], slot);
            }
        }
    }
}


static void
prt_session_oldest(prt_worker_info_t *info, const prt_snapshot_slot_t *slot)
{
    char               text[PRT_STRING_MAX];
    uint32_t           i;
    prt_dump_record_t  record, oldest;

    memset(&oldest, 0, sizeof(prt_dump_record_t));

    for (i = 0; i < slot->work->count; i++) {
        prt_dump_record(slot->work, i, &record);

        if (record.work && record.age >= oldest.age) {
            oldest = record;
        }
    }

    if (!oldest.work) {
        return;
    }

    info->oldest = oldest.age * PRT_MSEC;

    (void) snprintf(info->oldest_state, sizeof(info->oldest_state), "%.*s",
                    (int) sizeof(info->oldest_state) - 1,
                    prt_slot_text(&slot->memory, oldest.state, text));

    (void) snprintf(info->oldest_location, sizeof(info->oldest_location),
                    "%.*s", (int) sizeof(info->oldest_location) - 1,
                    prt_slot_label(&slot->memory, oldest.labels, "location",
                                   text));
}


static uint64_t
prt_session_count(const prt_profile_t *profile, const uint64_t *counters,
    int live)
{
    int64_t                values[PRT_VALUES_MAX];
    static const uint64_t  none[PRT_COUNTERS_MAX];

    if (profile->derive == NULL) {
        return counters[profile->count];
    }

    profile->derive(none, counters, live, values);

    return values[profile->count] > 0 ? (uint64_t) values[profile->count] : 0;
}


static void
prt_session_worker(prt_worker_info_t *info, const prt_snapshot_slot_t *slot)
{
    unsigned                i;
    const prt_entry_t      *entry;
    const prt_slot_head_t  *head;

    entry = &prt_process.region->head->entries[slot->slot];
    head = slot->memory.head;

    info->slot = slot->slot;
    info->worker = slot->worker;
    info->pid = slot->pid;
    info->age = prt_now() - atomic_load(&entry->start);
    info->cpu = atomic_load(&head->cpu);
    info->rss = atomic_load(&head->rss);
    info->gauges.connections = atomic_load(&head->connections);
    info->gauges.requests = atomic_load(&head->requests);
    info->samples = slot->counts[PRT_COUNT_SAMPLES];
    info->stalls = slot->counts[PRT_COUNT_STALLS];
    prt_session_held(info, head, &slot->memory);
    info->rate = atomic_load(&head->rate);
    info->exiting = atomic_load(&entry->cycle)
                    != atomic_load(&prt_process.region->head->cycle);
    info->silent = slot->silent;
    info->gops_port = atomic_load(&head->gops_port);
    info->gops_refused = atomic_load(&head->gops_refused);

    for (i = 0; i < slot->memory.ntables; i++) {
        info->lost += prt_profiles[i].table.ncounters == 0 ? 0
                      : atomic_load(&slot->memory.tables[i].head
                                    ->lost_stacks);
    }
}


static void
prt_session_held(prt_worker_info_t *info, const prt_slot_head_t *head,
    const prt_slot_t *slot)
{
    char      text[PRT_STALL_TEXT];
    uint64_t  begin, limit, now;

    now = prt_ticks();
    begin = atomic_load(&head->loop_begin);
    limit = atomic_load(&head->loop_limit);

    if (begin == 0 || limit == 0 || now < begin || now - begin < limit) {
        return;
    }

    info->held = prt_ticks_ns(now - begin);

    if (prt_slot_stall_text(slot, begin, text)) {
        (void) snprintf(info->held_by, sizeof(info->held_by), "%.*s",
                        (int) sizeof(info->held_by) - 1, text);
    }
}


/* No process is what was asked for. */

static int
prt_session_missing(prt_job_t *job)
{
    char          text[512];
    size_t        len;
    unsigned      i, n;
    uint64_t      owner;
    prt_entry_t  *entry;

    n = prt_region_slots(prt_process.region);
    len = 0;
    text[0] = '\0';

    for (i = 0; i < n; i++) {
        entry = &prt_process.region->head->entries[i];

        if (prt_region_state(prt_process.region, i, &owner) != PRT_SLOT_LIVE) {
            continue;
        }

        if (prt_target_matches(&job->target, atomic_load(&entry->worker),
                               (pid_t) (uint32_t) owner))
        {
            return 0;
        }

        if (len < sizeof(text) - 64) {
            len += (size_t) snprintf(text + len, sizeof(text) - len,
                                     "%sworker %d (pid %d)", len ? ", " : "",
                                     atomic_load(&entry->worker),
                                     (int) (uint32_t) owner);
        }
    }

    if (len >= sizeof(text) - 64) {
        memcpy(text + len, ", ...", sizeof(", ..."));
    }

    if (job->target.pid == PRT_ANY && job->target.worker == PRT_ANY) {
        prt_job_fail(job, PRT_FAILED, "no process is ready to be profiled");

    } else if (job->target.pid != PRT_ANY) {
        prt_job_fail(job, PRT_NOT_FOUND, "No process with pid %d here; there "
                     "are: %s", (int) job->target.pid, text);
    } else {
        prt_job_fail(job, PRT_NOT_FOUND, "No worker %d here; there are: %s",
                     job->target.worker, text);
    }

    return 1;
}


/* In no process SIGPROF can be had. */

static int
prt_session_taken(prt_job_t *job, const prt_snapshot_t *snapshot)
{
    char      text[PRT_STRING_MAX];
    unsigned  i;
    uint32_t  name;

    name = 0;

    for (i = 0; i < snapshot->n; i++) {
        name = atomic_load(&snapshot->slots[i].memory.head->taken);

        if (name == 0) {
            return 0;
        }
    }

    if (name == 0) {
        return 0;
    }

    (void) prt_slot_text(&snapshot->slots[snapshot->n - 1].memory, name, text);

    prt_session_close(job);
    prt_job_fail(job, PRT_FAILED, "Could not enable CPU profiling: SIGPROF is "
                 "handled by %s", text);

    return 1;
}


uint64_t
prt_session_sync(prt_job_t *job, prt_stage_t stage, uint64_t now)
{
    job->stage = stage;
    job->deadline = now + PRT_SYNC_TIMEOUT;

    if (job->kind == PRT_JOB_PROFILE && job->request.trim) {
        atomic_fetch_add(&prt_process.region->head->trim, 1);
        job->request.trim = 0;
    }

    if (job->kind == PRT_JOB_STATE
        || (job->kind == PRT_JOB_PROFILE
            && (job->request.profile->flags & PRT_PROFILE_NOW)))
    {
        job->dump = atomic_fetch_add(&prt_process.region->head->dump, 1) + 1;
        prt_session_dump(job);
    }

    job->sync = prt_service_sync();

    return job->deadline;
}


/* Those that the job means are asked; at the sync they see it. */

static void
prt_session_dump(prt_job_t *job)
{
    unsigned     i, n;
    uint64_t     asked;
    prt_slot_t   slot;

    n = prt_region_slots(prt_process.region);

    for (i = 0; i < n; i++) {

        if (prt_session_slot(job, i, &slot) != 0) {
            continue;
        }

        asked = atomic_load(&slot.head->dump);

        while (asked < job->dump
               && !atomic_compare_exchange_weak(&slot.head->dump, &asked,
                                                job->dump))
        {
            /* void */
        }
    }
}


/* Whether all have; those that came later were not asked. */

static int
prt_session_dumped(prt_job_t *job)
{
    unsigned    i, n;
    prt_slot_t  slot;

    if (job->dump == 0) {
        return 1;
    }

    n = prt_region_slots(prt_process.region);

    for (i = 0; i < n; i++) {

        if (prt_session_slot(job, i, &slot) == 0
            && atomic_load(&slot.head->dump) >= job->dump
            && !(prt_dump_answers(&slot.threads, job->dump)
                 && prt_dump_answers(&slot.work, job->dump)))
        {
            return 0;
        }
    }

    return 1;
}


/* Slot i, if its process lives and is one that the job means. */

static int
prt_session_slot(prt_job_t *job, unsigned i, prt_slot_t *slot)
{
    void                    *memory;
    size_t                   size;
    unsigned                 n;
    uint64_t                 owner;
    prt_entry_t             *entry;
    const prt_table_spec_t  *specs;

    entry = &prt_process.region->head->entries[i];

    if (prt_region_state(prt_process.region, i, &owner) != PRT_SLOT_LIVE
        || !prt_target_matches(&job->target, atomic_load(&entry->worker),
                               (pid_t) (uint32_t) owner))
    {
        return -1;
    }

    memory = prt_region_map(prt_process.region, i, &size);

    if (memory == NULL) {
        return -1;
    }

    specs = prt_profile_tables(&n);
    prt_slot_attach(slot, memory, size, specs, n);

    return 0;
}


int
prt_session_synced(prt_job_t *job)
{
    unsigned       i, n;
    uint64_t       owner;
    prt_entry_t   *entry;
    prt_region_t  *region;

    region = prt_process.region;
    n = prt_region_slots(region);

    for (i = 0; i < n; i++) {
        entry = &region->head->entries[i];

        if (atomic_load(&entry->synced) < job->sync
            && (uint32_t) atomic_load(&entry->state) == PRT_SLOT_LIVE
            && prt_region_state(region, i, &owner) == PRT_SLOT_LIVE
            && prt_target_matches(&job->target, atomic_load(&entry->worker),
                                  (pid_t) (uint32_t) owner))
        {
            return 0;
        }
    }

    return 1;
}


static void
prt_session_close(prt_job_t *job)
{
    if (job->window == -1) {
        return;
    }

    prt_region_window_close(prt_process.region, (unsigned) job->window);
    job->window = -1;

    (void) prt_service_sync();
}
