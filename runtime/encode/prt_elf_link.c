
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Which files belong together: build IDs, debuglinks, shared debug info.
 */


#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <elfutils/libdwelf.h>
#include <zlib.h>

#include "encode/prt_elf_file.h"


#define PRT_ELF_CRC_CHUNK    65536       /* bytes */

#define PRT_ELF_ALTLINK      ".gnu_debugaltlink"
#define PRT_ELF_SUPPLEMENT   ".debug_sup"


static int prt_elf_same_segments(const prt_elf_t *file,
    const prt_image_t *image);
static const char *prt_elf_supplement(const prt_elf_t *file, unsigned shared,
    const uint8_t **id, unsigned *len);


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
