
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Names of addresses: function, file, line and inlined functions, from the
 * debug info, symbol tables and unwind tables of ELF files.
 *
 * A name is right or it is not given: a file is used only when its build ID is
 * the one of the object in memory, or when layout and code prove that it fits
 * (prt_debugproof.h), and a symbol only when the address lies in
 * it.  What has no name gets a stable one of its object and the start of its
 * unwind table entry ("nginx@0x3a4f0"), or of the gap between two of these.
 *
 * Not thread-safe: one thread at a time may use a prt_symbols_t.  Nothing here
 * is signal-safe.  No file stays open.
 */


#ifndef _PRT_SYMBOL_H_INCLUDED_
#define _PRT_SYMBOL_H_INCLUDED_


#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "collect/prt_report.h"


#define PRT_SYMBOLS_DEBUG_PATH   "/usr/lib/debug"
#define PRT_SYMBOLS_MEMORY       (64 * 1024 * 1024)   /* bytes, while working */
#define PRT_SYMBOLS_KEEP         (8 * 1024 * 1024)    /* bytes, after prt_symbols_trim() */

#define PRT_SYMBOL_INLINES       64       /* max entries for one address */


/* where a name comes from; of an object: what there is for it */

#define PRT_SYMBOL_DEBUG         0x01     /* debug info */
#define PRT_SYMBOL_SYMTAB        0x02     /* .symtab or .gnu_debugdata */
#define PRT_SYMBOL_DYNSYM        0x04
#define PRT_SYMBOL_PLT           0x08     /* "malloc@plt" */
#define PRT_SYMBOL_FDE           0x10     /* "nginx@0x3a4f0" */
#define PRT_SYMBOL_NONE          0x20     /* "nginx@?": no usable file, or no code there */
#define PRT_SYMBOL_GIVEN         0x40     /* of a synthetic image */
#define PRT_SYMBOL_REBUILT       0x80     /* of an object: debug info of a rebuild */
#define PRT_SYMBOL_DENIED        0x100    /* of an object: we may not read its file */

#define PRT_SYMBOL_NAMED         (PRT_SYMBOL_DEBUG | PRT_SYMBOL_SYMTAB        \
                                  | PRT_SYMBOL_DYNSYM | PRT_SYMBOL_PLT         \
                                  | PRT_SYMBOL_GIVEN)


typedef struct prt_symbols_s  prt_symbols_t;


/* Strings are valid until prt_symbols_trim() or prt_symbols_destroy(). */
typedef struct {
    const char   *name;                   /* never NULL; mangled, if C++ or Rust */
    const char   *file;                   /* NULL: unknown */
    uint64_t      start;                  /* vaddr of the function's first byte; 0: unknown */
    uint32_t      line;                   /* 0: unknown */
    uint32_t      start_line;             /* of the function; 0: unknown */
    unsigned      from;                   /* one of PRT_SYMBOL_* */
} prt_symbol_t;


/* NULL when memory is short. */
prt_symbols_t *prt_symbols_create(void);
void prt_symbols_destroy(prt_symbols_t *symbols);

/*
 * Directories of debug files, separated by colons, instead of
 * PRT_SYMBOLS_DEBUG_PATH.  To be called before the first look-up.  Returns 0,
 * or -1 when memory is short.
 */
int prt_symbols_debug_path(prt_symbols_t *symbols, const char *path);

/*
 * The functions at "vaddr" (an address as in the ELF file: canonical address
 * minus image->base), innermost inlined function first.  Returns the number
 * of entries written, 1 to max; with more inlined functions than max the
 * outermost stay out.  0 when memory is short, or there are no "symbols"
 * (NULL) and the image is not synthetic.
 *
 * Looks up exactly this address: for a caller's frame pass its return address
 * minus 1.
 */
unsigned prt_symbols_lookup(prt_symbols_t *symbols, const prt_image_t *image,
    uint64_t vaddr, prt_symbol_t *out, unsigned max);

/*
 * What there is to name addresses of this object: PRT_SYMBOL_* flags.
 * PRT_SYMBOL_NONE stands alone, or with _DENIED, when the object's file could not
 * be used.
 */
unsigned prt_symbols_sources(prt_symbols_t *symbols, const prt_image_t *image);

/* How the addresses of an object were named in the last profile. */
typedef struct {
    const char   *path;
    unsigned      sources;                /* PRT_SYMBOL_* flags */
    uint32_t      addresses;
    uint32_t      unnamed;                /* of these, without a function's name */
} prt_naming_t;

void prt_symbols_note(prt_symbols_t *symbols, const prt_image_t *image,
    uint32_t addresses, uint32_t unnamed);

/*
 * What was noted, at most "max" objects, the last used first.  Paths are valid
 * until the next call of another function.
 */
unsigned prt_symbols_noted(prt_symbols_t *symbols, prt_naming_t *noted,
    unsigned max);

/* "debug info", ".symtab", ...: the best of the sources. */
const char *prt_symbols_source(unsigned sources);

/*
 * What is to be done to have all names, before the object's path; NULL: to run
 * tools/ngx-debuginfo.
 */
const char *prt_symbols_advice(unsigned sources);

/*
 * Fetches debug files of objects that were looked up and have none, from the
 * servers in $DEBUGINFOD_URLS; does nothing where that is not set.  To be
 * called when the answer has been handed over: it waits on the network, up to
 * "timeout" ns in all, or until *cancel (may be NULL) is non-zero.  Later
 * look-ups use what has come; what could not be had is not asked for again
 * for ten minutes.  Returns the number of files that came.
 */
unsigned prt_symbols_fetch_missing(prt_symbols_t *symbols, uint64_t timeout,
    const atomic_int *cancel);

/*
 * Gives memory back: all files are closed, the results of look-ups stay, up to
 * PRT_SYMBOLS_KEEP.  To be called after every answer.
 */
void prt_symbols_trim(prt_symbols_t *symbols);

/* Estimated memory in use, in bytes. */
size_t prt_symbols_memory(prt_symbols_t *symbols);


#endif /* _PRT_SYMBOL_H_INCLUDED_ */
