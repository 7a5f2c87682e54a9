
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdlib.h>
#include <string.h>

#include <dwarf.h>

#include "platform/prt_cfi.h"


#define PRT_CFI_REMEMBER       8          /* states remembered in one FDE */

#ifndef DW_CFA_MIPS_advance_loc8
#define DW_CFA_MIPS_advance_loc8  0x1d
#endif


/* The machine that runs the instructions. */

typedef struct {
    prt_cfi_t             *cfi;
    const prt_cfi_cie_t   *cie;
    const prt_full_t      *initial;       /* NULL while the CIE's own run */
    prt_full_t             now;
    prt_full_t             remembered[PRT_CFI_REMEMBER];
    unsigned               nremembered;
    unsigned               no_memory:1;
    uint64_t               loc;
} prt_cfi_machine_t;


static int prt_cfi_entry(const prt_cfi_t *cfi, uint64_t offset,
    prt_reader_t *in, uint64_t *id, uint64_t *id_offset);
static prt_cfi_cie_t *prt_cfi_cie(prt_cfi_t *cfi, uint64_t offset);
static int prt_cfi_parse_cie(prt_cfi_t *cfi, uint64_t offset,
    prt_cfi_cie_t *cie);
static int prt_cfi_augmentation(prt_reader_t *in, const char *augmentation,
    prt_cfi_cie_t *cie);
static int prt_cfi_step(prt_cfi_machine_t *m, prt_reader_t *in);
static int prt_cfi_step_extended(prt_cfi_machine_t *m, prt_reader_t *in,
    uint8_t op);
static void prt_cfi_advance(prt_cfi_machine_t *m, uint64_t delta);
static void prt_cfi_set(prt_cfi_machine_t *m, uint64_t reg, uint8_t kind,
    uint8_t source, int64_t value);
static void prt_cfi_set_cfa(prt_cfi_machine_t *m, uint64_t reg,
    int64_t offset);
static void prt_cfi_set_expr(prt_cfi_machine_t *m, prt_reader_t *in,
    uint64_t reg, uint8_t kind);


void
prt_cfi_init(prt_cfi_t *cfi, const prt_bytes_t *frame)
{
    memset(cfi, 0, sizeof(prt_cfi_t));
    cfi->frame = frame;
}


void
prt_cfi_done(prt_cfi_t *cfi)
{
    free(cfi->ops);
}


/* Sets the reader on what follows the CIE pointer of an entry. */

static int
prt_cfi_entry(const prt_cfi_t *cfi, uint64_t offset, prt_reader_t *in,
    uint64_t *id, uint64_t *id_offset)
{
    uint64_t  length;

    if (offset >= cfi->frame->size) {
        return -1;
    }

    prt_reader_init(in, cfi->frame, (size_t) offset, cfi->frame->size);

    length = prt_read(in, 4);

    if (length == 0xffffffff) {
        length = prt_read(in, 8);
    }

    /* the CIE pointer has 4 bytes in .eh_frame, in long entries too */

    if (in->failed || length < 4 || length > in->end - in->pos) {
        return -1;
    }

    in->end = in->pos + (size_t) length;

    *id_offset = in->pos;
    *id = prt_read(in, 4);

    return 0;
}


uint64_t
prt_cfi_next(const prt_cfi_t *cfi, uint64_t offset)
{
    uint64_t      id, id_offset;
    prt_reader_t  in;

    if (prt_cfi_entry(cfi, offset, &in, &id, &id_offset) != 0) {
        return 0;
    }

    return in.end;
}


int
prt_cfi_fde(prt_cfi_t *cfi, uint64_t offset, prt_cfi_fde_t *fde)
{
    uint64_t              id, id_offset;
    prt_reader_t          in;
    const prt_cfi_cie_t  *cie;

    if (prt_cfi_entry(cfi, offset, &in, &id, &id_offset) != 0
        || id == 0 || id > id_offset || in.end > UINT32_MAX)
    {
        return -1;
    }

    cie = prt_cfi_cie(cfi, id_offset - id);

    if (cie->bad
        || prt_read_pointer(&in, cie->encoding, 0, &fde->start) != 0
        || prt_read_pointer(&in, cie->encoding & 0x0f, 0, &fde->size) != 0)
    {
        return -1;
    }

    if (cie->augmented) {
        prt_skip(&in, prt_read_uleb(&in));

        if (in.failed) {
            return -1;
        }
    }

    fde->offset = offset;
    fde->cie = id_offset - id;
    fde->signal = cie->signal;
    fde->instructions = (uint32_t) in.pos;
    fde->end = (uint32_t) in.end;

    return 0;
}


