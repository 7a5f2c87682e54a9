
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The objects of all processes as a report shows them, and the translation of
 * addresses.  These become canonical here: an object's base is derived from its
 * build ID, not from where the loader put it.
 */


#ifndef _PRT_IMAGES_H_INCLUDED_
#define _PRT_IMAGES_H_INCLUDED_


#include "collect/prt_arena.h"
#include "collect/prt_report.h"
#include "store/prt_slot.h"


/* an object of one process, with its image in the report */

typedef struct {
    uint64_t             lo, hi;
    uint64_t             bias;
    size_t               image;            /* in the order of their making */
    unsigned             own;
} prt_images_object_t;


typedef struct {
    prt_arena_t         *arena;
    prt_image_t         *images;           /* by malloc() */
    size_t               nimages;

    /* of the slot at hand */
    prt_images_object_t  objects[PRT_OBJECTS_MAX];
    unsigned             nobjects;
    const prt_slot_t    *slot;

    /* frames that are names, sorted by place; in the arena, and outgrown there */
    const char         **names;
    uint32_t            *places;
    unsigned             nnames;
    unsigned             anames;
} prt_images_t;


/* All return -1 when memory is short. */

/* Begins with those of the special frames (prt_record.h) and of names. */
int prt_images_init(prt_images_t *images, prt_arena_t *arena);

/* Adds those of a slot, whose addresses are translated from now on. */
int prt_images_of(prt_images_t *images, const prt_slot_t *slot);

/*
 * The canonical form of a frame; 0: one of the profiler itself.  That of a name
 * depends on the name alone; where memory is short, it is lost.
 */
uint64_t prt_images_frame(prt_images_t *images, uint64_t frame);

/* All strings of a slot may be names: where only addresses are known. */
void prt_images_names_of(prt_images_t *images, const prt_slot_t *slot);

/* That of a special frame. */
uint64_t prt_images_special(unsigned frame);

/* As a report wants them; nothing can be added or translated any more. */
void prt_images_sort(prt_images_t *images);


#endif /* _PRT_IMAGES_H_INCLUDED_ */
