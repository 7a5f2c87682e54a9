
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/auxv.h>

#include "platform/prt_loaded.h"


#define PRT_PAGE               4096
#define PRT_TABLES_UNUSED      16         /* kept of objects that are gone */


/* A table, kept while objects use it and some time beyond. */

struct prt_cached_s {
    prt_cached_t          *next;          /* the last used first */
    prt_ehframe_t         *table;
    uint64_t               key[2];
    unsigned               refs;
};


static void prt_object_headers(prt_object_t *object);
static void prt_object_kind(prt_object_t *object);
static void prt_object_build_id(prt_object_t *object);
static int prt_object_in_segment(const prt_object_t *object, uint64_t vaddr,
    uint64_t *left);
static int prt_object_find_hdr(const prt_object_t *object, prt_bytes_t *hdr);
static int prt_object_name(prt_object_t *object, const char *name);
static int prt_object_copy_frame(prt_loaded_t *loaded,
    const prt_bytes_t *hdr);
static uint64_t prt_hash(uint64_t h, const void *data, size_t size);


static prt_cached_t  *prt_tables;
static const void    *prt_object_own;


void
prt_objects_own(const void *address)
{
    prt_object_own = address;
}


int
prt_object_fde(const prt_object_t *object, uintptr_t vaddr, uintptr_t *start,
    uintptr_t *end)
{
    uint64_t  from, to;

    if (object->table == NULL
        || prt_ehframe_function(object->table, vaddr, &from, &to) != 0)
    {
        return -1;
    }

    *start = (uintptr_t) from;
    *end = (uintptr_t) to;

    return 0;
}


int
prt_readable(uintptr_t addr, size_t size)
{
    uintptr_t  last;

    if (size == 0) {
        return 1;
    }

    last = addr + size - 1;

    if (last < addr) {
        return 0;
    }

    /* a probe reads 8 bytes: it must not reach past the end */

    for (addr &= ~(uintptr_t) 7; ; addr = (addr | (PRT_PAGE - 1)) + 1) {

        if (!prt_arch_readable(addr)) {
            return 0;
        }

        if (last - addr < PRT_PAGE - (addr & (PRT_PAGE - 1))) {
            return 1;
        }
    }
}


/*
 * What is cheap to tell of an object; enough to find out whether the last map
 * has it.
 */

prt_loaded_t *
prt_loaded_create(const struct dl_phdr_info *info, int is_main)
{
    size_t         len;
    const char    *name;
    prt_bytes_t    hdr;
    ElfW(Phdr)    *phdr;
    prt_loaded_t  *loaded;
    prt_object_t  *object;

    len = info->dlpi_phnum * sizeof(ElfW(Phdr));
    name = info->dlpi_name ? info->dlpi_name : "";

    phdr = malloc(len);
    loaded = calloc(1, sizeof(prt_loaded_t));

    if (phdr == NULL || loaded == NULL) {
        free(phdr);
        free(loaded);
        return NULL;
    }

    memcpy(phdr, info->dlpi_phdr, len);

    object = &loaded->object;
    object->phdr = phdr;
    object->phnum = info->dlpi_phnum;
    object->bias = info->dlpi_addr;
    object->is_main = is_main != 0;

    prt_object_headers(object);
    prt_object_kind(object);
    prt_object_build_id(object);

    loaded->hash = prt_hash(0, name, strlen(name));
    loaded->hash = prt_hash(loaded->hash, &object->bias, sizeof(uintptr_t));
    loaded->hash = prt_hash(loaded->hash, phdr, len);
    loaded->hash = prt_hash(loaded->hash, object->build_id,
                            object->build_id_len);

    if (object->build_id_len == 0 && prt_object_find_hdr(object, &hdr) == 0) {
        loaded->hash = prt_hash(loaded->hash, hdr.data, hdr.size);
    }

    return loaded;
}


int
prt_loaded_read(prt_loaded_t *loaded, const char *name)
{
    prt_bytes_t  hdr;

    if (prt_object_name(&loaded->object, name ? name : "") != 0) {
        return -1;
    }

    if (prt_object_find_hdr(&loaded->object, &hdr) != 0) {
        return 0;
    }

    return prt_object_copy_frame(loaded, &hdr);
}


