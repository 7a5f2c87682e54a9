
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdlib.h>
#include <string.h>

#include "platform/prt_cfi.h"
#include "platform/prt_ehframe.h"


/* Beyond these an object is not a normal one; what is over becomes UNKNOWN. */
#define PRT_EHFRAME_SPAN       ((uint64_t) 1 << 32)   /* bytes of code */
#define PRT_EHFRAME_FULL       2048                   /* FULL states */

#define PRT_EHFRAME_NONE       UINT32_MAX


typedef struct {
    uint64_t               start;
    uint64_t               end;
    prt_cfi_fde_t          fde;
} prt_function_t;


typedef struct {
    prt_ehframe_t         *table;

    prt_cfi_t              cfi;

    prt_function_t        *functions;
    size_t                 nfunctions;
    size_t                 functions_size;

    uint32_t              *buckets;
    uint32_t               bucket;        /* the next without first row */

    uint32_t              *rows;
    size_t                 nrows;
    size_t                 rows_size;
    uint64_t               last;          /* offset of the last row */

    prt_state_t           *states;
    size_t                 nstates;
    size_t                 states_size;
    uint32_t              *hash;          /* state + 1; 0: free */
    size_t                 hash_mask;

    prt_full_t            *full;
    size_t                 nfull;
    size_t                 full_size;

    uint64_t               start;         /* of the function in work */
    uint64_t               end;
    unsigned               first:1;       /* its first row is to come */
    unsigned               signal:1;
    unsigned               no_memory:1;
} prt_builder_t;


static int prt_ehframe_collect(prt_builder_t *b, const prt_bytes_t *hdr,
    uint64_t start, uint64_t end);
static int prt_ehframe_collect_table(prt_builder_t *b, const prt_bytes_t *hdr,
    uint64_t start, uint64_t end);
static int prt_ehframe_collect_linear(prt_builder_t *b, uint64_t start,
    uint64_t end);
static int prt_ehframe_add(prt_builder_t *b, uint64_t offset, uint64_t start,
    uint64_t end);
static int prt_ehframe_compare(const void *one, const void *two);
static int prt_ehframe_build(prt_builder_t *b);
static void prt_ehframe_on_row(void *data, uint64_t vaddr,
    const prt_full_t *rules);
static void prt_ehframe_emit(prt_builder_t *b, uint64_t offset,
    uint32_t state, int first);
static uint32_t prt_ehframe_pack(prt_builder_t *b, const prt_full_t *rules);
static uint32_t prt_ehframe_pack_full(prt_builder_t *b,
    const prt_full_t *rules);
static int prt_ehframe_pack_cfa(prt_builder_t *b, const prt_rule_t *cfa,
    prt_state_t *state);
static uint32_t prt_ehframe_intern(prt_builder_t *b, const prt_state_t *state);
static int prt_ehframe_rehash(prt_builder_t *b);
static prt_ehframe_t *prt_ehframe_finish(prt_builder_t *b);
static const void *prt_ehframe_place(char **p, const void *from, size_t size);
static uint64_t prt_ehframe_row_vaddr(const prt_ehframe_t *table,
    uint32_t row);
static int prt_grow(void *array, size_t *size, size_t item, size_t need);


static const uint8_t  prt_saved_regs[PRT_ARCH_SAVED] = PRT_ARCH_SAVED_REGS;


int
prt_ehframe_create(const prt_bytes_t *hdr, const prt_bytes_t *frame,
    uint64_t start, uint64_t end, prt_ehframe_t **table)
{
    int            rc;
    prt_builder_t  b;

    *table = NULL;

    if (!PRT_ARCH_TABLE || start >= end) {
        return 0;
    }

    memset(&b, 0, sizeof(prt_builder_t));
    prt_cfi_init(&b.cfi, frame);

    rc = prt_ehframe_collect(&b, hdr, start, end);

    if (rc == 0 && b.nfunctions) {
        rc = prt_ehframe_build(&b);

        if (rc == 0 && b.table) {
            *table = prt_ehframe_finish(&b);
            rc = *table ? 0 : -1;
        }
    }

    free(b.functions);
    free(b.buckets);
    free(b.rows);
    free(b.states);
    free(b.hash);
    free(b.full);
    prt_cfi_done(&b.cfi);

    return rc;
}


