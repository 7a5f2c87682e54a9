
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <string.h>

#include "encode/prt_buffer.h"
#include "encode/prt_gotrace.h"
#include "platform/prt_clock.h"


int
prt_gotrace_dump(const prt_region_t *region,
    const prt_gotrace_window_t *window, prt_symbols_t *symbols,
    prt_gotrace_sink_pt sink, void *data, prt_gotrace_result_t *result,
    char error[PRT_ERROR_LEN], const atomic_int *cancel)
{
    static const char  header[16] = "go 1.22 trace";

    (void) region;
    (void) symbols;
    (void) cancel;

    memset(result, 0, sizeof(prt_gotrace_result_t));

    result->from = window->from;
    result->to = window->to ? window->to : prt_now();
    result->bytes = sizeof(header);
    error[0] = '\0';

    return sink(data, header, sizeof(header));
}
