
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <elfutils/libdwelf.h>
#include <zlib.h>

#include "encode/prt_elf.h"


#define PRT_ELF_PAGE         4096
#define PRT_ELF_CRC_CHUNK    65536

/* deflate cannot do better than 1032:1 */
#define PRT_ELF_DEFLATE_MAX  1040


static int prt_elf_check(const prt_elf_t *file);
static int prt_elf_check_sections(const prt_elf_t *file);
static int prt_elf_same_segments(const prt_elf_t *file,
    const prt_image_t *image);


int
prt_elf_open(prt_elf_t *file, const char *path)
{
    struct stat  st;

    memset(file, 0, sizeof(prt_elf_t));

    /* O_NONBLOCK: a FIFO of this name must not stop us. */

    file->fd = open(path, O_RDONLY|O_CLOEXEC|O_NONBLOCK|O_NOCTTY);
    if (file->fd == -1) {
        return -1;
    }

    if (fstat(file->fd, &st) == -1
        || !S_ISREG(st.st_mode)
        || st.st_size < (off_t) sizeof(Elf64_Ehdr)
        || st.st_size > (off_t) PRT_ELF_SIZE_MAX)
    {
        prt_elf_close(file);
        return -1;
    }

    file->size = (uint64_t) st.st_size;

    (void) elf_version(EV_CURRENT);

    file->elf = elf_begin(file->fd, ELF_C_READ, NULL);

    if (file->elf == NULL || prt_elf_check(file) != 0) {
        prt_elf_close(file);
        return -1;
    }

    return 0;
}


int
prt_elf_open_memory(prt_elf_t *file, const uint8_t *data, size_t size)
{
    uint8_t  *copy;

    memset(file, 0, sizeof(prt_elf_t));
    file->fd = -1;

    if (size < sizeof(Elf64_Ehdr) || size > PRT_ELF_SIZE_MAX) {
        return -1;
    }

    copy = malloc(size);
    if (copy == NULL) {
        return -1;
    }

    memcpy(copy, data, size);

    return prt_elf_adopt(file, copy, size);
}


int
prt_elf_adopt(prt_elf_t *file, uint8_t *data, size_t size)
{
    memset(file, 0, sizeof(prt_elf_t));

    file->fd = -1;
    file->memory = data;
    file->size = size;

    (void) elf_version(EV_CURRENT);

    if (size >= sizeof(Elf64_Ehdr)) {
        file->elf = elf_memory((char *) data, size);
    }

    if (file->elf == NULL || prt_elf_check(file) != 0) {
        prt_elf_close(file);
        return -1;
    }

    return 0;
}


void
prt_elf_close(prt_elf_t *file)
{
    if (file->elf) {
        (void) elf_end(file->elf);
    }

    if (file->fd != -1) {
        (void) close(file->fd);
    }

    free(file->memory);

    memset(file, 0, sizeof(prt_elf_t));
    file->fd = -1;
}


static int
prt_elf_check(const prt_elf_t *file)
{
    size_t     n;
    GElf_Ehdr  ehdr;

    if (elf_kind(file->elf) != ELF_K_ELF
        || gelf_getehdr(file->elf, &ehdr) == NULL)
    {
        return -1;
    }

    /* All machines that we run on are 64-bit and little-endian. */

    if (ehdr.e_ident[EI_CLASS] != ELFCLASS64
        || ehdr.e_ident[EI_DATA] != ELFDATA2LSB
        || (ehdr.e_type != ET_EXEC && ehdr.e_type != ET_DYN))
    {
        return -1;
    }

    if (ehdr.e_shoff != 0
        && (ehdr.e_shentsize != sizeof(Elf64_Shdr)
            || ehdr.e_shoff % 8 != 0
            || ehdr.e_shoff > file->size))
    {
        return -1;
    }

    if (ehdr.e_phoff != 0
        && (ehdr.e_phentsize != sizeof(Elf64_Phdr)
            || ehdr.e_phoff % 8 != 0
            || ehdr.e_phoff > file->size))
    {
        return -1;
    }

    if (elf_getshdrnum(file->elf, &n) != 0
        || n > PRT_ELF_SECTIONS_MAX
        || n * sizeof(Elf64_Shdr) > file->size - ehdr.e_shoff)
    {
        return -1;
    }

    if (elf_getphdrnum(file->elf, &n) != 0
        || n * sizeof(Elf64_Phdr) > file->size - ehdr.e_phoff)
    {
        return -1;
    }

    return prt_elf_check_sections(file);
}


/*
 * libelf allocates what a section's header says, and a compressed section's
 * header says what it likes.
 */

