
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdatomic.h>

#include "platform/prt_object.h"
#include "platform/prt_unwind.h"


#define PRT_UNWIND_PAGE        4096


/* A word of memory as it lies, of whatever type and alignment. */
typedef uintptr_t  prt_word_t __attribute__((may_alias, aligned(1)));

#define prt_word(addr)         (*(const prt_word_t *) (addr))


#define PRT_UNWIND_NONE        UINTPTR_MAX

typedef struct {
    uintptr_t              lo;            /* of the stack; 0 and 0: unknown */
    uintptr_t              hi;
    uintptr_t              low;           /* lowest in use: lo, or sp - 128 */
    uintptr_t              page;          /* the last found readable */
} prt_walk_t;


static PRT_NO_SANITIZE int prt_unwind_step(prt_walk_t *w, prt_regs_t *regs,
    const prt_ehframe_t *table, const prt_state_t *state);
static PRT_NO_SANITIZE int prt_unwind_probe(prt_walk_t *w, prt_regs_t *regs,
    const prt_state_t *state, uintptr_t cfa);
static PRT_NO_SANITIZE int prt_unwind_full(prt_walk_t *w, prt_regs_t *regs,
    const prt_ehframe_t *table, const prt_state_t *state);
static PRT_NO_SANITIZE int prt_unwind_rule(prt_walk_t *w,
    const prt_regs_t *regs, const prt_ehframe_t *table,
    const prt_rule_t *rule, int pushed, uintptr_t cfa, uintptr_t *value);
static PRT_NO_SANITIZE int prt_unwind_expr(prt_walk_t *w,
    const prt_regs_t *regs, const prt_op_t *op, int pushed, uintptr_t cfa,
    uintptr_t *value);
static PRT_NO_SANITIZE uintptr_t prt_unwind_binary(unsigned op, uintptr_t a,
    uintptr_t b);
static PRT_NO_SANITIZE int prt_unwind_fetch(prt_walk_t *w, uintptr_t addr,
    uintptr_t *value);


/* How a step ended, besides the ends of a walk. */
#define PRT_UNWIND_WENT        (-1)


static const uint8_t  prt_saved_regs[PRT_ARCH_SAVED] = PRT_ARCH_SAVED_REGS;

static _Atomic(prt_unwind_foreign_pt)  prt_foreign;


prt_unwind_foreign_pt
prt_unwind_foreign(prt_unwind_foreign_pt foreign)
{
    return atomic_exchange(&prt_foreign, foreign);
}


PRT_NO_SANITIZE int
prt_load(uintptr_t addr, uintptr_t *value)
{
    if (addr == 0 || !prt_arch_readable(addr)) {
        return -1;
    }

    *value = prt_word(addr);

    return 0;
}


PRT_NO_SANITIZE unsigned
prt_unwind(prt_regs_t *regs, const prt_stack_bounds_t *bounds,
    uintptr_t *frames, unsigned max, prt_unwind_end_t *end)
{
    int                     rc;
    unsigned                n;
    uint32_t                row;
    uintptr_t               pc, sp, vaddr;
    prt_walk_t              w;
    const prt_map_t        *map;
    const prt_object_t     *object;
    const prt_ehframe_t    *table;
    prt_unwind_foreign_pt   foreign;

    w.lo = bounds->lo;
    w.hi = bounds->hi;
    w.low = PRT_UNWIND_NONE;
    w.page = PRT_UNWIND_NONE;

    map = prt_map_acquire();
    object = NULL;
    rc = PRT_UNWIND_TRUNCATED;

    for (n = 0; n < max; ) {

        frames[n++] = regs->pc + regs->interrupted;

        /* a call may be the last thing of its function: look before it */

        pc = regs->pc - !regs->interrupted;

        if (object == NULL
            || pc - object->bias - object->segments[0].vaddr
               >= object->segments[0].size)
        {
            object = prt_map_find(map, pc);
        }

        if (object) {
            rc = PRT_UNWIND_NO_ROW;
            table = object->table;

            if (table) {
                vaddr = pc - object->bias;
                row = prt_ehframe_row(table, vaddr) & PRT_ROW_STATE;

                if (row > PRT_STATE_UNKNOWN) {
                    rc = prt_unwind_step(&w, regs, table, &table->states[row]);

                    if (rc != PRT_UNWIND_WENT) {
                        break;
                    }

                    rc = PRT_UNWIND_TRUNCATED;
                    continue;
                }
            }

        } else {
            rc = PRT_UNWIND_NO_OBJECT;
        }

        foreign = atomic_load_explicit(&prt_foreign, memory_order_acquire);

        if (foreign == NULL) {
            break;
        }

        sp = prt_regs_sp(regs);

        if (!foreign(regs, bounds)) {
            break;
        }

        if (prt_regs_sp(regs) <= sp) {
            rc = PRT_UNWIND_BAD_CFA;
            break;
        }

        rc = PRT_UNWIND_TRUNCATED;
    }

    prt_map_release();

    *end = (prt_unwind_end_t) rc;

    return n;
}