static prt_cfi_cie_t *
prt_cfi_cie(prt_cfi_t *cfi, uint64_t offset)
{
    unsigned        i;
    prt_cfi_cie_t  *cie;

    for (i = 0; i < PRT_CFI_CIES; i++) {
        cie = &cfi->cies[i];

        if (cie->offset == offset && (cie->bad || cie->code_align)) {
            return cie;
        }
    }

    cie = &cfi->cies[cfi->ncies++ % PRT_CFI_CIES];

    memset(cie, 0, sizeof(prt_cfi_cie_t));
    cie->offset = offset;
    cie->bad = prt_cfi_parse_cie(cfi, offset, cie) != 0;

    return cie;
}


static int
prt_cfi_parse_cie(prt_cfi_t *cfi, uint64_t offset, prt_cfi_cie_t *cie)
{
    uint8_t       version;
    size_t        i;
    uint64_t      id, id_offset, ra;
    prt_reader_t  in;
    char          augmentation[8];

    if (prt_cfi_entry(cfi, offset, &in, &id, &id_offset) != 0 || id != 0) {
        return -1;
    }

    version = (uint8_t) prt_read(&in, 1);

    if (version != 1 && version != 3 && version != 4) {
        return -1;
    }

    for (i = 0; i < sizeof(augmentation); i++) {
        augmentation[i] = (char) prt_read(&in, 1);

        if (augmentation[i] == '\0') {
            break;
        }
    }

    if (i == sizeof(augmentation)) {
        return -1;
    }

    if (strcmp(augmentation, "eh") == 0) {
        (void) prt_read(&in, 8);
        augmentation[0] = '\0';
    }

    if (version == 4
        && (prt_read(&in, 1) != 8 || prt_read(&in, 1) != 0))
    {
        /* addresses of another size, or segmented ones */
        return -1;
    }

    cie->code_align = prt_read_uleb(&in);
    cie->data_align = prt_read_sleb(&in);
    ra = version == 1 ? prt_read(&in, 1) : prt_read_uleb(&in);

    if (in.failed || cie->code_align == 0 || ra != PRT_ARCH_PC
        || prt_cfi_augmentation(&in, augmentation, cie) != 0)
    {
        return -1;
    }

    cie->instructions = in.pos;
    cie->end = in.end;

    return 0;
}


static int
prt_cfi_augmentation(prt_reader_t *in, const char *augmentation,
    prt_cfi_cie_t *cie)
{
    size_t    end;
    uint64_t  length, ignored;

    cie->encoding = DW_EH_PE_absptr;

    if (*augmentation == '\0') {
        return 0;
    }

    if (*augmentation != 'z') {
        return -1;
    }

    length = prt_read_uleb(in);

    if (in->failed || length > in->end - in->pos) {
        return -1;
    }

    end = in->pos + (size_t) length;
    cie->augmented = 1;

    while (*++augmentation) {

        switch (*augmentation) {

        case 'R':
            cie->encoding = (uint8_t) prt_read(in, 1);
            break;

        case 'P':
            /* only its size matters: as if it were absolute and direct */
            (void) prt_read_pointer(in, (uint8_t) prt_read(in, 1) & 0x0f, 0,
                                    &ignored);
            break;

        case 'L':
            (void) prt_read(in, 1);
            break;

        case 'S':
            cie->signal = 1;
            break;

        default:
            return -1;
        }
    }

    if (in->failed || in->pos > end) {
        return -1;
    }

    in->pos = end;

    return 0;
}


int
prt_cfi_run(prt_cfi_t *cfi, const prt_cfi_fde_t *fde, prt_cfi_row_pt row,
    void *data)
{
    uint64_t            loc;
    prt_reader_t        in;
    prt_cfi_cie_t      *cie;
    prt_cfi_machine_t   m;

    cie = prt_cfi_cie(cfi, fde->cie);

    m.cfi = cfi;
    m.cie = cie;
    m.nremembered = 0;
    m.no_memory = 0;
    m.loc = fde->start;

    if (!cie->run && !cie->bad) {
        cie->run = 1;

        memset(&m.now, 0, sizeof(prt_full_t));
        m.initial = NULL;

        prt_reader_init(&in, cfi->frame, (size_t) cie->instructions,
                        (size_t) cie->end);

        while (in.pos < in.end && !in.failed) {
            if (prt_cfi_step(&m, &in) != 0) {
                cie->bad = 1;
                break;
            }
        }

        cie->initial = m.now;
        m.nremembered = 0;
        m.loc = fde->start;
    }

    if (cie->bad) {
        row(data, fde->start, NULL);
        return m.no_memory ? -1 : 0;
    }

    m.now = cie->initial;
    m.initial = &cie->initial;

    prt_reader_init(&in, cfi->frame, fde->instructions, fde->end);

    loc = m.loc;

    while (in.pos < in.end) {

        if (prt_cfi_step(&m, &in) != 0 || in.failed || m.loc < loc) {
            row(data, loc, NULL);
            return m.no_memory ? -1 : 0;
        }

        /* an instruction that advances leaves the rules as they are */

        if (m.loc != loc) {
            row(data, loc, &m.now);
            loc = m.loc;
        }
    }

    row(data, loc, &m.now);

    return m.no_memory ? -1 : 0;
}


