
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * DWARF 2 to 5, "Line Number Information".
 */


#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "encode/prt_dwarf_line_program.h"


/* What a damaged or hostile program may cost us. */

#define PRT_LINE_ROWS        (1024 * 1024)     /* of a unit */
#define PRT_LINE_OVERLAP     64

#define PRT_LINE_BLOCK       (64 * 1024)       /* bytes */


static int prt_line_run(prt_line_program_t *program);
static int prt_line_extended(prt_line_program_t *program, uint64_t *address,
    int *ended);
static int prt_line_row(prt_line_program_t *program, uint64_t address,
    uint64_t file, uint64_t line);
static int prt_line_end(prt_line_program_t *program, uint64_t address);
static int prt_line_room(prt_line_block_t *block, size_t size);
static int prt_line_keep(prt_line_program_t *program);
static int prt_line_sequence_cmp(const void *one, const void *two);


prt_dwarf_lines_t *
prt_dwarf_lines_read(prt_dwarf_programs_t *programs, uint64_t offset,
    const char *dir, prt_pages_t *pages)
{
    int                 rc;
    prt_line_program_t  program;

    if (offset >= programs->line_size) {
        return NULL;
    }

    memset(&program, 0, sizeof(prt_line_program_t));

    program.programs = programs;
    program.pages = pages;
    program.bytes.data = programs->line;
    program.bytes.size = programs->line_size;

    prt_reader_init(&program.in, &program.bytes, (size_t) offset,
                    programs->line_size);

    program.lines = prt_pages_alloc(pages, sizeof(prt_dwarf_lines_t));

    rc = (program.lines == NULL
          || prt_line_header(&program, dir) != 0
          || prt_line_run(&program) != 0
          || prt_line_keep(&program) != 0);

    prt_pages_drop(program.rows.p, program.rows.size);
    prt_pages_drop(program.sequences.p, program.sequences.size);

    return rc ? NULL : program.lines;
}


static int
prt_line_run(prt_line_program_t *program)
{
    int            ended;
    uint8_t        opcode, k;
    uint64_t       address, file, line;
    prt_reader_t  *in;

    in = &program->in;
    address = 0;
    file = 1;
    line = 1;

    while (in->pos < in->end) {

        opcode = (uint8_t) prt_read(in, 1);

        if (opcode >= program->opcodes) {
            k = (uint8_t) (opcode - program->opcodes);

            address += k / program->range * program->step;
            line += (uint64_t) (int64_t) (program->base + k % program->range);

            if (prt_line_row(program, address, file, line) != 0) {
                return -1;
            }

            continue;
        }

        switch (opcode) {

        case 0:
            if (prt_line_extended(program, &address, &ended) != 0) {
                return -1;
            }

            if (ended) {
                address = 0;
                file = 1;
                line = 1;
            }

            break;

        case DW_LNS_copy:
            if (prt_line_row(program, address, file, line) != 0) {
                return -1;
            }

            break;

        case DW_LNS_advance_pc:
            address += prt_read_uleb(in) * program->step;
            break;

        case DW_LNS_advance_line:
            line += (uint64_t) prt_read_sleb(in);
            break;

        case DW_LNS_set_file:
            file = prt_read_uleb(in);
            break;

        case DW_LNS_const_add_pc:
            address += (255u - program->opcodes) / program->range
                       * program->step;
            break;

        case DW_LNS_fixed_advance_pc:
            address += prt_read(in, 2);
            break;

        default:
            for (k = program->operands[opcode - 1]; k > 0; k--) {
                (void) prt_read_uleb(in);
            }
        }

        if (in->failed) {
            return -1;
        }
    }

    return 0;
}


static int
prt_line_extended(prt_line_program_t *program, uint64_t *address, int *ended)
{
    uint8_t        opcode;
    uint64_t       length;
    prt_reader_t  *in;

    in = &program->in;
    *ended = 0;

    length = prt_read_uleb(in);

    if (length == 0) {
        return in->failed ? -1 : 0;
    }

    opcode = (uint8_t) prt_read(in, 1);
    length--;

    switch (opcode) {

    case DW_LNE_end_sequence:
        *ended = 1;
        prt_skip(in, length);

        return in->failed ? -1 : prt_line_end(program, *address);

    case DW_LNE_set_address:

        if (length != 8) {
            return -1;
        }

        *address = prt_read(in, 8);
        break;

    default:
        prt_skip(in, length);
    }

    return in->failed ? -1 : 0;
}


/*
 * Of rows at one address the last one counts, and a row that says the same as
 * the one before says nothing.
 */

static int
prt_line_row(prt_line_program_t *program, uint64_t address, uint64_t file,
    uint64_t line)
{
    prt_line_row_t  *row;

    row = NULL;

    if (program->nrows > program->first) {
        row = (prt_line_row_t *) program->rows.p + program->nrows - 1;

        if (address < row->address) {

            if (prt_line_end(program, row->address) != 0) {
                return -1;
            }

            row = NULL;
        }
    }

    if (file > UINT32_MAX || line > INT32_MAX) {
        file = 0;
        line = 0;
    }

    if (row && row->address != address) {

        if (row->file == file && row->line == line) {
            return 0;
        }

        row = NULL;
    }

    if (row == NULL) {

        if (program->nrows == PRT_LINE_ROWS
            || prt_line_room(&program->rows,
                             (program->nrows + 1) * sizeof(prt_line_row_t))
               != 0)
        {
            return -1;
        }

        row = (prt_line_row_t *) program->rows.p + program->nrows++;
    }

    row->address = address;
    row->file = (uint32_t) file;
    row->line = (uint32_t) line;

    return 0;
}


