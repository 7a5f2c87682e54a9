
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * What a process has interned in its slot, as numbers of the file.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encode/prt_gotrace_lane.h"
#include "sources/prt_record.h"


/* a stack's frames, without what it stands on */
#define PRT_GOTRACE_FRAMES  (PRT_GOFILE_FRAMES - PRT_GOTRACE_GROUND)

#define PRT_GOTRACE_GROUND  2


static unsigned prt_gotrace_ground(prt_gotrace_process_t *process,
    uint32_t labels, uint32_t root, const char *other, uint32_t *frames);
static unsigned prt_gotrace_frame(prt_gotrace_process_t *process,
    uint64_t raw, uint32_t *frames, unsigned room);
static int prt_gotrace_images(prt_gotrace_process_t *process);


void
prt_gotrace_process_free(prt_gotrace_process_t *process)
{
    if (process->images) {
        free(process->images->images);
        free(process->images);
    }

    if (process->arena) {
        prt_arena_destroy(process->arena);
    }

    free(process->stacks.pairs);
    free(process->places.pairs);
    free(process->known.pairs);
    free(process->tasks.pairs);
    free(process->labels.data);
}


uint64_t
prt_gotrace_string(prt_gotrace_process_t *process, uint32_t string)
{
    char  text[PRT_STRING_MAX];

    return prt_gofile_string(&process->trace->file,
                             prt_slot_text(&process->slot, string, text));
}


prt_gotrace_labels_t
prt_gotrace_labels(prt_gotrace_process_t *process, uint32_t labels)
{
    char                   key[PRT_STRING_MAX], server[PRT_STRING_MAX];
    char                   location[PRT_STRING_MAX], phase[PRT_STRING_MAX];
    char                   task[2 * PRT_STRING_MAX];
    uint32_t               i, n, len;
    uint64_t              *index;
    const prt_label_t     *set;
    prt_gotrace_labels_t   all;

    memset(&all, 0, sizeof(prt_gotrace_labels_t));

    index = prt_idmap_add(&process->known, labels + 1ull);

    if (index == NULL) {
        process->trace->failed = 1;
        return all;
    }

    if (*index) {
        return ((prt_gotrace_labels_t *) (void *) process->labels.data)
               [*index - 1];
    }

    server[0] = '\0';
    location[0] = '\0';
    phase[0] = '\0';

    set = prt_intern_get(&process->slot.labels, labels, &len);
    n = set ? len / (uint32_t) sizeof(prt_label_t) : 0;

    for (i = 0; i < n && i < PRT_LABELS_MAX; i++) {
        (void) prt_slot_text(&process->slot, set[i].key, key);

        if (strcmp(key, "server") == 0) {
            (void) prt_slot_text(&process->slot, set[i].value, server);

        } else if (strcmp(key, "location") == 0) {
            (void) prt_slot_text(&process->slot, set[i].value, location);

        } else if (strcmp(key, "phase") == 0) {
            (void) prt_slot_text(&process->slot, set[i].value, phase);
        }
    }

    (void) snprintf(task, sizeof(task), "%s%s%s", server,
                    server[0] && location[0] ? " " : "", location);

    all.task = prt_gofile_string(&process->trace->file,
                                 task[0] ? task : "request");
    all.location = prt_gofile_string(&process->trace->file, location);
    all.phase = prt_gofile_string(&process->trace->file, phase);

    prt_buffer_add(&process->labels, &all, sizeof(prt_gotrace_labels_t));

    if (process->labels.failed) {
        process->trace->failed = 1;
        return all;
    }

    *index = process->labels.size / sizeof(prt_gotrace_labels_t);

    return all;
}


uint64_t
prt_gotrace_place(prt_gotrace_process_t *process, uint32_t state,
    uint32_t labels, uint32_t root, const char *other)
{
    char           text[PRT_STRING_MAX];
    uint32_t       frames[1 + PRT_GOTRACE_GROUND];
    unsigned       n;
    uint64_t      *place, key[3];
    prt_gofile_t  *file;

    key[0] = (uint64_t) state << 32 | labels;
    key[1] = root;
    key[2] = (uint64_t) (uintptr_t) other;

    place = prt_idmap_add(&process->places, prt_hash(key, 3) | 1);

    if (place == NULL) {
        process->trace->failed = 1;
        return 0;
    }

    if (*place != 0) {
        return *place;
    }

    file = &process->trace->file;
    n = 0;

    if (state) {
        frames[n++] = prt_gofile_frame(file, prt_slot_text(&process->slot,
                                                           state, text),
                                       "", 0);
    }

    n += prt_gotrace_ground(process, labels, root, other, &frames[n]);

    *place = prt_gofile_stack(file, frames, n);

    return *place;
}