int
prt_loaded_build(prt_loaded_t *loaded)
{
    int              rc;
    unsigned         i;
    uint64_t         key[2], start, end;
    prt_cached_t    *cached, **link;
    prt_object_t    *object;
    prt_ehframe_t   *table;

    object = &loaded->object;

    if (loaded->copy == NULL) {
        return 0;
    }

    key[0] = prt_hash(1, loaded->hdr.data, loaded->hdr.size);
    key[0] = prt_hash(key[0], object->build_id, object->build_id_len);
    key[1] = prt_hash(2, object->path, strlen(object->path));
    key[1] = prt_hash(key[1], object->segments, sizeof(object->segments));

    for (link = &prt_tables; *link; link = &(*link)->next) {
        cached = *link;

        if (cached->key[0] == key[0] && cached->key[1] == key[1]) {
            *link = cached->next;
            goto found;
        }
    }

    start = UINT64_MAX;
    end = 0;

    for (i = 0; i < object->nsegments; i++) {

        if (object->segments[i].vaddr < start) {
            start = object->segments[i].vaddr;
        }

        if (object->segments[i].vaddr + object->segments[i].size > end) {
            end = object->segments[i].vaddr + object->segments[i].size;
        }
    }

    rc = prt_ehframe_create(&loaded->hdr, &loaded->frame, start, end, &table);

    free(loaded->copy);
    loaded->copy = NULL;

    if (rc != 0) {
        return -1;
    }

    cached = calloc(1, sizeof(prt_cached_t));
    if (cached == NULL) {
        prt_ehframe_free(table);
        return -1;
    }

    cached->table = table;
    cached->key[0] = key[0];
    cached->key[1] = key[1];

found:

    free(loaded->copy);
    loaded->copy = NULL;

    cached->next = prt_tables;
    prt_tables = cached;

    cached->refs++;
    loaded->cached = cached;
    object->table = cached->table;

    return 0;
}


void
prt_loaded_free(prt_loaded_t *loaded)
{
    if (loaded->cached) {
        loaded->cached->refs--;
    }

    free((void *) loaded->object.path);
    free((void *) loaded->object.phdr);
    free(loaded->copy);
    free(loaded);
}


void
prt_tables_trim(void)
{
    unsigned        unused;
    prt_cached_t   *cached, **link;

    unused = 0;
    link = &prt_tables;

    while (*link) {
        cached = *link;

        if (cached->refs || ++unused <= PRT_TABLES_UNUSED) {
            link = &cached->next;
            continue;
        }

        *link = cached->next;
        prt_ehframe_free(cached->table);
        free(cached);
    }
}


static void
prt_object_headers(prt_object_t *object)
{
    unsigned              i;
    const ElfW(Phdr)     *ph;
    prt_image_segment_t  *segment;

    for (i = 0; i < object->phnum; i++) {
        ph = &object->phdr[i];

        if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X)
            || ph->p_memsz == 0 || object->nsegments == PRT_IMAGE_SEGMENTS
            || ph->p_vaddr + ph->p_memsz < ph->p_vaddr
            || object->bias + ph->p_vaddr + ph->p_memsz
               < object->bias + ph->p_vaddr)
        {
            continue;
        }

        segment = &object->segments[object->nsegments++];
        segment->vaddr = ph->p_vaddr;
        segment->size = ph->p_memsz;
        segment->offset = ph->p_offset;
    }
}


static void
prt_object_kind(prt_object_t *object)
{
    unsigned            i;
    uintptr_t           self, other, vdso, header;
    const ElfW(Ehdr)   *ehdr;
    const ElfW(Phdr)   *ph;

    self = (uintptr_t) &prt_objects_refresh - object->bias;
    other = (uintptr_t) prt_object_own - object->bias;
    vdso = getauxval(AT_SYSINFO_EHDR);

    for (i = 0; i < object->nsegments; i++) {
        if (self - object->segments[i].vaddr < object->segments[i].size
            || (other - object->segments[i].vaddr < object->segments[i].size
                && !object->is_main))
        {
            object->own = 1;
        }
    }

    /* the ELF header stands at the start of the file, so of some segment */

    for (i = 0; i < object->phnum; i++) {
        ph = &object->phdr[i];

        if (ph->p_type != PT_LOAD || ph->p_offset != 0) {
            continue;
        }

        header = object->bias + ph->p_vaddr;

        if (vdso && header == vdso) {
            object->is_vdso = 1;
            object->is_main = 0;
            object->image = (const uint8_t *) header;

            /* the section headers stand behind what the segment claims */
            object->image_size = (ph->p_filesz + PRT_PAGE - 1)
                                 & ~(size_t) (PRT_PAGE - 1);
        }

        if (header == getauxval(AT_BASE)) {
            object->is_loader = 1;
        }

        if (prt_readable(header, sizeof(ElfW(Ehdr)))) {
            ehdr = (const ElfW(Ehdr) *) header;
            object->is_exec_type = memcmp(ehdr->e_ident, ELFMAG, SELFMAG) == 0
                                   && ehdr->e_type == ET_EXEC;
        }

        break;
    }
}


/* Whether an address is in the file's part of a segment, and what is left. */

static int
prt_object_in_segment(const prt_object_t *object, uint64_t vaddr,
    uint64_t *left)
{
    unsigned           i;
    const ElfW(Phdr)  *ph;

    for (i = 0; i < object->phnum; i++) {
        ph = &object->phdr[i];

        if (ph->p_type == PT_LOAD && vaddr - ph->p_vaddr < ph->p_filesz) {
            *left = ph->p_filesz - (vaddr - ph->p_vaddr);
            return 1;
        }
    }

    return 0;
}


