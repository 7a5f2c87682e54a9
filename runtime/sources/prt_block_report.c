
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Blocking that no hook sees, and that the program reports itself.
 */


#include "sources/prt_block.h"
#include "sources/prt_record.h"


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


PRT_BLOCK_HOOK void
prt_blocked(uint64_t since, const char *name, size_t len, int lock)
{
    if (since == 0) {
        return;
    }

    prt_block_resume();

    prt_block_locked(since, lock ? PRT_BLOCK_LOCK : PRT_BLOCK_CALL,
                     (uintptr_t) prt_frame(name, len) - 1);

    /* it has to have a frame, which becomes the name: no jump instead */

    __asm__ volatile ("");
}
