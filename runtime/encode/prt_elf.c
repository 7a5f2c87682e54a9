
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <elfutils/libdwelf.h>
#include <zlib.h>

#include "encode/prt_elf.h"


#define PRT_ELF_PAGE         ((uintptr_t) 4096)
#define PRT_ELF_ALIGN        16
#define PRT_ELF_CRC_CHUNK    65536

#define PRT_ELF_ALTLINK      ".gnu_debugaltlink"
#define PRT_ELF_SUPPLEMENT   ".debug_sup"

/* deflate cannot do better than 1032:1 */
#define PRT_ELF_DEFLATE_MAX  1040


static int prt_elf_read(prt_elf_t *file, const char *path, size_t *size);
static int prt_elf_open_file(const char *path, struct stat *st);
static size_t prt_elf_pages(size_t size);
static int prt_elf_begin(prt_elf_t *file, size_t size);
static int prt_elf_again(prt_elf_t *file, size_t *inflated);
static unsigned prt_elf_drop_unused(prt_elf_t *file);
static void prt_elf_drop(prt_elf_t *file, Elf_Scn *scn);
static int prt_elf_type(const prt_elf_t *file);
static int prt_elf_check(const prt_elf_t *file, size_t size,
    size_t *inflated);
static int prt_elf_check_sections(const prt_elf_t *file, size_t size,
    size_t *inflated);
static size_t prt_elf_inflate(prt_elf_t *file, size_t size, size_t inflated);
static size_t prt_elf_discard(uint8_t *data, size_t size);
static const char *prt_elf_supplement(const prt_elf_t *file, unsigned shared,
    const uint8_t **id, unsigned *len);
static int prt_elf_inflate_section(const Elf64_Chdr *chdr,
    const uint8_t *data, size_t size, uint8_t *out);
static int prt_elf_same_segments(const prt_elf_t *file,
    const prt_image_t *image);


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


static int
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


static size_t
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


/* libelf may have read what was changed since. */

static int
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


/* What no name needs is not inflated, and takes no memory. */

static unsigned
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
                file->given_back += prt_elf_discard(file->memory
                                                    + shdr.sh_offset,
                                                    shdr.sh_size);
                prt_elf_drop(file, scn);
                n++;
                break;
            }
        }
    }

    return n;
}


/* It has no contents from now on; to be seen when it is opened again. */

static void
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

        file->given_back += prt_elf_discard(file->memory + shdr.sh_offset,
                                            shdr.sh_size);
    }

    /* Hostile sections overlap, and would be counted twice. */

    if (file->given_back > file->size) {
        file->given_back = file->size;
    }
}


/*
 * Puts inflated sections behind the image, and tells so in their headers.
 * Returns the image's new size, or 0.  One that cannot be inflated is no
 * section any more.
 */

static size_t
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

        file->given_back += prt_elf_discard(data, shdr[i].sh_size);

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

static size_t
prt_elf_discard(uint8_t *data, size_t size)
{
    uintptr_t  start, end;

    start = ((uintptr_t) data + PRT_ELF_PAGE - 1) & ~(PRT_ELF_PAGE - 1);
    end = ((uintptr_t) data + size) & ~(PRT_ELF_PAGE - 1);

    if (start >= end) {
        return 0;
    }

    (void) madvise((void *) start, end - start, MADV_DONTNEED);

    return end - start;
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


const char *
prt_elf_sharedlink(const prt_elf_t *file, const uint8_t **id, unsigned *len)
{
    Elf_Scn     *scn;
    Elf_Data    *data;
    GElf_Shdr    shdr;
    const char  *name, *end;

    scn = prt_elf_section(file, PRT_ELF_ALTLINK, &shdr);

    if (scn == NULL) {
        return prt_elf_supplement(file, 0, id, len);
    }

    data = elf_rawdata(scn, NULL);

    if (data == NULL || data->d_buf == NULL) {
        return NULL;
    }

    name = data->d_buf;
    end = memchr(name, '\0', data->d_size);

    if (end == NULL || end == name) {
        return NULL;
    }

    *id = (const uint8_t *) end + 1;
    *len = (unsigned) (data->d_size - (size_t) (end + 1 - name));

    return *len && *len <= PRT_BUILD_ID_MAX ? name : NULL;
}


int
prt_elf_is_shared(const prt_elf_t *file, const uint8_t *id, unsigned len)
{
    unsigned        n;
    const uint8_t  *own;

    if (prt_elf_is(file, id, len)) {
        return 1;
    }

    return prt_elf_supplement(file, 1, &own, &n) != NULL
           && n == len
           && memcmp(own, id, len) == 0;
}


/*
 * DWARF 5, 7.3.6: version, whether it is the shared file, the other one's name,
 * and a checksum with its length.
 */

static const char *
prt_elf_supplement(const prt_elf_t *file, unsigned shared, const uint8_t **id,
    unsigned *len)
{
    Elf_Scn        *scn;
    Elf_Data       *data;
    GElf_Shdr       shdr;
    const char     *name;
    const uint8_t  *p, *last;

    scn = prt_elf_section(file, PRT_ELF_SUPPLEMENT, &shdr);

    if (scn == NULL
        || (data = elf_rawdata(scn, NULL)) == NULL
        || data->d_buf == NULL
        || data->d_size < 5)
    {
        return NULL;
    }

    p = data->d_buf;
    last = p + data->d_size;

    if (p[0] != 5 || p[1] != 0 || p[2] != shared) {
        return NULL;
    }

    name = (const char *) p + 3;
    p = memchr(name, '\0', data->d_size - 3);

    if (p == NULL || last - p < 2 || p[1] == 0 || p[1] > PRT_BUILD_ID_MAX
        || last - p < 2 + p[1])
    {
        return NULL;
    }

    *len = p[1];
    *id = p + 2;

    return name;
}


int
prt_elf_drop_sharedlink(prt_elf_t *file)
{
    size_t      inflated;
    Elf_Scn    *scn;
    GElf_Shdr   shdr;

    scn = prt_elf_section(file, PRT_ELF_ALTLINK, &shdr);

    if (scn == NULL) {
        return 0;
    }

    prt_elf_drop(file, scn);

    return prt_elf_again(file, &inflated);
}


int
prt_elf_crc(const char *path, uint32_t *crc)
{
    int          fd;
    uLong        sum;
    ssize_t      n;
    uint8_t     *buf;
    struct stat  st;

    fd = prt_elf_open_file(path, &st);
    if (fd == -1) {
        return -1;
    }

    buf = malloc(PRT_ELF_CRC_CHUNK);
    if (buf == NULL) {
        (void) close(fd);
        return -1;
    }

    sum = crc32(0, NULL, 0);

    for ( ;; ) {
        n = read(fd, buf, PRT_ELF_CRC_CHUNK);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {
            break;
        }

        sum = crc32(sum, buf, (uInt) n);
    }

    free(buf);
    (void) close(fd);

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
