
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collect/prt_comments.h"
#include "collect/prt_merge.h"
#include "platform/prt_clock.h"
#include "platform/prt_object.h"
#include "sources/prt_record.h"


#define PRT_MERGE_LABELS   2               /* of ours: worker, pid */

/*
 * Canonical bases lie in the upper half of what a signed address can say,
 * 4 GB apart, so no address of any process is among them.
 */
#define PRT_BASE           (1ull << 61)
#define PRT_BASE_STEP      (1ull << 32)
#define PRT_BASE_MASK      0x1fffffffull
#define PRT_BASE_SPECIAL   (1ull << 60)


/* an object of one process, with its image in the report */

typedef struct {
    uint64_t             lo, hi;
    uint64_t             bias;
    size_t               image;            /* in the order of their making */
    unsigned             own;
} prt_merge_object_t;


typedef struct {
    prt_arena_t         *arena;

    prt_image_t         *images;
    size_t               nimages;

    prt_report_sample_t *samples;
    size_t               nsamples;
    size_t               room;

    /* of the slot at hand */
    prt_merge_object_t   objects[PRT_OBJECTS_MAX];
    unsigned             nobjects;
} prt_merger_t;


static prt_merger_t *prt_merger_create(void);
static void prt_merger_destroy(prt_merger_t *m);
static int prt_merge_slot(prt_merger_t *m, unsigned profile,
    const prt_snapshot_slot_t *start, const prt_snapshot_slot_t *end);
static int prt_merge_objects_of(prt_merger_t *m, const prt_slot_t *slot);
static int prt_merge_image(prt_merger_t *m, const prt_slot_t *slot,
    const prt_slot_object_t *object, size_t *index);
static void prt_merge_vdso(prt_image_t *image);
static int prt_merge_special(prt_merger_t *m);
static uint64_t prt_merge_base(const prt_merger_t *m,
    const prt_slot_object_t *object, const char *path);
static int prt_merge_object_cmp(const void *a, const void *b);
static int prt_merge_image_cmp(const void *a, const void *b);
static prt_report_sample_t *prt_merge_sample(prt_merger_t *m);
static int prt_merge_frames(prt_merger_t *m, const prt_intern_t *stacks,
    uint32_t stack, prt_report_sample_t *sample);
static uint64_t prt_merge_frame(prt_merger_t *m, uint64_t frame);
static int prt_merge_labels(prt_merger_t *m, const prt_snapshot_slot_t *slot,
    uint32_t labels, prt_report_sample_t *sample);


static const char *const  prt_merge_names[] = {
    "[pprof]",
    "[stack lost: pprof_memory is full]",
    "[stack truncated]",
    "[stack ends outside of all objects]",
    "[stack ends without unwind information]",
    "[stack ends in memory that is no stack]",
    "[after the last tick of a thread that ended]"
};

_Static_assert(sizeof(prt_merge_names) / sizeof(char *)
               == PRT_FRAMES_SPECIAL, "a name for each special frame");


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

        if (prt_merge_slot(m, profile, before, slot) != 0) {
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

    qsort(m->images, m->nimages, sizeof(prt_image_t), prt_merge_image_cmp);

    report->name = p->info.name;
    report->types = p->types;
    report->ntypes = p->ntypes;
    report->period_type = p->period_type;
    report->default_type = p->default_type;
    report->samples = m->samples;
    report->nsamples = m->nsamples;
    report->images = m->images;
    report->nimages = m->nimages;
    report->time = (int64_t) prt_clock(CLOCK_REALTIME);
    report->duration = start ? (int64_t) (end->now - start->now) : 0;
    report->period = p->period;

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
        if (prt_merge_objects_of(m, &snapshot->slots[i].memory) != 0) {
            goto failed;
        }
    }

    qsort(m->images, m->nimages, sizeof(prt_image_t), prt_merge_image_cmp);

    merge->arena = m->arena;
    merge->report.images = m->images;
    merge->report.nimages = m->nimages;

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

    if (m->arena == NULL || prt_merge_special(m) != 0) {
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
    free(m->images);
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
    uint32_t               row, stack, labels;
    uint64_t               old, delta[PRT_COUNTERS_MAX];
    unsigned               any, k;
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

    if (prt_merge_objects_of(m, &end->memory) != 0) {
        return -1;
    }

    for (row = 0; row < end->rows; row++) {

        any = 0;

        for (i = 0; i < n; i++) {
            old = start && row < start->rows
                  ? start->counters[row * (unsigned) n + (unsigned) i] : 0;
            delta[i] = end->counters[row * (unsigned) n + (unsigned) i] - old;
            any |= delta[i] != 0;
        }

        if (!any || !prt_table_key(table, row, &stack, &labels)) {
            continue;
        }

        sample = prt_merge_sample(m);

        if (sample == NULL
            || prt_merge_frames(m, stacks, stack, sample) != 0
            || prt_merge_labels(m, end, labels, sample) != 0)
        {
            return -1;
        }

        if (p->derive) {
            p->derive(delta, sample->values);
            continue;
        }

        for (k = 0; k < p->ntypes; k++) {
            sample->values[k] = (int64_t) delta[k];
        }
    }

    return 0;
}


