
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collect/prt_comments.h"
#include "collect/prt_images.h"
#include "collect/prt_merger.h"
#include "platform/prt_clock.h"
#include "sources/prt_record.h"


#define PRT_MERGE_LABELS   2               /* of ours: worker, pid */

/* and special ones, at the end or as the leaf */
#define PRT_MERGE_FRAMES   (PRT_STACK_MAX + 3)


static prt_merger_t *prt_merger_create(void);
static void prt_merger_destroy(prt_merger_t *m);
static int prt_merge_slot(prt_merger_t *m, unsigned profile,
    const prt_snapshot_slot_t *start, const prt_snapshot_slot_t *end);


prt_merge_t *
prt_merge(prt_region_t *region, unsigned profile, const prt_target_t *target,
    const prt_snapshot_t *start, prt_snapshot_t *end, unsigned rate)
{
    size_t                      nsamples;
    unsigned                    i;
    prt_merge_t                *merge;
    prt_merger_t               *m;
    prt_report_t               *report;
    prt_entry_t                *entry;
    const prt_profile_t        *p;
    const prt_snapshot_slot_t  *before, *slot;

    p = &prt_profiles[profile];

    m = prt_merger_create();
    merge = calloc(1, sizeof(prt_merge_t));

    if (m == NULL || merge == NULL) {
        goto failed;
    }

    merge->arena = m->arena;
    report = &merge->report;

    i = 0;

    while (i < end->n) {
        slot = &end->slots[i];
        entry = &region->head->entries[slot->slot];
        before = prt_snapshot_find(start, slot);

        /*
         * Who had ended before the window began has no part in it; and who was
         * there but could not be read cannot be subtracted from
         */

        if (start && before == NULL && atomic_load(&entry->start) < start->now)
        {
            prt_snapshot_drop(end, i);
            continue;
        }

        nsamples = m->nsamples;

        if ((p->info.flags & PRT_PROFILE_NOW
             ? prt_merge_dumps(m, start != NULL, before, slot)
             : prt_merge_slot(m, profile, before, slot))
            != 0)
        {
            goto failed;
        }

        /* stacks and names are read only now: they may be another's already */

        if (atomic_load(&entry->owner) != slot->owner) {
            m->nsamples = nsamples;
            prt_snapshot_drop(end, i);
            continue;
        }

        i++;
    }

    prt_images_sort(&m->images);

    report->name = p->info.name;
    report->types = p->types;
    report->ntypes = p->ntypes;
    report->period_type = p->period_type;
    report->default_type = p->default_type;
    report->samples = m->samples;
    report->nsamples = m->nsamples;
    report->images = m->images.images;
    report->nimages = m->images.nimages;
    report->time = (int64_t) prt_clock(CLOCK_REALTIME);
    report->duration = start ? (int64_t) (end->now - start->now) : 0;
    report->period = p->sampled ? p->sampled() : p->period;

    if (prt_comments(merge, profile, target, start, end, rate) != 0) {
        goto failed;
    }

    free(m);

    return merge;

failed:

    prt_merger_destroy(m);
    free(merge);

    return NULL;
}


prt_merge_t *
prt_merge_stack(const prt_slot_t *slot, const uint64_t *frames, unsigned n,
    uint32_t labels)
{
    prt_merge_t          *merge;
    prt_merger_t         *m;
    prt_snapshot_slot_t   self;
    prt_report_sample_t  *sample;

    memset(&self, 0, sizeof(prt_snapshot_slot_t));

    self.memory = *slot;
    self.worker = -1;

    m = prt_merger_create();
    merge = calloc(1, sizeof(prt_merge_t));

    if (m == NULL || merge == NULL
        || prt_images_of(&m->images, slot) != 0)
    {
        goto failed;
    }

    sample = prt_merge_sample(m);

    if (sample == NULL
        || prt_merge_frames(m, frames, n, sample) != 0
        || prt_merge_labels(m, &self, labels, sample) != 0)
    {
        goto failed;
    }

    prt_images_sort(&m->images);

    merge->arena = m->arena;
    merge->report.samples = m->samples;
    merge->report.nsamples = 1;
    merge->report.images = m->images.images;
    merge->report.nimages = m->images.nimages;

    free(m);

    return merge;

failed:

    prt_merger_destroy(m);
    free(merge);

    return NULL;
}


prt_merge_t *
prt_merge_objects(const prt_snapshot_t *snapshot)
{
    unsigned       i;
    prt_merge_t   *merge;
    prt_merger_t  *m;

    m = prt_merger_create();
    merge = calloc(1, sizeof(prt_merge_t));

    if (m == NULL || merge == NULL) {
        goto failed;
    }

    for (i = 0; i < snapshot->n; i++) {
        if (prt_images_of(&m->images, &snapshot->slots[i].memory) != 0) {
            goto failed;
        }

        prt_images_names_of(&m->images, &snapshot->slots[i].memory);
    }

    prt_images_sort(&m->images);

    merge->arena = m->arena;
    merge->report.images = m->images.images;
    merge->report.nimages = m->images.nimages;

    free(m);

    return merge;

failed:

    prt_merger_destroy(m);
    free(merge);

    return NULL;
}


static prt_merger_t *
prt_merger_create(void)
{
    prt_merger_t  *m;

    m = calloc(1, sizeof(prt_merger_t));
    if (m == NULL) {
        return NULL;
    }

    m->arena = prt_arena_create();

    if (m->arena == NULL || prt_images_init(&m->images, m->arena) != 0) {
        prt_merger_destroy(m);
        return NULL;
    }

    return m;
}


