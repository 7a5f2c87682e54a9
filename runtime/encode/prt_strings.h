
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Strings, each once, in the order in which they came.
 */


#ifndef _PRT_STRINGS_H_INCLUDED_
#define _PRT_STRINGS_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "collect/prt_arena.h"


typedef struct {
    char         **list;
    size_t         n;
    size_t         size;                 /* of the list */
    uint32_t      *table;                /* indexes + 1, twice the list's size */
    prt_arena_t   *arena;
    size_t         memory;               /* bytes, of all */
} prt_strings_t;


/* Of zeroed memory. */
void prt_strings_init(prt_strings_t *strings);
void prt_strings_free(prt_strings_t *strings);

/* Its index; -1 when memory is short.  "s" may be NULL: as "". */
int64_t prt_strings_add(prt_strings_t *strings, const char *s);


#endif /* _PRT_STRINGS_H_INCLUDED_ */
