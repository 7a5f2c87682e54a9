
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Blocking that no hook sees, and that the program reports itself.
 */


#include "sources/prt_block.h"
#include "sources/prt_record.h"


/* not the exported function itself: its section would be seen with it */
static void prt_block_reported(uint64_t since, unsigned what, uintptr_t name)
    __attribute__((noinline)) PRT_BLOCK_HOOK;


uint64_t
prt_blocking(void)
{
    if (prt_block_limit(min) == INT64_MAX) {
        return 0;
    }

    /* what it calls meanwhile is part of it */

    prt_block_pause();

    return prt_ticks();
}


void
prt_blocked(uint64_t since, const char *name, size_t len, int lock)
{
    if (since == 0) {
        return;
    }

    prt_block_resume();
    prt_block_reported(since, lock ? PRT_BLOCK_LOCK : PRT_BLOCK_CALL,
                       (uintptr_t) prt_frame(name, len) - 1);
}


/* Has a frame, which becomes the name: no jump instead of its call. */

static void
prt_block_reported(uint64_t since, unsigned what, uintptr_t name)
{
    prt_block_locked(since, what, name);

    __asm__ volatile ("");
}
