
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdlib.h>
#include <string.h>

#include <dwarf.h>

#include "platform/prt_cfi.h"


#define PRT_CFI_OPS            65535      /* decoded ops of one object */
#define PRT_CFI_EXPR_OPS       32         /* of one expression */


static int prt_cfi_compile_op(prt_reader_t *in, prt_op_t *op);
static int prt_cfi_verify(const prt_op_t *ops, unsigned n, unsigned depth);
static int prt_cfi_add_ops(prt_cfi_t *cfi, const prt_op_t *ops, unsigned n);


int
prt_cfi_compile(prt_cfi_t *cfi, prt_reader_t *in, size_t end,
    int with_cfa)
{
    unsigned      n;
    prt_op_t      ops[PRT_CFI_EXPR_OPS];
    prt_reader_t  expr;

    prt_reader_init(&expr, in->bytes, in->pos, end);

    for (n = 0; expr.pos < expr.end; n++) {

        if (n == PRT_CFI_EXPR_OPS - 1) {
            return -1;
        }

        memset(&ops[n], 0, sizeof(prt_op_t));

        if (prt_cfi_compile_op(&expr, &ops[n]) != 0 || expr.failed) {
            return -1;
        }
    }

    memset(&ops[n], 0, sizeof(prt_op_t));
    ops[n++].op = PRT_OP_END;

    if (prt_cfi_verify(ops, n, with_cfa ? 1 : 0) != 0) {
        return -1;
    }

    return prt_cfi_add_ops(cfi, ops, n);
}


static int
prt_cfi_compile_op(prt_reader_t *in, prt_op_t *op)
{
    uint8_t   byte;
    int64_t   arg;
    uint64_t  reg;

    static const struct {
        uint8_t            from;
        uint8_t            to;
    } plain[] = {
        { DW_OP_deref, PRT_OP_DEREF },
        { DW_OP_drop, PRT_OP_DROP },
        { DW_OP_swap, PRT_OP_SWAP },
        { DW_OP_neg, PRT_OP_NEG },
        { DW_OP_not, PRT_OP_NOT },
        { DW_OP_plus, PRT_OP_ADD },
        { DW_OP_minus, PRT_OP_SUB },
        { DW_OP_mul, PRT_OP_MUL },
        { DW_OP_and, PRT_OP_AND },
        { DW_OP_or, PRT_OP_OR },
        { DW_OP_xor, PRT_OP_XOR },
        { DW_OP_shl, PRT_OP_SHL },
        { DW_OP_shr, PRT_OP_SHR },
        { DW_OP_shra, PRT_OP_SHRA },
        { DW_OP_eq, PRT_OP_EQ },
        { DW_OP_ne, PRT_OP_NE },
        { DW_OP_lt, PRT_OP_LT },
        { DW_OP_le, PRT_OP_LE },
        { DW_OP_gt, PRT_OP_GT },
        { DW_OP_ge, PRT_OP_GE }
    };

    byte = (uint8_t) prt_read(in, 1);
    arg = 0;

    if (byte >= DW_OP_lit0 && byte <= DW_OP_lit31) {
        op->op = PRT_OP_CONST;
        op->arg = byte - DW_OP_lit0;
        return 0;
    }

    if ((byte >= DW_OP_breg0 && byte <= DW_OP_breg31) || byte == DW_OP_bregx) {

        reg = byte == DW_OP_bregx ? prt_read_uleb(in)
                                  : (uint64_t) (byte - DW_OP_breg0);
        arg = prt_read_sleb(in);

        if (reg > PRT_ARCH_PC || arg != (int32_t) arg) {
            return -1;
        }

        op->op = PRT_OP_REG;
        op->reg = (uint16_t) reg;
        op->arg = (int32_t) arg;
        return 0;
    }

    for (reg = 0; reg < sizeof(plain) / sizeof(plain[0]); reg++) {
        if (plain[reg].from == byte) {
            op->op = plain[reg].to;
            return 0;
        }
    }

    op->op = PRT_OP_CONST;

    switch (byte) {

    case DW_OP_const1u:
        arg = (int64_t) prt_read(in, 1);
        break;

    case DW_OP_const1s:
        arg = (int64_t) ((prt_read(in, 1) ^ 0x80) - 0x80);
        break;

    case DW_OP_const2u:
        arg = (int64_t) prt_read(in, 2);
        break;

    case DW_OP_const2s:
        arg = (int16_t) prt_read(in, 2);
        break;

    case DW_OP_const4u:
        arg = (int64_t) prt_read(in, 4);
        break;

    case DW_OP_const4s:
        arg = (int32_t) prt_read(in, 4);
        break;

    case DW_OP_constu:
        arg = (int64_t) prt_read_uleb(in);
        break;

    case DW_OP_consts:
        arg = prt_read_sleb(in);
        break;

    case DW_OP_plus_uconst:
        op->op = PRT_OP_ADD_CONST;
        arg = (int64_t) prt_read_uleb(in);
        break;

    case DW_OP_dup:
        op->op = PRT_OP_PICK;
        arg = 0;
        break;

    case DW_OP_over:
        op->op = PRT_OP_PICK;
        arg = 1;
        break;

    case DW_OP_pick:
        op->op = PRT_OP_PICK;
        arg = (int64_t) prt_read(in, 1);
        break;

    case DW_OP_nop:
        op->op = PRT_OP_ADD_CONST;
        break;

    default:
        return -1;
    }

    if (arg != (int32_t) arg) {
        return -1;
    }

    op->arg = (int32_t) arg;

    return 0;
}


