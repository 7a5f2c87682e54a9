
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The proof that a file with another build ID has the debug info of an object
 * all the same: a rebuild of a distribution's package differs from it in no
 * more than texts that name versions, as long as its tools are the same.
 */


#ifndef _PRT_DEBUGPROOF_H_INCLUDED_
#define _PRT_DEBUGPROOF_H_INCLUDED_


#include "encode/prt_elf.h"


/*
 * Code that may differ: bytes, or a part of all if that is more.  A version in
 * a string moves its neighbours, and with them the operands that point there:
 * in Debian's nginx 10 to 250 bytes of 773 000.
 */
#define PRT_DEBUGPROOF_BYTES  64
#define PRT_DEBUGPROOF_PART   1000       /* one in so many */


/*
 * True when both have the same sections in memory (names, types, flags,
 * addresses and sizes), the same unwind information, byte for byte, which has
 * the bounds of all functions, and the same code but for so much of it.  A
 * debug file without code proves nothing.
 */
int prt_debugproof(const prt_elf_t *object, const prt_elf_t *file);


#endif /* _PRT_DEBUGPROOF_H_INCLUDED_ */