void
prt_ehframe_free(prt_ehframe_t *table)
{
    free(table);
}


uint64_t
prt_ehframe_start(const prt_bytes_t *hdr)
{
    uint64_t      start;
    prt_reader_t  in;

    if (hdr->size < 4 || hdr->data[0] != 1) {
        return 0;
    }

    prt_reader_init(&in, hdr, 4, hdr->size);

    if (prt_read_pointer(&in, hdr->data[1], hdr->vaddr, &start) != 0) {
        return 0;
    }

    return start;
}


static int
prt_ehframe_collect(prt_builder_t *b, const prt_bytes_t *hdr, uint64_t start,
    uint64_t end)
{
    int     rc;
    size_t  i;

    rc = prt_ehframe_collect_table(b, hdr, start, end);

    if (rc == 0 && b->nfunctions == 0) {
        rc = prt_ehframe_collect_linear(b, start, end);
    }

    if (rc != 0) {
        return rc;
    }

    for (i = 1; i < b->nfunctions; i++) {
        if (b->functions[i].start < b->functions[i - 1].start) {
            qsort(b->functions, b->nfunctions, sizeof(prt_function_t),
                  prt_ehframe_compare);
            break;
        }
    }

    return 0;
}


/* The search table that the linker made: sorted, and without dead entries. */

static int
prt_ehframe_collect_table(prt_builder_t *b, const prt_bytes_t *hdr,
    uint64_t start, uint64_t end)
{
    uint64_t      count, ignored, fde;
    prt_reader_t  in;

    if (hdr->size < 4 || hdr->data[0] != 1) {
        return 0;
    }

    prt_reader_init(&in, hdr, 4, hdr->size);

    if (prt_read_pointer(&in, hdr->data[1], hdr->vaddr, &ignored) != 0
        || prt_read_pointer(&in, hdr->data[2], hdr->vaddr, &count) != 0)
    {
        return 0;
    }

    while (count--) {

        if (prt_read_pointer(&in, hdr->data[3], hdr->vaddr, &ignored) != 0
            || prt_read_pointer(&in, hdr->data[3], hdr->vaddr, &fde) != 0)
        {
            break;
        }

        if (prt_ehframe_add(b, fde - b->cfi.frame->vaddr, start, end) != 0) {
            return -1;
        }
    }

    return 0;
}


static int
prt_ehframe_collect_linear(prt_builder_t *b, uint64_t start, uint64_t end)
{
    uint64_t  offset, next;

    for (offset = 0; ; offset = next) {

        next = prt_cfi_next(&b->cfi, offset);

        if (next == 0) {
            return 0;
        }

        if (prt_ehframe_add(b, offset, start, end) != 0) {
            return -1;
        }
    }
}


static int
prt_ehframe_add(prt_builder_t *b, uint64_t offset, uint64_t start,
    uint64_t end)
{
    prt_function_t  *f;

    if (prt_grow(&b->functions, &b->functions_size, sizeof(prt_function_t),
                 b->nfunctions + 1)
        != 0)
    {
        return -1;
    }

    f = &b->functions[b->nfunctions];

    if (prt_cfi_fde(&b->cfi, offset, &f->fde) != 0) {
        return 0;
    }

    f->start = f->fde.start;
    f->end = f->fde.start + f->fde.size;

    if (f->start < start || f->start >= end || f->end <= f->start) {
        return 0;
    }

    if (f->end > end) {
        f->end = end;
    }

    b->nfunctions++;

    return 0;
}


