
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Writes a report as profile.proto, gzipped: what "go tool pprof" reads.
 */


#ifndef _PRT_PPROF_H_INCLUDED_
#define _PRT_PPROF_H_INCLUDED_


#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "pprofrt.h"
#include "collect/prt_report.h"
#include "encode/prt_symbol.h"


/*
 * Returns 0 with *data, which is the caller's to free(), or -1 with "error"
 * filled (PRT_ERROR_LEN bytes).  Without "symbols" (NULL) there are no names.
 * Gives up soon after *cancel (may be NULL) has become non-zero.  Calls
 * prt_symbols_lookup(), and has its rules for threads.
 */
int prt_pprof_encode(const prt_report_t *report, prt_symbols_t *symbols,
    uint8_t **data, size_t *size, char error[PRT_ERROR_LEN],
    const atomic_int *cancel);


#endif /* _PRT_PPROF_H_INCLUDED_ */