static int
prt_elf_check_sections(const prt_elf_t *file)
{
    uint64_t    inflated;
    Elf_Scn    *scn;
    GElf_Shdr   shdr;
    GElf_Chdr   chdr;

    scn = NULL;
    inflated = 0;

    while ((scn = elf_nextscn(file->elf, scn)) != NULL) {

        if (gelf_getshdr(scn, &shdr) == NULL) {
            return -1;
        }

        if (shdr.sh_type == SHT_NOBITS || shdr.sh_type == SHT_NULL) {
            continue;
        }

        if (shdr.sh_offset > file->size
            || shdr.sh_size > file->size - shdr.sh_offset)
        {
            return -1;
        }

        if (!(shdr.sh_flags & SHF_COMPRESSED)) {
            continue;
        }

        if (gelf_getchdr(scn, &chdr) == NULL
            || chdr.ch_size > PRT_ELF_INFLATED_MAX
            || chdr.ch_size / PRT_ELF_DEFLATE_MAX > shdr.sh_size)
        {
            return -1;
        }

        inflated += chdr.ch_size;

        if (inflated > PRT_ELF_INFLATED_MAX) {
            return -1;
        }
    }

    return 0;
}


int
prt_elf_is(const prt_elf_t *file, const uint8_t *id, unsigned len)
{
    ssize_t      n;
    const void  *note;

    n = dwelf_elf_gnu_build_id(file->elf, &note);

    if (n <= 0 || len == 0) {
        return 0;
    }

    /* The image has only the first bytes of a long one. */

    if (len == PRT_BUILD_ID_MAX && n > (ssize_t) len) {
        n = (ssize_t) len;
    }

    return n == (ssize_t) len && memcmp(note, id, len) == 0;
}


int
prt_elf_is_image(const prt_elf_t *file, const prt_image_t *image)
{
    const void  *note;

    if (image->build_id_len) {
        return prt_elf_is(file, image->build_id, image->build_id_len);
    }

    return dwelf_elf_gnu_build_id(file->elf, &note) <= 0
           && prt_elf_same_segments(file, image);
}


static int
prt_elf_same_segments(const prt_elf_t *file, const prt_image_t *image)
{
    size_t                      n, k;
    unsigned                    i;
    uint64_t                    page;
    GElf_Phdr                   phdr;
    const prt_image_segment_t  *segment;

    if (elf_getphdrnum(file->elf, &n) != 0) {
        return 0;
    }

    page = ~(uint64_t) (PRT_ELF_PAGE - 1);

    for (i = 0; i < image->nsegments; i++) {
        segment = &image->segments[i];

        for (k = 0; k < n; k++) {
            if (gelf_getphdr(file->elf, (int) k, &phdr) != NULL
                && phdr.p_type == PT_LOAD
                && (phdr.p_flags & PF_X)
                && (phdr.p_vaddr & page) == (segment->vaddr & page)
                && (phdr.p_offset & page) == (segment->offset & page))
            {
                break;
            }
        }

        if (k == n) {
            return 0;
        }
    }

    return 1;
}


const char *
prt_elf_debuglink(const prt_elf_t *file, uint32_t *crc)
{
    GElf_Word    sum;
    const char  *name;

    name = dwelf_elf_gnu_debuglink(file->elf, &sum);

    if (name == NULL || name[0] == '\0' || strchr(name, '/') != NULL) {
        return NULL;
    }

    *crc = sum;

    return name;
}


int
prt_elf_crc(const prt_elf_t *file, uint32_t *crc)
{
    off_t     offset;
    uLong     sum;
    ssize_t   n;
    uint8_t  *buf;

    buf = malloc(PRT_ELF_CRC_CHUNK);
    if (buf == NULL) {
        return -1;
    }

    offset = 0;
    sum = crc32(0, NULL, 0);

    for ( ;; ) {
        n = pread(file->fd, buf, PRT_ELF_CRC_CHUNK, offset);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {
            break;
        }

        sum = crc32(sum, buf, (uInt) n);
        offset += n;
    }

    free(buf);

    *crc = (uint32_t) sum;

    return n == 0 ? 0 : -1;
}


Elf_Scn *
prt_elf_section(const prt_elf_t *file, const char *name, GElf_Shdr *shdr)
{
    size_t       strings;
    Elf_Scn     *scn;
    const char  *s;

    if (elf_getshdrstrndx(file->elf, &strings) != 0) {
        return NULL;
    }

    scn = NULL;

    while ((scn = elf_nextscn(file->elf, scn)) != NULL) {

        if (gelf_getshdr(scn, shdr) == NULL || shdr->sh_type == SHT_NOBITS) {
            continue;
        }

        s = elf_strptr(file->elf, strings, shdr->sh_name);

        if (s && strcmp(s, name) == 0) {
            return scn;
        }
    }

    return NULL;
}
