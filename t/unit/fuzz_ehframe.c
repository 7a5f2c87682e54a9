
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Fuzzes the parser of .eh_frame, and checks in the tables that come out what
 * the walker relies on.
 *
 * The first byte chooses; the next two give the size of the header; then come
 * the header and the frames, as they would lie in memory.
 */


#include <stdlib.h>
#include <string.h>

#include "platform/prt_ehframe.h"


#define FUZZ_VADDR             0x1000
#define FUZZ_CODE              0x100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static uint8_t *
fuzz_copy(const uint8_t *data, size_t size)
{
    uint8_t  *p;

    /* of its exact size, for the sanitizer to see what goes beyond */

    p = malloc(size ? size : 1);
    if (p == NULL) {
        abort();
    }

    memcpy(p, data, size);

    return p;
}


/* What the ops leave on the stack; it must never be empty or too high. */

static void
fuzz_check_expr(const prt_ehframe_t *table, const prt_rule_t *rule, int depth)
{
    int              need;
    uint32_t         i;
    const prt_op_t  *op;

    if (rule->kind != PRT_RULE_AT_EXPR && rule->kind != PRT_RULE_IS_EXPR) {
        return;
    }

    for (i = (uint32_t) rule->value; i < table->nops; i++) {

        op = &table->ops[i];
        need = 1;

        if (op->op == PRT_OP_END) {

            if (depth < 1) {
                abort();
            }

            return;
        }

        if (op->op == PRT_OP_CONST || op->op == PRT_OP_REG) {
            need = 0;
            depth++;

            if (op->reg > PRT_ARCH_PC) {
                abort();
            }

        } else if (op->op == PRT_OP_PICK) {
            need = op->arg + 2;
            depth++;

        } else if (op->op == PRT_OP_DROP) {
            need = 0;
            depth--;

        } else if (op->op == PRT_OP_SWAP) {
            need = 2;

        } else if (op->op >= PRT_OP_ADD) {
            depth--;
        }

        if (depth < need || depth < 0 || depth > PRT_EXPR_STACK) {
            abort();
        }
    }

    abort();
}


static void
fuzz_check(const prt_ehframe_t *table)
{
    uint32_t  i, row, state;
    uint64_t  vaddr, start, end;

    for (i = 1; i < table->nrows; i++) {
        state = table->rows[i] & PRT_ROW_STATE;

        if (state >= table->nstates
            || (table->states[state].kind == PRT_STATE_FULL
                && (uint32_t) table->states[state].offset >= table->nfull)
            || table->states[state].depth == 0
               != (state <= PRT_STATE_END))
        {
            abort();
        }
    }

    for (i = 0; i < table->nfull; i++) {
        fuzz_check_expr(table, &table->full[i].cfa, 0);

        for (row = 0; row <= PRT_ARCH_PC; row++) {
            fuzz_check_expr(table, &table->full[i].reg[row], 1);
        }
    }

    for (i = 0; i < 64; i++) {
        vaddr = table->start + table->size / 63 * i;
        row = prt_ehframe_row(table, vaddr);

        if (prt_ehframe_function(table, vaddr, &start, &end) != 0) {

            if ((row & PRT_ROW_STATE) != PRT_STATE_GAP) {
                abort();
            }

            continue;
        }

        if ((row & PRT_ROW_STATE) == PRT_STATE_GAP
            || vaddr < start || vaddr >= end)
        {
            abort();
        }
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t          head;
    uint8_t        *hdr_data, *frame_data;
    uint64_t        start;
    prt_bytes_t     hdr, frame;
    prt_ehframe_t  *table;

    if (size < 3) {
        return 0;
    }

    head = (size_t) (data[1] | data[2] << 8) % (size - 2);
    start = data[0] & 1 ? 0 : FUZZ_VADDR;

    data += 3;
    size -= 3;

    hdr_data = fuzz_copy(data, head);
    frame_data = fuzz_copy(data + head, size - head);

    hdr.data = hdr_data;
    hdr.size = head;
    hdr.vaddr = FUZZ_VADDR;

    frame.data = frame_data;
    frame.size = size - head;
    frame.vaddr = FUZZ_VADDR + head;

    (void) prt_ehframe_start(&hdr);

    if (prt_ehframe_create(&hdr, &frame, start, FUZZ_CODE, &table) != 0) {
        abort();
    }

    if (table) {
        fuzz_check(table);
        prt_ehframe_free(table);
    }

    free(hdr_data);
    free(frame_data);

    return 0;
}
