
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * libFuzzer: durations.  What is accepted is so in other spellings too, which
 * have to be the same.
 *
 *   clang -fsanitize=fuzzer,address,undefined ... t/unit/fuzz_duration.c
 */


#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pprofrt.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static void same(const char *text, size_t len, int64_t ns);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int      n, rc;
    char    *text, number[64];
    int64_t  ns;

    /* its end is the end of the memory */

    text = malloc(size + 2);
    if (text == NULL) {
        return 0;
    }

    memcpy(text + 2, data, size);

    rc = prt_duration(text + 2, size, &ns);

    if (rc == 0) {
        n = snprintf(number, sizeof(number), "%" PRId64 "ns", ns);
        same(number, (size_t) n, ns);

        if (size && data[0] != '+' && data[0] != '-') {
            text[1] = '+';
            same(text + 1, size + 1, ns);

            text[1] = '-';
            same(text + 1, size + 1, -ns);
        }
    }

    free(text);

    return 0;
}


static void
same(const char *text, size_t len, int64_t ns)
{
    int64_t  again;

    if (prt_duration(text, len, &again) != 0 || again != ns) {
        abort();
    }
}
