
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <string.h>

#include "platform/prt_object.h"
#include "sources/prt_profile.h"
#include "sources/prt_record.h"


_Static_assert(sizeof(uintptr_t) == sizeof(uint64_t), "frames are words");


prt_slot_t  prt_slot;

__thread volatile uint32_t  prt_labels __attribute__((tls_model("initial-exec")));


uint32_t
prt_labels_make(const prt_label_text_t *texts, unsigned n)
{
    unsigned     i;
    uint32_t     labels;
    prt_label_t  set[PRT_LABELS_MAX];

    if (prt_slot.head == NULL || n == 0 || n > PRT_LABELS_MAX) {
        return 0;
    }

    labels = 1;

    for (i = 0; i < n; i++) {
        set[i].key = prt_slot_string(&prt_slot, texts[i].key,
                                     texts[i].key_len);
        set[i].value = prt_slot_string(&prt_slot, texts[i].value,
                                       texts[i].value_len);

        if (set[i].key == 0 || set[i].value == 0) {
            labels = 0;
        }
    }

    if (labels != 0) {
        labels = prt_slot_labels(&prt_slot, set, n);
    }

    if (labels == 0) {
        prt_slot_count(&prt_slot, PRT_COUNT_LABELS_LOST, 1);
    }

    return labels;
}


unsigned
prt_record_stack(prt_regs_t *regs, const prt_stack_bounds_t *bounds,
    uint64_t *frames, prt_walker_pt walker)
{
    unsigned           n;
    prt_unwind_end_t   end;

    n = walker(regs, bounds, (uintptr_t *) frames, PRT_STACK_MAX, &end);

    prt_slot_count(&prt_slot, PRT_COUNT_STACKS, 1);

    switch (end) {

    case PRT_UNWIND_END:
        break;

    case PRT_UNWIND_TRUNCATED:
        prt_slot_count(&prt_slot, PRT_COUNT_TRUNCATED, 1);
        frames[n++] = PRT_FRAME_TRUNCATED;
        break;

    case PRT_UNWIND_NO_OBJECT:
        prt_slot_count(&prt_slot, PRT_COUNT_NO_OBJECT, 1);
        frames[n++] = PRT_FRAME_NO_OBJECT;
        break;

    case PRT_UNWIND_NO_ROW:
        prt_slot_count(&prt_slot, PRT_COUNT_NO_ROW, 1);
        frames[n++] = PRT_FRAME_NO_ROW;
        break;

    default:
        prt_slot_count(&prt_slot, PRT_COUNT_BROKEN, 1);
        frames[n++] = PRT_FRAME_BROKEN;
        break;
    }

    return n;
}


uint32_t
prt_record_intern(unsigned table, const uint64_t *frames, unsigned n)
{
    prt_intern_t  *stacks;

    stacks = prt_profiles[table].table.transient ? &prt_slot.transient
                                                 : &prt_slot.stacks;

    return prt_intern_put(stacks, frames, (uint32_t) (n * sizeof(uint64_t)));
}


void
prt_record(unsigned table, const uint64_t *frames, unsigned n,
    uint32_t labels, const uint64_t *values)
{
    prt_table_add(&prt_slot.tables[table],
                  prt_record_intern(table, frames, n), labels, values);
}


void
prt_record_objects(void)
{
    unsigned             i, k, n;
    uint32_t             count, lost;
    uint64_t             lo, hi;
    const prt_map_t     *map;
    const prt_object_t  *object;
    prt_slot_object_t   *shared;

    map = prt_map_acquire();
    n = prt_map_count(map);

    if (prt_map_serial(map) + 1 == atomic_load(&prt_slot.head->map)) {
        prt_map_release();
        return;
    }

    atomic_store(&prt_slot.head->map, prt_map_serial(map) + 1);
    lost = 0;

    for (i = 0; i < n; i++) {
        object = prt_map_object(map, i);
        count = atomic_load(&prt_slot.head->nobjects);

        if (object->nsegments == 0) {
            continue;
        }

        for (k = 0; k < count; k++) {
            if (prt_slot.head->objects[k].serial == object->serial) {
                break;
            }
        }

        if (k < count) {
            continue;
        }

        if (count == PRT_OBJECTS_MAX) {
            lost++;
            continue;
        }

        shared = &prt_slot.head->objects[count];
        memset(shared, 0, sizeof(prt_slot_object_t));

        lo = UINT64_MAX;
        hi = 0;

        for (k = 0; k < object->nsegments && k < PRT_IMAGE_SEGMENTS; k++) {

            shared->segments[k].vaddr = object->segments[k].vaddr;
            shared->segments[k].size = object->segments[k].size;
            shared->segments[k].offset = object->segments[k].offset;

            if (object->segments[k].vaddr < lo) {
                lo = object->segments[k].vaddr;
            }

            if (object->segments[k].vaddr + object->segments[k].size > hi) {
                hi = object->segments[k].vaddr + object->segments[k].size;
            }
        }

        shared->nsegments = (uint8_t) k;
        shared->serial = object->serial;
        shared->bias = object->bias;
        shared->lo = object->bias + lo;
        shared->hi = object->bias + hi;
        shared->fixed = object->is_exec_type;
        shared->own = object->own;
        shared->memory_size = object->image_size;
        shared->path = prt_slot_string(&prt_slot, object->path,
                                       strlen(object->path));
        shared->build_id_len = (uint8_t) object->build_id_len;
        memcpy(shared->build_id, object->build_id, object->build_id_len);

        atomic_store(&prt_slot.head->nobjects, count + 1);
    }

    atomic_store(&prt_slot.head->objects_lost, lost);

    prt_map_release();
}
