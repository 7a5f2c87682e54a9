
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * An event costs one look at the clock: where one ends the next begins.  So what
 * is between them counts for the one before.
 */


#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/prt_ticks.h"
#include "sources/prt_block.h"
#include "sources/prt_loop.h"
#include "sources/prt_record.h"
#include "sources/prt_thread.h"


#define PRT_LOOP_KEPT  16                  /* until the service thread looks */


static void prt_loop_keep(uint64_t begin, uint64_t end)
    __attribute__((noinline));


/* of the control thread */
static unsigned            prt_loop_on;
static uint64_t            prt_loop_begin; /* of the event, in ticks; 0: none is */
static uint64_t            prt_loop_left;  /* when the last wait began ... */
static uint64_t            prt_loop_came;  /* ... and ended */
static uint64_t            prt_loop_limit; /* ticks */
static const void         *prt_loop_handler;

/* for others */
static pid_t               prt_loop_tid;
static prt_stack_bounds_t  prt_loop_bounds;
static volatile uint32_t  *prt_loop_label;

static prt_loop_stall_t    prt_loop_kept[PRT_LOOP_KEPT];
static _Atomic uint32_t    prt_loop_head;  /* kept ever */
static _Atomic uint32_t    prt_loop_tail;  /* forgotten */


void
prt_loop_start(uint64_t threshold)
{
    prt_loop_limit = threshold ? prt_ticks_of(threshold) : UINT64_MAX;
    prt_loop_begin = 0;
    prt_loop_left = prt_ticks();
    prt_loop_came = prt_loop_left;
    prt_loop_tid = (pid_t) syscall(SYS_gettid);
    prt_loop_bounds = prt_thread_stack;
    prt_loop_label = &prt_labels;

    atomic_store(&prt_loop_head, 0);
    atomic_store(&prt_loop_tail, 0);
    atomic_store(&prt_slot.head->loop_begin, 0);
    atomic_store(&prt_slot.head->loop_limit,
                 threshold ? prt_loop_limit : 0);

    prt_loop_on = 1;
}


void
prt_loop_stop(void)
{
    prt_loop_on = 0;
}


uint64_t
prt_loop_event(const void *handler)
{
    uint64_t  now, begin;

    if (!prt_loop_on) {
        return 0;
    }

    begin = prt_loop_begin;

    /* the first one after a wait begins with it */

    now = begin ? prt_ticks() : prt_loop_came;

    if (begin && now - begin >= prt_loop_limit) {
        prt_loop_keep(begin, now);
    }

    prt_loop_handler = handler;
    prt_loop_begin = now;

    atomic_store_explicit(&prt_slot.head->loop_begin, now,
                          memory_order_release);

    return now;
}


uint64_t
prt_loop_wait(void)
{
    uint64_t  now;

    prt_block_pause();

    if (!prt_loop_on) {
        return 0;
    }

    now = prt_ticks();

    if (prt_loop_begin) {

        /* what is kept has to be seen by who finds that the event is over */

        if (now - prt_loop_begin >= prt_loop_limit) {
            prt_loop_keep(prt_loop_begin, now);
        }

        atomic_store_explicit(&prt_slot.head->loop_begin, 0,
                              memory_order_release);
        prt_loop_begin = 0;
    }

    prt_loop_left = now;

    return now;
}


void
prt_loop_woken(void)
{
    uint64_t  now;

    prt_block_resume();

    if (!prt_loop_on) {
        return;
    }

    now = prt_ticks();

    prt_block_waited(now - prt_loop_left);

    prt_loop_came = now;
}


uint64_t
prt_loop_turn(void)
{
    return prt_loop_came;
}


uint64_t
prt_loop_ns(uint64_t ticks)
{
    return prt_ticks_ns(ticks);
}


static void
prt_loop_keep(uint64_t begin, uint64_t end)
{
    uint32_t           head;
    prt_regs_t         regs;
    prt_loop_stall_t  *stall;

    head = atomic_load(&prt_loop_head);

    if (head - atomic_load(&prt_loop_tail) == PRT_LOOP_KEPT) {
        prt_slot_count(&prt_slot, PRT_COUNT_STALLS_LOST, 1);
        return;
    }

    stall = &prt_loop_kept[head % PRT_LOOP_KEPT];

    prt_regs_here(&regs);

    stall->begin = begin;
    stall->end = end;
    stall->labels = prt_labels;
    stall->frames[0] = PRT_FRAME_UNSEEN;
    stall->frames[1] = (uint64_t) (uintptr_t) prt_loop_handler + 1;
    stall->nframes = 2 + prt_record_stack(&regs, &prt_loop_bounds,
                                          stall->frames + 2, prt_unwind);

    atomic_store(&prt_loop_head, head + 1);
}


uint64_t
prt_loop_since(void)
{
    return atomic_load_explicit(&prt_slot.head->loop_begin,
                                memory_order_acquire);
}


pid_t
prt_loop_thread(prt_stack_bounds_t *bounds)
{
    *bounds = prt_loop_bounds;

    return prt_loop_tid;
}


uint32_t
prt_loop_labels(void)
{
    return *prt_loop_label;
}


const prt_loop_stall_t *
prt_loop_stalled(void)
{
    uint32_t  tail;

    tail = atomic_load(&prt_loop_tail);

    if (atomic_load(&prt_loop_head) == tail) {
        return NULL;
    }

    return &prt_loop_kept[tail % PRT_LOOP_KEPT];
}


void
prt_loop_forget(void)
{
    atomic_fetch_add(&prt_loop_tail, 1);
}
