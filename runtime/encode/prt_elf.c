
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "encode/prt_elf_file.h"


/* deflate cannot do better than 1032:1 */
#define PRT_ELF_DEFLATE_MAX  1040


static int prt_elf_read(prt_elf_t *file, const char *path, size_t *size);
static int prt_elf_begin(prt_elf_t *file, size_t size);
static int prt_elf_type(const prt_elf_t *file);
static int prt_elf_check(const prt_elf_t *file, size_t size,
    size_t *inflated);
static int prt_elf_check_sections(const prt_elf_t *file, size_t size,
    size_t *inflated);


int
prt_elf_open(prt_elf_t *file, const char *path)
{
    size_t  size;

    return prt_elf_read(file, path, &size) == 0 ? prt_elf_start(file, size)
                                                : -1;
}


int
prt_elf_open_shared(prt_elf_t *file, const char *path)
{
    size_t  size;

    if (prt_elf_read(file, path, &size) != 0
        || prt_elf_begin(file, size) != 0)
    {
        return -1;
    }

    if (prt_elf_type(file) != ET_REL && prt_elf_type(file) != ET_DYN
        && prt_elf_type(file) != ET_EXEC)
    {
        prt_elf_close(file);
        return -1;
    }

    return 0;
}


static int
prt_elf_read(prt_elf_t *file, const char *path, size_t *length)
{
    int          fd;
    size_t       size, done;
    ssize_t      n;
    struct stat  st;

    memset(file, 0, sizeof(prt_elf_t));

    fd = prt_elf_open_file(path, &st);
    if (fd == -1) {
        return -1;
    }

    size = (size_t) st.st_size;
    *length = size;

    if (prt_elf_reserve(file, size) != 0) {
        (void) close(fd);
        return -1;
    }

    for (done = 0; done < size; done += (size_t) n) {
        n = read(fd, file->memory + done, size - done);

        if (n == -1 && errno == EINTR) {
            n = 0;
            continue;
        }

        if (n <= 0) {
            break;
        }
    }

    (void) close(fd);

    if (done != size) {
        prt_elf_close(file);
        return -1;
    }

    file->stamp = prt_elf_stamp(&st);

    return 0;
}


int
prt_elf_open_file(const char *path, struct stat *st)
{
    int  fd;

    /* O_NONBLOCK: a FIFO of this name must not stop us. */

    fd = open(path, O_RDONLY|O_CLOEXEC|O_NONBLOCK|O_NOCTTY);
    if (fd == -1) {
        return -1;
    }

    if (fstat(fd, st) == -1
        || !S_ISREG(st->st_mode)
        || st->st_size < (off_t) sizeof(Elf64_Ehdr)
        || st->st_size > (off_t) PRT_ELF_SIZE_MAX)
    {
        (void) close(fd);
        return -1;
    }

    return fd;
}


uint64_t
prt_elf_stamp(const struct stat *st)
{
    size_t    i;
    uint64_t  hash;

    const uint64_t  values[] = {
        st->st_dev, st->st_ino, (uint64_t) st->st_size,
        (uint64_t) st->st_mtim.tv_sec, (uint64_t) st->st_mtim.tv_nsec,
        (uint64_t) st->st_ctim.tv_sec, (uint64_t) st->st_ctim.tv_nsec
    };

    hash = 0xcbf29ce484222325;

    for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        hash = (hash ^ values[i]) * 0x100000001b3;
        hash ^= hash >> 29;
    }

    return hash ? hash : 1;
}


int
prt_elf_open_memory(prt_elf_t *file, const uint8_t *data, size_t size)
{
    if (prt_elf_reserve(file, size) != 0) {
        return -1;
    }

    memcpy(file->memory, data, size);

    return prt_elf_start(file, size);
}


/* Behind the image there is a zero at least, that ends any string. */

int
prt_elf_reserve(prt_elf_t *file, size_t size)
{
    void  *p;

    memset(file, 0, sizeof(prt_elf_t));

    if (size < sizeof(Elf64_Ehdr) || size > PRT_ELF_SIZE_MAX) {
        return -1;
    }

    size = prt_elf_pages(size);

    p = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS,
             -1, 0);
    if (p == MAP_FAILED) {
        return -1;
    }

    file->memory = p;
    file->size = size;

    return 0;
}


