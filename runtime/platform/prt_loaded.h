
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * How the map makes its objects.  One thread at a time.
 */


#ifndef _PRT_LOADED_H_INCLUDED_
#define _PRT_LOADED_H_INCLUDED_


#include "platform/prt_object.h"


typedef struct prt_cached_s  prt_cached_t;


/* An object as the maps share it. */

typedef struct {
    prt_object_t           object;
    prt_cached_t          *cached;        /* its table */
    uint64_t               hash;          /* of what makes it this object */
    unsigned               refs;          /* maps */

    /* until the table is made */
    prt_bytes_t            hdr;
    prt_bytes_t            frame;
    uint8_t               *copy;
} prt_loaded_t;


/* NULL: no memory.  To be called while the object cannot go away. */
prt_loaded_t *prt_loaded_create(const struct dl_phdr_info *info, int is_main);

/* Copies the rest of what is needed; -1: no memory.  Likewise. */
int prt_loaded_read(prt_loaded_t *loaded, const char *name);

/* Makes the table of what was copied, or finds one; -1: no memory. */
int prt_loaded_build(prt_loaded_t *loaded);

void prt_loaded_free(prt_loaded_t *loaded);

/* Frees tables that no object has used for some time. */
void prt_tables_trim(void);


#endif /* _PRT_LOADED_H_INCLUDED_ */
