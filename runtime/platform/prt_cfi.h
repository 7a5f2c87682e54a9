
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The call frame instructions of an .eh_frame: its entries, and the rules
 * that they compute.  Never reads outside of the bytes given.
 */


#ifndef _PRT_CFI_H_INCLUDED_
#define _PRT_CFI_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "platform/prt_ehframe.h"
#include "platform/prt_reader.h"


typedef struct {
    uint64_t               offset;        /* of the entry; it is the key */
    uint64_t               code_align;
    int64_t                data_align;
    uint64_t               instructions;
    uint64_t               end;
    uint8_t                encoding;      /* of pointers in FDEs */
    unsigned               augmented:1;   /* FDEs have augmentation data */
    unsigned               signal:1;
    unsigned               run:1;         /* "initial" is filled */
    unsigned               bad:1;
    prt_full_t             initial;
} prt_cfi_cie_t;


typedef struct {
    uint64_t               offset;
    uint64_t               start;         /* the code that it describes */
    uint64_t               size;
    uint64_t               cie;           /* offset */
    uint32_t               instructions;
    uint32_t               end;
    int                    signal;
} prt_cfi_fde_t;


#define PRT_CFI_CIES           8          /* kept decoded */

typedef struct {
    const prt_bytes_t     *frame;

    prt_cfi_cie_t          cies[PRT_CFI_CIES];
    unsigned               ncies;

    prt_op_t              *ops;           /* all expressions, decoded */
    size_t                 nops;
    size_t                 ops_size;
} prt_cfi_t;


void prt_cfi_init(prt_cfi_t *cfi, const prt_bytes_t *frame);
void prt_cfi_done(prt_cfi_t *cfi);

/* The offset after the entry at "offset"; 0: there is none. */
uint64_t prt_cfi_next(const prt_cfi_t *cfi, uint64_t offset);

/* Returns -1 if there is no FDE that can be read. */
int prt_cfi_fde(prt_cfi_t *cfi, uint64_t offset, prt_cfi_fde_t *fde);

/*
 * Calls "row" for each address from which other rules hold, in ascending
 * order, first for the start of the FDE.  Returns -1 if there is no memory.
 */
typedef void (*prt_cfi_row_pt)(void *data, uint64_t vaddr,
    const prt_full_t *rules);

int prt_cfi_run(prt_cfi_t *cfi, const prt_cfi_fde_t *fde, prt_cfi_row_pt row,
    void *data);

/*
 * Decodes the expression up to "end" and returns the index of its first op;
 * -1 if it is not one that we can do.  Those of registers find the CFA on the
 * stack when they start.
 */
#define PRT_CFI_NO_MEMORY      (-2)

int prt_cfi_compile(prt_cfi_t *cfi, prt_reader_t *in, size_t end,
    int with_cfa);


#endif /* _PRT_CFI_H_INCLUDED_ */
