
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdlib.h>
#include <string.h>

#include "collect/prt_snapshot.h"
#include "platform/prt_clock.h"
#include "sources/prt_custom.h"


typedef enum {
    PRT_SNAPSHOT_DONE = 0,
    PRT_SNAPSHOT_NONE,                     /* the slot cannot be read */
    PRT_SNAPSHOT_MEMORY                    /* no memory here */
} prt_snapshot_status_t;


static prt_snapshot_status_t prt_snapshot_slot(prt_region_t *region, unsigned profile,
    prt_snapshot_slot_t *slot);
static void prt_snapshot_clear(prt_snapshot_slot_t *slot);


prt_snapshot_t *
prt_snapshot_take(prt_region_t *region, unsigned profile,
    const prt_target_t *target, uint64_t since, uint64_t sync)
{
    unsigned              i, n, ended;
    uint64_t              owner;
    prt_entry_t          *entry;
    prt_snapshot_t       *snapshot;
    prt_slot_state_t      state;
    prt_snapshot_slot_t  *slot;

    n = prt_region_slots(region);

    snapshot = calloc(1, sizeof(prt_snapshot_t)
                         + n * sizeof(prt_snapshot_slot_t));
    if (snapshot == NULL) {
        return NULL;
    }

    snapshot->now = prt_now();

    /* what they allocated counts on */
    ended = (prt_profiles[profile].info.flags
             & (PRT_PROFILE_DELTA|PRT_PROFILE_NOW))
            == PRT_PROFILE_DELTA;

    for (i = 0; i < n; i++) {
        entry = &region->head->entries[i];
        state = prt_region_state(region, i, &owner);

        if (state != PRT_SLOT_LIVE
            && (state != PRT_SLOT_ENDED || (since == 0 && !ended)))
        {
            continue;
        }

        slot = &snapshot->slots[snapshot->n];

        slot->slot = i;
        slot->owner = owner;
        slot->pid = (pid_t) (uint32_t) owner;
        slot->worker = atomic_load(&entry->worker);
        slot->live = state == PRT_SLOT_LIVE;
        slot->silent = slot->live && atomic_load(&entry->synced) < sync;

        if (!prt_target_matches(target, slot->worker, slot->pid)) {
            continue;
        }

        switch (prt_snapshot_slot(region, profile, slot)) {

        case PRT_SNAPSHOT_NONE:
            continue;

        case PRT_SNAPSHOT_MEMORY:
            prt_snapshot_free(snapshot);
            return NULL;

        default:
            break;
        }

        /* another process may have taken the slot while it was read */

        if (atomic_load(&entry->owner) != owner) {
            free(slot->counters);
            slot->counters = NULL;
            continue;
        }

        snapshot->n++;
    }

    return snapshot;
}


static prt_snapshot_status_t
prt_snapshot_slot(prt_region_t *region, unsigned profile,
    prt_snapshot_slot_t *slot)
{
    int                      number;
    void                    *memory;
    size_t                   size;
    unsigned                 i, n;
    prt_table_t             *table;
    const prt_table_spec_t  *specs;

    slot->counters = NULL;
    slot->rows = 0;

    memory = prt_region_map(region, slot->slot, &size);
    if (memory == NULL) {
        return PRT_SNAPSHOT_NONE;
    }

    specs = prt_profile_tables(&n);

    prt_slot_attach(&slot->memory, memory, size, specs, n);

    for (i = 0; i < PRT_COUNTS; i++) {
        slot->counts[i] = atomic_load(&slot->memory.head->counts[i]);
    }

    slot->epoch = atomic_load(&slot->memory.head->epoch);

    if (prt_profiles[profile].info.flags
        & (PRT_PROFILE_NOW|PRT_PROFILE_TRACE))
    {
        return PRT_SNAPSHOT_DONE;
    }

    number = prt_custom_table(&slot->memory, profile);
    if (number == -1) {
        return PRT_SNAPSHOT_DONE;
    }

    slot->memory.tables[profile] = slot->memory.tables[number];

    table = &slot->memory.tables[profile];
    slot->rows = prt_table_count(table);

    slot->counters = malloc((size_t) slot->rows * table->ncounters
                            * sizeof(uint64_t));
    if (slot->counters == NULL) {
        return PRT_SNAPSHOT_MEMORY;
    }

    prt_table_copy(table, slot->counters, slot->rows);

    return PRT_SNAPSHOT_DONE;
}


void
prt_snapshot_free(prt_snapshot_t *snapshot)
{
    unsigned  i;

    if (snapshot == NULL) {
        return;
    }

    for (i = 0; i < snapshot->n; i++) {
        prt_snapshot_clear(&snapshot->slots[i]);
    }

    free(snapshot);
}


static void
prt_snapshot_clear(prt_snapshot_slot_t *slot)
{
    free(slot->counters);
    free(slot->threads);
    free(slot->work);

    slot->counters = NULL;
    slot->threads = NULL;
    slot->work = NULL;
}


unsigned
prt_snapshot_dumps(prt_snapshot_t *snapshot, uint64_t number)
{
    unsigned              i, missing;
    prt_snapshot_slot_t  *slot;

    missing = 0;

    for (i = 0; i < snapshot->n; i++) {
        slot = &snapshot->slots[i];

        if (!slot->live || atomic_load(&slot->memory.head->dump) < number) {
            continue;
        }

        slot->threads = prt_dump_read(&slot->memory.threads, number);
        slot->work = prt_dump_read(&slot->memory.work, number);

        missing += slot->threads == NULL || slot->work == NULL;
    }

    return missing;
}


void
prt_snapshot_drop(prt_snapshot_t *snapshot, unsigned i)
{
    prt_snapshot_clear(&snapshot->slots[i]);

    snapshot->n--;

    memmove(&snapshot->slots[i], &snapshot->slots[i + 1],
            (snapshot->n - i) * sizeof(prt_snapshot_slot_t));
}


const prt_snapshot_slot_t *
prt_snapshot_find(const prt_snapshot_t *snapshot,
    const prt_snapshot_slot_t *slot)
{
    unsigned  i;

    for (i = 0; snapshot && i < snapshot->n; i++) {

        if (snapshot->slots[i].slot == slot->slot
            && snapshot->slots[i].owner == slot->owner)
        {
            return &snapshot->slots[i];
        }
    }

    return NULL;
}


int
prt_target_matches(const prt_target_t *target, int worker, pid_t pid)
{
    return (target->worker == PRT_ANY || target->worker == worker)
           && (target->pid == PRT_ANY || target->pid == pid);
}
