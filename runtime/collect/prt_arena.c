
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "collect/prt_arena.h"


#define PRT_ARENA_CHUNK  (64 * 1024)       /* bytes */


typedef struct prt_arena_chunk_s  prt_arena_chunk_t;

struct prt_arena_chunk_s {
    prt_arena_chunk_t   *next;
    size_t               used;
    size_t               size;
    _Alignas(8) char     data[];
};


struct prt_arena_s {
    prt_arena_chunk_t   *chunks;
};


prt_arena_t *
prt_arena_create(void)
{
    return calloc(1, sizeof(prt_arena_t));
}


void *
prt_arena_alloc(prt_arena_t *arena, size_t size)
{
    void               *p;
    size_t              room;
    prt_arena_chunk_t  *chunk;

    size = (size + 7) & ~(size_t) 7;
    chunk = arena->chunks;

    if (chunk == NULL || chunk->size - chunk->used < size) {

        room = size > PRT_ARENA_CHUNK / 4 ? size : PRT_ARENA_CHUNK;

        chunk = calloc(1, sizeof(prt_arena_chunk_t) + room);
        if (chunk == NULL) {
            return NULL;
        }

        chunk->size = room;
        chunk->next = arena->chunks;
        arena->chunks = chunk;
    }

    p = chunk->data + chunk->used;
    chunk->used += size;

    return p;
}


char *
prt_arena_printf(prt_arena_t *arena, const char *fmt, ...)
{
    int      n;
    char    *s;
    va_list  args;

    va_start(args, fmt);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);

    s = n < 0 ? NULL : prt_arena_alloc(arena, (size_t) n + 1);

    if (s) {
        va_start(args, fmt);
        (void) vsnprintf(s, (size_t) n + 1, fmt, args);
        va_end(args);
    }

    return s;
}


void
prt_arena_destroy(prt_arena_t *arena)
{
    prt_arena_chunk_t  *chunk, *next;

    for (chunk = arena->chunks; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }

    free(arena);
}
