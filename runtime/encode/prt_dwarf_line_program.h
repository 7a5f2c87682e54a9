
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * A line program while it is read, and what is left of it, for
 * prt_dwarf_line*.c alone.
 */


#ifndef _PRT_DWARF_LINE_PROGRAM_H_INCLUDED_
#define _PRT_DWARF_LINE_PROGRAM_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "encode/prt_dwarf_line.h"
#include "platform/prt_reader.h"


typedef struct {
    uint64_t              address;
    uint32_t              file;
    uint32_t              line;
} prt_line_row_t;


/* rows of ascending addresses, from start to end */

typedef struct {
    uint64_t              start;
    uint64_t              end;
    uint32_t              first;
    uint32_t              n;
} prt_line_sequence_t;


typedef struct {
    const char           *dir;           /* NULL: "name" is all */
    const char           *name;          /* NULL: there is none */
} prt_line_file_t;


struct prt_dwarf_lines_s {
    prt_line_row_t       *rows;
    prt_line_sequence_t  *sequences;     /* sorted by start */
    size_t                nsequences;
    prt_line_file_t      *files;
    uint64_t              nfiles;
};


/* a block that grows */

typedef struct {
    void                 *p;
    size_t                size;          /* bytes */
} prt_line_block_t;


typedef struct {
    prt_reader_t          in;
    prt_bytes_t           bytes;
    prt_dwarf_programs_t *programs;
    prt_pages_t          *pages;
    prt_dwarf_lines_t    *lines;

    unsigned              offset;        /* bytes of an offset: 4 or 8 */
    unsigned              version;
    uint64_t              step;          /* bytes of the shortest instruction */
    int8_t                base;
    uint8_t               range;
    uint8_t               opcodes;       /* the first special one */
    const uint8_t        *operands;      /* of each standard one */

    const char          **dirs;
    uint64_t              ndirs;

    prt_line_block_t      rows;
    prt_line_block_t      sequences;
    size_t                nrows;
    size_t                first;         /* row of the current sequence */
    size_t                nsequences;
} prt_line_program_t;


/* Reads up to the program's first opcode: 0, or -1. */
int prt_line_header(prt_line_program_t *program, const char *dir);


#endif /* _PRT_DWARF_LINE_PROGRAM_H_INCLUDED_ */