size_t
prt_elf_pages(size_t size)
{
    return (size / PRT_ELF_PAGE + 1) * PRT_ELF_PAGE;
}


int
prt_elf_start(prt_elf_t *file, size_t size)
{
    if (prt_elf_begin(file, size) != 0) {
        return -1;
    }

    if (prt_elf_type(file) != ET_EXEC && prt_elf_type(file) != ET_DYN) {
        prt_elf_close(file);
        return -1;
    }

    return 0;
}


static int
prt_elf_begin(prt_elf_t *file, size_t size)
{
    size_t  inflated;

    (void) elf_version(EV_CURRENT);

    file->elf = elf_memory((char *) file->memory, size);

    if (file->elf == NULL || prt_elf_check(file, size, &inflated) != 0) {
        prt_elf_close(file);
        return -1;
    }

    file->length = size;

    if (prt_elf_drop_unused(file) && prt_elf_again(file, &inflated) != 0) {
        return -1;
    }

    if (inflated == 0) {
        return 0;
    }

    (void) elf_end(file->elf);
    file->elf = NULL;

    file->length = prt_elf_inflate(file, size, inflated);

    return prt_elf_again(file, &inflated);
}


int
prt_elf_again(prt_elf_t *file, size_t *inflated)
{
    (void) elf_end(file->elf);

    file->elf = elf_memory((char *) file->memory, file->length);

    if (file->elf == NULL
        || prt_elf_check(file, file->length, inflated) != 0)
    {
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

    if (file->memory) {
        (void) munmap(file->memory, file->size);
    }

    memset(file, 0, sizeof(prt_elf_t));
}


static int
prt_elf_type(const prt_elf_t *file)
{
    GElf_Ehdr  ehdr;

    return gelf_getehdr(file->elf, &ehdr) ? ehdr.e_type : ET_NONE;
}


static int
prt_elf_check(const prt_elf_t *file, size_t size, size_t *inflated)
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
        || ehdr.e_ident[EI_DATA] != ELFDATA2LSB)
    {
        return -1;
    }

    if (ehdr.e_shoff != 0
        && (ehdr.e_shentsize != sizeof(Elf64_Shdr)
            || ehdr.e_shoff % 8 != 0
            || ehdr.e_shoff > size))
    {
        return -1;
    }

    if (ehdr.e_phoff != 0
        && (ehdr.e_phentsize != sizeof(Elf64_Phdr)
            || ehdr.e_phoff % 8 != 0
            || ehdr.e_phoff > size))
    {
        return -1;
    }

    if (elf_getshdrnum(file->elf, &n) != 0
        || n > PRT_ELF_SECTIONS_MAX
        || n * sizeof(Elf64_Shdr) > size - ehdr.e_shoff)
    {
        return -1;
    }

    if (elf_getphdrnum(file->elf, &n) != 0
        || n * sizeof(Elf64_Phdr) > size - ehdr.e_phoff)
    {
        return -1;
    }

    return prt_elf_check_sections(file, size, inflated);
}


/* What a compressed section's header says is as good as its writer. */

static int
prt_elf_check_sections(const prt_elf_t *file, size_t size, size_t *inflated)
{
    Elf_Scn    *scn;
    GElf_Shdr   shdr;
    GElf_Chdr   chdr;

    scn = NULL;
    *inflated = 0;

    while ((scn = elf_nextscn(file->elf, scn)) != NULL) {

        if (gelf_getshdr(scn, &shdr) == NULL) {
            return -1;
        }

        if (shdr.sh_type == SHT_NOBITS || shdr.sh_type == SHT_NULL) {
            continue;
        }

        if (shdr.sh_offset > size || shdr.sh_size > size - shdr.sh_offset) {
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

        *inflated += chdr.ch_size + PRT_ELF_ALIGN;

        if (*inflated > PRT_ELF_INFLATED_MAX) {
            return -1;
        }
    }

    return 0;
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