int
prt_unwind_fixed(const prt_regs_t *regs)
{
    int                  fixed;
    uint32_t             row;
    uintptr_t            pc;
    const prt_map_t     *map;
    const prt_state_t   *state;
    const prt_object_t  *object;

    fixed = 0;
    pc = regs->pc - !regs->interrupted;

    map = prt_map_acquire();
    object = prt_map_find(map, pc);

    if (object && object->table) {
        row = prt_ehframe_row(object->table, pc - object->bias)
              & PRT_ROW_STATE;

        state = &object->table->states[row];

        fixed = row > PRT_STATE_UNKNOWN
                && (state->kind == PRT_STATE_END
                    || state->kind == PRT_STATE_PLT
                    || (state->kind == PRT_STATE_PLAIN
                        && state->reg == PRT_ARCH_SP));
    }

    prt_map_release();

    return fixed;
}


static inline PRT_NO_SANITIZE int
prt_unwind_step(prt_walk_t *w, prt_regs_t *regs, const prt_ehframe_t *table,
    const prt_state_t *state)
{
    unsigned          i, reg;
    uintptr_t         sp, cfa, base, pc;
    const uintptr_t  *from;

    if (state->kind == PRT_STATE_END) {
        return PRT_UNWIND_END;
    }

    sp = prt_regs_sp(regs);

    if (sp >= w->lo && sp < w->hi) {
        w->low = sp - PRT_ARCH_RED_ZONE;
        w->low = w->low < w->lo ? w->lo : w->low;

    } else {
        w->low = PRT_UNWIND_NONE;
    }

    if (state->kind == PRT_STATE_FULL) {
        return prt_unwind_full(w, regs, table, state);
    }

    if (!(regs->valid >> state->reg & 1)) {
        return PRT_UNWIND_BAD_CFA;
    }

    base = regs->r[state->reg] + (uintptr_t) (intptr_t) state->offset;

    if (state->kind == PRT_STATE_PLAIN) {
        cfa = base;

    } else if (state->kind == PRT_STATE_PLT) {
        cfa = sp + 8 + ((regs->pc & 15) >= 11) * 8;

    } else {
        if (prt_unwind_fetch(w, base, &cfa) != 0) {
            return PRT_UNWIND_BAD_LOAD;
        }

        cfa += (uintptr_t) (intptr_t) state->add;
    }

    if (cfa <= sp) {
        return PRT_UNWIND_BAD_CFA;
    }

    if (w->low == PRT_UNWIND_NONE) {
        return prt_unwind_probe(w, regs, state, cfa);
    }

    if (cfa > w->hi || cfa - 8u * state->depth < w->low) {
        return PRT_UNWIND_BAD_CFA;
    }

    pc = prt_word(cfa - 8);

    if (pc == 0) {
        return PRT_UNWIND_END;
    }

    if (state->depth > 1) {

        for (i = 0; i < PRT_ARCH_SAVED; i++) {
            reg = prt_saved_regs[i];

            /* without a jump: which ones are saved is hard to predict */

            from = state->saved[i] ? (const uintptr_t *)
                                     (cfa - 8u * state->saved[i])
                                   : &regs->r[reg];

            regs->r[reg] = prt_word(from);
            regs->valid |= (uint32_t) (state->saved[i] != 0) << reg;
        }
    }

    /*
     * Other registers stay as they are: functions in assembly know of each
     * other what they leave alone, and have their CFA in such a one.
     */

    regs->r[PRT_ARCH_SP] = cfa;
    regs->pc = pc;
    regs->interrupted = 0;

    return PRT_UNWIND_WENT;
}


/* The same on a stack that is not the thread's own, or not known. */

