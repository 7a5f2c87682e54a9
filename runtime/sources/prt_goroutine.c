
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/prt_clock.h"
#include "platform/prt_ticks.h"
#include "sources/prt_call.h"
#include "sources/prt_goroutine.h"
#include "sources/prt_loop.h"
#include "sources/prt_peek.h"
#include "sources/prt_record.h"
#include "sources/prt_thread.h"


#define PRT_GOROUTINE_FRAMES  (PRT_STACK_MAX + 3)  /* creator, state, special */
#define PRT_GOROUTINE_TRIES   3            /* at a thread that is on the move */

/* a try at one that runs and takes no signal costs 20 ms, and nobody waits for long */
#define PRT_GOROUTINE_TIME    (200 * PRT_MSEC)


static int prt_goroutine_start(unsigned table, char error[PRT_ERROR_LEN]);
static void prt_goroutine_sync(unsigned rate);
static void prt_goroutine_stop(void);
static void prt_goroutine_forked(void);

static void prt_goroutine_threads(uint64_t number);
static void prt_goroutine_thread(pid_t tid, const prt_stack_bounds_t *bounds,
    unsigned tries);
static uint64_t prt_goroutine_string(const char *text);
static uint32_t prt_goroutine_state(uint64_t frame);
static uint32_t prt_goroutine_ms(uint64_t ns);


const prt_source_t  prt_goroutine_source = {
    prt_goroutine_start,
    prt_goroutine_sync,
    prt_goroutine_stop,
    prt_goroutine_forked
};


static int                prt_goroutine_lists;
static void             (*prt_goroutine_ask)(void);
static void             (*prt_goroutine_done)(void);

/* of the service thread */
static uint64_t           prt_goroutine_taken;  /* number of the last question */
static prt_dump_writer_t  prt_goroutine_threads_writer;

/* of the control thread, but for what it is asked */
static _Atomic uint64_t   prt_goroutine_asked;
static uint64_t           prt_goroutine_number;  /* of the list at work */
static uint64_t           prt_goroutine_listed;  /* of the last one */
static uint64_t           prt_goroutine_begun;   /* ticks */
static uint64_t           prt_goroutine_took;
static uint64_t           prt_goroutine_longest;
static uint32_t           prt_goroutine_parts;
static prt_dump_writer_t  prt_goroutine_work_writer;


void
prt_goroutine_set(int lists, void (*ask)(void), void (*done)(void))
{
    prt_goroutine_lists = lists;
    prt_goroutine_ask = ask;
    prt_goroutine_done = done;
}


static int
prt_goroutine_start(unsigned table, char error[PRT_ERROR_LEN])
{
    (void) table;
    (void) error;

    /* what the process before was asked is not ours to answer */

    prt_goroutine_taken = 0;
    prt_goroutine_number = 0;
    prt_goroutine_listed = 0;
    atomic_store(&prt_goroutine_asked, 0);

    return 0;
}


static void
prt_goroutine_sync(unsigned rate)
{
    uint64_t  number;

    (void) rate;

    number = atomic_load(&prt_slot.head->dump);

    if (number == prt_goroutine_taken) {
        return;
    }

    prt_goroutine_taken = number;

    /* before the loop is woken: the thread is to be seen as it was */

    prt_goroutine_threads(number);

    if (prt_goroutine_lists) {
        atomic_store(&prt_goroutine_asked, number);
        prt_goroutine_ask();

    } else {
        prt_dump_begin(&prt_goroutine_work_writer, &prt_slot.work);
        prt_dump_end(&prt_goroutine_work_writer, number, 0, 0, 0);
    }
}


static void
prt_goroutine_stop(void)
{
    atomic_store(&prt_goroutine_asked, 0);
}


static void
prt_goroutine_forked(void)
{
    prt_goroutine_stop();
}


static void
prt_goroutine_threads(uint64_t number)
{
    pid_t                tid;
    uint64_t             begun;
    unsigned             i;
    prt_thread_t        *thread;
    prt_stack_bounds_t   bounds;

    begun = prt_now();

    prt_threads_scan();
    prt_dump_begin(&prt_goroutine_threads_writer, &prt_slot.threads);

    for (i = 0; i < PRT_THREADS_MAX; i++) {

        /* the lock keeps the thread, and others from starting and ending */

        prt_threads_lock();

        thread = prt_threads_get(i);

        if (thread && !thread->own) {
            tid = thread->tid;
            bounds = thread->bounds;

            prt_goroutine_thread(tid, &bounds,
                                 prt_now() - begun < PRT_GOROUTINE_TIME
                                 ? PRT_GOROUTINE_TRIES : 0);
        }

        prt_threads_unlock();
    }

    begun = prt_now() - begun;

    prt_dump_end(&prt_goroutine_threads_writer, number, 1, begun, begun);
}


