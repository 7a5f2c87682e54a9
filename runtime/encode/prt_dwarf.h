
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Functions, files, lines and inlined functions from debug info.
 */


#ifndef _PRT_DWARF_H_INCLUDED_
#define _PRT_DWARF_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "encode/prt_elf.h"
#include "encode/prt_symbol.h"


#define PRT_DWARF_SIZE_MAX   (256u * 1024 * 1024)   /* bytes, all debug sections */


typedef struct prt_dwarf_s  prt_dwarf_t;


/* True when there is debug info to open. */
int prt_dwarf_has(const prt_elf_t *file);

/*
 * With the file of debug info that it shares with others, open or not.  NULL
 * when the file has no debug info that could be used.
 */
prt_dwarf_t *prt_dwarf_open(prt_elf_t *file, prt_elf_t *common);
void prt_dwarf_close(prt_dwarf_t *dwarf);

/*
 * As prt_symbols_lookup(), but returns 0 where the debug info says nothing.
 * An only entry without name (NULL) has just a file and a line: assembly.
 * Strings are valid until prt_dwarf_close().
 */
unsigned prt_dwarf_lookup(prt_dwarf_t *dwarf, uint64_t vaddr,
    prt_symbol_t *out, unsigned max);

/* Estimated, without the file: of all, and what look-ups made it grow by. */
size_t prt_dwarf_memory(prt_dwarf_t *dwarf, size_t *grown);


#endif /* _PRT_DWARF_H_INCLUDED_ */
