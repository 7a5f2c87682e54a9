
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The tracepoint of bench_lttng.c: what a record of our trace has, but for its
 * time, which lttng-ust adds itself.  Read several times by its macros.
 */


#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER  pprof_bench

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE   "bench_lttng.h"

#if !defined(_BENCH_LTTNG_H_INCLUDED_)                                         \
    || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define _BENCH_LTTNG_H_INCLUDED_


#include <stdint.h>

#include <lttng/tracepoint.h>


LTTNG_UST_TRACEPOINT_EVENT(
    pprof_bench,
    phase,
    LTTNG_UST_TP_ARGS(
        uint64_t, what,
        uint32_t, value
    ),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_integer(uint64_t, what, what)
        lttng_ust_field_integer(uint32_t, value, value)
    )
)


#endif /* _BENCH_LTTNG_H_INCLUDED_ */


#include <lttng/tracepoint-event.h>
