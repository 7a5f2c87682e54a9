
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * An object's .eh_frame made into a table that a signal handler can search.
 *
 * A row says which state holds from an address on: how the caller's registers
 * are found there.  Rows are single words, sorted; an index says which rows
 * belong to each bucket of 256 bytes of code, so a row needs the low 8 bits of
 * its address alone.  States are few, since compilers write the same prologues
 * again and again: each is kept once.
 *
 * Formats: DWARF 5, 6.4; System V ABI for x86-64, 3.7; Linux Standard Base
 * Core, 10.6 (Exception Frames).
 */


#ifndef _PRT_EHFRAME_H_INCLUDED_
#define _PRT_EHFRAME_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "platform/prt_arch.h"


/* kinds of states */

#define PRT_STATE_GAP          0          /* no function here */
#define PRT_STATE_UNKNOWN      1          /* a function, but no usable rule */
#define PRT_STATE_END          2          /* nobody called this frame */
#define PRT_STATE_PLAIN        3          /* CFA = reg + offset */
#define PRT_STATE_PLT          4          /* CFA = sp + 8, + 8 late in an entry */
#define PRT_STATE_DEREF        5          /* CFA = *(reg + offset) + add */
#define PRT_STATE_FULL         6          /* all else */


/*
 * In PLAIN, PLT and DEREF states the return address is at CFA - 8, the
 * caller's sp is the CFA, and "saved" tells where registers are.
 */
typedef struct {
    int32_t                offset;
    int16_t                add;
    uint8_t                kind;
    uint8_t                reg;
    uint8_t                saved[PRT_ARCH_SAVED];  /* at CFA - 8 * n; 0: as is */
    uint8_t                depth;         /* the largest of "saved", at least 1 */
    uint8_t                signal;        /* the caller was interrupted here */
} prt_state_t;


/* A decoded expression: ops that cannot under- or overflow their stack. */

#define PRT_EXPR_STACK         8          /* values */

typedef enum {
    PRT_OP_END = 0,
    PRT_OP_CONST,                         /* push arg */
    PRT_OP_REG,                           /* push reg + arg */
    PRT_OP_DEREF,
    PRT_OP_PICK,                          /* push the value arg below the top */
    PRT_OP_DROP,
    PRT_OP_SWAP,
    PRT_OP_ADD_CONST,
    PRT_OP_NEG,
    PRT_OP_NOT,
    PRT_OP_ADD,                           /* from here on: two values to one */
    PRT_OP_SUB,
    PRT_OP_MUL,
    PRT_OP_AND,
    PRT_OP_OR,
    PRT_OP_XOR,
    PRT_OP_SHL,
    PRT_OP_SHR,
    PRT_OP_SHRA,
    PRT_OP_EQ,
    PRT_OP_NE,
    PRT_OP_LT,
    PRT_OP_LE,
    PRT_OP_GT,
    PRT_OP_GE
} prt_op_e;


typedef struct {
    uint16_t               op;
    uint16_t               reg;
    int32_t                arg;
} prt_op_t;


/* rules of FULL states; the CFA has one too */

#define PRT_RULE_SAME          0
#define PRT_RULE_UNDEFINED     1
#define PRT_RULE_AT            2          /* *(CFA + value) */
#define PRT_RULE_IS            3          /* CFA + value */
#define PRT_RULE_REG           4          /* another register + value */
#define PRT_RULE_AT_EXPR       5          /* *(expression), ops from value on */
#define PRT_RULE_IS_EXPR       6          /* expression */

typedef struct {
    uint8_t                kind;
    uint8_t                reg;
    uint16_t               unused;
    int32_t                value;
} prt_rule_t;


typedef struct {
    prt_rule_t             cfa;           /* REG or IS_EXPR */
    prt_rule_t             reg[PRT_ARCH_REGS + 1];  /* the last: return address */
} prt_full_t;


/* words of rows: address bits, first row of a function, state */

#define PRT_ROW_BUCKET         8          /* bits of the address */
#define PRT_ROW_SHIFT          24
#define PRT_ROW_FIRST          0x800000u
#define PRT_ROW_STATE          0x7fffffu

typedef struct {
    uint64_t               start;         /* address of bucket 0 */
    uint64_t               size;          /* bytes of code covered */
    const uint32_t        *buckets;       /* nbuckets + 1: first row of each */
    const uint32_t        *rows;
    const prt_state_t     *states;
    const prt_full_t      *full;          /* offset of a FULL state: index here */
    const prt_op_t        *ops;
    uint32_t               nbuckets;
    uint32_t               nrows;
    uint32_t               nstates;
    uint32_t               nfull;
    uint32_t               nops;
    uint32_t               nfunctions;
    size_t                 memory;        /* bytes taken by all of this */
} prt_ehframe_t;


/* Bytes of an object, with the address that they have in it. */

typedef struct {
    const uint8_t         *data;
    size_t                 size;
    uint64_t               vaddr;
} prt_bytes_t;


/*
 * Makes the table of an object.  "hdr" is the .eh_frame_hdr and may be empty;
 * it is the object's PT_GNU_EH_FRAME and only as large as that.  "frame" holds
 * the .eh_frame and what follows in its segment; when "hdr" is empty it has to
 * begin with the .eh_frame.  "start" and "end" bound the object's code.
 *
 * Reads nothing outside of the bytes given, whatever they are.  What cannot be
 * understood becomes UNKNOWN or is left out.  Thread-safe, not signal-safe.
 * Returns 0 with *table NULL if there is nothing in it; -1: no memory.
 */
int prt_ehframe_create(const prt_bytes_t *hdr, const prt_bytes_t *frame,
    uint64_t start, uint64_t end, prt_ehframe_t **table);

void prt_ehframe_free(prt_ehframe_t *table);

/*
 * Where the .eh_frame starts, as the header says; 0: the header is not usable.
 */
uint64_t prt_ehframe_start(const prt_bytes_t *hdr);

/*
 * The bounds of the function that covers the address.  Returns 0, or -1 if
 * there is none.  Signal-safe.
 */
int prt_ehframe_function(const prt_ehframe_t *table, uint64_t vaddr,
    uint64_t *start, uint64_t *end);


/* The row word of an address in the object; 0 in a gap.  Signal-safe. */

static inline PRT_NO_SANITIZE uint32_t
prt_ehframe_row(const prt_ehframe_t *table, uint64_t vaddr)
{
    uint32_t         key, n, half;
    uint64_t         offset;
    const uint32_t  *row, *bucket;

    offset = vaddr - table->start;

    if (offset >= table->size) {
        return 0;
    }

    bucket = &table->buckets[offset >> PRT_ROW_BUCKET];
    row = &table->rows[bucket[0]];
    n = bucket[1] - bucket[0];
    key = (uint32_t) offset << PRT_ROW_SHIFT | 0xffffff;

    /* row 0 is a gap before everything, so row - 1 exists */

    while (n) {
        half = (n + 1) / 2;
        row = (row[half - 1] <= key) ? row + half : row;
        n -= half;
    }

    return row[-1];
}


#endif /* _PRT_EHFRAME_H_INCLUDED_ */
