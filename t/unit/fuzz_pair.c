
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * libFuzzer: two hostile files that are to be taken together, as debug info
 * that one shares with others (dwz), and as object and debug file of a rebuild.
 *
 *   clang -fsanitize=fuzzer,address,undefined ... t/unit/fuzz_pair.c
 *
 * Input: the size of the first file, four bytes, then both.
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

#include "encode/prt_debugproof.h"
#include "encode/prt_dwarf.h"
#include "encode/prt_elf.h"


#define HEAD     4
#define LOOKUPS  48          /* of an executable section */


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static int put(const uint8_t *data, size_t size, char *path);
static void look_up(prt_elf_t *file, prt_elf_t *common);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int             fd[2], fits;
    char            path[2][64];
    size_t          n;
    unsigned        len;
    prt_elf_t       one, two;
    const char     *name;
    const uint8_t  *id;

    if (size < HEAD) {
        return 0;
    }

    n = data[0] | (size_t) data[1] << 8 | (size_t) data[2] << 16;

    data += HEAD;
    size -= HEAD;
    n = n < size ? n : size;

    fd[0] = put(data, n, path[0]);
    fd[1] = put(data + n, size - n, path[1]);

    if (prt_elf_open(&one, path[0]) == 0) {

        name = prt_elf_sharedlink(&one, &id, &len);

        if (prt_elf_open(&two, path[1]) == 0) {

            fits = prt_debugproof(&one, &two);

            if (fits != prt_debugproof(&two, &one)) {
                abort();
            }

            prt_elf_close(&two);
        }

        memset(&two, 0, sizeof(prt_elf_t));

        if (prt_elf_open_shared(&two, path[1]) == 0 && name) {
            (void) prt_elf_is_shared(&two, id, len);
        }

        /* two.elf may be NULL: it is not there */

        look_up(&one, &two);

        prt_elf_close(&two);
        prt_elf_close(&one);
    }

    (void) close(fd[0]);
    (void) close(fd[1]);

    return 0;
}


static int
put(const uint8_t *data, size_t size, char *path)
{
    int  fd;

    fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd == -1 || write(fd, data, size) != (ssize_t) size) {
        abort();
    }

    (void) snprintf(path, 64, "/proc/self/fd/%d", fd);

    return fd;
}


static void
look_up(prt_elf_t *file, prt_elf_t *common)
{
    size_t         grown;
    unsigned       i, k, n, sections;
    Elf_Scn       *scn;
    GElf_Shdr      shdr[8];
    prt_dwarf_t   *dwarf;
    prt_symbol_t   found[PRT_SYMBOL_INLINES];

    scn = NULL;
    sections = 0;

    while ((scn = elf_nextscn(file->elf, scn)) != NULL && sections < 8) {

        if (gelf_getshdr(scn, &shdr[sections]) != NULL
            && (shdr[sections].sh_flags & SHF_EXECINSTR))
        {
            sections++;
        }
    }

    if (!prt_dwarf_has(file)) {
        return;
    }

    dwarf = prt_dwarf_open(file, common);

    if (dwarf == NULL) {
        return;
    }

    prt_elf_give_back(file);
    prt_elf_give_back(common);

    for (i = 0; i < sections * LOOKUPS; i++) {

        n = prt_dwarf_lookup(dwarf, shdr[i / LOOKUPS].sh_addr
                             + shdr[i / LOOKUPS].sh_size / LOOKUPS
                               * (i % LOOKUPS) + i % LOOKUPS,
                             found, PRT_SYMBOL_INLINES);

        for (k = 0; k < n; k++) {
            if ((found[k].name && strlen(found[k].name) > 1u << 30)
                || (found[k].file && strlen(found[k].file) > 1u << 30))
            {
                abort();
            }
        }
    }

    (void) prt_dwarf_memory(dwarf, &grown);
    prt_dwarf_close(dwarf);
}