static PRT_NO_SANITIZE int
prt_unwind_probe(prt_walk_t *w, prt_regs_t *regs, const prt_state_t *state,
    uintptr_t cfa)
{
    unsigned   i, reg;
    uintptr_t  pc, saved[PRT_ARCH_SAVED];

    if (cfa - 8u * state->depth < prt_regs_sp(regs) - PRT_ARCH_RED_ZONE) {
        return PRT_UNWIND_BAD_CFA;
    }

    if (prt_unwind_fetch(w, cfa - 8, &pc) != 0) {
        return PRT_UNWIND_BAD_LOAD;
    }

    if (pc == 0) {
        return PRT_UNWIND_END;
    }

    for (i = 0; i < PRT_ARCH_SAVED; i++) {
        if (state->saved[i]
            && prt_unwind_fetch(w, cfa - 8u * state->saved[i], &saved[i]) != 0)
        {
            return PRT_UNWIND_BAD_LOAD;
        }
    }

    for (i = 0; i < PRT_ARCH_SAVED; i++) {
        if (state->saved[i]) {
            reg = prt_saved_regs[i];
            regs->r[reg] = saved[i];
            regs->valid |= 1u << reg;
        }
    }

    regs->r[PRT_ARCH_SP] = cfa;
    regs->pc = pc;
    regs->interrupted = 0;

    return PRT_UNWIND_WENT;
}


static PRT_NO_SANITIZE int
prt_unwind_full(prt_walk_t *w, prt_regs_t *regs, const prt_ehframe_t *table,
    const prt_state_t *state)
{
    unsigned            i;
    uintptr_t           cfa, value;
    prt_regs_t          next;
    const prt_full_t   *full;
    const prt_rule_t   *rule;

    full = &table->full[state->offset];

    if (prt_unwind_rule(w, regs, table, &full->cfa, 0, 0, &cfa) != 0) {
        return PRT_UNWIND_BAD_CFA;
    }

    if (full->reg[PRT_ARCH_PC].kind == PRT_RULE_UNDEFINED) {
        return PRT_UNWIND_END;
    }

    next.valid = regs->valid;

    for (i = 0; i < PRT_ARCH_REGS; i++) {
        rule = &full->reg[i];
        next.r[i] = regs->r[i];

        if (rule->kind == PRT_RULE_SAME) {
            continue;
        }

        if (rule->kind != PRT_RULE_UNDEFINED
            && prt_unwind_rule(w, regs, table, rule, 1, cfa, &value) == 0)
        {
            next.r[i] = value;
            next.valid |= 1u << i;

        } else {
            next.valid &= ~(1u << i);
        }
    }

    if (full->reg[PRT_ARCH_SP].kind == PRT_RULE_SAME) {
        next.r[PRT_ARCH_SP] = cfa;
        next.valid |= 1u << PRT_ARCH_SP;
    }

    if (prt_unwind_rule(w, regs, table, &full->reg[PRT_ARCH_PC], 1, cfa,
                        &next.pc)
        != 0)
    {
        return PRT_UNWIND_BAD_LOAD;
    }

    if (next.pc == 0) {
        return PRT_UNWIND_END;
    }

    /* a handler may have a stack of its own, above or below the other */

    if (!(next.valid >> PRT_ARCH_SP & 1)
        || (!state->signal && prt_regs_sp(&next) <= prt_regs_sp(regs)))
    {
        return PRT_UNWIND_BAD_CFA;
    }

    next.interrupted = state->signal;
    *regs = next;

    return PRT_UNWIND_WENT;
}


static PRT_NO_SANITIZE int
prt_unwind_rule(prt_walk_t *w, const prt_regs_t *regs,
    const prt_ehframe_t *table, const prt_rule_t *rule, int pushed,
    uintptr_t cfa, uintptr_t *value)
{
    switch (rule->kind) {

    case PRT_RULE_AT:
        return prt_unwind_fetch(w, cfa + (uintptr_t) (intptr_t) rule->value,
                                value);

    case PRT_RULE_IS:
        *value = cfa + (uintptr_t) (intptr_t) rule->value;
        return 0;

    case PRT_RULE_REG:
        *value = regs->r[rule->reg] + (uintptr_t) (intptr_t) rule->value;
        return (regs->valid >> rule->reg & 1) ? 0 : -1;

    case PRT_RULE_IS_EXPR:
        return prt_unwind_expr(w, regs, &table->ops[rule->value], pushed, cfa,
                               value);

    case PRT_RULE_AT_EXPR:
        if (prt_unwind_expr(w, regs, &table->ops[rule->value], pushed, cfa,
                               value)
            != 0)
        {
            return -1;
        }

        return prt_unwind_fetch(w, *value, value);

    default:
        return -1;
    }
}


