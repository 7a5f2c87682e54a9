
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdatomic.h>
#include <string.h>

#include "platform/prt_object.h"
#include "sources/prt_memo.h"
#include "sources/prt_record.h"


#define PRT_MEMO_SETS    32
#define PRT_MEMO_WAYS    4
#define PRT_MEMO_FRAMES  40                /* longer stacks are walked */


typedef struct {
    _Atomic uint32_t     busy;             /* in somebody's hands */
    uint32_t             stack;            /* its number; 0: empty */
    uintptr_t            pc;
    uintptr_t            sp;
    uint64_t             map;              /* serial of the objects it went through */
    uint32_t             n;
    uint32_t             at[PRT_MEMO_FRAMES];     /* of return addresses, from sp */
    uintptr_t            returns[PRT_MEMO_FRAMES];
} prt_memo_t;


static uint32_t prt_memo_find(prt_memo_t *set, const prt_regs_t *regs,
    const prt_stack_bounds_t *bounds, uint64_t map);
static PRT_NO_SANITIZE int prt_memo_same(const prt_memo_t *memo,
    const prt_stack_bounds_t *bounds);
static unsigned prt_memo_walk(prt_regs_t *regs,
    const prt_stack_bounds_t *bounds, uint64_t *frames, prt_memo_t *memo);
static void prt_memo_keep(prt_memo_t *set, const prt_memo_t *memo);


static prt_memo_t        prt_memos[PRT_MEMO_SETS][PRT_MEMO_WAYS];
static _Atomic uint32_t  prt_memo_turn;    /* whose place the next one takes */


void
prt_memo_reset(void)
{
    memset(prt_memos, 0, sizeof(prt_memos));
}


uint32_t
prt_memo_stack(unsigned table, prt_regs_t *regs,
    const prt_stack_bounds_t *bounds)
{
    unsigned          n;
    uint32_t          stack;
    uint64_t          words[2], frames[PRT_STACK_MAX + 1];
    prt_memo_t       *set, memo;
    const prt_map_t  *map;

    words[0] = prt_regs_pc(regs);
    words[1] = prt_regs_sp(regs);

    set = prt_memos[prt_hash(words, 2) % PRT_MEMO_SETS];

    map = prt_map_acquire();
    memo.map = prt_map_serial(map);
    prt_map_release();

    stack = prt_memo_find(set, regs, bounds, memo.map);

    if (stack != 0) {
        prt_slot_count(&prt_slot, PRT_COUNT_STACKS, 1);
        return stack;
    }

    n = prt_memo_walk(regs, bounds, frames, &memo);

    memo.stack = prt_record_intern(table, frames, n);

    if (memo.n != 0 && memo.stack != 0) {
        prt_memo_keep(set, &memo);
    }

    return memo.stack;
}


static uint32_t
prt_memo_find(prt_memo_t *set, const prt_regs_t *regs,
    const prt_stack_bounds_t *bounds, uint64_t map)
{
    unsigned     i;
    uint32_t     stack;
    prt_memo_t  *memo;

    for (i = 0; i < PRT_MEMO_WAYS; i++) {
        memo = &set[i];

        /* another thread, or this one in a signal handler: never waited for */

        if (atomic_exchange_explicit(&memo->busy, 1, memory_order_acquire)) {
            continue;
        }

        stack = 0;

        if (memo->stack != 0
            && memo->pc == prt_regs_pc(regs)
            && memo->sp == prt_regs_sp(regs)
            && memo->map == map
            && prt_memo_same(memo, bounds))
        {
            stack = memo->stack;
        }

        atomic_store_explicit(&memo->busy, 0, memory_order_release);

        if (stack != 0) {
            return stack;
        }
    }

    return 0;
}


static PRT_NO_SANITIZE int
prt_memo_same(const prt_memo_t *memo, const prt_stack_bounds_t *bounds)
{
    uint32_t  i;

    if (memo->sp < bounds->lo
        || memo->sp + memo->at[memo->n - 1] + sizeof(uintptr_t) > bounds->hi)
    {
        return 0;
    }

    for (i = 0; i < memo->n; i++) {
        if (*(const uintptr_t *) (memo->sp + memo->at[i]) != memo->returns[i])
        {
            return 0;
        }
    }

    return 1;
}


/*
 * As prt_record_stack() does it, and frame by frame as long as the stack can be
 * remembered: memo->n is 0 if it cannot.
 */

static unsigned
prt_memo_walk(prt_regs_t *regs, const prt_stack_bounds_t *bounds,
    uint64_t *frames, prt_memo_t *memo)
{
    unsigned          n;
    uint32_t          at;
    prt_regs_t        next;
    prt_unwind_end_t  end;

    memo->pc = prt_regs_pc(regs);
    memo->sp = prt_regs_sp(regs);
    memo->n = 0;

    next = *regs;

    for (n = 0; n < PRT_MEMO_FRAMES; n++) {

        if (!prt_unwind_fixed(&next)) {
            break;
        }

        (void) prt_unwind(&next, bounds, (uintptr_t *) &frames[n], 1, &end);

        if (end == PRT_UNWIND_END) {

            /* what says so is a return address of 0, or the code itself */

            memo->n = n;
            prt_slot_count(&prt_slot, PRT_COUNT_STACKS, 1);

            return n + 1;
        }

        if (end != PRT_UNWIND_TRUNCATED) {
            break;
        }

        at = (uint32_t) (prt_regs_sp(&next) - PRT_ARCH_RETURN - memo->sp);

        memo->at[n] = at;
        memo->returns[n] = prt_regs_pc(&next);
    }

    return prt_record_stack(regs, bounds, frames, prt_unwind);
}


static void
prt_memo_keep(prt_memo_t *set, const prt_memo_t *memo)
{
    uint32_t     turn;
    prt_memo_t  *kept;

    turn = atomic_fetch_add_explicit(&prt_memo_turn, 1, memory_order_relaxed);
    kept = &set[turn % PRT_MEMO_WAYS];

    if (atomic_exchange_explicit(&kept->busy, 1, memory_order_acquire)) {
        return;
    }

    kept->stack = memo->stack;
    kept->pc = memo->pc;
    kept->sp = memo->sp;
    kept->map = memo->map;
    kept->n = memo->n;
    memcpy(kept->at, memo->at, memo->n * sizeof(uint32_t));
    memcpy(kept->returns, memo->returns, memo->n * sizeof(uintptr_t));

    atomic_store_explicit(&kept->busy, 0, memory_order_release);
}