static void
prt_merger_destroy(prt_merger_t *m)
{
    if (m == NULL) {
        return;
    }

    if (m->arena) {
        prt_arena_destroy(m->arena);
    }

    free(m->samples);
    free(m->images.images);
    free(m);
}


void
prt_merge_free(prt_merge_t *merge)
{
    if (merge == NULL) {
        return;
    }

    free((void *) merge->report.samples);
    free((void *) merge->report.images);

    prt_arena_destroy(merge->arena);

    free(merge);
}


static int
prt_merge_slot(prt_merger_t *m, unsigned profile,
    const prt_snapshot_slot_t *start, const prt_snapshot_slot_t *end)
{
    int                    i, n;
    uint32_t               row, stack, labels, len;
    uint64_t               old[PRT_COUNTERS_MAX], delta[PRT_COUNTERS_MAX];
    unsigned               any, k;
    const uint64_t        *raw;
    const prt_table_t     *table;
    const prt_intern_t    *stacks;
    prt_report_sample_t   *sample;
    const prt_profile_t   *p;

    p = &prt_profiles[profile];
    table = &end->memory.tables[profile];
    n = (int) table->ncounters;
    memset(delta, 0, sizeof(delta));
    stacks = p->table.transient ? &end->memory.transient : &end->memory.stacks;

    /* counted from zero again since */

    if (start && p->table.transient && start->epoch != end->epoch) {
        start = NULL;
    }

    if (prt_images_of(&m->images, &end->memory) != 0) {
        return -1;
    }

    for (row = 0; row < end->rows; row++) {

        any = 0;

        for (i = 0; i < n; i++) {
            old[i] = start && row < start->rows
                     ? start->counters[row * (unsigned) n + (unsigned) i] : 0;
            delta[i] = end->counters[row * (unsigned) n + (unsigned) i]
                       - old[i];
            any |= delta[i] != 0;
        }

        if (!any || !prt_table_key(table, row, &stack, &labels)) {
            continue;
        }

        sample = prt_merge_sample(m);
        raw = prt_intern_get(stacks, stack, &len);

        if (sample == NULL
            || prt_merge_frames(m, raw, len / (uint32_t) sizeof(uint64_t),
                                sample)
               != 0
            || prt_merge_labels(m, end, labels, sample) != 0)
        {
            return -1;
        }

        if (p->derive) {
            p->derive(old, delta, end->live, sample->values);

        } else {
            for (k = 0; k < p->ntypes; k++) {
                sample->values[k] = (int64_t) delta[k];
            }
        }

        any = 0;

        for (k = 0; k < p->ntypes; k++) {
            any |= sample->values[k] != 0;
        }

        /* of another profile with the same table */

        if (!any) {
            m->nsamples--;
        }
    }

    return 0;
}


prt_report_sample_t *
prt_merge_sample(prt_merger_t *m)
{
    size_t                room;
    prt_report_sample_t  *samples;

    if (m->nsamples == m->room) {
        room = m->room ? m->room * 2 : 1024;

        samples = realloc(m->samples, room * sizeof(prt_report_sample_t));
        if (samples == NULL) {
            return NULL;
        }

        m->samples = samples;
        m->room = room;
    }

    memset(&m->samples[m->nsamples], 0, sizeof(prt_report_sample_t));

    return &m->samples[m->nsamples++];
}


int
prt_merge_frames(prt_merger_t *m, const uint64_t *raw, uint32_t n,
    prt_report_sample_t *sample)
{
    uint32_t   i;
    uint64_t  *frames, frame, lost;

    lost = PRT_FRAME_LOST;

    if (raw == NULL || n == 0) {
        raw = &lost;
        n = 1;
    }

    if (n > PRT_MERGE_FRAMES) {
        n = PRT_MERGE_FRAMES;
    }

    frames = prt_arena_alloc(m->arena, (n + 1) * sizeof(uint64_t));
    if (frames == NULL) {
        return -1;
    }

    for (i = 0; i < n; i++) {

        frame = prt_images_frame(&m->images, raw[i]);

        if (frame != 0) {
            frames[sample->nframes++] = frame;
        }
    }

    if (sample->nframes == 0) {
        /* nothing but ourselves */
        frames[sample->nframes++] = prt_images_special(0);
    }

    sample->frames = frames;

    return 0;
}


int
prt_merge_labels(prt_merger_t *m, const prt_snapshot_slot_t *slot,
    uint32_t labels, prt_report_sample_t *sample)
{
    char                  text[PRT_STRING_MAX];
    uint32_t              i, n, len;
    const prt_label_t    *set;
    prt_report_label_t   *out;

    n = 0;
    set = prt_intern_get(&slot->memory.labels, labels, &len);

    if (set) {
        n = len / (uint32_t) sizeof(prt_label_t);
        n = n < PRT_LABELS_MAX ? n : PRT_LABELS_MAX;
    }

    out = prt_arena_alloc(m->arena,
                          (n + PRT_MERGE_LABELS) * sizeof(prt_report_label_t));
    if (out == NULL) {
        return -1;
    }

    sample->labels = out;

    for (i = 0; i < n; i++, out++) {
        out->key = prt_arena_printf(m->arena, "%s",
                       prt_slot_text(&slot->memory, set[i].key, text));
        out->str = prt_arena_printf(m->arena, "%s",
                       prt_slot_text(&slot->memory, set[i].value, text));

        if (out->key == NULL || out->str == NULL) {
            return -1;
        }
    }

    if (slot->worker >= 0) {
        out->key = "worker";
        out->str = prt_arena_printf(m->arena, "%d", slot->worker);

        if (out->str == NULL) {
            return -1;
        }

        out++;
    }

    out->key = "pid";
    out->num = slot->pid;
    out++;

    sample->nlabels = (uint32_t) (out - sample->labels);

    return 0;
}
