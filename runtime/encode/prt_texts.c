
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <string.h>

#include "encode/prt_texts.h"


#define PRT_TEXTS_FIRST  1024


static int prt_texts_grow(prt_texts_t *texts);
static size_t prt_texts_place(const prt_texts_t *texts, const char *s);


const char *
prt_texts_keep(prt_texts_t *texts, const char *s, prt_pages_t *pages)
{
    char    *copy;
    size_t   i, size;

    if (texts->n * 2 >= texts->room
        && prt_texts_grow(texts) != 0)
    {
        return NULL;
    }

    i = prt_texts_place(texts, s);

    if (texts->list[i]) {
        return texts->list[i];
    }

    size = strlen(s) + 1;

    copy = prt_pages_alloc(pages, size);
    if (copy == NULL) {
        return NULL;
    }

    memcpy(copy, s, size);

    texts->list[i] = copy;
    texts->n++;

    return copy;
}


static int
prt_texts_grow(prt_texts_t *texts)
{
    size_t        i, n, size;
    const char  **old;

    old = texts->list;
    n = texts->room;
    size = n ? n * 2 : PRT_TEXTS_FIRST;

    texts->list = prt_pages_grow(NULL, 0, size * sizeof(char *));
    if (texts->list == NULL) {
        texts->list = old;
        return -1;
    }

    texts->room = size;

    for (i = 0; i < n; i++) {
        if (old[i]) {
            texts->list[prt_texts_place(texts, old[i])] = old[i];
        }
    }

    prt_pages_drop(old, n * sizeof(char *));

    return 0;
}


/* The string's place, or the empty one where it belongs. */

static size_t
prt_texts_place(const prt_texts_t *texts, const char *s)
{
    size_t       i, mask;
    uint64_t     hash;
    const char  *p;

    hash = 0xcbf29ce484222325;

    for (p = s; *p; p++) {
        hash = (hash ^ (uint8_t) *p) * 0x100000001b3;
    }

    mask = texts->room - 1;
    i = (size_t) (hash ^ hash >> 32) & mask;

    while (texts->list[i] && strcmp(texts->list[i], s) != 0) {
        i = (i + 1) & mask;
    }

    return i;
}


void
prt_texts_free(prt_texts_t *texts)
{
    prt_pages_drop(texts->list, prt_texts_memory(texts));

    memset(texts, 0, sizeof(prt_texts_t));
}


size_t
prt_texts_memory(const prt_texts_t *texts)
{
    return texts->room * sizeof(char *);
}