static int
prt_ehframe_compare(const void *one, const void *two)
{
    const prt_function_t  *a = one, *b = two;

    if (a->start != b->start) {
        return a->start < b->start ? -1 : 1;
    }

    return (a->fde.offset > b->fde.offset) - (a->fde.offset < b->fde.offset);
}


static int
prt_ehframe_build(prt_builder_t *b)
{
    size_t           i, n, nbuckets;
    uint64_t         start, span, end;
    prt_state_t      state;
    prt_function_t  *f;

    f = b->functions;
    n = b->nfunctions;

    start = f[0].start & ~(((uint64_t) 1 << PRT_ROW_BUCKET) - 1);
    end = 0;

    for (i = 0; i < n; i++) {

        /* functions that overlap: the later one has the better claim */

        if (i + 1 < n && f[i].end > f[i + 1].start) {
            f[i].end = f[i + 1].start;
        }

        if (f[i].end - start > PRT_EHFRAME_SPAN) {
            n = i;
            break;
        }

        end = f[i].end;
    }

    if (n == 0) {
        return 0;
    }

    span = end - start;
    nbuckets = (size_t) (span >> PRT_ROW_BUCKET) + 1;

    b->table = calloc(1, sizeof(prt_ehframe_t));
    b->buckets = malloc((nbuckets + 1) * sizeof(uint32_t));

    if (b->table == NULL || b->buckets == NULL || prt_ehframe_rehash(b) != 0) {
        free(b->table);
        b->table = NULL;
        return -1;
    }

    b->table->start = start;
    b->table->size = span;
    b->table->nbuckets = (uint32_t) nbuckets;

    /* the first states have the numbers of their kinds */

    memset(&state, 0, sizeof(prt_state_t));

    for (i = PRT_STATE_GAP; i <= PRT_STATE_END; i++) {
        state.kind = (uint8_t) i;
        (void) prt_ehframe_intern(b, &state);
    }

    /* row 0 stands before all buckets */

    b->last = UINT64_MAX;

    if (prt_grow(&b->rows, &b->rows_size, sizeof(uint32_t), 1) == 0) {
        b->rows[b->nrows++] = PRT_STATE_GAP;

    } else {
        b->no_memory = 1;
    }

    for (i = 0; i < n && !b->no_memory; i++) {

        if (f[i].start >= f[i].end) {
            continue;
        }

        b->start = f[i].start;
        b->end = f[i].end;
        b->first = 1;
        b->signal = f[i].fde.signal;
        b->table->nfunctions++;

        if (prt_cfi_run(&b->cfi, &f[i].fde, prt_ehframe_on_row, b) != 0) {
            b->no_memory = 1;
        }

        prt_ehframe_emit(b, f[i].end - start, PRT_STATE_GAP, 0);
    }

    while (b->bucket <= nbuckets) {
        b->buckets[b->bucket++] = (uint32_t) b->nrows;
    }

    if (b->no_memory) {
        free(b->table);
        b->table = NULL;
        return -1;
    }

    return 0;
}


/* From "vaddr" on these rules hold; "rules" NULL: they are not known. */

static void
prt_ehframe_on_row(void *data, uint64_t vaddr, const prt_full_t *rules)
{
    uint32_t        state;
    prt_builder_t  *b = data;

    if (vaddr >= b->end || b->no_memory) {
        return;
    }

    state = rules ? prt_ehframe_pack(b, rules) : PRT_STATE_UNKNOWN;

    prt_ehframe_emit(b, vaddr - b->table->start, state, b->first);

    b->first = 0;
}


