
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/prt_ticks.h"
#include "sources/prt_record.h"
#include "sources/prt_trace.h"


#define PRT_TRACE_KIB    (1u << 31)        /* of DONE's value: it is in KiB */

#define prt_trace_what(key, detail)                                           \
    (((uint64_t) (detail) << PRT_RING_KEY) | ((key) & PRT_RING_KEYS))


static int prt_trace_start(unsigned table, char error[PRT_ERROR_LEN]);
static void prt_trace_sync(unsigned rate);
static void prt_trace_stop(void);
static void prt_trace_forked(void);
static inline int prt_trace_on(void);
static uint32_t prt_trace_thread(void);
static void prt_trace_put(uint32_t kind, uint64_t time, uint64_t key,
    uint32_t value);
static uint32_t prt_trace_string(const char *text, size_t len);


const prt_source_t  prt_trace_source = {
    prt_trace_start,
    prt_trace_sync,
    prt_trace_stop,
    prt_trace_forked
};


int                        prt_tracing;
prt_ring_t                 prt_trace_ring;

static prt_ring_cursor_t   prt_trace_cursor;
static void              (*prt_trace_ask)(void);
static unsigned            prt_trace_table;
static _Atomic uint64_t    prt_trace_tasks;
static _Atomic uint32_t    prt_trace_starts;   /* of the runtime in this process */

/* of the control thread */
static pthread_t           prt_trace_control;
static int                 prt_trace_seen;     /* what it was last told */

/* the thread's number in the ring, and whether it is of this start */
static _Thread_local uint32_t  prt_trace_number
    __attribute__((tls_model("initial-exec")));
static _Thread_local uint32_t  prt_trace_numbered
    __attribute__((tls_model("initial-exec")));


void
prt_trace_set(void *memory, size_t size, void (*ask)(void))
{
    if (prt_trace_ring.head) {
        /* of a start before, or inherited */
        prt_trace_ring.head = NULL;
    }

    prt_trace_ask = ask;

    if (memory) {
        prt_ring_attach(&prt_trace_ring, memory, size);
        prt_ring_begin(&prt_trace_cursor, &prt_trace_ring);
    }
}


static int
prt_trace_start(unsigned table, char error[PRT_ERROR_LEN])
{
    (void) error;

    prt_trace_table = table;
    prt_trace_control = pthread_self();
    prt_trace_seen = 0;

    atomic_fetch_add(&prt_trace_starts, 1);

    return 0;
}


static inline int
prt_trace_on(void)
{
    return __builtin_expect(__atomic_load_n(&prt_tracing, __ATOMIC_RELAXED),
                            0);
}


static void
prt_trace_sync(unsigned rate)
{
    int  on;

    on = rate != 0 && prt_trace_ring.head != NULL;

    if (on && !prt_trace_on()) {
        atomic_store(&prt_trace_ring.head->from_written,
                     atomic_load(&prt_trace_ring.head->written));
        atomic_store(&prt_trace_ring.head->from_claimed,
                     atomic_load(&prt_trace_ring.head->claimed));
    }

    if (on) {
        prt_trace_put(PRT_TRACE_MEMORY, prt_ticks(),
                      atomic_load(&prt_slot.head->rss), 0);
    }

    if (__atomic_exchange_n(&prt_tracing, on, __ATOMIC_RELAXED) != on) {
        prt_trace_ask();
    }
}


static void
prt_trace_stop(void)
{
    __atomic_store_n(&prt_tracing, 0, __ATOMIC_RELAXED);
}


static void
prt_trace_forked(void)
{
    prt_trace_stop();
    prt_trace_ring.head = NULL;
}


static uint32_t
prt_trace_thread(void)
{
    uint32_t  starts;

    starts = atomic_load_explicit(&prt_trace_starts, memory_order_relaxed);

    if (prt_trace_numbered != starts) {
        prt_trace_numbered = starts;
        prt_trace_number = prt_ring_thread(&prt_trace_ring,
                                           (uint32_t) syscall(SYS_gettid));
    }

    return prt_trace_number;
}


/* From any thread, and from signal handlers. */

static void
prt_trace_put(uint32_t kind, uint64_t time, uint64_t key, uint32_t value)
{
    prt_ring_put(&prt_trace_ring, kind, time,
                 prt_trace_what(key, prt_trace_thread()), value);
}


static uint32_t
prt_trace_string(const char *text, size_t len)
{
    return prt_slot_string(&prt_slot, text, len);
}


void
prt_trace_call(uint64_t ticks, const uint64_t *frames, unsigned n)
{
    if (!prt_trace_on()) {
        return;
    }

    prt_trace_put(PRT_TRACE_CALL, prt_ticks(), prt_ticks_ns(ticks),
                  prt_intern_put(&prt_slot.stacks, frames,
                                 (uint32_t) (n * sizeof(uint64_t))));
}


