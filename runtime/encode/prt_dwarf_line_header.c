
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The header of a line program: directories and files, and what its opcodes
 * mean.
 */


#include <dwarf.h>
#include <string.h>

#include "encode/prt_dwarf_line_program.h"


/* What a damaged or hostile header may cost us. */

#define PRT_LINE_FILES       (256 * 1024)
#define PRT_LINE_FORMATS     32


static int prt_line_files(prt_line_program_t *program, const char *dir);
static const char *prt_line_text(prt_line_program_t *program);
static int prt_line_files5(prt_line_program_t *program);
static int prt_line_table5(prt_line_program_t *program, uint64_t *n,
    prt_line_file_t **files, const char ***dirs);
static int prt_line_form(prt_line_program_t *program, uint64_t form,
    uint64_t *number, const char **text);
static const char *prt_line_string(prt_line_program_t *program,
    const uint8_t *data, size_t size);
static const char *prt_line_dir(const prt_line_program_t *program,
    uint64_t dir);


int
prt_line_header(prt_line_program_t *program, const char *dir)
{
    size_t         start;
    uint64_t       length;
    prt_reader_t  *in;

    in = &program->in;

    program->offset = 4;
    length = prt_read(in, 4);

    if (length == 0xffffffff) {
        program->offset = 8;
        length = prt_read(in, 8);
    }

    /* Units that share a program do not run it for ever. */

    if (in->failed || length > in->end - in->pos
        || length > program->programs->budget)
    {
        return -1;
    }

    program->programs->budget -= length;
    in->end = in->pos + (size_t) length;

    program->version = (unsigned) prt_read(in, 2);

    if (program->version < 2 || program->version > 5) {
        return -1;
    }

    if (program->version == 5) {
        prt_skip(in, 2);                 /* sizes of addresses, of selectors */
    }

    length = prt_read(in, program->offset);

    if (in->failed || length > in->end - in->pos) {
        return -1;
    }

    start = in->pos + (size_t) length;

    program->step = prt_read(in, 1);

    /* More than one operation in an instruction: no machine of ours. */

    if (program->version >= 4 && prt_read(in, 1) != 1) {
        return -1;
    }

    prt_skip(in, 1);                     /* where statements begin */

    program->base = (int8_t) prt_read(in, 1);
    program->range = (uint8_t) prt_read(in, 1);
    program->opcodes = (uint8_t) prt_read(in, 1);

    if (in->failed || program->range == 0 || program->opcodes == 0) {
        return -1;
    }

    program->operands = program->bytes.data + in->pos;
    prt_skip(in, program->opcodes - 1u);

    if (in->failed
        || (program->version == 5 ? prt_line_files5(program)
                                  : prt_line_files(program, dir))
           != 0
        || in->pos > start)
    {
        return -1;
    }

    in->pos = start;

    return 0;
}


/* Directories, then files, each list with an empty name at its end. */

static int
prt_line_files(prt_line_program_t *program, const char *dir)
{
    size_t            begin;
    uint64_t          i, n, number;
    const char       *name;
    prt_reader_t     *in;
    prt_line_file_t  *file;

    in = &program->in;
    begin = in->pos;

    for (n = 1; (name = prt_line_text(program)) != NULL && *name; n++) {
        /* void */
    }

    program->dirs = prt_pages_alloc(program->pages, n * sizeof(char *));

    if (name == NULL || n > PRT_LINE_FILES || program->dirs == NULL) {
        return -1;
    }

    in->pos = begin;
    program->dirs[0] = dir;
    program->ndirs = n;

    for (i = 1; i < n; i++) {
        program->dirs[i] = prt_line_text(program);
    }

    (void) prt_line_text(program);

    begin = in->pos;

    for (n = 1; (name = prt_line_text(program)) != NULL && *name; n++) {
        (void) prt_read_uleb(in);
        (void) prt_read_uleb(in);
        (void) prt_read_uleb(in);
    }

    program->lines->files = prt_pages_alloc(program->pages,
                                            n * sizeof(prt_line_file_t));

    if (name == NULL || n > PRT_LINE_FILES || program->lines->files == NULL) {
        return -1;
    }

    in->pos = begin;
    program->lines->nfiles = n;

    for (i = 1; i < n; i++) {
        file = &program->lines->files[i];

        file->name = prt_line_text(program);

        number = prt_read_uleb(in);      /* of the directory */
        (void) prt_read_uleb(in);        /* time */
        (void) prt_read_uleb(in);        /* length */

        file->dir = prt_line_dir(program, number);
    }

    (void) prt_line_text(program);

    return in->failed ? -1 : 0;
}


