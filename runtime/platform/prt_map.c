
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "platform/prt_loaded.h"


#define PRT_RETIRE_TRIES       64


typedef struct {
    uintptr_t              start;
    uintptr_t              end;
    const prt_object_t    *object;
} prt_range_t;


struct prt_map_s {
    prt_map_t             *retired;       /* the next to be freed */
    uint64_t               serial;
    unsigned long long     adds;
    unsigned long long     subs;
    unsigned               nranges;
    unsigned               nobjects;
    prt_range_t           *ranges;
    prt_loaded_t         **objects;
};


/* A refresh in work. */

typedef struct {
    prt_map_t             *old;
    prt_map_t             *map;
    unsigned               size;          /* of map->objects */
    unsigned               ranges;
    unsigned               changed:1;
    unsigned               no_memory:1;
} prt_refresh_t;


static int prt_objects_visit(struct dl_phdr_info *info, size_t size,
    void *data);
static prt_loaded_t *prt_objects_add(prt_refresh_t *r,
    struct dl_phdr_info *info);
static int prt_objects_build(prt_refresh_t *r);
static int prt_objects_ranges(prt_refresh_t *r);
static int prt_objects_compare(const void *one, const void *two);
static void prt_objects_publish(prt_map_t *map);
static void prt_map_free(prt_map_t *map);


static prt_map_t             prt_map_empty;

static _Atomic(prt_map_t *)  prt_map_current = &prt_map_empty;
static atomic_uint           prt_map_readers;

/* all of these, and the objects, under the mutex */
static pthread_mutex_t       prt_objects_mutex = PTHREAD_MUTEX_INITIALIZER;
static prt_map_t            *prt_map_retired;
static uint64_t              prt_object_serials;
static uint64_t              prt_map_serials;


const prt_map_t *
prt_map_acquire(void)
{
    /*
     * Sequentially consistent, both: a writer that has published and then
     * sees no reader knows that all later readers see its map.
     */
    atomic_fetch_add(&prt_map_readers, 1);

    return atomic_load(&prt_map_current);
}


void
prt_map_release(void)
{
    atomic_fetch_sub(&prt_map_readers, 1);
}


