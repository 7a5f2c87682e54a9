
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Lines of a compilation unit.  libdw's take three times the memory, which is
 * the most of what names take, and keep it in the thread's heap.
 */


#ifndef _PRT_DWARF_LINE_H_INCLUDED_
#define _PRT_DWARF_LINE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "encode/prt_pages.h"


/* Sections; a size of 0 where there is none.  Texts end with a zero. */

typedef struct {
    const uint8_t       *line;           /* .debug_line */
    size_t               line_size;
    const uint8_t       *line_str;       /* .debug_line_str */
    size_t               line_str_size;
    const uint8_t       *str;            /* .debug_str */
    size_t               str_size;
    uint64_t             budget;         /* bytes of programs that are run yet */
} prt_dwarf_programs_t;


typedef struct prt_dwarf_lines_s  prt_dwarf_lines_t;


/*
 * Runs the program at an offset in .debug_line, of a unit of this directory
 * (NULL: not known).  All of the result is in "pages" or in the sections.
 * NULL: there is none, it is damaged, or memory is short.
 */
prt_dwarf_lines_t *prt_dwarf_lines_read(prt_dwarf_programs_t *programs,
    uint64_t offset, const char *dir, prt_pages_t *pages);

/* The file's number and the line of an address: 1, or 0: not in here. */
int prt_dwarf_lines_find(const prt_dwarf_lines_t *lines, uint64_t vaddr,
    uint32_t *file, uint32_t *line);

/* A file's path, as its compiler gave it, or NULL. */
const char *prt_dwarf_lines_file(prt_dwarf_lines_t *lines, uint64_t file,
    prt_pages_t *pages);


#endif /* _PRT_DWARF_LINE_H_INCLUDED_ */