/*
 * The slot's list only grows; where a newer object lies over one that was
 * unloaded, the newer one has the addresses.
 */

static int
prt_merge_objects_of(prt_merger_t *m, const prt_slot_t *slot)
{
    int                        i, k, covered;
    size_t                     image;
    uint32_t                   n;
    prt_merge_object_t        *object;
    prt_slot_object_t          shared;

    n = atomic_load(&slot->head->nobjects);

    if (n > PRT_OBJECTS_MAX) {
        n = PRT_OBJECTS_MAX;
    }

    m->nobjects = 0;

    for (i = (int) n - 1; i >= 0; i--) {

        /* a copy: what is checked here must not change before it is used */

        shared = slot->head->objects[i];
        atomic_signal_fence(memory_order_seq_cst);

        if (shared.build_id_len > PRT_BUILD_ID_MAX) {
            shared.build_id_len = 0;
        }

        if (shared.nsegments > PRT_IMAGE_SEGMENTS) {
            shared.nsegments = 0;
        }

        covered = 0;

        for (k = 0; k < (int) m->nobjects; k++) {
            if (shared.lo < m->objects[k].hi && shared.hi > m->objects[k].lo)
            {
                covered = 1;
            }
        }

        if (covered || shared.hi <= shared.lo) {
            continue;
        }

        if (prt_merge_image(m, slot, &shared, &image) != 0) {
            return -1;
        }

        object = &m->objects[m->nobjects++];
        object->lo = shared.lo;
        object->hi = shared.hi;
        object->bias = shared.bias;
        object->own = shared.own;
        object->image = image;
    }

    qsort(m->objects, m->nobjects, sizeof(prt_merge_object_t),
          prt_merge_object_cmp);

    return 0;
}


static int
prt_merge_image(prt_merger_t *m, const prt_slot_t *slot,
    const prt_slot_object_t *object, size_t *index)
{
    char          path[PRT_STRING_MAX];
    size_t        i;
    unsigned      k;
    uint64_t      end;
    prt_image_t  *image, *images;

    (void) prt_slot_text(slot, object->path, path);

    for (i = 0; i < m->nimages; i++) {
        image = &m->images[i];

        if (image->build_id_len == object->build_id_len
            && memcmp(image->build_id, object->build_id,
                      object->build_id_len) == 0
            && (object->build_id_len || strcmp(image->path, path) == 0))
        {
            *index = i;
            return 0;
        }
    }

    images = realloc(m->images, (m->nimages + 1) * sizeof(prt_image_t));
    if (images == NULL) {
        return -1;
    }

    m->images = images;
    image = &images[m->nimages];

    memset(image, 0, sizeof(prt_image_t));

    image->path = prt_arena_printf(m->arena, "%s", path);
    if (image->path == NULL) {
        return -1;
    }

    image->build_id_len = object->build_id_len;
    memcpy(image->build_id, object->build_id, image->build_id_len);

    image->nsegments = object->nsegments;
    memcpy(image->segments, object->segments,
           image->nsegments * sizeof(prt_image_segment_t));

    if (object->memory_size) {
        prt_merge_vdso(image);
    }

    image->base = prt_merge_base(m, object, image->path);

    end = 0;

    for (k = 0; k < image->nsegments; k++) {
        if (image->segments[k].vaddr + image->segments[k].size > end) {
            end = image->segments[k].vaddr + image->segments[k].size;
        }
    }

    image->limit = image->base + end;

    *index = m->nimages++;

    return 0;
}


/* No file has the vDSO, but this process has it as well. */

