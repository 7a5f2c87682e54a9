
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Stacks that were taken before: what is remembered is the stack that a walk
 * gives, though others had the same place and the same stack pointer, and it is
 * known again without a walk.
 */


#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pprofrt.h"
#include "sources/prt_memo.h"
#include "sources/prt_record.h"


#define TABLE   0                    /* of one whose stacks are kept */
#define DEPTH   10
#define CHAINS  (1u << DEPTH)


typedef uint32_t (*chain_pt)(unsigned depth, unsigned way);

static uint32_t chain_a(unsigned depth, unsigned way);
static uint32_t chain_b(unsigned depth, unsigned way);

static const chain_pt  chains[] = { chain_a, chain_b };

static prt_stack_bounds_t  bounds;

/* the number of the last stack, by a walk */
static uint32_t            walked;


static __attribute__((noinline, noclone)) uint32_t
leaf(void)
{
    unsigned    n;
    uint32_t    stack;
    uint64_t    frames[PRT_STACK_MAX + 1];
    prt_regs_t  regs, same;

    prt_regs_here(&regs);
    same = regs;

    stack = prt_memo_stack(TABLE, &regs, &bounds);

    n = prt_record_stack(&same, &bounds, frames, prt_unwind);
    walked = prt_record_intern(TABLE, frames, n);

    return stack;
}


/* Two functions of one size, so that all ways have one stack pointer. */

static __attribute__((noinline, noclone)) uint32_t
chain_a(unsigned depth, unsigned way)
{
    volatile uint32_t  stack;

    stack = depth ? chains[way & 1](depth - 1, way >> 1) : leaf();

    return stack;
}


static __attribute__((noinline, noclone)) uint32_t
chain_b(unsigned depth, unsigned way)
{
    volatile uint32_t  stack;

    stack = depth ? chains[way & 1](depth - 1, way >> 1) : leaf();

    return stack;
}


/* In a thread all frames up to its start are of a fixed size. */

static void
bounds_here(void)
{
    void            *base;
    size_t           size;
    pthread_attr_t   attr;

    assert_int_equal(pthread_getattr_np(pthread_self(), &attr), 0);
    assert_int_equal(pthread_attr_getstack(&attr, &base, &size), 0);
    (void) pthread_attr_destroy(&attr);

    bounds.lo = (uintptr_t) base;
    bounds.hi = (uintptr_t) base + size;
}


static void *
same_main(void *data)
{
    unsigned   way, round;
    uint32_t  *wrong;

    static uint32_t  first[CHAINS];

    wrong = data;
    bounds_here();

#pragma GCC unroll 1
    for (round = 0; round < 3; round++) {

#pragma GCC unroll 1
        for (way = 0; way < CHAINS; way++) {
            *wrong += chain_a(DEPTH, way) != walked || walked == 0;

            if (round == 0) {
                first[way] = walked;
            }

            /* all ways are stacks of their own, and stay the same */

            *wrong += first[way] != walked
                      || (way && first[way] == first[way - 1]);
        }
    }

    return NULL;
}


static void
test_same(void **state)
{
    uint32_t   wrong;
    pthread_t  thread;

    (void) state;

    wrong = 0;

    assert_int_equal(pthread_create(&thread, NULL, same_main, &wrong), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);

    assert_int_equal(wrong, 0);
}


/*
 * What is remembered comes without a walk: when the slot has forgotten its
 * stacks, the number still does, and the walk beside it gives another one.
 */

static void *
known_main(void *data)
{
    uint32_t  (*numbers)[2];
    unsigned    i;

    /* in turn, from one place: that of the call is a part of the stack */
    static volatile unsigned  ways[] = { 9, 5, 5, 5 };

    numbers = data;
    bounds_here();

#pragma GCC unroll 1
    for (i = 0; i < 4; i++) {

        if (i == 2) {
            prt_intern_reset(&prt_slot.stacks);
        }

        if (i == 3) {
            prt_memo_reset();
        }

        numbers[i][0] = chain_a(DEPTH, ways[i]);
        numbers[i][1] = walked;
    }

    return NULL;
}


static void
test_known(void **state)
{
    uint32_t   numbers[4][2];
    pthread_t  thread;

    (void) state;

    prt_memo_reset();

    assert_int_equal(pthread_create(&thread, NULL, known_main, numbers), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);

    /* the first one is there for the next to have another number than 1 */

    assert_int_equal(numbers[0][0], numbers[0][1]);
    assert_int_equal(numbers[1][0], numbers[1][1]);

    assert_int_equal(numbers[2][0], numbers[1][0]);
    assert_int_not_equal(numbers[2][0], numbers[2][1]);

    assert_int_equal(numbers[3][0], numbers[3][1]);
}


static int
start(void **state)
{
    char           error[PRT_ERROR_LEN];
    prt_options_t  options;

    (void) state;

    memset(&options, 0, sizeof(prt_options_t));
    options.worker = -1;
    options.block_rate = PRT_BLOCK_OFF;
    options.heap_rate = PRT_HEAP_OFF;

    return prt_start(NULL, &options, error);
}


static int
stop(void **state)
{
    (void) state;

    prt_stop();

    return 0;
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_setup_teardown(test_same, start, stop),
        cmocka_unit_test_setup_teardown(test_known, start, stop)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
