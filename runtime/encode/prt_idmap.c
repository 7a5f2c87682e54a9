
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdlib.h>

#include "encode/prt_idmap.h"


#define PRT_IDMAP_MIN  1024


static int prt_idmap_grow(prt_idmap_t *map);
static prt_idmap_pair_t *prt_idmap_place(const prt_idmap_t *map, uint64_t key);


uint64_t *
prt_idmap_add(prt_idmap_t *map, uint64_t key)
{
    prt_idmap_pair_t  *pair;

    if (map->size) {
        pair = prt_idmap_place(map, key);

        if (pair->key) {
            return &pair->value;
        }
    }

    if (map->n * 2 >= map->size && prt_idmap_grow(map) != 0) {
        return NULL;
    }

    pair = prt_idmap_place(map, key);
    pair->key = key;
    map->n++;

    return &pair->value;
}


static int
prt_idmap_grow(prt_idmap_t *map)
{
    size_t     i;
    prt_idmap_t  grown;

    grown.n = map->n;
    grown.size = map->size ? map->size * 2 : PRT_IDMAP_MIN;

    grown.pairs = calloc(grown.size, sizeof(prt_idmap_pair_t));
    if (grown.pairs == NULL) {
        return -1;
    }

    for (i = 0; i < map->size; i++) {
        if (map->pairs[i].key) {
            *prt_idmap_place(&grown, map->pairs[i].key) = map->pairs[i];
        }
    }

    free(map->pairs);
    *map = grown;

    return 0;
}


static prt_idmap_pair_t *
prt_idmap_place(const prt_idmap_t *map, uint64_t key)
{
    size_t    i;
    uint64_t  hash;

    hash = key * 0x9e3779b97f4a7c15;

    for (i = (size_t) (hash ^ hash >> 32) & (map->size - 1);
         map->pairs[i].key && map->pairs[i].key != key;
         i = (i + 1) & (map->size - 1))
    {
        /* void */
    }

    return &map->pairs[i];
}