void
prt_trace_sample(const uint64_t *frames, unsigned n, uint64_t weight)
{
    if (!prt_trace_on()) {
        return;
    }

    /* their stacks stay for good, and are not to take the room of the heap's */

    prt_trace_put(PRT_TRACE_SAMPLE, prt_ticks(), weight,
                  prt_intern_spare(&prt_slot.stacks, frames,
                                   (uint32_t) (n * sizeof(uint64_t))));
}


uint64_t
prt_trace_task(uint64_t parent, const char *name, size_t len)
{
    uint64_t  task, now;

    if (!prt_trace_on()) {
        return 0;
    }

    now = prt_ticks();
    task = atomic_fetch_add(&prt_trace_tasks, 1) + 1;

    prt_trace_put(PRT_TRACE_BEGIN, now, task, prt_trace_string(name, len));

    if (parent) {
        prt_trace_put(PRT_TRACE_PARENT, now, parent, 0);
    }

    return task;
}


void
prt_trace_task_end(uint64_t task)
{
    if (prt_trace_on() && task) {
        prt_trace_put(PRT_TRACE_FINISH, prt_ticks(), task, 0);
    }
}


void
prt_trace_region(uint64_t task, const char *name, size_t len)
{
    if (prt_trace_on()) {
        prt_trace_put(PRT_TRACE_ENTER, prt_ticks(), task,
                      prt_trace_string(name, len));
    }
}


void
prt_trace_region_end(uint64_t task, const char *name, size_t len)
{
    if (prt_trace_on()) {
        prt_trace_put(PRT_TRACE_LEAVE, prt_ticks(), task,
                      prt_trace_string(name, len));
    }
}


void
prt_trace_log(uint64_t task, const char *key, size_t key_len,
    const char *text, size_t len)
{
    uint64_t  now;

    if (!prt_trace_on()) {
        return;
    }

    now = prt_ticks();

    prt_trace_put(PRT_TRACE_LOG, now, task, prt_trace_string(key, key_len));
    prt_trace_put(PRT_TRACE_TEXT, now, task, prt_trace_string(text, len));
}


uint64_t
prt_trace_now(void)
{
    return prt_ticks();
}


int
prt_trace_switched(int *on)
{
    *on = __atomic_load_n(&prt_tracing, __ATOMIC_RELAXED);

    if (*on == prt_trace_seen) {
        return 0;
    }

    prt_trace_seen = *on;

    return 1;
}


unsigned
prt_trace_state(uint64_t name, unsigned kind)
{
    return prt_ring_state(&prt_trace_ring, (uint32_t) name, kind);
}


void
prt_trace_woken(uint64_t time)
{
    prt_ring_add(&prt_trace_cursor, PRT_TRACE_WOKEN, time, 0, 0);
}


void
prt_trace_wait(uint64_t time)
{
    prt_ring_add(&prt_trace_cursor, PRT_TRACE_WAIT, time, 0, 0);
}


void
prt_trace_off(uint64_t time)
{
    prt_ring_add(&prt_trace_cursor, PRT_TRACE_OFF, time, 0, 0);
}


void
prt_trace_run(uint64_t time, uint64_t g, unsigned flags, uint64_t root)
{
    prt_ring_add(&prt_trace_cursor, PRT_TRACE_RUN, time,
                 prt_trace_what(g, flags), (uint32_t) root);
}


void
prt_trace_owner(uint64_t time, uint64_t g)
{
    prt_ring_add(&prt_trace_cursor, PRT_TRACE_OWNER, time,
                 prt_trace_what(g, 0), 0);
}


void
prt_trace_block(uint64_t time, uint64_t g, unsigned state, uint32_t labels)
{
    prt_ring_add(&prt_trace_cursor, PRT_TRACE_BLOCK, time,
                 prt_trace_what(g, state), labels);
}


void
prt_trace_end(uint64_t time, uint64_t g)
{
    prt_ring_add(&prt_trace_cursor, PRT_TRACE_END, time, prt_trace_what(g, 0),
                 0);
}


void
prt_trace_begin(uint64_t time, uint64_t g)
{
    prt_ring_add(&prt_trace_cursor, PRT_TRACE_TASK, time,
                 prt_trace_what(g, 0), 0);
}


void
prt_trace_phase(uint64_t time, uint64_t g, uint32_t labels)
{
    prt_ring_add(&prt_trace_cursor, PRT_TRACE_PHASE, time,
                 prt_trace_what(g, 0), labels);
}


void
prt_trace_done(uint64_t time, uint64_t g, unsigned status, uint64_t bytes)
{
    uint32_t  value;

    value = bytes < PRT_TRACE_KIB ? (uint32_t) bytes
                                  : (uint32_t) (bytes >> 10) | PRT_TRACE_KIB;

    prt_ring_add(&prt_trace_cursor, PRT_TRACE_DONE, time,
                 prt_trace_what(g, status), value);
}
