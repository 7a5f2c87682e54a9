
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Interning: equal records (stacks, strings, sets of labels) get one number.
 *
 * A record is written into a bump-allocated arena first and published by one
 * compare-and-swap into the index afterwards.  A writer that is killed
 * between the two leaks its record and nothing else, so a reader of another
 * process never sees a half-written one.  Writers never wait: they may be
 * signal handlers, several threads, or both at once.
 *
 * The memory is the slot's; the handle is each process's own and holds
 * whatever bounds an access, so that nothing read from the shared memory of a
 * dead or dying process is trusted with that.
 */


#ifndef _PRT_INTERN_H_INCLUDED_
#define _PRT_INTERN_H_INCLUDED_


#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>


typedef struct {
    _Atomic uint32_t     used;             /* words of the arena given away */
    _Atomic uint32_t     count;            /* records */
    _Atomic uint64_t     lost;             /* puts that found no room */
} prt_intern_head_t;


typedef struct {
    prt_intern_head_t   *head;
    _Atomic uint64_t    *index;            /* hash << 32 | id; 0: empty */
    uint64_t            *arena;
    uint32_t             mask;             /* of the index */
    uint32_t             words;            /* of the arena */
} prt_intern_t;


/*
 * Lays a table out in "size" bytes at "memory" (8-byte aligned, zeroed when
 * new); "average" is the expected record size in bytes.  Same arguments, same
 * layout.
 */
void prt_intern_attach(prt_intern_t *table, void *memory, size_t size,
    size_t average);

/*
 * The number of the record of "len" bytes, made if needed; 0: no room.
 * "data" must be 8-byte aligned, and zero-padded to 8 bytes.  Signal-safe.
 */
uint32_t prt_intern_put(prt_intern_t *table, const void *data, uint32_t len);

/* As prt_intern_put(), but makes none when half of the table is full. */
uint32_t prt_intern_spare(prt_intern_t *table, const void *data, uint32_t len);

/*
 * The record of this number, NULL if there is none.  Its bytes are valid as
 * long as the table is.  Signal-safe.
 */
const void *prt_intern_get(const prt_intern_t *table, uint32_t id,
    uint32_t *len);

/*
 * The record that was made after this one, the first after 0; 0: none, or it is
 * still being made.
 */
uint32_t prt_intern_next(const prt_intern_t *table, uint32_t id);

/* Forgets everything.  Nobody else may use the table meanwhile. */
void prt_intern_reset(prt_intern_t *table);

/* A hash of n words with well mixed low bits.  Signal-safe. */
uint64_t prt_hash(const uint64_t *words, size_t n);


#endif /* _PRT_INTERN_H_INCLUDED_ */
