
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Sampled allocations that are in use, by their address.
 *
 * Written by one process, from any thread and any hook: lock-free and
 * signal-safe.  An address is put in before the program gets it and taken out
 * before it is given back, so nobody works on the same address at once.
 */


#ifndef _PRT_LIVE_H_INCLUDED_
#define _PRT_LIVE_H_INCLUDED_


#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>


typedef struct {
    uint32_t             stack;            /* the row it was counted in */
    uint32_t             labels;
    uint64_t             objects;          /* as it was counted */
    uint64_t             bytes;
} prt_live_block_t;


typedef struct {
    _Atomic uint64_t     address;          /* 0: empty; 1: being written */
    prt_live_block_t     block;
} prt_live_entry_t;


typedef struct {
    prt_live_entry_t    *entries;
    uint32_t             mask;
} prt_live_t;


/* Lays it out in "size" zeroed bytes at "memory", aligned to 64. */
void prt_live_attach(prt_live_t *live, void *memory, size_t size);

/*
 * Addresses are 2 and higher.  Returns 0, or -1 if there is no room; the
 * address must not be in it.
 */
int prt_live_put(prt_live_t *live, uint64_t address,
    const prt_live_block_t *block);

/* Returns 1 with the block filled, or 0 if the address is not in it. */
int prt_live_take(prt_live_t *live, uint64_t address,
    prt_live_block_t *block);


#endif /* _PRT_LIVE_H_INCLUDED_ */
