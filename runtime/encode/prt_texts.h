
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Texts, each of them kept once.
 */


#ifndef _PRT_TEXTS_H_INCLUDED_
#define _PRT_TEXTS_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "encode/prt_pages.h"


/* All zero at first. */

typedef struct {
    const char  **list;                  /* hash table */
    size_t        n;
    size_t        room;                  /* a power of two */
} prt_texts_t;


/* The text's copy in "pages"; NULL when memory is short. */
const char *prt_texts_keep(prt_texts_t *texts, const char *s,
    prt_pages_t *pages);

/* The texts themselves go with their pages. */
void prt_texts_free(prt_texts_t *texts);

/* Bytes, without the texts. */
size_t prt_texts_memory(const prt_texts_t *texts);


#endif /* _PRT_TEXTS_H_INCLUDED_ */
