
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Texts for people that programs parse, too: the legacy forms of profiles
 * (debug=1), as Go's runtime/pprof writes them, and the answer of the symbol
 * endpoint.
 */


#ifndef _PRT_TEXT_H_INCLUDED_
#define _PRT_TEXT_H_INCLUDED_


#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "pprofrt.h"
#include "collect/prt_report.h"
#include "encode/prt_symbol.h"


/*
 * Writes a profile of counts ("threadcreate profile: total 3"); its last value
 * is the count.  Returns 0 with *data, which is the caller's to free() and is
 * not terminated by NUL, or -1 with "error" filled.  Without "symbols" (NULL)
 * there are no names.  Gives up soon after *cancel (may be NULL) has become
 * non-zero.
 */
int prt_text_encode(const prt_report_t *report, prt_symbols_t *symbols,
    uint8_t **data, size_t *size, char error[PRT_ERROR_LEN],
    const atomic_int *cancel);

/*
 * Writes Go's dump of goroutines (debug=2): each sample that has a moment, on its
 * own.  The rest is as above.
 */
int prt_text_dump(const prt_report_t *report, prt_symbols_t *symbols,
    uint8_t **data, size_t *size, char error[PRT_ERROR_LEN],
    const atomic_int *cancel);

/*
 * Writes "num_symbols: 1\n", then "0xADDR name\n" for each of the "n"
 * addresses that has a name.  They are looked up as they are, not as
 * return addresses.  "images" is sorted by base.
 */
int prt_text_symbols(const uint64_t *addresses, size_t n,
    const prt_image_t *images, size_t nimages, prt_symbols_t *symbols,
    uint8_t **data, size_t *size, char error[PRT_ERROR_LEN],
    const atomic_int *cancel);


#endif /* _PRT_TEXT_H_INCLUDED_ */