static void
prt_ehframe_emit(prt_builder_t *b, uint64_t offset, uint32_t state, int first)
{
    uint32_t  bucket, word;

    word = state | (first ? PRT_ROW_FIRST : 0);

    if (offset == b->last) {

        /* the row before is empty: this one takes its place */

        word |= b->rows[b->nrows - 1] & ~PRT_ROW_STATE;
        b->rows[b->nrows - 1] = word;
        return;
    }

    if (!first && (b->rows[b->nrows - 1] & PRT_ROW_STATE) == state) {
        return;
    }

    if (b->nrows == UINT32_MAX
        || prt_grow(&b->rows, &b->rows_size, sizeof(uint32_t), b->nrows + 1)
           != 0)
    {
        b->no_memory = 1;
        return;
    }

    bucket = (uint32_t) (offset >> PRT_ROW_BUCKET);

    while (b->bucket <= bucket) {
        b->buckets[b->bucket++] = (uint32_t) b->nrows;
    }

    b->last = offset;
    b->rows[b->nrows++] = word | (uint32_t) offset << PRT_ROW_SHIFT;
}


static uint32_t
prt_ehframe_pack(prt_builder_t *b, const prt_full_t *rules)
{
    unsigned           i;
    prt_state_t        state;
    const prt_rule_t  *rule;

    rule = &rules->reg[PRT_ARCH_PC];

    if (rule->kind == PRT_RULE_UNDEFINED) {
        return PRT_STATE_END;
    }

    memset(&state, 0, sizeof(prt_state_t));
    state.depth = 1;
    state.signal = b->signal;

    if (rule->kind != PRT_RULE_AT || rule->value != -8
        || rules->reg[PRT_ARCH_SP].kind != PRT_RULE_SAME
        || b->signal
        || prt_ehframe_pack_cfa(b, &rules->cfa, &state) != 0)
    {
        return prt_ehframe_pack_full(b, rules);
    }

    for (i = 0; i < PRT_ARCH_SAVED; i++) {
        rule = &rules->reg[prt_saved_regs[i]];

        if (rule->kind == PRT_RULE_SAME) {
            continue;
        }

        if (rule->kind != PRT_RULE_AT || rule->value >= 0
            || rule->value % 8 != 0 || rule->value / -8 > UINT8_MAX)
        {
            return prt_ehframe_pack_full(b, rules);
        }

        state.saved[i] = (uint8_t) (rule->value / -8);

        if (state.saved[i] > state.depth) {
            state.depth = state.saved[i];
        }
    }

    return prt_ehframe_intern(b, &state);
}


static uint32_t
prt_ehframe_pack_full(prt_builder_t *b, const prt_full_t *rules)
{
    size_t       i;
    prt_state_t  state;

    if (rules->cfa.kind != PRT_RULE_REG && rules->cfa.kind != PRT_RULE_IS_EXPR)
    {
        return PRT_STATE_UNKNOWN;
    }

    if (rules->reg[PRT_ARCH_PC].kind == PRT_RULE_SAME) {
        return PRT_STATE_UNKNOWN;
    }

    for (i = 0; i < b->nfull; i++) {
        if (memcmp(&b->full[i], rules, sizeof(prt_full_t)) == 0) {
            break;
        }
    }

    if (i == b->nfull) {

        if (b->nfull == PRT_EHFRAME_FULL) {
            return PRT_STATE_UNKNOWN;
        }

        if (prt_grow(&b->full, &b->full_size, sizeof(prt_full_t), i + 1) != 0)
        {
            b->no_memory = 1;
            return PRT_STATE_UNKNOWN;
        }

        b->full[b->nfull++] = *rules;
    }

    memset(&state, 0, sizeof(prt_state_t));
    state.kind = PRT_STATE_FULL;
    state.offset = (int32_t) i;
    state.depth = 1;
    state.signal = b->signal;

    return prt_ehframe_intern(b, &state);
}


