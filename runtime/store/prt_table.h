
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * A profile: counters that only grow, keyed by (stack, labels).  A window is
 * the difference of two snapshots.
 *
 * Rows are numbered in the order of their making and never move or change
 * their key, so a snapshot is a copy of the counters of rows 0..n, and a
 * difference needs no search.  A full table loses detail, never totals: a new
 * row first drops its labels, then its stack.
 */


#ifndef _PRT_TABLE_H_INCLUDED_
#define _PRT_TABLE_H_INCLUDED_


#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>


#define PRT_COUNTERS_MAX  4                /* of a row */


typedef struct {
    _Atomic uint32_t     count;            /* rows made */
    _Atomic uint32_t     reserved;
    _Atomic uint64_t     lost_labels;      /* adds that lost their labels ... */
    _Atomic uint64_t     lost_stacks;      /* ... and their stack */
} prt_table_head_t;


typedef struct {
    prt_table_head_t    *head;
    _Atomic uint32_t    *index;            /* row + 1; 0: empty */
    _Atomic uint64_t    *rows;             /* key, counters */
    uint32_t             mask;             /* of the index */
    uint32_t             capacity;         /* rows */
    uint32_t             ncounters;
} prt_table_t;


/* the row of what had no room: stack 0 */
#define PRT_ROW_LOST  0


/* Lays a table out in "size" bytes at "memory", as prt_intern_attach() does. */
void prt_table_attach(prt_table_t *table, void *memory, size_t size,
    uint32_t ncounters);

/*
 * Adds to the counters of (stack, labels); numbers as given by interning, 0
 * where that had no room (stack) or where there are none (labels).
 * Signal-safe.
 */
void prt_table_add(prt_table_t *table, uint32_t stack, uint32_t labels,
    const uint64_t *values);

/*
 * The counters of a row, for prt_table_count_in(), as long as the table is not
 * reset; NULL: there is no room for a row of its own.  Signal-safe.
 */
_Atomic uint64_t *prt_table_counters(prt_table_t *table, uint32_t stack,
    uint32_t labels);
void prt_table_count_in(const prt_table_t *table, _Atomic uint64_t *counters,
    const uint64_t *values);

/* Forgets everything.  Nobody else may use the table meanwhile. */
void prt_table_reset(prt_table_t *table);

/* Rows made so far, never more than the capacity. */
uint32_t prt_table_count(const prt_table_t *table);

/* What row i counts; returns 0 if it counts nothing (yet, or never will). */
int prt_table_key(const prt_table_t *table, uint32_t i, uint32_t *stack,
    uint32_t *labels);

/* The counters of rows 0 to n - 1: n * ncounters values. */
void prt_table_copy(const prt_table_t *table, uint64_t *counters, uint32_t n);


#endif /* _PRT_TABLE_H_INCLUDED_ */
