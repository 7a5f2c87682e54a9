
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <string.h>

#include "store/prt_intern.h"
#include "store/prt_table.h"


#define PRT_TABLE_PROBES  64

/* a key is stack << 32 | labels, plus one bit that makes it non-zero */
#define PRT_KEY_SET       (1ull << 63)


static int prt_table_row(prt_table_t *table, uint32_t stack, uint32_t labels,
    uint32_t *row);
static _Atomic uint64_t *prt_table_at(const prt_table_t *table, uint32_t row);


void
prt_table_attach(prt_table_t *table, void *memory, size_t size,
    uint32_t ncounters)
{
    size_t    rest, row;
    uint32_t  entries;

    row = (1 + ncounters) * sizeof(uint64_t);
    rest = size - sizeof(prt_table_head_t) - row;
    entries = 64;

    while (entries * sizeof(uint32_t) * 2 + entries * row < rest) {
        entries *= 2;
    }

    table->head = memory;
    table->index = (_Atomic uint32_t *) (table->head + 1);
    table->rows = (_Atomic uint64_t *) (table->index + entries);
    table->mask = entries - 1;
    table->ncounters = ncounters;
    table->capacity = (uint32_t) ((rest - entries * sizeof(uint32_t)) / row);

    if (table->capacity > entries * 3 / 4) {
        table->capacity = entries * 3 / 4;
    }
}


void
prt_table_add(prt_table_t *table, uint32_t stack, uint32_t labels,
    const uint64_t *values)
{
    uint32_t  row;

    row = PRT_ROW_LOST;

    if (stack == 0) {
        atomic_fetch_add_explicit(&table->head->lost_stacks, 1,
                                  memory_order_relaxed);

    } else if (!prt_table_row(table, stack, labels, &row)) {

        if (labels != 0 && prt_table_row(table, stack, 0, &row)) {
            atomic_fetch_add_explicit(&table->head->lost_labels, 1,
                                      memory_order_relaxed);

        } else {
            row = PRT_ROW_LOST;
            atomic_fetch_add_explicit(&table->head->lost_stacks, 1,
                                      memory_order_relaxed);
        }
    }

    prt_table_count_in(table, prt_table_at(table, row) + 1, values);
}


_Atomic uint64_t *
prt_table_counters(prt_table_t *table, uint32_t stack, uint32_t labels)
{
    uint32_t  row;

    return stack != 0 && prt_table_row(table, stack, labels, &row)
           ? prt_table_at(table, row) + 1 : NULL;
}


/* In the order that prt_table_copy() tells of. */

void
prt_table_count_in(const prt_table_t *table, _Atomic uint64_t *counters,
    const uint64_t *values)
{
    uint32_t  i;

    for (i = 0; i < table->ncounters; i++) {
        atomic_fetch_add_explicit(&counters[i], values[i],
                                  memory_order_release);
    }
}


static int
prt_table_row(prt_table_t *table, uint32_t stack, uint32_t labels,
    uint32_t *row)
{
    uint32_t  i, n, mine, entry, expected, count;
    uint64_t  key;

    key = PRT_KEY_SET | ((uint64_t) stack << 32) | labels;
    i = (uint32_t) prt_hash(&key, 1);
    mine = 0;

    for (n = 0; n < PRT_TABLE_PROBES; n++, i++) {

        entry = atomic_load_explicit(&table->index[i & table->mask],
                                     memory_order_acquire);

        if (entry == 0) {

            if (mine == 0) {
                count = atomic_load_explicit(&table->head->count,
                                             memory_order_relaxed);
                do {
                    /* row 0 is made with the table */
                    mine = count ? count : 1;

                    if (mine >= table->capacity) {
                        return 0;
                    }

                } while (!atomic_compare_exchange_weak_explicit(
                             &table->head->count, &count, mine + 1,
                             memory_order_relaxed, memory_order_relaxed));

                /* whoever reads the key has to find the stack as well */

                atomic_store_explicit(prt_table_at(table, mine), key,
                                      memory_order_release);
            }

            expected = 0;

            if (atomic_compare_exchange_strong_explicit(
                    &table->index[i & table->mask], &expected, mine + 1,
                    memory_order_acq_rel, memory_order_acquire))
            {
                *row = mine;
                return 1;
            }

            entry = expected;
        }

        if (entry - 1 < table->capacity
            && atomic_load_explicit(prt_table_at(table, entry - 1),
                                    memory_order_relaxed)
               == key)
        {
            *row = entry - 1;
            return 1;
        }
    }

    return 0;
}


static _Atomic uint64_t *
prt_table_at(const prt_table_t *table, uint32_t row)
{
    return &table->rows[(size_t) row * (1 + table->ncounters)];
}


void
prt_table_reset(prt_table_t *table)
{
    memset((void *) table->index, 0, ((size_t) table->mask + 1) * 4);
    memset((void *) table->rows, 0,
           (size_t) prt_table_count(table) * (1 + table->ncounters) * 8);

    atomic_store(&table->head->count, 0);
}


uint32_t
prt_table_count(const prt_table_t *table)
{
    uint32_t  n;

    n = atomic_load_explicit(&table->head->count, memory_order_acquire);

    /* the row of the lost exists from the beginning */

    if (n == 0) {
        return 1;
    }

    return n < table->capacity ? n : table->capacity;
}


int
prt_table_key(const prt_table_t *table, uint32_t i, uint32_t *stack,
    uint32_t *labels)
{
    uint64_t  key;

    key = atomic_load_explicit(prt_table_at(table, i), memory_order_acquire);

    *stack = (uint32_t) ((key & ~PRT_KEY_SET) >> 32);
    *labels = (uint32_t) key;

    return key != 0 || i == PRT_ROW_LOST;
}


/*
 * A row's last counter is read first: where a later one counts the end of what
 * an earlier one has counted, as free() does, none has ended that had not begun.
 */

void
prt_table_copy(const prt_table_t *table, uint64_t *counters, uint32_t n)
{
    uint32_t           i, k;
    _Atomic uint64_t  *row;

    for (i = 0; i < n; i++) {
        row = prt_table_at(table, i) + 1;

        for (k = table->ncounters; k-- > 0; /* void */) {
            counters[k] = atomic_load_explicit(&row[k], memory_order_acquire);
        }

        counters += table->ncounters;
    }
}