static int
prt_cfi_step(prt_cfi_machine_t *m, prt_reader_t *in)
{
    uint8_t   op;
    uint64_t  reg;

    op = (uint8_t) prt_read(in, 1);
    reg = op & 0x3f;

    switch (op & 0xc0) {

    case DW_CFA_advance_loc:
        prt_cfi_advance(m, reg);
        return 0;

    case DW_CFA_offset:
        prt_cfi_set(m, reg, PRT_RULE_AT, 0,
                    (int64_t) (prt_read_uleb(in)
                               * (uint64_t) m->cie->data_align));
        return 0;

    case DW_CFA_restore:
        if (reg <= PRT_ARCH_PC && m->initial) {
            m->now.reg[reg] = m->initial->reg[reg];
        }

        return 0;

    default:
        return prt_cfi_step_extended(m, in, op);
    }
}


static int
prt_cfi_step_extended(prt_cfi_machine_t *m, prt_reader_t *in, uint8_t op)
{
    int64_t   offset;
    uint64_t  reg, loc;

    switch (op) {

    case DW_CFA_nop:
        return 0;

    case DW_CFA_set_loc:
        if (prt_read_pointer(in, m->cie->encoding, 0, &loc) != 0) {
            return -1;
        }

        m->loc = loc;
        return 0;

    case DW_CFA_advance_loc1:
        prt_cfi_advance(m, prt_read(in, 1));
        return 0;

    case DW_CFA_advance_loc2:
        prt_cfi_advance(m, prt_read(in, 2));
        return 0;

    case DW_CFA_advance_loc4:
        prt_cfi_advance(m, prt_read(in, 4));
        return 0;

    case DW_CFA_MIPS_advance_loc8:
        prt_cfi_advance(m, prt_read(in, 8));
        return 0;

    case DW_CFA_remember_state:
        if (m->nremembered == PRT_CFI_REMEMBER) {
            return -1;
        }

        m->remembered[m->nremembered++] = m->now;
        return 0;

    case DW_CFA_restore_state:
        if (m->nremembered == 0) {
            return -1;
        }

        m->now = m->remembered[--m->nremembered];
        return 0;

    case DW_CFA_def_cfa_offset:
        m->now.cfa.value = (int32_t) prt_read_uleb(in);
        return m->now.cfa.kind == PRT_RULE_REG ? 0 : -1;

    case DW_CFA_def_cfa_offset_sf:
        m->now.cfa.value = (int32_t) ((uint64_t) prt_read_sleb(in)
                                      * (uint64_t) m->cie->data_align);
        return m->now.cfa.kind == PRT_RULE_REG ? 0 : -1;

    case DW_CFA_def_cfa_expression:
        prt_cfi_set_expr(m, in, PRT_ARCH_PC + 1, PRT_RULE_IS_EXPR);
        return 0;

    case DW_CFA_GNU_args_size:
        (void) prt_read_uleb(in);
        return 0;
    }

    /* all others begin with the number of a register */

    if (op > DW_CFA_val_expression
        && op != DW_CFA_GNU_negative_offset_extended)
    {
        return -1;
    }

    reg = prt_read_uleb(in);

    switch (op) {

    case DW_CFA_offset_extended:
        offset = (int64_t) (prt_read_uleb(in) * (uint64_t) m->cie->data_align);
        prt_cfi_set(m, reg, PRT_RULE_AT, 0, offset);
        return 0;

    case DW_CFA_offset_extended_sf:
        offset = (int64_t) ((uint64_t) prt_read_sleb(in)
                            * (uint64_t) m->cie->data_align);
        prt_cfi_set(m, reg, PRT_RULE_AT, 0, offset);
        return 0;

    case DW_CFA_GNU_negative_offset_extended:
        offset = (int64_t) -(prt_read_uleb(in)
                             * (uint64_t) m->cie->data_align);
        prt_cfi_set(m, reg, PRT_RULE_AT, 0, offset);
        return 0;

    case DW_CFA_val_offset:
        offset = (int64_t) (prt_read_uleb(in) * (uint64_t) m->cie->data_align);
        prt_cfi_set(m, reg, PRT_RULE_IS, 0, offset);
        return 0;

    case DW_CFA_val_offset_sf:
        offset = (int64_t) ((uint64_t) prt_read_sleb(in)
                            * (uint64_t) m->cie->data_align);
        prt_cfi_set(m, reg, PRT_RULE_IS, 0, offset);
        return 0;

    case DW_CFA_restore_extended:
        if (reg <= PRT_ARCH_PC && m->initial) {
            m->now.reg[reg] = m->initial->reg[reg];
        }

        return 0;

    case DW_CFA_undefined:
        prt_cfi_set(m, reg, PRT_RULE_UNDEFINED, 0, 0);
        return 0;

    case DW_CFA_same_value:
        prt_cfi_set(m, reg, PRT_RULE_SAME, 0, 0);
        return 0;

    case DW_CFA_register:
        loc = prt_read_uleb(in);

        if (loc >= PRT_ARCH_REGS) {
            prt_cfi_set(m, reg, PRT_RULE_UNDEFINED, 0, 0);

        } else {
            prt_cfi_set(m, reg, PRT_RULE_REG, (uint8_t) loc, 0);
        }

        return 0;

    case DW_CFA_def_cfa:
        prt_cfi_set_cfa(m, reg, (int64_t) prt_read_uleb(in));
        return 0;

    case DW_CFA_def_cfa_sf:
        offset = (int64_t) ((uint64_t) prt_read_sleb(in)
                            * (uint64_t) m->cie->data_align);
        prt_cfi_set_cfa(m, reg, offset);
        return 0;

    case DW_CFA_def_cfa_register:
        if (m->now.cfa.kind != PRT_RULE_REG) {
            return -1;
        }

        prt_cfi_set_cfa(m, reg, m->now.cfa.value);
        return 0;

    case DW_CFA_expression:
        prt_cfi_set_expr(m, in, reg, PRT_RULE_AT_EXPR);
        return 0;

    case DW_CFA_val_expression:
        prt_cfi_set_expr(m, in, reg, PRT_RULE_IS_EXPR);
        return 0;

    default:
        return -1;
    }
}


