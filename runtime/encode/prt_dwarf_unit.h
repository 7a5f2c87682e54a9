
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Compilation units and the ranges of addresses of their functions.
 */


#ifndef _PRT_DWARF_UNIT_H_INCLUDED_
#define _PRT_DWARF_UNIT_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include <dwarf.h>
#include <elfutils/libdw.h>

#include "encode/prt_dwarf.h"
#include "encode/prt_dwarf_line.h"
#include "encode/prt_pages.h"


/* What damaged or hostile debug info may cost us. */

#define PRT_DWARF_DEPTH      64          /* of nested scopes */
#define PRT_DWARF_ENTRIES    4000000     /* walked through for a unit or address ... */
#define PRT_DWARF_STEPS      100000000   /* ... and for all, while it is open */
#define PRT_DWARF_RANGES     4096        /* of one entry */
#define PRT_DWARF_PROGRAMS   16          /* times that all lines are read */

#define PRT_DWARF_LINES      (24u * 1024 * 1024)   /* bytes, then they are read anew */


typedef struct {
    uint64_t             start;
    uint64_t             end;
    Dwarf_Off            place;          /* a unit's index, or a function's offset */
} prt_dwarf_range_t;


typedef struct {
    prt_dwarf_range_t   *elts;           /* sorted by start when indexed */
    size_t               nelts;
    size_t               aelts;
} prt_dwarf_ranges_t;


typedef struct {
    Dwarf_Die            die;
    prt_dwarf_ranges_t   functions;
    prt_dwarf_lines_t   *lines;          /* NULL: none, or not read */
    unsigned             indexed:1;
    unsigned             lined:1;        /* its lines are read */
    unsigned             mangled:1;      /* the language has linkage names */
    unsigned             nested:1;       /* functions are in classes, namespaces */
} prt_dwarf_unit_t;


/* of a file */

typedef struct {
    const uint8_t       *info;           /* .debug_info */
    size_t               info_size;
    const uint8_t       *str;            /* .debug_str, or NULL */
    size_t               str_size;
} prt_dwarf_sections_t;


struct prt_dwarf_s {
    Dwarf               *dwarf;
    Dwarf               *common;         /* what it shares with others, or NULL */
    prt_dwarf_sections_t  sections[2];   /* of both */
    prt_dwarf_programs_t  programs;
    prt_pages_t          pages;          /* of lines */
    prt_dwarf_unit_t    *units;
    size_t               nunits;
    size_t               aunits;
    prt_dwarf_ranges_t   ranges;
    size_t               grown;
    unsigned             entries;        /* what may still be walked through ... */
    unsigned             steps;          /* ... and of all */
};


/* Begins a walk; then 1 for each step that may be taken, 0 at the end. */
void prt_dwarf_walk(prt_dwarf_t *dwarf);
int prt_dwarf_step(prt_dwarf_t *dwarf);

/* Finds the unit's functions, when the first address falls into it. */
void prt_dwarf_index(prt_dwarf_t *dwarf, prt_dwarf_unit_t *unit);

/* The range around the address that starts last, or NULL. */
const prt_dwarf_range_t *prt_dwarf_find(const prt_dwarf_ranges_t *ranges,
    uint64_t vaddr);


#endif /* _PRT_DWARF_UNIT_H_INCLUDED_ */