const prt_object_t *
prt_map_find(const prt_map_t *map, uintptr_t pc)
{
    unsigned  low, high, middle;

    low = 0;
    high = map->nranges;

    while (low < high) {
        middle = low + (high - low) / 2;

        if (pc >= map->ranges[middle].end) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    if (low == map->nranges || pc < map->ranges[low].start) {
        return NULL;
    }

    return map->ranges[low].object;
}


unsigned
prt_map_count(const prt_map_t *map)
{
    return map->nobjects;
}


const prt_object_t *
prt_map_object(const prt_map_t *map, unsigned i)
{
    return &map->objects[i]->object;
}


uint64_t
prt_map_serial(const prt_map_t *map)
{
    return map->serial;
}


int
prt_map_iterate_phdr(int (*callback)(struct dl_phdr_info *info, size_t size,
    void *data), void *data)
{
    int                   rc;
    unsigned              i;
    const prt_map_t      *map;
    const prt_object_t   *object;
    struct dl_phdr_info   info;

    map = prt_map_acquire();
    rc = 0;

    for (i = 0; i < map->nobjects && rc == 0; i++) {
        object = &map->objects[i]->object;

        memset(&info, 0, sizeof(struct dl_phdr_info));
        info.dlpi_addr = object->bias;
        info.dlpi_name = object->is_main ? "" : object->path;
        info.dlpi_phdr = object->phdr;
        info.dlpi_phnum = (ElfW(Half)) object->phnum;
        info.dlpi_adds = map->adds;
        info.dlpi_subs = map->subs;

        rc = callback(&info, sizeof(struct dl_phdr_info), data);
    }

    prt_map_release();

    return rc;
}


int
prt_objects_refresh(void)
{
    int            rc;
    prt_refresh_t  r;

    memset(&r, 0, sizeof(prt_refresh_t));

    pthread_mutex_lock(&prt_objects_mutex);

    r.old = atomic_load(&prt_map_current);

    /*
     * The loader's lock is held in here: only copies are made.  The tables,
     * which take time, are made of the copies afterwards.
     */
    (void) dl_iterate_phdr(prt_objects_visit, &r);

    if (r.map == NULL && !r.no_memory) {
        rc = 0;
        prt_objects_publish(NULL);
        goto done;
    }

    if (r.no_memory || prt_objects_build(&r) != 0
        || prt_objects_ranges(&r) != 0)
    {
        rc = -1;
        prt_map_free(r.map);
        goto done;
    }

    rc = r.changed || r.map->nobjects != r.old->nobjects;

    r.map->serial = ++prt_map_serials;
    prt_objects_publish(r.map);
    prt_tables_trim();

done:

    pthread_mutex_unlock(&prt_objects_mutex);

    return rc;
}


static int
prt_objects_visit(struct dl_phdr_info *info, size_t size, void *data)
{
    void           *p;
    unsigned        n;
    prt_loaded_t   *loaded;
    prt_refresh_t  *r = data;

    if (r->map == NULL) {

        if (size >= offsetof(struct dl_phdr_info, dlpi_subs)
                    + sizeof(info->dlpi_subs)
            && r->old->serial
            && r->old->adds == info->dlpi_adds
            && r->old->subs == info->dlpi_subs)
        {
            return 1;
        }

        r->map = calloc(1, sizeof(prt_map_t));
        if (r->map == NULL) {
            r->no_memory = 1;
            return 1;
        }

        r->map->adds = info->dlpi_adds;
        r->map->subs = info->dlpi_subs;
    }

    if (info->dlpi_phdr == NULL || info->dlpi_phnum == 0) {
        return 0;
    }

    if (r->map->objects == NULL || r->map->nobjects == r->size) {
        n = r->size ? r->size * 2 : 32;

        p = realloc(r->map->objects, n * sizeof(prt_loaded_t *));
        if (p == NULL) {
            r->no_memory = 1;
            return 1;
        }

        r->map->objects = p;
        r->size = n;
    }

    loaded = prt_objects_add(r, info);
    if (loaded == NULL) {
        r->no_memory = 1;
        return 1;
    }

    loaded->refs++;
    r->map->objects[r->map->nobjects++] = loaded;
    r->ranges += loaded->object.nsegments;

    return 0;
}


/* The object as the last map knows it, or a new one. */

static prt_loaded_t *
prt_objects_add(prt_refresh_t *r, struct dl_phdr_info *info)
{
    unsigned       i;
    prt_loaded_t  *loaded;

    loaded = prt_loaded_create(info, r->map->nobjects == 0);
    if (loaded == NULL) {
        return NULL;
    }

    for (i = 0; i < r->old->nobjects; i++) {
        if (r->old->objects[i]->hash == loaded->hash) {
            prt_loaded_free(loaded);
            return r->old->objects[i];
        }
    }

    if (prt_loaded_read(loaded, info->dlpi_name) != 0) {
        prt_loaded_free(loaded);
        return NULL;
    }

    r->changed = 1;

    return loaded;
}


static int
prt_objects_build(prt_refresh_t *r)
{
    unsigned       i;
    prt_loaded_t  *loaded;

    for (i = 0; i < r->map->nobjects; i++) {
        loaded = r->map->objects[i];

        if (loaded->object.serial == 0) {
            loaded->object.serial = ++prt_object_serials;

            if (prt_loaded_build(loaded) != 0) {
                return -1;
            }
        }
    }

    return 0;
}


static int
prt_objects_ranges(prt_refresh_t *r)
{
    unsigned       i, j, n;
    prt_map_t     *map;
    prt_range_t   *range;
    prt_object_t  *object;

    map = r->map;

    map->ranges = calloc(r->ranges + 1, sizeof(prt_range_t));
    if (map->ranges == NULL) {
        return -1;
    }

    n = 0;

    for (i = 0; i < map->nobjects; i++) {
        object = &map->objects[i]->object;

        for (j = 0; j < object->nsegments; j++) {
            range = &map->ranges[n++];
            range->start = object->bias + object->segments[j].vaddr;
            range->end = range->start + object->segments[j].size;
            range->object = object;
        }
    }

    qsort(map->ranges, n, sizeof(prt_range_t), prt_objects_compare);

    for (i = 0; i + 1 < n; i++) {
        if (map->ranges[i].end > map->ranges[i + 1].start) {
            map->ranges[i].end = map->ranges[i + 1].start;
        }
    }

    map->nranges = n;

    return 0;
}


static int
prt_objects_compare(const void *one, const void *two)
{
    const prt_range_t  *a = one, *b = two;

    return (a->start > b->start) - (a->start < b->start);
}


/* Sets a new map, if there is one, and frees those that nobody reads. */

static void
prt_objects_publish(prt_map_t *map)
{
    unsigned    i;
    prt_map_t  *old;

    if (map) {
        old = atomic_exchange(&prt_map_current, map);

        if (old != &prt_map_empty) {
            old->retired = prt_map_retired;
            prt_map_retired = old;
        }
    }

    if (prt_map_retired == NULL) {
        return;
    }

    for (i = 0; atomic_load(&prt_map_readers) != 0; i++) {

        if (i == PRT_RETIRE_TRIES) {
            return;
        }

        prt_pause();
    }

    while (prt_map_retired) {
        old = prt_map_retired;
        prt_map_retired = old->retired;
        prt_map_free(old);
    }
}


static void
prt_map_free(prt_map_t *map)
{
    unsigned  i;

    if (map == NULL) {
        return;
    }

    for (i = 0; i < map->nobjects; i++) {
        if (--map->objects[i]->refs == 0) {
            prt_loaded_free(map->objects[i]);
        }
    }

    free(map->objects);
    free(map->ranges);
    free(map);
}