static int
prt_ehframe_pack_cfa(prt_builder_t *b, const prt_rule_t *cfa,
    prt_state_t *state)
{
    size_t           i;
    const prt_op_t  *op;

    /*
     * What ld writes for .plt: an entry of 16 bytes pushes its number late:
     * sp + 8 + ((pc & 15) >= 11) * 8.
     */
    static const prt_op_t  plt[] = {
        { PRT_OP_REG, PRT_ARCH_SP, 8 },
        { PRT_OP_REG, PRT_ARCH_PC, 0 },
        { PRT_OP_CONST, 0, 15 },
        { PRT_OP_AND, 0, 0 },
        { PRT_OP_CONST, 0, 11 },
        { PRT_OP_GE, 0, 0 },
        { PRT_OP_CONST, 0, 3 },
        { PRT_OP_SHL, 0, 0 },
        { PRT_OP_ADD, 0, 0 },
        { PRT_OP_END, 0, 0 }
    };

    if (cfa->kind == PRT_RULE_REG) {
        state->kind = PRT_STATE_PLAIN;
        state->reg = cfa->reg;
        state->offset = cfa->value;
        return 0;
    }

    if (cfa->kind != PRT_RULE_IS_EXPR) {
        return -1;
    }

    op = &b->cfi.ops[cfa->value];

    /* OpenSSL's assembly keeps the old sp on the stack: *(sp + n) + 8 */

    if (op[0].op == PRT_OP_REG && op[0].reg < PRT_ARCH_REGS
        && op[1].op == PRT_OP_DEREF
        && (op[2].op == PRT_OP_END
            || (op[2].op == PRT_OP_ADD_CONST && op[3].op == PRT_OP_END))
        && op[2].arg >= INT16_MIN && op[2].arg <= INT16_MAX)
    {
        state->kind = PRT_STATE_DEREF;
        state->reg = (uint8_t) op[0].reg;
        state->offset = op[0].arg;
        state->add = (int16_t) op[2].arg;
        return 0;
    }

    for (i = 0; i < sizeof(plt) / sizeof(plt[0]); i++) {
        if (op[i].op != plt[i].op || op[i].reg != plt[i].reg
            || op[i].arg != plt[i].arg)
        {
            return -1;
        }
    }

    state->kind = PRT_STATE_PLT;
    state->reg = PRT_ARCH_SP;

    return 0;
}


static uint32_t
prt_ehframe_intern(prt_builder_t *b, const prt_state_t *state)
{
    size_t    i;
    uint64_t  h, half[2];

    _Static_assert(sizeof(prt_state_t) == sizeof(half)
                   || !PRT_ARCH_TABLE, "a state is hashed as two words");

    memcpy(half, state, sizeof(half));

    h = (half[0] * 0x9e3779b97f4a7c15 ^ half[1]) * 0xff51afd7ed558ccd;
    h ^= h >> 32;

    for (i = h & b->hash_mask; b->hash[i]; i = (i + 1) & b->hash_mask) {
        if (memcmp(&b->states[b->hash[i] - 1], state, sizeof(prt_state_t))
            == 0)
        {
            return b->hash[i] - 1;
        }
    }

    if (b->nstates == PRT_ROW_STATE) {
        return PRT_STATE_UNKNOWN;
    }

    if (prt_grow(&b->states, &b->states_size, sizeof(prt_state_t),
                 b->nstates + 1)
        != 0)
    {
        b->no_memory = 1;
        return PRT_STATE_UNKNOWN;
    }

    b->states[b->nstates++] = *state;
    b->hash[i] = (uint32_t) b->nstates;

    i = b->nstates - 1;

    if (b->nstates * 2 > b->hash_mask && prt_ehframe_rehash(b) != 0) {
        b->no_memory = 1;
    }

    return (uint32_t) i;
}


static int
prt_ehframe_rehash(prt_builder_t *b)
{
    size_t       i, size;
    prt_state_t  state;

    size = b->hash ? (b->hash_mask + 1) * 2 : 1024;

    free(b->hash);

    b->hash = calloc(size, sizeof(uint32_t));
    if (b->hash == NULL) {
        return -1;
    }

    b->hash_mask = size - 1;

    /* the states are distinct: each finds a place of its own again */

    size = b->nstates;
    b->nstates = 0;

    for (i = 0; i < size; i++) {
        state = b->states[i];
        (void) prt_ehframe_intern(b, &state);
    }

    return 0;
}


/* All parts in one block of memory. */