static void
prt_object_build_id(prt_object_t *object)
{
    unsigned            i;
    uint64_t            pos, size, left, align, name, desc;
    const uint8_t      *data;
    const ElfW(Phdr)   *ph;
    ElfW(Nhdr)          note;

    for (i = 0; i < object->phnum; i++) {
        ph = &object->phdr[i];

        if (ph->p_type != PT_NOTE
            || !prt_object_in_segment(object, ph->p_vaddr, &left))
        {
            continue;
        }

        size = ph->p_memsz < left ? ph->p_memsz : left;
        data = (const uint8_t *) (object->bias + ph->p_vaddr);
        align = ph->p_align == 8 ? 8 : 4;

        if (!prt_readable((uintptr_t) data, size)) {
            continue;
        }

        for (pos = 0; size - pos >= sizeof(ElfW(Nhdr)); ) {

            memcpy(&note, data + pos, sizeof(ElfW(Nhdr)));

            name = pos + sizeof(ElfW(Nhdr));
            desc = (name + note.n_namesz + align - 1) & ~(align - 1);
            pos = (desc + note.n_descsz + align - 1) & ~(align - 1);

            if (desc + note.n_descsz > size) {
                break;
            }

            if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4
                && memcmp(data + name, "GNU", 4) == 0
                && note.n_descsz && note.n_descsz <= PRT_BUILD_ID_MAX)
            {
                memcpy(object->build_id, data + desc, note.n_descsz);
                object->build_id_len = note.n_descsz;
                return;
            }

            if (pos > size) {
                break;
            }
        }
    }
}


/* The .eh_frame_hdr in memory; -1 and empty if there is none. */

static int
prt_object_find_hdr(const prt_object_t *object, prt_bytes_t *hdr)
{
    uint64_t           left;
    unsigned           i;
    const ElfW(Phdr)  *ph;

    ph = NULL;

    for (i = 0; i < object->phnum; i++) {
        if (object->phdr[i].p_type == PT_GNU_EH_FRAME) {
            ph = &object->phdr[i];
        }
    }

    memset(hdr, 0, sizeof(prt_bytes_t));

    if (ph == NULL || !PRT_ARCH_TABLE
        || !prt_object_in_segment(object, ph->p_vaddr, &left))
    {
        return -1;
    }

    hdr->vaddr = ph->p_vaddr;
    hdr->size = (size_t) (ph->p_memsz < left ? ph->p_memsz : left);
    hdr->data = (const uint8_t *) (object->bias + ph->p_vaddr);

    if (!prt_readable((uintptr_t) hdr->data, hdr->size)) {
        hdr->size = 0;
        return -1;
    }

    return 0;
}


static int
prt_object_name(prt_object_t *object, const char *name)
{
    char            *path;
    ssize_t          n;
    char             target[PATH_MAX];

    static const char  deleted[] = " (deleted)";

    if (object->is_vdso) {
        path = strdup("[vdso]");

    } else if (object->is_main) {
        n = readlink("/proc/self/exe", target, sizeof(target) - 1);

        if (n <= 0) {
            path = strdup(name);

        } else {
            target[n] = '\0';
            n -= (ssize_t) sizeof(deleted) - 1;

            if (n > 0 && strcmp(target + n, deleted) == 0) {
                target[n] = '\0';
            }

            path = strdup(target);
        }

    } else if (*name == '/' || realpath(name, target) == NULL) {
        path = strdup(name);

    } else {
        path = strdup(target);
    }

    object->path = path;

    return path ? 0 : -1;
}


/*
 * Copies what the table is made of.  An object whose headers lie, or whose
 * memory cannot be read, has no table; that is no error.
 */

static int
prt_object_copy_frame(prt_loaded_t *loaded, const prt_bytes_t *hdr)
{
    size_t         total;
    uint64_t       start, size;
    prt_object_t  *object;

    object = &loaded->object;
    start = prt_ehframe_start(hdr);

    if (start == 0 || hdr->data == NULL
        || !prt_object_in_segment(object, start, &size)
        || !prt_readable(object->bias + start, (size_t) size))
    {
        return 0;
    }

    total = hdr->size + (size_t) size;

    if (total <= hdr->size) {
        return 0;
    }

    loaded->copy = malloc(total);
    if (loaded->copy == NULL) {
        return -1;
    }

    memcpy(loaded->copy, hdr->data, hdr->size);
    memcpy(loaded->copy + hdr->size, (const void *) (object->bias + start),
           (size_t) size);

    loaded->hdr.data = loaded->copy;
    loaded->hdr.size = hdr->size;
    loaded->hdr.vaddr = hdr->vaddr;

    loaded->frame.data = loaded->copy + hdr->size;
    loaded->frame.size = (size_t) size;
    loaded->frame.vaddr = start;

    return 0;
}


static uint64_t
prt_hash(uint64_t h, const void *data, size_t size)
{
    uint64_t        word;
    const uint8_t  *p = data;

    h ^= size * 0x9e3779b97f4a7c15;

    while (size) {
        word = 0;
        memcpy(&word, p, size < 8 ? size : 8);
        p += size < 8 ? size : 8;
        size -= size < 8 ? size : 8;

        h = (h ^ word) * 0xff51afd7ed558ccd;
        h ^= h >> 32;
    }

    return h;
}
