
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include "platform/prt_hook.h"
#include "platform/prt_libunwind.h"
#include "platform/prt_object.h"


static int prt_libunwind_step(prt_regs_t *regs);


int
prt_libunwind_init(void)
{
    int                  n;
    unw_word_t           ip;
    unw_cursor_t         cursor;
    unw_context_t        context;
    const prt_map_t     *map;
    const prt_object_t  *object;

    if (prt_objects_refresh() < 0) {
        return -1;
    }

    map = prt_map_acquire();

    object = prt_map_find(map, (uintptr_t) &unw_step);

    n = object ? prt_hook_object(object, "dl_iterate_phdr", NULL,
                                 (void *) &prt_map_iterate_phdr)
               : 0;

    prt_map_release();

    /*
     * No cache: it would keep rows of objects that are gone, and its mutex is
     * what a handler could wait for.
     */
    (void) unw_set_caching_policy(unw_local_addr_space, UNW_CACHE_NONE);

    if (unw_getcontext(&context) == 0
        && unw_init_local(&cursor, &context) == 0)
    {
        do {
            (void) unw_get_reg(&cursor, UNW_REG_IP, &ip);
        } while (unw_step(&cursor) > 0);
    }

    return n > 0 ? 0 : -1;
}


unsigned
prt_unwind_slow(prt_regs_t *regs, const prt_stack_bounds_t *bounds,
    uintptr_t *frames, unsigned max, prt_unwind_end_t *end)
{
    unsigned   n;
    uintptr_t  sp;

    n = 0;

    for ( ;; ) {

        n += prt_unwind(regs, bounds, frames + n, max - n, end);

        if (*end != PRT_UNWIND_NO_OBJECT && *end != PRT_UNWIND_NO_ROW) {
            return n;
        }

        sp = prt_regs_sp(regs);

        if (prt_libunwind_step(regs) != 0) {
            return n;
        }

        if (regs->pc == 0) {
            *end = PRT_UNWIND_END;
            return n;
        }

        if (prt_regs_sp(regs) <= sp) {
            *end = PRT_UNWIND_BAD_CFA;
            return n;
        }
    }
}


#if PRT_ARCH_TABLE


static const unw_regnum_t  prt_libunwind_regs[PRT_ARCH_REGS] = {
    UNW_X86_64_RAX, UNW_X86_64_RDX, UNW_X86_64_RCX, UNW_X86_64_RBX,
    UNW_X86_64_RSI, UNW_X86_64_RDI, UNW_X86_64_RBP, UNW_X86_64_RSP,
    UNW_X86_64_R8, UNW_X86_64_R9, UNW_X86_64_R10, UNW_X86_64_R11,
    UNW_X86_64_R12, UNW_X86_64_R13, UNW_X86_64_R14, UNW_X86_64_R15
};


/* From one frame to its caller. */

static int
prt_libunwind_step(prt_regs_t *regs)
{
    int            signal;
    unsigned       i;
    unw_word_t     value;
    unw_cursor_t   cursor;
    unw_context_t  context;

    prt_regs_to_ucontext(regs, &context);

    if (unw_init_local2(&cursor, &context,
                        regs->interrupted ? UNW_INIT_SIGNAL_FRAME : 0)
        != 0)
    {
        return -1;
    }

    signal = unw_is_signal_frame(&cursor) > 0;

    if (unw_step(&cursor) <= 0
        || unw_get_reg(&cursor, UNW_REG_IP, &value) != 0)
    {
        return -1;
    }

    regs->pc = value;
    regs->interrupted = (uint32_t) signal;

    for (i = 0; i < PRT_ARCH_REGS; i++) {
        if ((PRT_ARCH_SAVED_MASK >> i & 1) || i == PRT_ARCH_SP || signal) {

            if (unw_get_reg(&cursor, prt_libunwind_regs[i], &value) == 0) {
                regs->r[i] = value;
                regs->valid |= 1u << i;
            }
        }
    }

    return 0;
}


#else


static int
prt_libunwind_step(prt_regs_t *regs)
{
    (void) regs;

    return -1;
}


#endif


unsigned
prt_unwind_oracle(void *ucontext, uintptr_t *frames, unsigned max)
{
    int           interrupted;
    unsigned      n;
    unw_word_t    ip;
    unw_cursor_t  cursor;

    if (unw_init_local2(&cursor, ucontext, UNW_INIT_SIGNAL_FRAME) != 0) {
        return 0;
    }

    interrupted = 1;

    for (n = 0; n < max; ) {

        if (unw_get_reg(&cursor, UNW_REG_IP, &ip) != 0 || ip == 0) {
            break;
        }

        frames[n++] = ip + (unsigned) interrupted;

        interrupted = unw_is_signal_frame(&cursor) > 0;

        if (unw_step(&cursor) <= 0) {
            break;
        }
    }

    return n;
}
