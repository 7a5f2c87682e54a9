
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Makes protected pages writable for a moment, and puts their protection back
 * as it was.
 */


#ifndef _PRT_MEMORY_H_INCLUDED_
#define _PRT_MEMORY_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


typedef struct {
    uintptr_t              start;
    uintptr_t              end;
    int                    protection;
} prt_area_t;


/* All zero at first. */

typedef struct {
    prt_area_t            *areas;         /* of the process, ascending */
    size_t                 n;

    uintptr_t              page;          /* made writable; 0: none */
    uintptr_t              page_size;
    int                    protection;
} prt_memory_t;


/*
 * Makes the page of an address writable; the one before is put back.  What
 * is there is asked for at the first call, and must stay until the last one.
 * Returns -1 if the page is not there, or executable.
 */
int prt_memory_open(prt_memory_t *memory, uintptr_t addr);

void prt_memory_free(prt_memory_t *memory);


#endif /* _PRT_MEMORY_H_INCLUDED_ */
