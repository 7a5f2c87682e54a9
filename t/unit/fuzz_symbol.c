
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * libFuzzer: hostile ELF and DWARF files must not crash us, nor keep us busy.
 *
 *   clang -fsanitize=fuzzer,address,undefined ... t/unit/fuzz_symbol.c
 *
 * Good seeds are small programs: with debug info, stripped, with compressed
 * sections, and of the other DWARF version.
 */


#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <elfutils/libdwelf.h>

#include "encode/prt_elf.h"
#include "encode/prt_symbol.h"


#define LOOKUPS  48          /* of an executable section */


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static void look_up(prt_symbols_t *symbols, const prt_image_t *image,
    const prt_elf_t *file);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int             fd;
    char            path[64];
    ssize_t         len;
    prt_elf_t       file;
    const void     *id;
    prt_image_t     image;
    prt_symbols_t  *symbols;

    fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd == -1 || write(fd, data, size) != (ssize_t) size) {
        abort();
    }

    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);

    if (prt_elf_open(&file, path) == 0) {

        memset(&image, 0, sizeof(prt_image_t));
        image.path = path;

        /* Accepted by its own build ID, so that all of it is read. */

        len = dwelf_elf_gnu_build_id(file.elf, &id);

        if (len > 0 && len <= PRT_BUILD_ID_MAX) {
            image.build_id_len = (unsigned) len;
            memcpy(image.build_id, id, (size_t) len);
        }

        symbols = prt_symbols_create();

        if (symbols && prt_symbols_debug_path(symbols, "") == 0) {
            look_up(symbols, &image, &file);
            prt_symbols_trim(symbols);
            look_up(symbols, &image, &file);

            /* and as the vDSO comes */

            image.memory = data;
            image.memory_size = size;
            image.path = "[vdso]";
            look_up(symbols, &image, &file);
        }

        prt_symbols_destroy(symbols);
        prt_elf_close(&file);
    }

    (void) close(fd);

    return 0;
}


static void
look_up(prt_symbols_t *symbols, const prt_image_t *image,
    const prt_elf_t *file)
{
    unsigned       i, k, n, sections;
    uint64_t       vaddr;
    Elf_Scn       *scn;
    GElf_Shdr      shdr;
    prt_symbol_t   found[PRT_SYMBOL_INLINES];

    scn = NULL;
    sections = 0;

    while ((scn = elf_nextscn(file->elf, scn)) != NULL && sections < 8) {

        if (gelf_getshdr(scn, &shdr) == NULL
            || !(shdr.sh_flags & SHF_EXECINSTR))
        {
            continue;
        }

        sections++;

        for (i = 0; i < LOOKUPS; i++) {
            vaddr = shdr.sh_addr + shdr.sh_size / LOOKUPS * i + i;

            n = prt_symbols_lookup(symbols, image, vaddr, found,
                                   PRT_SYMBOL_INLINES);

            for (k = 0; k < n; k++) {

                /* Names are texts, to their end. */

                if (found[k].name == NULL
                    || strlen(found[k].name) > 1u << 30
                    || (found[k].file && strlen(found[k].file) > 1u << 30))
                {
                    abort();
                }
            }
        }
    }
}
