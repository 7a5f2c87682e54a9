
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The loaded objects, as a map that signal handlers may read: immutable,
 * replaced as a whole, and freed when nobody reads it any more.
 */


#ifndef _PRT_OBJECT_H_INCLUDED_
#define _PRT_OBJECT_H_INCLUDED_


#include <link.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/prt_arch.h"
#include "platform/prt_ehframe.h"
#include "platform/prt_image.h"


/* What a walk needs comes first, in one cache line. */

typedef struct {
    uintptr_t              bias;          /* memory address - vaddr */
    const prt_ehframe_t   *table;         /* NULL: none */

    prt_image_segment_t    segments[PRT_IMAGE_SEGMENTS];
    unsigned               nsegments;

    const char            *path;          /* "[vdso]" for the vDSO */
    uint64_t               serial;        /* ascending, never used twice */

    uint8_t                build_id[PRT_BUILD_ID_MAX];
    unsigned               build_id_len;  /* 0: none */

    unsigned               is_main:1;
    unsigned               is_exec_type:1;  /* ET_EXEC: not relocatable */
    unsigned               is_vdso:1;
    unsigned               is_loader:1;   /* ld.so */
    unsigned               own:1;         /* of the profiler */

    const uint8_t         *image;         /* vDSO: the ELF file in memory */
    size_t                 image_size;

    const ElfW(Phdr)      *phdr;          /* a copy */
    unsigned               phnum;
} prt_object_t;


typedef struct prt_map_s  prt_map_t;


/*
 * The object that this address is in is the profiler's own, as the library is;
 * NULL: none.  To be called before the first refresh.
 */
void prt_objects_own(const void *address);

/*
 * Brings the map up to date: 1, it has changed; 0, it has not; -1, no memory,
 * the old map stays.  Cheap when no object came or went.  Any thread, but not
 * in a signal handler.
 */
int prt_objects_refresh(void);

/*
 * The map as it is now, never NULL; it and its objects live until the release.
 * Nests.  Signal-safe.
 */
const prt_map_t *prt_map_acquire(void);
void prt_map_release(void);

/* The object whose code an address is in; NULL: none.  Signal-safe. */
const prt_object_t *prt_map_find(const prt_map_t *map, uintptr_t pc);

/* All objects, those without code too, in the order of the loader.  Signal-safe. */
unsigned prt_map_count(const prt_map_t *map);
const prt_object_t *prt_map_object(const prt_map_t *map, unsigned i);

/* Different for every map.  Signal-safe. */
uint64_t prt_map_serial(const prt_map_t *map);

/*
 * The bounds of the function at an address of the object, by its FDE.
 * Returns 0, or -1 if it has none.  Signal-safe.
 */
int prt_object_fde(const prt_object_t *object, uintptr_t vaddr,
    uintptr_t *start, uintptr_t *end);

/*
 * As dl_iterate_phdr(), but of the map, and without a lock.  Signal-safe if
 * the callback is.
 */
int prt_map_iterate_phdr(int (*callback)(struct dl_phdr_info *info,
    size_t size, void *data), void *data);


/* Whether all bytes of a range can be read at this moment.  Signal-safe. */
int prt_readable(uintptr_t addr, size_t size);


#endif /* _PRT_OBJECT_H_INCLUDED_ */
