
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <string.h>

#include "store/prt_intern.h"


/*
 * An arena record is one word of hash << 32 | length in bytes, then the data.
 * Its number is the offset of that word; word 0 is nobody's, so 0 is free to
 * mean "none".
 */

#define PRT_INTERN_PROBES  64


static inline uint32_t prt_intern_record(prt_intern_t *table,
    const void *data, uint32_t len, uint32_t limit);
static uint32_t prt_intern_room(prt_intern_t *table, uint32_t words,
    uint32_t limit);
static int prt_intern_equal(const prt_intern_t *table, uint32_t id,
    uint64_t head, const void *data, uint32_t len);


void
prt_intern_attach(prt_intern_t *table, void *memory, size_t size,
    size_t average)
{
    size_t    rest;
    uint32_t  entries;

    /* the index may be at most half full when the arena is full */

    entries = 64;
    rest = size - sizeof(prt_intern_head_t);

    while ((size_t) entries * (sizeof(uint64_t) + average) < rest * 2
           && (size_t) entries * 2 * sizeof(uint64_t) < rest / 2)
    {
        entries *= 2;
    }

    table->head = memory;
    table->index = (_Atomic uint64_t *) (table->head + 1);
    table->arena = (uint64_t *) (table->index + entries);
    table->mask = entries - 1;
    table->words = (uint32_t) ((rest - entries * sizeof(uint64_t))
                               / sizeof(uint64_t));
}


uint32_t
prt_intern_put(prt_intern_t *table, const void *data, uint32_t len)
{
    return prt_intern_record(table, data, len, table->words);
}


uint32_t
prt_intern_spare(prt_intern_t *table, const void *data, uint32_t len)
{
    return prt_intern_record(table, data, len, table->words / 2);
}


static inline uint32_t
prt_intern_record(prt_intern_t *table, const void *data, uint32_t len,
    uint32_t limit)
{
    uint32_t  words, id, mine, i, n;
    uint64_t  hash, head, entry, expected;

    words = 1 + (len + 7) / 8;

    hash = prt_hash(data, words - 1) ^ len;
    head = (hash << 32) | len;
    mine = 0;

    i = (uint32_t) (hash >> 32);

    for (n = 0; n < PRT_INTERN_PROBES; n++, i++) {

        entry = atomic_load_explicit(&table->index[i & table->mask],
                                     memory_order_acquire);

        if (entry == 0) {

            if (mine == 0) {
                mine = prt_intern_room(table, words, limit);
                if (mine == 0) {
                    break;
                }

                table->arena[mine] = head;
                memcpy(&table->arena[mine + 1], data, (words - 1) * 8);
            }

            expected = 0;

            if (atomic_compare_exchange_strong_explicit(
                    &table->index[i & table->mask], &expected,
                    (hash << 32) | mine,
                    memory_order_acq_rel, memory_order_acquire))
            {
                atomic_fetch_add_explicit(&table->head->count, 1,
                                          memory_order_relaxed);
                return mine;
            }

            entry = expected;
        }

        id = (uint32_t) entry;

        if ((uint32_t) (entry >> 32) == (uint32_t) hash
            && prt_intern_equal(table, id, head, data, len))
        {
            /* another writer was faster: what was taken for us is lost */
            return id;
        }
    }

    atomic_fetch_add_explicit(&table->head->lost, 1, memory_order_relaxed);

    return 0;
}


static uint32_t
prt_intern_room(prt_intern_t *table, uint32_t words, uint32_t limit)
{
    uint32_t  used, start;

    used = atomic_load_explicit(&table->head->used, memory_order_relaxed);

    do {
        start = used ? used : 1;

        if (words > limit || start > limit - words) {
            return 0;
        }

    } while (!atomic_compare_exchange_weak_explicit(&table->head->used, &used,
                                                    start + words,
                                                    memory_order_relaxed,
                                                    memory_order_relaxed));

    return start;
}


static int
prt_intern_equal(const prt_intern_t *table, uint32_t id, uint64_t head,
    const void *data, uint32_t len)
{
    if (id == 0 || id >= table->words || table->arena[id] != head
        || len > (table->words - id - 1) * 8ull)
    {
        return 0;
    }

    return memcmp(&table->arena[id + 1], data, len) == 0;
}


const void *
prt_intern_get(const prt_intern_t *table, uint32_t id, uint32_t *len)
{
    uint32_t  n;

    if (id == 0 || id >= table->words) {
        return NULL;
    }

    n = (uint32_t) table->arena[id];

    if (n > (table->words - id - 1) * 8ull) {
        return NULL;
    }

    *len = n;

    return &table->arena[id + 1];
}


uint32_t
prt_intern_next(const prt_intern_t *table, uint32_t id)
{
    uint32_t  len, used, next;

    used = atomic_load_explicit(&table->head->used, memory_order_acquire);
    next = 1;

    if (id) {
        if (prt_intern_get(table, id, &len) == NULL) {
            return 0;
        }

        next = id + 1 + (len + 7) / 8;
    }

    if (next >= used || next >= table->words || table->arena[next] == 0) {
        return 0;
    }

    return next;
}


void
prt_intern_reset(prt_intern_t *table)
{
    /* arena words are written before they are published, so only the index */

    memset((void *) table->index, 0, ((size_t) table->mask + 1) * 8);

    atomic_store(&table->head->used, 0);
    atomic_store(&table->head->count, 0);
}


uint64_t
prt_hash(const uint64_t *words, size_t n)
{
    size_t    i;
    uint64_t  h;

    /* multiply and fold, as in wyhash; addresses differ in few low bits */

    h = 0x9e3779b97f4a7c15ull ^ n;

    for (i = 0; i < n; i++) {
        __extension__ unsigned __int128  m;

        m = (unsigned __int128) (words[i] ^ h) * 0xd6e8feb86659fd93ull;
        h = (uint64_t) m ^ (uint64_t) (m >> 64) ^ 0xa0761d6478bd642full;
    }

    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9ull;

    return h ^ (h >> 32);
}