static int
prt_line_end(prt_line_program_t *program, uint64_t address)
{
    size_t                n;
    prt_line_row_t       *row;
    prt_line_sequence_t  *sequence;

    n = program->nrows - program->first;
    row = n ? (prt_line_row_t *) program->rows.p + program->first : NULL;

    /* What the linker threw away lies at 0. */

    if (row == NULL || row->address == 0 || row->address >= address) {
        program->nrows = program->first;
        return 0;
    }

    if (prt_line_room(&program->sequences, (program->nsequences + 1)
                                           * sizeof(prt_line_sequence_t))
        != 0)
    {
        return -1;
    }

    sequence = (prt_line_sequence_t *) program->sequences.p
               + program->nsequences++;

    sequence->start = row->address;
    sequence->end = address;
    sequence->first = (uint32_t) program->first;
    sequence->n = (uint32_t) n;

    program->first = program->nrows;

    return 0;
}


static int
prt_line_room(prt_line_block_t *block, size_t size)
{
    void    *p;
    size_t   room;

    if (size <= block->size) {
        return 0;
    }

    room = block->size ? block->size * 2 : PRT_LINE_BLOCK;

    p = prt_pages_grow(block->p, block->size, room);
    if (p == NULL) {
        return -1;
    }

    block->p = p;
    block->size = room;

    return 0;
}


/* Rows of a sequence that has no end are left behind. */

static int
prt_line_keep(prt_line_program_t *program)
{
    size_t              size;
    prt_dwarf_lines_t  *lines;

    lines = program->lines;

    if (program->nsequences == 0) {
        return 0;
    }

    size = program->first * sizeof(prt_line_row_t);

    lines->rows = prt_pages_alloc(program->pages, size);
    if (lines->rows == NULL) {
        return -1;
    }

    memcpy(lines->rows, program->rows.p, size);

    size = program->nsequences * sizeof(prt_line_sequence_t);

    lines->sequences = prt_pages_alloc(program->pages, size);
    if (lines->sequences == NULL) {
        return -1;
    }

    memcpy(lines->sequences, program->sequences.p, size);
    lines->nsequences = program->nsequences;

    qsort(lines->sequences, lines->nsequences, sizeof(prt_line_sequence_t),
          prt_line_sequence_cmp);

    return 0;
}


static int
prt_line_sequence_cmp(const void *one, const void *two)
{
    const prt_line_sequence_t  *a, *b;

    a = one;
    b = two;

    if (a->start != b->start) {
        return a->start < b->start ? -1 : 1;
    }

    return a->first < b->first ? -1 : a->first > b->first;
}


int
prt_dwarf_lines_find(const prt_dwarf_lines_t *lines, uint64_t vaddr,
    uint32_t *file, uint32_t *line)
{
    size_t                      low, high, mid;
    unsigned                    n;
    const prt_line_row_t       *rows;
    const prt_line_sequence_t  *sequence;

    low = 0;
    high = lines->nsequences;

    while (low < high) {
        mid = low + (high - low) / 2;

        if (lines->sequences[mid].start <= vaddr) {
            low = mid + 1;

        } else {
            high = mid;
        }
    }

    sequence = NULL;

    for (n = 0; low > 0 && n < PRT_LINE_OVERLAP; low--, n++) {

        if (vaddr < lines->sequences[low - 1].end) {
            sequence = &lines->sequences[low - 1];
            break;
        }
    }

    if (sequence == NULL) {
        return 0;
    }

    /* The last row at or below; the first one is. */

    rows = &lines->rows[sequence->first];
    low = 0;
    high = sequence->n;

    while (high - low > 1) {
        mid = low + (high - low) / 2;

        if (rows[mid].address <= vaddr) {
            low = mid;

        } else {
            high = mid;
        }
    }

    *file = rows[low].file;
    *line = rows[low].line;

    return 1;
}


const char *
prt_dwarf_lines_file(prt_dwarf_lines_t *lines, uint64_t number,
    prt_pages_t *pages)
{
    char             *path;
    size_t            len, size;
    prt_line_file_t  *file;

    if (number >= lines->nfiles || lines->files[number].name == NULL) {
        return NULL;
    }

    file = &lines->files[number];

    if (file->name[0] != '/' && file->dir && file->dir[0]) {

        len = strlen(file->dir);
        size = strlen(file->name) + 1;

        path = prt_pages_alloc(pages, len + 1 + size);
        if (path == NULL) {
            return NULL;
        }

        memcpy(path, file->dir, len);
        path[len] = '/';
        memcpy(path + len + 1, file->name, size);

        file->name = path;
    }

    file->dir = NULL;

    return file->name[0] ? file->name : NULL;
}
