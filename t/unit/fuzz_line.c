
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * libFuzzer: hostile line programs must not crash us, nor keep us busy, nor
 * take more memory than they are worth.
 *
 *   clang -fsanitize=fuzzer,address,undefined ... t/unit/fuzz_line.c
 *
 * Input: the sizes of .debug_line_str and .debug_str, two bytes each, then both
 * sections, then .debug_line.  Good seeds are those of small objects.
 */


#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "encode/prt_dwarf_line.h"


#define HEAD      4
#define PROGRAMS  16                 /* as PRT_DWARF_PROGRAMS */
#define LOOKUPS   64
#define MEMORY    (256u * 1024)      /* bytes, whatever the input */
#define WORTH     64                 /* bytes, of each of the input's */


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static const uint8_t *texts(uint8_t *copy, size_t size, size_t *left);
static void look_up(prt_dwarf_lines_t *lines, prt_pages_t *pages);


/* Sections lie in blocks of their own, so that ASan sees their ends. */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t                 n[2], i, offset;
    uint8_t               *copy[3];
    prt_pages_t            pages;
    prt_dwarf_lines_t     *lines;
    prt_dwarf_programs_t   programs;

    if (size < HEAD) {
        return 0;
    }

    memset(&programs, 0, sizeof(prt_dwarf_programs_t));
    memset(&pages, 0, sizeof(prt_pages_t));

    n[0] = data[0] | (size_t) data[1] << 8;
    n[1] = data[2] | (size_t) data[3] << 8;

    data += HEAD;
    size -= HEAD;

    for (i = 0; i < 2; i++) {
        n[i] = n[i] < size ? n[i] : size;
        copy[i] = malloc(n[i] + 1);
        memcpy(copy[i], data, n[i]);

        data += n[i];
        size -= n[i];
    }

    copy[2] = malloc(size + 1);
    memcpy(copy[2], data, size);
    copy[2] = realloc(copy[2], size ? size : 1);

    programs.line_str = texts(copy[0], n[0], &programs.line_str_size);
    programs.str = texts(copy[1], n[1], &programs.str_size);
    programs.line = copy[2];
    programs.line_size = size;
    programs.budget = (uint64_t) size * PROGRAMS;

    /* all programs, as their lengths say, and a unit may name any offset */

    for (offset = 0; offset < size; offset += size / 8 + 1) {
        lines = prt_dwarf_lines_read(&programs, offset, "/dir", &pages);

        if (lines) {
            look_up(lines, &pages);
        }
    }

    if (pages.size > 8 * (MEMORY + (uint64_t) size * WORTH)) {
        abort();
    }

    prt_pages_free(&pages);

    for (i = 0; i < 3; i++) {
        free(copy[i]);
    }

    return 0;
}


/* The opener has seen that the last one has an end. */

static const uint8_t *
texts(uint8_t *copy, size_t size, size_t *left)
{
    if (size == 0) {
        *left = 0;
        return NULL;
    }

    copy[size - 1] = '\0';
    *left = size;

    return copy;
}


static void
look_up(prt_dwarf_lines_t *lines, prt_pages_t *pages)
{
    uint32_t     file, line;
    uint64_t     i, vaddr;
    const char  *path;

    for (i = 0; i < LOOKUPS; i++) {

        vaddr = i % 2 ? i * 0x4000000 : 0x1000 + i * 8;

        if (!prt_dwarf_lines_find(lines, vaddr, &file, &line)) {
            continue;
        }

        path = prt_dwarf_lines_file(lines, file, pages);

        if (path && strlen(path) > 1u << 30) {
            abort();
        }
    }

    (void) prt_dwarf_lines_file(lines, UINT64_MAX, pages);
    (void) prt_dwarf_lines_file(lines, 0, pages);
}
