
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Where a sample was taken, in one line for the log and the index.
 */


#ifndef _PRT_WHERE_H_INCLUDED_
#define _PRT_WHERE_H_INCLUDED_


#include <stddef.h>

#include "collect/prt_report.h"
#include "encode/prt_symbol.h"


/*
 * Writes 'server "a", location "/b": innermost, its caller, ...' of a report's
 * first sample; a text that is cut ends in "...".  Returns its length, less
 * than "size".
 */
size_t prt_where(const prt_report_t *report, prt_symbols_t *symbols,
    char *text, size_t size);


#endif /* _PRT_WHERE_H_INCLUDED_ */
