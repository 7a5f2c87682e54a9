
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <string.h>
#include <sys/mman.h>

#include "encode/prt_pages.h"


#define PRT_PAGES_CHUNK  (64 * 1024)       /* bytes */


typedef struct prt_pages_chunk_s  prt_pages_chunk_t;

struct prt_pages_chunk_s {
    prt_pages_chunk_t   *next;
    size_t               used;
    size_t               size;           /* with this head */
};


void *
prt_pages_alloc(prt_pages_t *pages, size_t size)
{
    void               *p;
    size_t              room;
    prt_pages_chunk_t  *chunk;

    size = (size + 7) & ~(size_t) 7;
    chunk = pages->chunks;

    if (chunk == NULL || chunk->size - chunk->used < size) {

        room = sizeof(prt_pages_chunk_t) + size;
        room = room > PRT_PAGES_CHUNK ? room : PRT_PAGES_CHUNK;

        chunk = prt_pages_grow(NULL, 0, room);
        if (chunk == NULL) {
            return NULL;
        }

        chunk->used = sizeof(prt_pages_chunk_t);
        chunk->size = room;
        chunk->next = pages->chunks;

        pages->chunks = chunk;
        pages->size += room;
    }

    p = (char *) chunk + chunk->used;
    chunk->used += size;

    return p;
}


void
prt_pages_free(prt_pages_t *pages)
{
    prt_pages_chunk_t  *chunk, *next;

    for (chunk = pages->chunks; chunk; chunk = next) {
        next = chunk->next;
        prt_pages_drop(chunk, chunk->size);
    }

    memset(pages, 0, sizeof(prt_pages_t));
}


void *
prt_pages_grow(void *p, size_t old, size_t size)
{
    if (old) {
        p = mremap(p, old, size, MREMAP_MAYMOVE);

    } else {
        p = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS,
                 -1, 0);
    }

    return p == MAP_FAILED ? NULL : p;
}


void
prt_pages_drop(void *p, size_t size)
{
    if (size) {
        (void) munmap(p, size);
    }
}