/* A text that lies here, or NULL when it has no end. */

static const char *
prt_line_text(prt_line_program_t *program)
{
    const char     *s, *end;
    prt_reader_t   *in;

    in = &program->in;

    s = (const char *) program->bytes.data + in->pos;
    end = in->failed ? NULL : memchr(s, '\0', in->end - in->pos);

    if (end == NULL) {
        in->failed = 1;
        return NULL;
    }

    in->pos += (size_t) (end - s) + 1;

    return s;
}


static int
prt_line_files5(prt_line_program_t *program)
{
    if (prt_line_table5(program, &program->ndirs, NULL, &program->dirs) != 0) {
        return -1;
    }

    return prt_line_table5(program, &program->lines->nfiles,
                           &program->lines->files, NULL);
}


static int
prt_line_table5(prt_line_program_t *program, uint64_t *n,
    prt_line_file_t **files, const char ***dirs)
{
    uint64_t       i, number, dir, types[PRT_LINE_FORMATS],
                   forms[PRT_LINE_FORMATS];
    unsigned       k, nformats;
    const char    *text, *name;
    prt_reader_t  *in;

    in = &program->in;
    nformats = (unsigned) prt_read(in, 1);

    if (nformats > PRT_LINE_FORMATS) {
        return -1;
    }

    for (k = 0; k < nformats; k++) {
        types[k] = prt_read_uleb(in);
        forms[k] = prt_read_uleb(in);
    }

    *n = prt_read_uleb(in);

    /* An entry takes a byte at least. */

    if (in->failed || (*n && nformats == 0) || *n > in->end - in->pos
        || *n > PRT_LINE_FILES)
    {
        return -1;
    }

    if (files) {
        *files = prt_pages_alloc(program->pages,
                                 (size_t) *n * sizeof(prt_line_file_t));
    } else {
        *dirs = prt_pages_alloc(program->pages,
                                (size_t) *n * sizeof(char *));
    }

    if ((files ? (void *) *files : (void *) *dirs) == NULL) {
        return -1;
    }

    for (i = 0; i < *n; i++) {
        name = NULL;
        dir = 0;

        for (k = 0; k < nformats; k++) {

            if (prt_line_form(program, forms[k], &number, &text) != 0) {
                return -1;
            }

            if (types[k] == DW_LNCT_path) {
                name = text;

            } else if (types[k] == DW_LNCT_directory_index) {
                dir = number;
            }
        }

        if (files) {
            (*files)[i].name = name;
            (*files)[i].dir = prt_line_dir(program, dir);

        } else {
            (*dirs)[i] = name;
        }
    }

    return 0;
}


static int
prt_line_form(prt_line_program_t *program, uint64_t form, uint64_t *number,
    const char **text)
{
    prt_reader_t          *in;
    prt_dwarf_programs_t  *programs;

    in = &program->in;
    programs = program->programs;

    *number = 0;
    *text = NULL;

    switch (form) {

    case DW_FORM_string:
        *text = prt_line_text(program);
        break;

    case DW_FORM_line_strp:
        *text = prt_line_string(program, programs->line_str,
                                programs->line_str_size);
        break;

    case DW_FORM_strp:
        *text = prt_line_string(program, programs->str, programs->str_size);
        break;

    case DW_FORM_udata:
        *number = prt_read_uleb(in);
        break;

    case DW_FORM_data1:
        *number = prt_read(in, 1);
        break;

    case DW_FORM_data2:
        *number = prt_read(in, 2);
        break;

    case DW_FORM_data4:
        *number = prt_read(in, 4);
        break;

    case DW_FORM_data8:
        *number = prt_read(in, 8);
        break;

    case DW_FORM_data16:
        prt_skip(in, 16);
        break;

    case DW_FORM_block:
        prt_skip(in, prt_read_uleb(in));
        break;

    /* in the file that is shared with others: not known here */

    case DW_FORM_strp_sup:
    case DW_FORM_GNU_strp_alt:
        prt_skip(in, program->offset);
        break;

    default:
        return -1;
    }

    return in->failed ? -1 : 0;
}


static const char *
prt_line_string(prt_line_program_t *program, const uint8_t *data, size_t size)
{
    uint64_t  offset;

    offset = prt_read(&program->in, program->offset);

    return offset < size ? (const char *) data + offset : NULL;
}


static const char *
prt_line_dir(const prt_line_program_t *program, uint64_t dir)
{
    return dir < program->ndirs ? program->dirs[dir] : NULL;
}