static void
prt_merge_vdso(prt_image_t *image)
{
    unsigned             i, n;
    const prt_map_t     *map;
    const prt_object_t  *object;

    map = prt_map_acquire();
    n = prt_map_count(map);

    for (i = 0; i < n; i++) {
        object = prt_map_object(map, i);

        if (object->is_vdso && object->build_id_len == image->build_id_len
            && memcmp(object->build_id, image->build_id, image->build_id_len)
               == 0)
        {
            image->memory = object->image;
            image->memory_size = object->image_size;
        }
    }

    prt_map_release();
}


static int
prt_merge_special(prt_merger_t *m)
{
    m->images = calloc(1, sizeof(prt_image_t));
    if (m->images == NULL) {
        return -1;
    }

    m->nimages = 1;

    m->images->path = "[pprof]";
    m->images->base = PRT_BASE_SPECIAL;
    m->images->names = prt_merge_names;
    m->images->nnames = PRT_FRAMES_SPECIAL;
    m->images->limit = PRT_BASE_SPECIAL
                       + PRT_FRAMES_SPECIAL * PRT_IMAGE_NAME_STEP;

    return 0;
}


static uint64_t
prt_merge_base(const prt_merger_t *m, const prt_slot_object_t *object,
    const char *path)
{
    size_t     i, len;
    uint64_t   base, words[PRT_STRING_MAX / 8];

    if (object->fixed) {
        /* not moved by the loader, so its addresses say nothing */
        return 0;
    }

    memset(words, 0, sizeof(words));

    if (object->build_id_len) {
        len = object->build_id_len;
        memcpy(words, object->build_id, len);

    } else {
        len = strlen(path);
        memcpy(words, path, len);
    }

    base = PRT_BASE | (prt_hash(words, (len + 7) / 8) & PRT_BASE_MASK)
                      * PRT_BASE_STEP;

    for (i = 0; i < m->nimages; i++) {

        if (m->images[i].base == base) {
            base += PRT_BASE_STEP;
            i = (size_t) -1;
        }
    }

    return base;
}


static int
prt_merge_object_cmp(const void *a, const void *b)
{
    const prt_merge_object_t  *one = a, *two = b;

    return (one->lo > two->lo) - (one->lo < two->lo);
}


static int
prt_merge_image_cmp(const void *a, const void *b)
{
    const prt_image_t  *one = a, *two = b;

    return (one->base > two->base) - (one->base < two->base);
}


static prt_report_sample_t *
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


static int
prt_merge_frames(prt_merger_t *m, const prt_intern_t *stacks, uint32_t stack,
    prt_report_sample_t *sample)
{
    uint32_t         i, n, len;
    uint64_t        *frames, frame, lost;
    const uint64_t  *raw;

    lost = PRT_FRAME_LOST;
    raw = prt_intern_get(stacks, stack, &len);

    if (raw == NULL || len == 0) {
        raw = &lost;
        len = sizeof(uint64_t);
    }

    n = len / (uint32_t) sizeof(uint64_t);

    if (n > PRT_STACK_MAX + 1) {
        n = PRT_STACK_MAX + 1;
    }

    frames = prt_arena_alloc(m->arena, (n + 1) * sizeof(uint64_t));
    if (frames == NULL) {
        return -1;
    }

    for (i = 0; i < n; i++) {

        frame = prt_merge_frame(m, raw[i]);

        if (frame != 0) {
            frames[sample->nframes++] = frame;
        }
    }

    if (sample->nframes == 0) {
        /* nothing but ourselves */
        frames[sample->nframes++] = PRT_BASE_SPECIAL + 1;
    }

    sample->frames = frames;

    return 0;
}


/* 0: a frame of the profiler itself */

static uint64_t
prt_merge_frame(prt_merger_t *m, uint64_t frame)
{
    unsigned                   lo, hi, mid;
    const prt_merge_object_t  *object;

    if (frame < PRT_FRAMES_SPECIAL) {
        return PRT_BASE_SPECIAL + frame * PRT_IMAGE_NAME_STEP + 1;
    }

    lo = 0;
    hi = m->nobjects;

    while (lo < hi) {
        mid = (lo + hi) / 2;
        object = &m->objects[mid];

        if (frame - 1 < object->lo) {
            hi = mid;

        } else if (frame - 1 >= object->hi) {
            lo = mid + 1;

        } else {
            return object->own ? 0
                   : m->images[object->image].base + (frame - object->bias);
        }
    }

    /* code of no object (made at run time): not told apart, nor disclosed */

    return PRT_BASE_SPECIAL + PRT_FRAME_NO_OBJECT * PRT_IMAGE_NAME_STEP + 1;
}


static int
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
