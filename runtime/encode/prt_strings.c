
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdlib.h>
#include <string.h>

#include "encode/prt_strings.h"


#define PRT_STRINGS_MIN  256


static int prt_strings_grow(prt_strings_t *strings);
static uint32_t *prt_strings_place(prt_strings_t *strings, const char *s);


void
prt_strings_init(prt_strings_t *strings)
{
    memset(strings, 0, sizeof(prt_strings_t));
}


void
prt_strings_free(prt_strings_t *strings)
{
    if (strings->arena) {
        prt_arena_destroy(strings->arena);
    }

    free(strings->list);
    free(strings->table);

    memset(strings, 0, sizeof(prt_strings_t));
}


int64_t
prt_strings_add(prt_strings_t *strings, const char *s)
{
    char      *copy;
    size_t     len;
    uint32_t  *place;

    if (s == NULL) {
        s = "";
    }

    if (strings->n == strings->size && prt_strings_grow(strings) != 0) {
        return -1;
    }

    place = prt_strings_place(strings, s);

    if (*place) {
        return *place - 1;
    }

    len = strlen(s) + 1;

    copy = prt_arena_alloc(strings->arena, len);
    if (copy == NULL) {
        return -1;
    }

    memcpy(copy, s, len);

    strings->list[strings->n++] = copy;
    strings->memory += len;

    *place = (uint32_t) strings->n;

    return *place - 1;
}


static int
prt_strings_grow(prt_strings_t *strings)
{
    char      **list;
    size_t      i, size;
    uint32_t   *table;

    if (strings->arena == NULL) {
        strings->arena = prt_arena_create();
        if (strings->arena == NULL) {
            return -1;
        }
    }

    size = strings->size ? strings->size * 2 : PRT_STRINGS_MIN;

    if (size > UINT32_MAX / 2) {
        return -1;
    }

    list = realloc(strings->list, size * sizeof(char *));
    if (list == NULL) {
        return -1;
    }

    strings->list = list;

    table = calloc(size * 2, sizeof(uint32_t));
    if (table == NULL) {
        return -1;
    }

    free(strings->table);

    strings->table = table;
    strings->memory += (size - strings->size)
                       * (sizeof(char *) + 2 * sizeof(uint32_t));
    strings->size = size;

    for (i = 0; i < strings->n; i++) {
        *prt_strings_place(strings, list[i]) = (uint32_t) i + 1;
    }

    return 0;
}


/* Where the string is in the table, or is to be. */

static uint32_t *
prt_strings_place(prt_strings_t *strings, const char *s)
{
    size_t          i, mask;
    uint64_t        hash;
    const uint8_t  *p;

    hash = 0xcbf29ce484222325;

    for (p = (const uint8_t *) s; *p; p++) {
        hash = (hash ^ *p) * 0x100000001b3;
    }

    mask = strings->size * 2 - 1;

    for (i = (size_t) (hash ^ hash >> 32) & mask;
         strings->table[i]
         && strcmp(strings->list[strings->table[i] - 1], s) != 0;
         i = (i + 1) & mask)
    {
        /* void */
    }

    return &strings->table[i];
}
