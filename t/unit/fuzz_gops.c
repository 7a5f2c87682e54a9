
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * libFuzzer: what a client of the gops agent sends, in pieces as they come.  The
 * answer to a piece is "more" until it is final, and stays that, whatever
 * follows.
 *
 *   clang -fsanitize=fuzzer,address,undefined ... t/unit/fuzz_gops.c
 */


#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "serve/prt_gops.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int                        rc, before;
    size_t                     n;
    uint8_t                   *piece;
    const prt_gops_command_t  *command, *known;

    before = 0;
    known = NULL;

    for (n = 0; n <= size && n <= 1 + PRT_GOPS_ARGUMENT; n++) {

        /* of its very size, so that a byte too far is found */

        piece = malloc(n ? n : 1);
        if (piece == NULL) {
            abort();
        }

        memcpy(piece, data, n);
        rc = prt_gops_parse(piece, n, &command);
        free(piece);

        if (rc < -1 || rc > 1
            || (rc == 1) != (rc == 1 && command && command->code == data[0])
            || (before && rc != before)
            || (before && command != known)
            || (n == 0 && rc != 0)
            || (n == 1 + PRT_GOPS_ARGUMENT && rc == 0))
        {
            abort();
        }

        before = rc;
        known = command;
    }

    return 0;
}