static prt_ehframe_t *
prt_ehframe_finish(prt_builder_t *b)
{
    char           *p;
    size_t          size, full, states, ops, buckets, rows;
    prt_ehframe_t  *table;

    full = b->nfull * sizeof(prt_full_t);
    states = b->nstates * sizeof(prt_state_t);
    ops = b->cfi.nops * sizeof(prt_op_t);
    buckets = ((size_t) b->table->nbuckets + 1) * sizeof(uint32_t);
    rows = b->nrows * sizeof(uint32_t);

    size = sizeof(prt_ehframe_t) + full + states + ops + buckets + rows;

    table = realloc(b->table, size);
    if (table == NULL) {
        free(b->table);
        return NULL;
    }

    p = (char *) table + sizeof(prt_ehframe_t);

    table->full = prt_ehframe_place(&p, b->full, full);
    table->states = prt_ehframe_place(&p, b->states, states);
    table->ops = prt_ehframe_place(&p, b->cfi.ops, ops);
    table->buckets = prt_ehframe_place(&p, b->buckets, buckets);
    table->rows = prt_ehframe_place(&p, b->rows, rows);

    table->nfull = (uint32_t) b->nfull;
    table->nstates = (uint32_t) b->nstates;
    table->nops = (uint32_t) b->cfi.nops;
    table->nrows = (uint32_t) b->nrows;
    table->memory = size;

    return table;
}


static const void *
prt_ehframe_place(char **p, const void *from, size_t size)
{
    void  *to;

    to = *p;

    if (size) {
        memcpy(to, from, size);
        *p += size;
    }

    return to;
}


int
prt_ehframe_function(const prt_ehframe_t *table, uint64_t vaddr,
    uint64_t *start, uint64_t *end)
{
    uint32_t         i, j;
    uint64_t         offset;
    const uint32_t  *bucket;

    offset = vaddr - table->start;

    if (offset >= table->size) {
        return -1;
    }

    bucket = &table->buckets[offset >> PRT_ROW_BUCKET];
    j = bucket[1];

    while (j > bucket[0]
           && (table->rows[j - 1] >> PRT_ROW_SHIFT)
              > (offset & ((1 << PRT_ROW_BUCKET) - 1)))
    {
        j--;
    }

    i = j - 1;

    if ((table->rows[i] & PRT_ROW_STATE) == PRT_STATE_GAP) {
        return -1;
    }

    while (i && !(table->rows[i] & PRT_ROW_FIRST)) {
        i--;
    }

    while (j < table->nrows && !(table->rows[j] & PRT_ROW_FIRST)
           && (table->rows[j] & PRT_ROW_STATE) != PRT_STATE_GAP)
    {
        j++;
    }

    if (i == 0 || j == table->nrows) {
        return -1;
    }

    *start = prt_ehframe_row_vaddr(table, i);
    *end = prt_ehframe_row_vaddr(table, j);

    return 0;
}


/* The high bits of a row's address: those of the last bucket up to it. */

static uint64_t
prt_ehframe_row_vaddr(const prt_ehframe_t *table, uint32_t row)
{
    uint32_t  low, high, middle;

    low = 0;
    high = table->nbuckets;

    while (high - low > 1) {
        middle = low + (high - low) / 2;

        if (table->buckets[middle] <= row) {
            low = middle;

        } else {
            high = middle;
        }
    }

    return table->start + ((uint64_t) low << PRT_ROW_BUCKET)
           + (table->rows[row] >> PRT_ROW_SHIFT);
}


static int
prt_grow(void *array, size_t *size, size_t item, size_t need)
{
    void    *old, *p;
    size_t   n;

    if (need <= *size) {
        return 0;
    }

    n = *size ? *size * 2 : 256;

    memcpy(&old, array, sizeof(void *));

    p = realloc(old, n * item);
    if (p == NULL) {
        return -1;
    }

    memcpy(array, &p, sizeof(void *));
    *size = n;

    /* cppcheck-suppress memleak ; it was stored in "array" */
    return 0;
}
