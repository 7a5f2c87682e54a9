
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include "store/prt_ring.h"


/* shares of the memory, in 1/16; the head has what is left */
#define PRT_RING_OWN      12
#define PRT_RING_OTHERS   3

#define prt_ring_lap(n, size)  ((uint32_t) ((n) / (size)) << 8)


static int prt_ring_record(const prt_ring_record_t *record, uint32_t lap,
    prt_ring_event_t *event);


void
prt_ring_attach(prt_ring_t *ring, void *memory, size_t size)
{
    uint8_t  *p;
    size_t    head;

    head = (sizeof(prt_ring_head_t) + 63) & ~63ul;
    p = (uint8_t *) memory + head;

    ring->head = memory;
    ring->own = (prt_ring_record_t *) p;
    ring->nown = size / 16 * PRT_RING_OWN / sizeof(prt_ring_record_t);
    ring->others = ring->own + ring->nown;
    ring->nothers = size / 16 * PRT_RING_OTHERS / sizeof(prt_ring_record_t);
}


void
prt_ring_begin(prt_ring_cursor_t *cursor, const prt_ring_t *ring)
{
    cursor->begin = ring->own;
    cursor->end = ring->own + ring->nown;
    cursor->written = &ring->head->written;
    cursor->count = atomic_load(&ring->head->written);
    cursor->next = ring->own + cursor->count % ring->nown;
    cursor->lap = prt_ring_lap(cursor->count, ring->nown);
}


void
prt_ring_put(prt_ring_t *ring, uint32_t kind, uint64_t time, uint64_t what,
    uint32_t value)
{
    uint32_t            stamp, lap;
    uint64_t            n;
    prt_ring_record_t  *record;

    n = atomic_fetch_add_explicit(&ring->head->claimed, 1,
                                  memory_order_relaxed);

    record = &ring->others[n % ring->nothers];
    lap = prt_ring_lap(n, ring->nothers);
    stamp = atomic_load_explicit(&record->stamp, memory_order_relaxed);

    /* one that was held up for a whole lap is still at it: this one is lost */

    if ((stamp & 0xff) == PRT_RING_BUSY
        || !atomic_compare_exchange_strong_explicit(&record->stamp, &stamp,
                                                    lap | PRT_RING_BUSY,
                                                    memory_order_acq_rel,
                                                    memory_order_relaxed))
    {
        return;
    }

    atomic_store_explicit(&record->time, time, memory_order_release);
    atomic_store_explicit(&record->what, what, memory_order_release);
    atomic_store_explicit(&record->value, value, memory_order_release);
    atomic_store_explicit(&record->stamp, lap | kind, memory_order_release);
}


uint32_t
prt_ring_thread(prt_ring_t *ring, uint32_t tid)
{
    uint32_t  n;

    n = atomic_fetch_add(&ring->head->threads, 1) + 1;

    if (n >= PRT_RING_THREADS) {
        atomic_fetch_sub(&ring->head->threads, 1);
        return 0;
    }

    atomic_store(&ring->head->tids[n], tid);

    return n;
}


unsigned
prt_ring_state(prt_ring_t *ring, uint32_t string, unsigned kind)
{
    uint32_t  i, n;
    uint64_t  state;

    if (ring->head == NULL) {
        return 0;
    }

    state = (uint64_t) kind << 32 | string;
    n = atomic_load(&ring->head->nstates);

    for (i = 1; i <= n; i++) {
        if (atomic_load(&ring->head->states[i]) == state) {
            return i;
        }
    }

    if (i == PRT_RING_STATES) {
        return 0;
    }

    atomic_store(&ring->head->states[i], state);
    atomic_store(&ring->head->nstates, i);

    return i;
}


size_t
prt_ring_read(const prt_ring_record_t *records, uint64_t size, uint64_t first,
    uint64_t n, prt_ring_event_t *events)
{
    size_t    found;
    uint64_t  i;

    found = 0;

    for (i = first; i < first + n; i++) {
        found += (size_t) prt_ring_record(&records[i % size],
                                          prt_ring_lap(i, size),
                                          &events[found]);
    }

    return found;
}


static int
prt_ring_record(const prt_ring_record_t *record, uint32_t lap,
    prt_ring_event_t *event)
{
    uint32_t  stamp;

    stamp = atomic_load_explicit(&record->stamp, memory_order_acquire);

    if ((stamp & ~0xffu) != lap || (stamp & 0xff) == 0
        || (stamp & 0xff) == PRT_RING_BUSY)
    {
        return 0;
    }

    event->time = atomic_load_explicit(&record->time, memory_order_acquire);
    event->what = atomic_load_explicit(&record->what, memory_order_acquire);
    event->value = atomic_load_explicit(&record->value, memory_order_acquire);
    event->kind = stamp & 0xff;

    return atomic_load_explicit(&record->stamp, memory_order_relaxed)
           == stamp;
}


uint64_t
prt_ring_find(const prt_ring_record_t *records, uint64_t size, uint64_t count,
    uint64_t time)
{
    uint64_t          lo, hi, mid, at;
    prt_ring_event_t  event;

    lo = count > size ? count - size : 0;
    hi = count;
    event.time = 0;

    while (lo < hi) {
        mid = lo + (hi - lo) / 2;

        /* one that is not valid is as old as the next one that is */

        for (at = mid; at < hi; at++) {
            if (prt_ring_record(&records[at % size], prt_ring_lap(at, size),
                                &event))
            {
                break;
            }
        }

        if (at == hi || event.time >= time) {
            hi = mid;

        } else {
            lo = at + 1;
        }
    }

    return lo;
}
