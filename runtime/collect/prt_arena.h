
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Memory that is given back at once.
 */


#ifndef _PRT_ARENA_H_INCLUDED_
#define _PRT_ARENA_H_INCLUDED_


#include <stddef.h>


typedef struct prt_arena_s  prt_arena_t;


/* NULL when memory is short. */
prt_arena_t *prt_arena_create(void);

/* Zeroed, 8-byte aligned; NULL when memory is short. */
void *prt_arena_alloc(prt_arena_t *arena, size_t size);

/* A formatted text; NULL when memory is short. */
char *prt_arena_printf(prt_arena_t *arena, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

void prt_arena_destroy(prt_arena_t *arena);


#endif /* _PRT_ARENA_H_INCLUDED_ */
