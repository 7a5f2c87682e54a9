
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * A ring of trace records in shared memory, the latest of which are kept.
 *
 * A record's stamp tells which lap it is of, and is 0 while it is being
 * written.  So a reader knows a record that was overwritten meanwhile, and one
 * that its writer was killed in.
 *
 * What the records mean is the source's (sources/prt_trace.h).
 */


#ifndef _PRT_RING_H_INCLUDED_
#define _PRT_RING_H_INCLUDED_


#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>


#define PRT_RING_THREADS  1024
#define PRT_RING_STATES   256

/* in place of a kind: somebody writes the record */
#define PRT_RING_BUSY     0xff

/* "what" is a key of so many bits, and a detail above it */
#define PRT_RING_KEY      48
#define PRT_RING_KEYS     ((1ull << PRT_RING_KEY) - 1)


typedef struct {
    _Atomic uint64_t     time;             /* ticks */
    _Atomic uint64_t     what;
    _Atomic uint32_t     value;
    _Atomic uint32_t     stamp;            /* lap << 8 | kind; 0: not valid */
} prt_ring_record_t;

_Static_assert(sizeof(prt_ring_record_t) == 24, "a budget");


/* the same as it was read */

typedef struct {
    uint64_t             time;
    uint64_t             what;
    uint32_t             value;
    uint32_t             kind;
} prt_ring_event_t;


/* at the begin of the memory, each ring's counter in a cache line of its own */

typedef struct {
    _Atomic uint64_t     written;          /* by the control thread */
    uint64_t             pad[7];
    _Atomic uint64_t     claimed;          /* by all other writers */
    uint64_t             pad2[7];
    _Atomic uint64_t     from_written;     /* both when it was last switched on */
    _Atomic uint64_t     from_claimed;
    _Atomic uint32_t     threads;          /* that have written ... */
    _Atomic uint32_t     tids[PRT_RING_THREADS];   /* ... and their numbers */
    _Atomic uint32_t     nstates;          /* 0 is none of them */
    _Atomic uint64_t     states[PRT_RING_STATES];  /* string, class << 32 */
} prt_ring_head_t;


typedef struct {
    prt_ring_head_t     *head;
    prt_ring_record_t   *own;              /* of the control thread */
    prt_ring_record_t   *others;
    uint64_t             nown;             /* records there is room for */
    uint64_t             nothers;
} prt_ring_t;


/* where the control thread writes next */

typedef struct {
    prt_ring_record_t   *next;
    prt_ring_record_t   *begin;
    prt_ring_record_t   *end;
    _Atomic uint64_t    *written;
    uint64_t             count;
    uint32_t             lap;              /* of the stamp, in its place */
} prt_ring_cursor_t;


/* Lays it out in "size" bytes at "memory", zeroed when new. */
void prt_ring_attach(prt_ring_t *ring, void *memory, size_t size);

void prt_ring_begin(prt_ring_cursor_t *cursor, const prt_ring_t *ring);

/* From any thread but that of the cursor.  Signal-safe. */
void prt_ring_put(prt_ring_t *ring, uint32_t kind, uint64_t time,
    uint64_t what, uint32_t value);

/* The calling thread's number there; 0: there were too many.  Signal-safe. */
uint32_t prt_ring_thread(prt_ring_t *ring, uint32_t tid);


/*
 * The number of a state, made if there is none; 0: no room.  On one thread at a
 * time.
 */
unsigned prt_ring_state(prt_ring_t *ring, uint32_t string, unsigned kind);

/*
 * Records of one ring from number "first" on, up to "n", into "events"; those
 * that are not valid are left out.  Returns how many there were.
 */
size_t prt_ring_read(const prt_ring_record_t *records, uint64_t size,
    uint64_t first, uint64_t n, prt_ring_event_t *events);

/*
 * The number of the first record that is not older than "time", of those that
 * are there when "count" were written.
 */
uint64_t prt_ring_find(const prt_ring_record_t *records, uint64_t size,
    uint64_t count, uint64_t time);


/* The cursor's thread only. */

static inline void
prt_ring_add(prt_ring_cursor_t *cursor, uint32_t kind, uint64_t time,
    uint64_t what, uint32_t value)
{
    prt_ring_record_t  *record;

    record = cursor->next;

    /* who sees any of the others sees that they are not valid as yet */

    atomic_store_explicit(&record->stamp, 0, memory_order_relaxed);

    atomic_store_explicit(&record->time, time, memory_order_release);
    atomic_store_explicit(&record->what, what, memory_order_release);
    atomic_store_explicit(&record->value, value, memory_order_release);
    atomic_store_explicit(&record->stamp, cursor->lap | kind,
                          memory_order_release);

    if (++record == cursor->end) {
        record = cursor->begin;
        cursor->lap += 1 << 8;
    }

    cursor->next = record;

    atomic_store_explicit(cursor->written, ++cursor->count,
                          memory_order_release);
}


#endif /* _PRT_RING_H_INCLUDED_ */
