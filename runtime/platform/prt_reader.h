
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Reads numbers of DWARF, and never outside of the bytes given.
 */


#ifndef _PRT_READER_H_INCLUDED_
#define _PRT_READER_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "platform/prt_ehframe.h"


/* At its end a reader returns zeroes, and "failed" is set. */

typedef struct {
    const prt_bytes_t     *bytes;
    size_t                 pos;
    size_t                 end;
    int                    failed;
} prt_reader_t;


void prt_reader_init(prt_reader_t *in, const prt_bytes_t *bytes, size_t pos,
    size_t end);

/* 1, 2, 4 or 8 bytes */
uint64_t prt_read(prt_reader_t *in, unsigned size);
void prt_skip(prt_reader_t *in, uint64_t size);
uint64_t prt_read_uleb(prt_reader_t *in);
int64_t prt_read_sleb(prt_reader_t *in);

/*
 * Reads a pointer in a DW_EH_PE_* encoding.  Returns -1 at the end of the
 * bytes, and for encodings whose meaning does not lie in the bytes.
 */
int prt_read_pointer(prt_reader_t *in, uint8_t encoding, uint64_t data_base,
    uint64_t *value);


#endif /* _PRT_READER_H_INCLUDED_ */