static void
prt_cfi_advance(prt_cfi_machine_t *m, uint64_t delta)
{
    m->loc += delta * m->cie->code_align;
}


static void
prt_cfi_set(prt_cfi_machine_t *m, uint64_t reg, uint8_t kind, uint8_t source,
    int64_t value)
{
    prt_rule_t  *rule;

    if (reg > PRT_ARCH_PC) {
        return;
    }

    rule = &m->now.reg[reg];

    if (value != (int32_t) value) {
        kind = PRT_RULE_UNDEFINED;
        value = 0;
    }

    rule->kind = kind;
    rule->reg = source;
    rule->value = (int32_t) value;
}


static void
prt_cfi_set_cfa(prt_cfi_machine_t *m, uint64_t reg, int64_t offset)
{
    prt_rule_t  *rule;

    rule = &m->now.cfa;

    if (reg >= PRT_ARCH_REGS || offset != (int32_t) offset) {
        memset(rule, 0, sizeof(prt_rule_t));
        return;
    }

    rule->kind = PRT_RULE_REG;
    rule->reg = (uint8_t) reg;
    rule->value = (int32_t) offset;
}


/* "reg" PRT_ARCH_PC + 1 stands for the CFA. */

static void
prt_cfi_set_expr(prt_cfi_machine_t *m, prt_reader_t *in, uint64_t reg,
    uint8_t kind)
{
    size_t      end;
    int         first;
    uint64_t    length;
    prt_rule_t  *rule;

    length = prt_read_uleb(in);

    if (in->failed || length > in->end - in->pos) {
        in->failed = 1;
        return;
    }

    end = in->pos + (size_t) length;
    first = prt_cfi_compile(m->cfi, in, end, reg <= PRT_ARCH_PC);
    in->pos = end;

    if (first == PRT_CFI_NO_MEMORY) {
        m->no_memory = 1;
    }

    if (reg > PRT_ARCH_PC + 1) {
        return;
    }

    rule = reg <= PRT_ARCH_PC ? &m->now.reg[reg] : &m->now.cfa;

    rule->kind = first < 0 ? PRT_RULE_UNDEFINED : kind;
    rule->reg = 0;
    rule->value = first < 0 ? 0 : first;
}