/*
 * The parser has proved that the stack is large enough, and never empty when
 * something is taken from it.
 */

static PRT_NO_SANITIZE int
prt_unwind_expr(prt_walk_t *w, const prt_regs_t *regs, const prt_op_t *op,
    int pushed, uintptr_t cfa, uintptr_t *value)
{
    unsigned   n;
    uintptr_t  arg, swap, stack[PRT_EXPR_STACK] = { 0 };

    stack[0] = cfa;
    n = (unsigned) pushed;

    for ( /* void */ ; op->op != PRT_OP_END; op++) {

        arg = (uintptr_t) (intptr_t) op->arg;

        switch (op->op) {

        case PRT_OP_CONST:
            stack[n++] = arg;
            break;

        case PRT_OP_REG:
            if (op->reg == PRT_ARCH_PC) {
                stack[n++] = regs->pc + arg;
                break;
            }

            if (!(regs->valid >> op->reg & 1)) {
                return -1;
            }

            stack[n++] = regs->r[op->reg] + arg;
            break;

        case PRT_OP_DEREF:
            if (prt_unwind_fetch(w, stack[n - 1], &stack[n - 1]) != 0) {
                return -1;
            }

            break;

        case PRT_OP_PICK:
            stack[n] = stack[n - 1 - arg];
            n++;
            break;

        case PRT_OP_DROP:
            n--;
            break;

        case PRT_OP_SWAP:
            swap = stack[n - 1];
            stack[n - 1] = stack[n - 2];
            stack[n - 2] = swap;
            break;

        case PRT_OP_ADD_CONST:
            stack[n - 1] += arg;
            break;

        case PRT_OP_NEG:
            stack[n - 1] = -stack[n - 1];
            break;

        case PRT_OP_NOT:
            stack[n - 1] = ~stack[n - 1];
            break;

        default:
            n--;
            stack[n - 1] = prt_unwind_binary(op->op, stack[n - 1], stack[n]);
        }
    }

    *value = stack[n - 1];

    return 0;
}


static PRT_NO_SANITIZE uintptr_t
prt_unwind_binary(unsigned op, uintptr_t a, uintptr_t b)
{
    switch (op) {

    case PRT_OP_ADD:
        return a + b;

    case PRT_OP_SUB:
        return a - b;

    case PRT_OP_MUL:
        return a * b;

    case PRT_OP_AND:
        return a & b;

    case PRT_OP_OR:
        return a | b;

    case PRT_OP_XOR:
        return a ^ b;

    case PRT_OP_SHL:
        return b < 64 ? a << b : 0;

    case PRT_OP_SHR:
        return b < 64 ? a >> b : 0;

    case PRT_OP_SHRA:
        b = b < 64 ? b : 63;
        return (intptr_t) a < 0 ? ~(~a >> b) : a >> b;

    case PRT_OP_EQ:
        return a == b;

    case PRT_OP_NE:
        return a != b;

    case PRT_OP_LT:
        return (intptr_t) a < (intptr_t) b;

    case PRT_OP_LE:
        return (intptr_t) a <= (intptr_t) b;

    case PRT_OP_GT:
        return (intptr_t) a > (intptr_t) b;

    default: /* PRT_OP_GE */
        return (intptr_t) a >= (intptr_t) b;
    }
}


/* Reads a word of the stack, or, once proved readable, of other memory. */

static PRT_NO_SANITIZE int
prt_unwind_fetch(prt_walk_t *w, uintptr_t addr, uintptr_t *value)
{
    if (addr == 0) {
        return -1;
    }

    if (addr >= w->low && w->low != PRT_UNWIND_NONE && addr <= w->hi - 8) {
        *value = prt_word(addr);
        return 0;
    }

    if (addr / PRT_UNWIND_PAGE != w->page
        || (addr + 7) / PRT_UNWIND_PAGE != w->page)
    {
        if (!prt_arch_readable(addr)) {
            return -1;
        }

        w->page = (addr + 7) / PRT_UNWIND_PAGE;
    }

    /* it may still go away before this, as any memory of another thread */

    *value = prt_word(addr);

    return 0;
}