/* What stands below all else: the location, and the goroutine's root. */

static unsigned
prt_gotrace_ground(prt_gotrace_process_t *process, uint32_t labels,
    uint32_t root, const char *other, uint32_t *frames)
{
    char                   text[PRT_STRING_MAX];
    unsigned               n;
    prt_gofile_t          *file;
    prt_gotrace_labels_t   all;

    file = &process->trace->file;
    n = 0;

    all = prt_gotrace_labels(process, labels);

    if (all.location) {
        (void) snprintf(text, sizeof(text), "location %.*s",
                        (int) (sizeof(text) - sizeof("location ")),
                        file->strings.list[all.location]);
        frames[n++] = prt_gofile_frame(file, text, "", 0);
    }

    frames[n++] = prt_gofile_frame(file, root ? prt_slot_text(&process->slot,
                                                              root, text)
                                              : other, "", 0);

    return n;
}


uint64_t
prt_gotrace_stack(prt_gotrace_process_t *process, uint32_t stack,
    uint32_t labels, uint32_t root, const char *other)
{
    unsigned         n;
    uint32_t         i, len, frames[PRT_GOFILE_FRAMES];
    uint64_t        *place, key[3];
    const uint64_t  *raw;

    key[0] = (uint64_t) stack << 32 | labels;
    key[1] = root;
    key[2] = (uint64_t) (uintptr_t) other;

    place = prt_idmap_add(&process->stacks, prt_hash(key, 3) | 1);

    if (place == NULL || prt_gotrace_images(process) != 0) {
        process->trace->failed = 1;
        return 0;
    }

    if (*place != 0) {
        return *place;
    }

    raw = prt_intern_get(&process->slot.stacks, stack, &len);
    n = 0;

    for (i = 0; raw && i < len / sizeof(uint64_t); i++) {
        n += prt_gotrace_frame(process, raw[i], &frames[n],
                               PRT_GOTRACE_FRAMES - n);
    }

    n += prt_gotrace_ground(process, labels, root, other, &frames[n]);

    *place = prt_gofile_stack(&process->trace->file, frames, n);

    return *place;
}


static unsigned
prt_gotrace_frame(prt_gotrace_process_t *process, uint64_t raw,
    uint32_t *frames, unsigned room)
{
    char                text[PRT_STRING_MAX];
    size_t              i;
    uint64_t            frame;
    unsigned            k, n;
    prt_gofile_t       *file;
    prt_symbol_t        symbols[PRT_SYMBOL_INLINES];
    const prt_image_t  *image;

    file = &process->trace->file;

    if (room == 0) {
        return 0;
    }

    if (raw & PRT_FRAME_NAME) {
        (void) prt_slot_text(&process->slot, (uint32_t) raw, text);
        frames[0] = prt_gofile_frame(file, text, "", 0);
        return 1;
    }

    frame = prt_images_frame(process->images, raw);

    if (frame == 0) {
        return 0;
    }

    /* they are not sorted as yet */

    for (i = 0; i < process->images->nimages; i++) {
        image = &process->images->images[i];

        if (frame - 1 < image->base || frame - 1 >= image->limit) {
            continue;
        }

        n = prt_symbols_lookup(process->trace->symbols, image,
                               frame - 1 - image->base, symbols,
                               PRT_SYMBOL_INLINES);

        for (k = 0; k < n && k < room; k++) {
            frames[k] = prt_gofile_frame(file, symbols[k].name,
                                         symbols[k].file ? symbols[k].file
                                                         : "",
                                         symbols[k].line);
        }

        if (n) {
            return k;
        }

        break;
    }

    (void) snprintf(text, sizeof(text), "0x%llx", (unsigned long long) frame);
    frames[0] = prt_gofile_frame(file, text, "", 0);

    return 1;
}


/* Only those who have stacks of functions need them. */

static int
prt_gotrace_images(prt_gotrace_process_t *process)
{
    if (process->images) {
        return 0;
    }

    process->arena = prt_arena_create();
    process->images = calloc(1, sizeof(prt_images_t));

    if (process->arena == NULL || process->images == NULL
        || prt_images_init(process->images, process->arena) != 0)
    {
        return -1;
    }

    return prt_images_of(process->images, &process->slot);
}


uint64_t
prt_gotrace_task(prt_gotrace_process_t *process, uint64_t task)
{
    uint64_t  *number;

    if (task == 0 || process->tasks.size == 0) {
        return 0;
    }

    number = prt_idmap_add(&process->tasks, task);

    return number ? *number : 0;
}
