
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include "store/prt_live.h"


/* an address may stand in any of some groups of neighbours */
#define PRT_LIVE_GROUPS  4
#define PRT_LIVE_GROUP   8
#define PRT_LIVE_BUSY    1


static prt_live_entry_t *prt_live_entry(const prt_live_t *live,
    uint64_t address, unsigned i);


void
prt_live_attach(prt_live_t *live, void *memory, size_t size)
{
    uint32_t  n;

    n = 64;

    while (n * 2 * sizeof(prt_live_entry_t) <= size) {
        n *= 2;
    }

    live->entries = memory;
    live->mask = n - 1;
}


int
prt_live_put(prt_live_t *live, uint64_t address, const prt_live_block_t *block)
{
    unsigned           i;
    uint64_t           empty;
    prt_live_entry_t  *entry;

    for (i = 0; i < PRT_LIVE_GROUPS * PRT_LIVE_GROUP; i++) {
        entry = prt_live_entry(live, address, i);
        empty = 0;

        if (atomic_load_explicit(&entry->address, memory_order_relaxed) == 0
            && atomic_compare_exchange_strong(&entry->address, &empty,
                                              PRT_LIVE_BUSY))
        {
            entry->block = *block;
            atomic_store_explicit(&entry->address, address,
                                  memory_order_release);
            return 0;
        }
    }

    return -1;
}


int
prt_live_take(prt_live_t *live, uint64_t address, prt_live_block_t *block)
{
    unsigned           i;
    uint64_t           expected;
    prt_live_entry_t  *entry;

    for (i = 0; i < PRT_LIVE_GROUPS * PRT_LIVE_GROUP; i++) {
        entry = prt_live_entry(live, address, i);
        expected = address;

        if (atomic_load_explicit(&entry->address, memory_order_relaxed)
               == address
            && atomic_compare_exchange_strong(&entry->address, &expected,
                                              PRT_LIVE_BUSY))
        {
            *block = entry->block;
            atomic_store_explicit(&entry->address, 0, memory_order_release);
            return 1;
        }
    }

    return 0;
}


/* The i-th place where an address may stand. */

static prt_live_entry_t *
prt_live_entry(const prt_live_t *live, uint64_t address, unsigned i)
{
    uint64_t  hash;

    hash = ((address >> 4) + i / PRT_LIVE_GROUP * 0xd1b54a32d192ed03)
           * 0x9e3779b97f4a7c15;
    hash ^= hash >> 32;
    hash *= 0xbf58476d1ce4e5b9;

    return &live->entries[((hash >> 32) * PRT_LIVE_GROUP + i % PRT_LIVE_GROUP)
                          & live->mask];
}