/* Proves that the stack never under- or overflows: the walker relies on it. */

static int
prt_cfi_verify(const prt_op_t *ops, unsigned n, unsigned depth)
{
    unsigned  i, need, push, pop;

    for (i = 0; i < n; i++) {

        need = 0;
        push = 0;
        pop = 0;

        switch (ops[i].op) {

        case PRT_OP_END:
            return depth ? 0 : -1;

        case PRT_OP_CONST:
        case PRT_OP_REG:
            push = 1;
            break;

        case PRT_OP_PICK:
            if (ops[i].arg < 0 || ops[i].arg >= PRT_EXPR_STACK) {
                return -1;
            }

            need = (unsigned) ops[i].arg + 1;
            push = 1;
            break;

        case PRT_OP_DEREF:
        case PRT_OP_ADD_CONST:
        case PRT_OP_NEG:
        case PRT_OP_NOT:
            need = 1;
            break;

        case PRT_OP_DROP:
            need = 1;
            pop = 1;
            break;

        case PRT_OP_SWAP:
            need = 2;
            break;

        default:
            need = 2;
            pop = 1;
        }

        if (depth < need || depth - pop + push > PRT_EXPR_STACK) {
            return -1;
        }

        depth = depth - pop + push;
    }

    return -1;
}


/* Each expression once. */

static int
prt_cfi_add_ops(prt_cfi_t *cfi, const prt_op_t *ops, unsigned n)
{
    void    *p;
    size_t   i, j;

    for (i = 0; i < cfi->nops; i = j + 1) {

        for (j = i; cfi->ops[j].op != PRT_OP_END; j++) { /* void */ }

        if (j + 1 - i == n
            && memcmp(&cfi->ops[i], ops, n * sizeof(prt_op_t)) == 0)
        {
            return (int) i;
        }
    }

    if (cfi->nops + n > PRT_CFI_OPS) {
        return -1;
    }

    if (cfi->nops + n > cfi->ops_size) {
        i = cfi->ops_size ? cfi->ops_size * 2 : 128;

        p = realloc(cfi->ops, i * sizeof(prt_op_t));
        if (p == NULL) {
            return PRT_CFI_NO_MEMORY;
        }

        cfi->ops = p;
        cfi->ops_size = i;
    }

    i = cfi->nops;
    memcpy(&cfi->ops[i], ops, n * sizeof(prt_op_t));
    cfi->nops += n;

    return (int) i;
}
