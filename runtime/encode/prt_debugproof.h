
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The proof that a file with another build ID has the debug info of an object
 * all the same: a rebuild of a distribution's package differs from it in no
 * more than texts that name versions, as long as its tools are the same.
 */


#ifndef _PRT_DEBUGPROOF_H_INCLUDED_
#define _PRT_DEBUGPROOF_H_INCLUDED_


#include <stdint.h>

#include "encode/prt_elf.h"


/*
 * Code that may differ: bytes, or a part of all if that is more.  A version in
 * a string moves its neighbours, and with them the operands that point there:
 * in Debian's nginx 10 to 250 bytes of 773 000.
 */
#define PRT_DEBUGPROOF_BYTES  64
#define PRT_DEBUGPROOF_PART   1000       /* one in so many */

#define PRT_DEBUGPROOFS       8          /* the last ones are remembered */


/* What came of it for pairs of files, by their stamps.  All zero at first. */

typedef struct {
    struct {
        uint64_t  object;
        uint64_t  file;
        int       fits;
    } list[PRT_DEBUGPROOFS];

    unsigned      n;                     /* ever */
} prt_debugproofs_t;


/*
 * True when both have the same sections in memory (names, types, flags,
 * addresses and sizes), the same unwind information, byte for byte, which has
 * the bounds of all functions, and the same code but for so much of it.  A
 * debug file without code proves nothing.
 */
int prt_debugproof(const prt_elf_t *object, const prt_elf_t *file);

/* What came of it before: 1, 0, or -1 for files that are not remembered. */
int prt_debugproof_known(const prt_debugproofs_t *proofs, uint64_t object,
    uint64_t file);
void prt_debugproof_remember(prt_debugproofs_t *proofs, uint64_t object,
    uint64_t file, int fits);


#endif /* _PRT_DEBUGPROOF_H_INCLUDED_ */
