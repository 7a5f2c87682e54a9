
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Numbers to numbers; none of them is 0.
 */


#ifndef _PRT_IDMAP_H_INCLUDED_
#define _PRT_IDMAP_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


typedef struct {
    uint64_t      key;                     /* 0: an empty place */
    uint64_t      value;
} prt_idmap_pair_t;


typedef struct {
    prt_idmap_pair_t  *pairs;                /* from malloc() */
    size_t           n;
    size_t           size;                 /* a power of two */
} prt_idmap_t;


/* Of zeroed memory: an empty one. */

/*
 * Where the key's value is, until the next key is added; 0 when the key is
 * new.  NULL when memory is short.
 */
uint64_t *prt_idmap_add(prt_idmap_t *map, uint64_t key);


#endif /* _PRT_IDMAP_H_INCLUDED_ */
