
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdlib.h>
#include <string.h>

#include "collect/prt_images.h"
#include "platform/prt_object.h"
#include "sources/prt_record.h"


/*
 * Canonical bases lie in the upper half of what a signed address can say,
 * 4 GB apart, so no address of any process is among them.
 */
#define PRT_BASE           (1ull << 61)
#define PRT_BASE_STEP      (1ull << 32)
#define PRT_BASE_MASK      0x1fffffffull
#define PRT_BASE_SPECIAL   (1ull << 60)

/* names lie at places that their hash tells */
#define PRT_BASE_NAMES     (PRT_BASE_SPECIAL + PRT_BASE_STEP)
#define PRT_NAMES_MASK     0xffffffu


static int prt_images_add(prt_images_t *images, const prt_slot_t *slot,
    const prt_slot_object_t *object, size_t *index);
static void prt_images_vdso(prt_image_t *image);
static uint64_t prt_images_name(prt_images_t *images, uint32_t string);
static int prt_images_name_add(prt_images_t *images, uint32_t at,
    uint32_t place, const char *text);
static uint64_t prt_images_base(const prt_images_t *images,
    const prt_slot_object_t *object, const char *path);
static int prt_images_object_cmp(const void *a, const void *b);
static int prt_images_cmp(const void *a, const void *b);


static const char *const  prt_images_names[] = {
    "[pprof]",
    "[stack lost: pprof_memory is full]",
    "[stack truncated]",
    "[stack ends outside of all objects]",
    "[stack ends without unwind information]",
    "[stack ends in memory that is no stack]",
    "[after the last tick of a thread that ended]",
    "[what the handler did was not seen]"
};

_Static_assert(sizeof(prt_images_names) / sizeof(char *)
               == PRT_FRAMES_SPECIAL, "a name for each special frame");


/*
 * The slot's list only grows; where a newer object lies over one that was
 * unloaded, the newer one has the addresses.
 */

int
prt_images_of(prt_images_t *images, const prt_slot_t *slot)
{
    int                   i, k, covered;
    size_t                image;
    uint32_t              n;
    prt_images_object_t  *object;
    prt_slot_object_t     shared;

    n = atomic_load(&slot->head->nobjects);

    if (n > PRT_OBJECTS_MAX) {
        n = PRT_OBJECTS_MAX;
    }

    images->nobjects = 0;
    images->slot = slot;

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

        for (k = 0; k < (int) images->nobjects; k++) {
            if (shared.lo < images->objects[k].hi
                && shared.hi > images->objects[k].lo)
            {
                covered = 1;
            }
        }

        if (covered || shared.hi <= shared.lo) {
            continue;
        }

        if (prt_images_add(images, slot, &shared, &image) != 0) {
            return -1;
        }

        object = &images->objects[images->nobjects++];
        object->lo = shared.lo;
        object->hi = shared.hi;
        object->bias = shared.bias;
        object->own = shared.own;
        object->image = image;
    }

    qsort(images->objects, images->nobjects, sizeof(prt_images_object_t),
          prt_images_object_cmp);

    return 0;
}


static int
prt_images_add(prt_images_t *images, const prt_slot_t *slot,
    const prt_slot_object_t *object, size_t *index)
{
    char          path[PRT_STRING_MAX];
    size_t        i;
    unsigned      k;
    uint64_t      end;
    prt_image_t  *image, *grown;

    (void) prt_slot_text(slot, object->path, path);

    for (i = 0; i < images->nimages; i++) {
        image = &images->images[i];

        if (image->build_id_len == object->build_id_len
            && memcmp(image->build_id, object->build_id,
                      object->build_id_len) == 0
            && (object->build_id_len || strcmp(image->path, path) == 0))
        {
            *index = i;
            return 0;
        }
    }

    grown = realloc(images->images,
                    (images->nimages + 1) * sizeof(prt_image_t));
    if (grown == NULL) {
        return -1;
    }

    images->images = grown;
    image = &grown[images->nimages];

    memset(image, 0, sizeof(prt_image_t));

    image->path = prt_arena_printf(images->arena, "%s", path);
    if (image->path == NULL) {
        return -1;
    }

    image->build_id_len = object->build_id_len;
    memcpy(image->build_id, object->build_id, image->build_id_len);

    image->nsegments = object->nsegments;
    memcpy(image->segments, object->segments,
           image->nsegments * sizeof(prt_image_segment_t));

    if (object->memory_size) {
        prt_images_vdso(image);
    }

    image->base = prt_images_base(images, object, image->path);

    end = 0;

    for (k = 0; k < image->nsegments; k++) {
        if (image->segments[k].vaddr + image->segments[k].size > end) {
            end = image->segments[k].vaddr + image->segments[k].size;
        }
    }

    image->limit = image->base + end;

    *index = images->nimages++;

    return 0;
}


/* No file has the vDSO, but this process has it as well. */

static void
prt_images_vdso(prt_image_t *image)
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


int
prt_images_init(prt_images_t *images, prt_arena_t *arena)
{
    memset(images, 0, sizeof(prt_images_t));

    images->arena = arena;

    images->images = calloc(2, sizeof(prt_image_t));
    if (images->images == NULL) {
        return -1;
    }

    images->nimages = 2;

    images->images->path = "[pprof]";
    images->images->base = PRT_BASE_SPECIAL;
    images->images->names = prt_images_names;
    images->images->nnames = PRT_FRAMES_SPECIAL;
    images->images->limit = PRT_BASE_SPECIAL
                       + PRT_FRAMES_SPECIAL * PRT_IMAGE_NAME_STEP;

    /* its names come when all are known */

    images->images[1].path = "[goroutine]";
    images->images[1].base = PRT_BASE_NAMES;
    images->images[1].limit = PRT_BASE_NAMES
                       + (PRT_NAMES_MASK + 1ull) * PRT_IMAGE_NAME_STEP;

    return 0;
}