static void
prt_goroutine_thread(pid_t tid, const prt_stack_bounds_t *bounds,
    unsigned tries)
{
    int                 len;
    long                call;
    char                number[32], text[64];
    unsigned            n;
    uint64_t            begin, now, frames[PRT_GOROUTINE_FRAMES];
    const char         *name;
    prt_dump_record_t   record;
    prt_stack_bounds_t  loop;

    memset(&record, 0, sizeof(prt_dump_record_t));

    n = 0;
    call = PRT_PEEK_RUNNING;

    while (tries-- && n == 0) {
        n = prt_peek(tid, bounds, frames + 2, &call);
    }

    if (n == 0) {
        frames[2] = prt_goroutine_string("thread");
        n = 1;
    }

    name = "running";

    if (call != PRT_PEEK_RUNNING) {
        name = prt_call_name(call);

        if (name == NULL) {
            (void) snprintf(number, sizeof(number), "number %ld", call);
            name = number;
        }
    }

    record.state = prt_goroutine_state(prt_goroutine_string(name));

    if (tid == prt_loop_thread(&loop)) {
        begin = prt_loop_since();
        now = prt_ticks();

        record.labels = prt_loop_labels();
        record.lasts = begin && now > begin
                       ? prt_goroutine_ms(prt_ticks_ns(now - begin)) : 0;
    }

    /* nobody is known to have created it */

    if (call == PRT_PEEK_RUNNING) {
        frames[1] = 0;
        (void) prt_dump_add(&prt_goroutine_threads_writer, &record,
                            frames + 1, n + 1);
        return;
    }

    /* the system call is the innermost frame */

    len = snprintf(text, sizeof(text), "system call %s", name);

    frames[0] = 0;
    frames[1] = prt_frame(text, (size_t) len);

    (void) prt_dump_add(&prt_goroutine_threads_writer, &record, frames, n + 2);
}


uint64_t
prt_frame(const char *name, size_t len)
{
    uint32_t  string;

    if (prt_slot.head == NULL) {
        return PRT_FRAME_LOST;
    }

    string = prt_slot_string(&prt_slot, name, len);

    return string ? PRT_FRAME_NAME | string : PRT_FRAME_LOST;
}


static uint64_t
prt_goroutine_string(const char *text)
{
    return prt_frame(text, strlen(text));
}


/* Its string; there may have been no room for it. */

static uint32_t
prt_goroutine_state(uint64_t frame)
{
    return frame & PRT_FRAME_NAME ? (uint32_t) frame : 0;
}


static uint32_t
prt_goroutine_ms(uint64_t ns)
{
    return ns / PRT_MSEC < PRT_DUMP_AGE ? (uint32_t) (ns / PRT_MSEC)
                                        : PRT_DUMP_AGE;
}


int
prt_goroutines_wanted(void)
{
    return atomic_load(&prt_goroutine_asked) > prt_goroutine_listed;
}


void
prt_goroutines_begin(void)
{
    if (prt_goroutine_number == 0) {
        prt_goroutine_number = atomic_load(&prt_goroutine_asked);
        prt_goroutine_took = 0;
        prt_goroutine_longest = 0;
        prt_goroutine_parts = 0;

        prt_dump_begin(&prt_goroutine_work_writer, &prt_slot.work);
    }

    prt_goroutine_begun = prt_ticks();
}


unsigned
prt_goroutines_add(const prt_goroutine_t *goroutine)
{
    unsigned           n;
    uint64_t           frames[PRT_GOROUTINE_MAX + 2];
    prt_dump_record_t  record;

    n = goroutine->nframes < PRT_GOROUTINE_MAX ? goroutine->nframes
                                               : PRT_GOROUTINE_MAX;

    frames[0] = goroutine->creator ? prt_frame_of(goroutine->creator) : 0;
    frames[1] = goroutine->state;
    memcpy(frames + 2, goroutine->frames, n * sizeof(uint64_t));

    memset(&record, 0, sizeof(prt_dump_record_t));

    record.id = goroutine->id;
    record.lasts = prt_goroutine_ms(goroutine->lasts);
    record.age = prt_goroutine_ms(goroutine->age);
    record.labels = goroutine->labels;
    record.state = prt_goroutine_state(goroutine->state);
    record.parent = goroutine->parent & 0x7fffffff;
    record.work = goroutine->work;

    return prt_dump_add(&prt_goroutine_work_writer, &record, frames, n + 2);
}


void
prt_goroutines_end(int all)
{
    uint64_t  ns;

    ns = prt_ticks_ns(prt_ticks() - prt_goroutine_begun);

    prt_goroutine_took += ns;
    prt_goroutine_parts++;

    if (ns > prt_goroutine_longest) {
        prt_goroutine_longest = ns;
    }

    if (!all) {
        return;
    }

    prt_dump_end(&prt_goroutine_work_writer, prt_goroutine_number,
                 prt_goroutine_parts, prt_goroutine_took,
                 prt_goroutine_longest);

    prt_goroutine_listed = prt_goroutine_number;
    prt_goroutine_number = 0;

    prt_goroutine_done();
}
