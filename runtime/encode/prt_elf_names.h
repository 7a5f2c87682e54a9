
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * What an ELF file tells about functions without debug info: symbols, PLT
 * entries, and the bounds of functions in the unwind table.
 */


#ifndef _PRT_ELF_NAMES_H_INCLUDED_
#define _PRT_ELF_NAMES_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "encode/prt_elf.h"


/* Names are the file's, and valid while it is open. */
typedef struct {
    uint64_t              start;
    uint64_t              end;           /* == start: of unknown size */
    uint64_t              reach;         /* the largest end up to here */
    const char           *name;          /* of a PLT entry: without "@plt" */
    uint16_t              rank;          /* the lower, the better known */
    uint8_t               from;          /* PRT_SYMBOL_* */
} prt_elf_symbol_t;


typedef struct {
    uint64_t              start;
    uint64_t              end;
} prt_elf_range_t;


typedef struct {
    prt_elf_symbol_t     *symbols;       /* sorted by start */
    size_t                nsymbols;
    size_t                asymbols;
    prt_elf_range_t      *fdes;          /* sorted by start */
    size_t                nfdes;
    size_t                afdes;
} prt_elf_names_t;


/*
 * Add what a file has; what is damaged stays out.  FDEs and PLT entries come
 * from the object's own file only: a debug file has no contents there.  PLT
 * entries want the symbols, and want them sorted.  Return 0, or -1 when memory
 * is short.
 */
int prt_elf_names_symbols(prt_elf_names_t *names, const prt_elf_t *file,
    unsigned *sources);
int prt_elf_names_plt(prt_elf_names_t *names, const prt_elf_t *file,
    unsigned *sources);
int prt_elf_names_fdes(prt_elf_names_t *names, const prt_elf_t *file,
    unsigned *sources);

/* The file in .gnu_debugdata, into *mini: 0, or -1 when there is none. */
int prt_elf_debugdata(const prt_elf_t *file, prt_elf_t *mini);

/* A new entry, not filled; NULL when memory is short. */
prt_elf_symbol_t *prt_elf_names_add(prt_elf_names_t *names);
prt_elf_range_t *prt_elf_names_add_fde(prt_elf_names_t *names);

/* To be called when all is added, before the first look-up. */
void prt_elf_names_sort(prt_elf_names_t *names);

void prt_elf_names_free(prt_elf_names_t *names);

/*
 * The bounds of what the address lies in: 1 for an FDE, 0 for code between
 * two FDEs that has none (assembly), -1 for neither.
 */
int prt_elf_names_fde(const prt_elf_names_t *names, uint64_t vaddr,
    prt_elf_range_t *range);

/*
 * The symbol that the address lies in, or NULL.  One of unknown size reaches
 * to the end of its FDE or to the next symbol.
 */
const prt_elf_symbol_t *prt_elf_names_symbol(const prt_elf_names_t *names,
    uint64_t vaddr);

/*
 * The best known name of a function that starts here, among those "from"
 * (PRT_SYMBOL_*), or NULL.
 */
const char *prt_elf_names_at(const prt_elf_names_t *names, uint64_t start,
    unsigned from);

size_t prt_elf_names_memory(const prt_elf_names_t *names);


#endif /* _PRT_ELF_NAMES_H_INCLUDED_ */