static uint64_t
prt_images_base(const prt_images_t *images, const prt_slot_object_t *object,
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

    for (i = 0; i < images->nimages; i++) {

        if (images->images[i].base == base) {
            base += PRT_BASE_STEP;
            i = (size_t) -1;
        }
    }

    return base;
}


static int
prt_images_object_cmp(const void *a, const void *b)
{
    const prt_images_object_t  *one = a, *two = b;

    return (one->lo > two->lo) - (one->lo < two->lo);
}


static int
prt_images_cmp(const void *a, const void *b)
{
    const prt_image_t  *one = a, *two = b;

    return (one->base > two->base) - (one->base < two->base);
}


uint64_t
prt_images_frame(prt_images_t *images, uint64_t frame)
{
    unsigned                    lo, hi, mid;
    const prt_images_object_t  *object;

    if (frame < PRT_FRAMES_SPECIAL) {
        return prt_images_special((unsigned) frame);
    }

    if (frame & PRT_FRAME_NAME) {
        return prt_images_name(images, (uint32_t) frame);
    }

    lo = 0;
    hi = images->nobjects;

    while (lo < hi) {
        mid = (lo + hi) / 2;
        object = &images->objects[mid];

        if (frame - 1 < object->lo) {
            hi = mid;

        } else if (frame - 1 >= object->hi) {
            lo = mid + 1;

        } else {
            if (object->own) {
                return 0;
            }

            return images->images[object->image].base + (frame - object->bias);
        }
    }

    /* code of no object (made at run time): not told apart, nor disclosed */

    return prt_images_special(PRT_FRAME_NO_OBJECT);
}


static uint64_t
prt_images_name(prt_images_t *images, uint32_t string)
{
    char      text[PRT_STRING_MAX];
    uint32_t  place, lo, hi, mid;
    uint64_t  words[PRT_STRING_MAX / 8];

    (void) prt_slot_text(images->slot, string, text);

    memset(words, 0, sizeof(words));
    memcpy(words, text, strlen(text));

    place = (uint32_t) prt_hash(words, (strlen(text) + 7) / 8)
            & PRT_NAMES_MASK;

    for ( ;; ) {
        lo = 0;
        hi = images->nnames;

        while (lo < hi) {
            mid = (lo + hi) / 2;

            if (images->places[mid] < place) {
                lo = mid + 1;

            } else {
                hi = mid;
            }
        }

        if (lo == images->nnames || images->places[lo] != place) {
            break;
        }

        if (strcmp(images->names[lo], text) == 0) {
            return PRT_BASE_NAMES + (uint64_t) place * PRT_IMAGE_NAME_STEP + 1;
        }

        place = (place + 1) & PRT_NAMES_MASK;
    }

    if (prt_images_name_add(images, lo, place, text) != 0) {
        return prt_images_special(PRT_FRAME_LOST);
    }

    return PRT_BASE_NAMES + (uint64_t) place * PRT_IMAGE_NAME_STEP + 1;
}


void
prt_images_names_of(prt_images_t *images, const prt_slot_t *slot)
{
    uint32_t  id;

    images->slot = slot;

    for (id = prt_intern_next(&slot->strings, 0);
         id;
         id = prt_intern_next(&slot->strings, id))
    {
        (void) prt_images_name(images, id);
    }
}


static int
prt_images_name_add(prt_images_t *images, uint32_t at, uint32_t place,
    const char *text)
{
    char         *name;
    unsigned      n;
    uint32_t     *places;
    const char  **names;

    n = images->nnames;

    if (n == images->anames) {
        images->anames = n ? 2 * n : 64;

        names = prt_arena_alloc(images->arena,
                                images->anames * sizeof(char *));
        places = prt_arena_alloc(images->arena,
                                 images->anames * sizeof(uint32_t));

        if (names == NULL || places == NULL) {
            images->anames = n;
            return -1;
        }

        if (n) {
            memcpy(names, images->names, n * sizeof(char *));
            memcpy(places, images->places, n * sizeof(uint32_t));
        }

        images->names = names;
        images->places = places;
    }

    name = prt_arena_printf(images->arena, "%s", text);
    if (name == NULL) {
        return -1;
    }

    memmove(&images->names[at + 1], &images->names[at],
            (n - at) * sizeof(char *));
    memmove(&images->places[at + 1], &images->places[at],
            (n - at) * sizeof(uint32_t));

    images->names[at] = name;
    images->places[at] = place;
    images->nnames++;

    return 0;
}


uint64_t
prt_images_special(unsigned frame)
{
    return PRT_BASE_SPECIAL + frame * PRT_IMAGE_NAME_STEP + 1;
}


void
prt_images_sort(prt_images_t *images)
{
    static const char *const  none[1];
    static const uint32_t     nowhere[1];

    images->images[1].names = images->nnames ? images->names : none;
    images->images[1].places = images->nnames ? images->places : nowhere;
    images->images[1].nnames = images->nnames;

    qsort(images->images, images->nimages, sizeof(prt_image_t),
          prt_images_cmp);
}
