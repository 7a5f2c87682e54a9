
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * What the sections of a file take of memory: compressed ones are inflated, and
 * what names nothing is given back.
 */


#include <string.h>
#include <sys/mman.h>

#include <zlib.h>

#include "encode/prt_elf_file.h"


static void prt_elf_discard(prt_elf_t *file, uint64_t offset, uint64_t size);
static int prt_elf_inflate_section(const Elf64_Chdr *chdr,
    const uint8_t *data, size_t size, uint8_t *out);


unsigned
prt_elf_drop_unused(prt_elf_t *file)
{
    size_t       i, strings;
    Elf_Scn     *scn;
    unsigned     n;
    GElf_Shdr    shdr;
    const char  *name;

    static const char *const  unused[] = {
        ".debug_aranges", ".debug_frame", ".debug_gnu_pub", ".debug_loc",
        ".debug_mac", ".debug_names", ".debug_pub", ".gdb_index"
    };

    if (elf_getshdrstrndx(file->elf, &strings) != 0) {
        return 0;
    }

    scn = NULL;
    n = 0;

    while ((scn = elf_nextscn(file->elf, scn)) != NULL) {

        if (gelf_getshdr(scn, &shdr) == NULL
            || shdr.sh_type != SHT_PROGBITS
            || (shdr.sh_flags & SHF_ALLOC)
            || (name = elf_strptr(file->elf, strings, shdr.sh_name)) == NULL)
        {
            continue;
        }

        for (i = 0; i < sizeof(unused) / sizeof(unused[0]); i++) {

            if (strncmp(name, unused[i], strlen(unused[i])) == 0) {
                prt_elf_discard(file, shdr.sh_offset, shdr.sh_size);
                prt_elf_drop(file, scn);
                n++;
                break;
            }
        }
    }

    return n;
}


void
prt_elf_drop(prt_elf_t *file, Elf_Scn *scn)
{
    Elf64_Ehdr  *ehdr;
    Elf64_Shdr  *shdr;

    ehdr = (Elf64_Ehdr *) file->memory;
    shdr = (Elf64_Shdr *) (file->memory + ehdr->e_shoff);

    shdr[elf_ndxscn(scn)].sh_type = SHT_NOBITS;
    shdr[elf_ndxscn(scn)].sh_flags = 0;
}


void
prt_elf_give_back(prt_elf_t *file)
{
    size_t       strings;
    Elf_Scn     *scn;
    GElf_Shdr    shdr;
    const char  *name;

    if (file->elf == NULL || elf_getshdrstrndx(file->elf, &strings) != 0) {
        return;
    }

    scn = NULL;

    while ((scn = elf_nextscn(file->elf, scn)) != NULL) {

        if (gelf_getshdr(scn, &shdr) == NULL
            || shdr.sh_type == SHT_NOBITS
            || shdr.sh_type == SHT_NULL
            || shdr.sh_type == SHT_STRTAB)
        {
            continue;
        }

        name = elf_strptr(file->elf, strings, shdr.sh_name);

        if (name && strncmp(name, ".debug_", 7) == 0) {
            continue;
        }

        prt_elf_discard(file, shdr.sh_offset, shdr.sh_size);
    }
}


size_t
prt_elf_inflate(prt_elf_t *file, size_t size, size_t inflated)
{
    void        *p;
    size_t       i, n, end, length;
    uint8_t     *data;
    Elf64_Shdr  *shdr;
    Elf64_Chdr   chdr;
    Elf64_Ehdr  *ehdr;

    end = (size + PRT_ELF_ALIGN - 1) & ~(size_t) (PRT_ELF_ALIGN - 1);
    length = prt_elf_pages(end + inflated);

    p = mremap(file->memory, file->size, length, MREMAP_MAYMOVE);
    if (p == MAP_FAILED) {
        return 0;
    }

    file->memory = p;
    file->size = length;

    ehdr = p;
    shdr = (Elf64_Shdr *) (file->memory + ehdr->e_shoff);

    /* With too many for e_shnum the first one says how many there are. */

    n = ehdr->e_shnum ? ehdr->e_shnum : shdr[0].sh_size;

    for (i = 1; i < n; i++) {

        if (shdr[i].sh_type == SHT_NOBITS
            || shdr[i].sh_type == SHT_NULL
            || !(shdr[i].sh_flags & SHF_COMPRESSED))
        {
            continue;
        }

        /*
         * They were good when they were checked, but what is given back of
         * one section reads as zeros, and may hold another one's header.
         */

        if (shdr[i].sh_size < sizeof(Elf64_Chdr)
            || shdr[i].sh_size > size
            || shdr[i].sh_offset > size - shdr[i].sh_size)
        {
            shdr[i].sh_type = SHT_NULL;
            continue;
        }

        data = file->memory + shdr[i].sh_offset;
        memcpy(&chdr, data, sizeof(Elf64_Chdr));

        if (length - end <= chdr.ch_size
            || prt_elf_inflate_section(&chdr, data + sizeof(Elf64_Chdr),
                                       shdr[i].sh_size - sizeof(Elf64_Chdr),
                                       file->memory + end)
               != 0)
        {
            shdr[i].sh_type = SHT_NULL;
            continue;
        }

        prt_elf_discard(file, shdr[i].sh_offset, shdr[i].sh_size);

        shdr[i].sh_flags &= ~(Elf64_Xword) SHF_COMPRESSED;
        shdr[i].sh_offset = end;
        shdr[i].sh_size = chdr.ch_size;
        shdr[i].sh_addralign = PRT_ELF_ALIGN;

        end += chdr.ch_size + PRT_ELF_ALIGN - 1;
        end &= ~(size_t) (PRT_ELF_ALIGN - 1);
    }

    return end;
}


/* Whole pages of it are not needed any more. */

static void
prt_elf_discard(prt_elf_t *file, uint64_t offset, uint64_t size)
{
    uint8_t    *data;
    uintptr_t   start, end;

    data = file->memory + offset;

    start = ((uintptr_t) data + PRT_ELF_PAGE - 1) & ~(PRT_ELF_PAGE - 1);
    end = ((uintptr_t) data + size) & ~(PRT_ELF_PAGE - 1);

    if (start >= end) {
        return;
    }

    (void) madvise((void *) start, end - start, MADV_DONTNEED);

    file->given_back += end - start;

    /* Hostile sections overlap, and are counted twice. */

    if (file->given_back > file->size) {
        file->given_back = file->size;
    }
}


static int
prt_elf_inflate_section(const Elf64_Chdr *chdr, const uint8_t *data,
    size_t size, uint8_t *out)
{
    int       rc;
    z_stream  stream;

    if (chdr->ch_type != ELFCOMPRESS_ZLIB) {
        return -1;
    }

    memset(&stream, 0, sizeof(z_stream));

    if (inflateInit(&stream) != Z_OK) {
        return -1;
    }

    stream.next_in = (uint8_t *) (uintptr_t) data;
    stream.avail_in = (uInt) size;
    stream.next_out = out;
    stream.avail_out = (uInt) chdr->ch_size;

    rc = inflate(&stream, Z_FINISH);

    (void) inflateEnd(&stream);

    return rc == Z_STREAM_END && stream.avail_out == 0 ? 0 : -1;
}
