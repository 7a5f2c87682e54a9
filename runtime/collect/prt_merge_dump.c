
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <string.h>

#include "collect/prt_merger.h"
#include "platform/prt_clock.h"


static int prt_merge_dump(prt_merger_t *m, const prt_snapshot_slot_t *slot,
    const prt_dump_copy_t *dump, int64_t value, int each);
static int prt_merge_dump_stack(prt_merger_t *m, const prt_dump_copy_t *dump,
    uint32_t stack, prt_report_sample_t *sample, uint64_t *creator);
static const prt_report_moment_t *prt_merge_moment(prt_merger_t *m,
    const prt_snapshot_slot_t *slot, const prt_dump_record_t *record,
    uint64_t creator, size_t base);


int
prt_merge_dumps(prt_merger_t *m, int window,
    const prt_snapshot_slot_t *start, const prt_snapshot_slot_t *end)
{
    unsigned                i;
    const prt_dump_copy_t  *before, *after;

    if (prt_images_of(&m->images, &end->memory) != 0) {
        return -1;
    }

    for (i = 0; i < 2; i++) {
        after = i ? end->work : end->threads;
        before = NULL;

        if (start) {
            before = i ? start->work : start->threads;

            /* what is there at one end only says nothing, but of who ended */

            if (before == NULL || (after == NULL && end->live)) {
                continue;
            }
        }

        if (before && prt_merge_dump(m, end, before, -1, 0) != 0) {
            return -1;
        }

        if (after && prt_merge_dump(m, end, after, 1, !window) != 0) {
            return -1;
        }
    }

    return 0;
}


/* "each": what is told of each record on its own is wanted, too. */

static int
prt_merge_dump(prt_merger_t *m, const prt_snapshot_slot_t *slot,
    const prt_dump_copy_t *dump, int64_t value, int each)
{
    size_t                base;
    uint32_t              i, stack, labels;
    uint64_t              creator;
    prt_dump_record_t     record;
    prt_report_sample_t  *sample, last;

    base = m->nsamples;
    stack = 0;
    labels = 0;
    creator = 0;

    memset(&last, 0, sizeof(prt_report_sample_t));

    for (i = 0; i < dump->count; i++) {
        prt_dump_record(dump, i, &record);

        sample = prt_merge_sample(m);
        if (sample == NULL) {
            return -1;
        }

        /* connections that do the same come by the thousand */

        if (i != 0 && record.stack == stack) {
            sample->frames = last.frames;
            sample->nframes = last.nframes;

        } else if (prt_merge_dump_stack(m, dump, record.stack, sample,
                                        &creator) != 0)
        {
            return -1;
        }

        if (i != 0 && record.labels == labels) {
            sample->labels = last.labels;
            sample->nlabels = last.nlabels;

        } else if (prt_merge_labels(m, slot, record.labels, sample) != 0) {
            return -1;
        }

        sample->values[0] = value;

        if (each) {
            sample->moment = prt_merge_moment(m, slot, &record, creator,
                                              base);
            if (sample->moment == NULL) {
                return -1;
            }
        }

        stack = record.stack;
        labels = record.labels;
        last = *sample;
    }

    return 0;
}


static int
prt_merge_dump_stack(prt_merger_t *m, const prt_dump_copy_t *dump,
    uint32_t stack, prt_report_sample_t *sample, uint64_t *creator)
{
    uint32_t         n;
    const uint64_t  *raw;

    raw = prt_dump_stack(dump, stack, &n);
    *creator = 0;

    if (raw) {
        *creator = *raw ? prt_images_frame(&m->images, *raw) : 0;
        raw++;
        n--;
    }

    return prt_merge_frames(m, raw, n, sample);
}


static const prt_report_moment_t *
prt_merge_moment(prt_merger_t *m, const prt_snapshot_slot_t *slot,
    const prt_dump_record_t *record, uint64_t creator, size_t base)
{
    char                  text[PRT_STRING_MAX];
    prt_report_moment_t  *moment;

    moment = prt_arena_alloc(m->arena, sizeof(prt_report_moment_t));
    if (moment == NULL) {
        return NULL;
    }

    moment->state = prt_arena_printf(m->arena, "%s",
                                     prt_slot_text(&slot->memory,
                                                   record->state, text));
    if (moment->state == NULL) {
        return NULL;
    }

    moment->id = record->id;
    moment->lasts = record->lasts * PRT_MSEC;
    moment->creator = creator;

    if (record->parent && record->parent <= m->nsamples - base) {
        moment->parent = base + record->parent;
    }

    return moment;
}
