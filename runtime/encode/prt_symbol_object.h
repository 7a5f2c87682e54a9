
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Everything that names addresses of one object, and what was found so far.
 */


#ifndef _PRT_SYMBOL_OBJECT_H_INCLUDED_
#define _PRT_SYMBOL_OBJECT_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "encode/prt_debugproof.h"
#include "encode/prt_dwarf.h"
#include "encode/prt_elf.h"
#include "encode/prt_elf_names.h"
#include "encode/prt_pages.h"
#include "encode/prt_symbol.h"


typedef struct {
    uint64_t              vaddr;
    uint32_t              first;         /* of the results */
    uint32_t              n;             /* 0: an empty place */
} prt_symbol_key_t;


typedef struct prt_symbol_object_s  prt_symbol_object_t;

struct prt_symbol_object_s {
    prt_symbol_object_t  *next;
    prt_pages_t          *pages;

    const char           *path;
    const char           *name;          /* its last part */
    uint8_t               build_id[PRT_BUILD_ID_MAX];
    unsigned              build_id_len;

    const char           *link;          /* debuglink; NULL: none, or not known */
    uint32_t              crc;
    char                 *fetched;       /* from debuginfod; NULL: not */
    uint64_t              refused;       /* by debuginfod: not to ask before, ns */
    prt_debugproofs_t     proofs;        /* of debug files */

    const char           *shared;        /* path of shared debug info; NULL: none */
    const char           *shared_by;     /* the file that has this link */
    uint8_t               shared_id[PRT_BUILD_ID_MAX];
    unsigned              shared_id_len;
    char                 *shared_fetched;

    unsigned              sources;       /* PRT_SYMBOL_*; 0: not known yet */
    uint32_t              addresses;     /* of the last profile ... */
    uint32_t              unnamed;       /* ... and those without a name */
    unsigned              opened:1;
    unsigned              wanted:1;      /* looked up since the last fetching */
    unsigned              lacking:1;     /* shared debug info is not there */

    prt_elf_t             own;
    prt_elf_t             debug;
    prt_elf_t             mini;          /* .gnu_debugdata */
    prt_elf_t             common;        /* shared debug info */
    prt_elf_names_t       names;
    prt_dwarf_t          *dwarf;

    prt_symbol_key_t     *keys;          /* hash table of results */
    size_t                nkeys;
    size_t                akeys;         /* a power of two */
    prt_symbol_t         *results;
    size_t                nresults;
    size_t                aresults;

    uint64_t              used;          /* when; counts look-ups */
    uint64_t              checked;       /* when the files were looked at, ns */
    uint64_t              stamp;         /* of the files, then */
    unsigned              epoch;         /* of trimming, then */
};


/* Lies in "pages", which have to outlive it. */
prt_symbol_object_t *prt_symbol_object_create(const prt_image_t *image,
    prt_pages_t *pages);
void prt_symbol_object_destroy(prt_symbol_object_t *object);

/* Opens what there is; sources tell what that was. */
void prt_symbol_object_open(prt_symbol_object_t *object,
    const prt_image_t *image, const char *dirs);
void prt_symbol_object_close(prt_symbol_object_t *object);

#define PRT_SYMBOL_NAME  512

/*
 * As prt_symbols_lookup(), of an open object, with no memory of earlier ones.
 * Strings are valid until it is closed, or in "buf" of PRT_SYMBOL_NAME bytes.
 */
unsigned prt_symbol_object_name(prt_symbol_object_t *object, uint64_t vaddr,
    prt_symbol_t out[PRT_SYMBOL_INLINES], char *buf);

/* The results of earlier look-ups. */
const prt_symbol_t *prt_symbol_object_find(prt_symbol_object_t *object,
    uint64_t vaddr, unsigned *n);
int prt_symbol_object_store(prt_symbol_object_t *object, uint64_t vaddr,
    const prt_symbol_t *found, unsigned n);
void prt_symbol_object_forget(prt_symbol_object_t *object);

/* Of the files, and of the results. */
size_t prt_symbol_object_memory(const prt_symbol_object_t *object);
size_t prt_symbol_object_results(const prt_symbol_object_t *object);

/* True when the files, or those that it lacked, are not what they were. */
int prt_symbol_object_changed(prt_symbol_object_t *object, const char *dirs);


#endif /* _PRT_SYMBOL_OBJECT_H_INCLUDED_ */
