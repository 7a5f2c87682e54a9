
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "encode/prt_debugfile.h"
#include "encode/prt_pages.h"
#include "encode/prt_symbol_object.h"


#define PRT_SYMBOL_PROGRAM   "/proc/self/exe"


static const char *prt_symbol_object_text(prt_symbol_object_t *object,
    const char *old, const char *text);
static void prt_symbol_object_own(prt_symbol_object_t *object,
    const prt_image_t *image);
static void prt_symbol_object_dwarf(prt_symbol_object_t *object,
    prt_elf_t *file, const char *path, const char *dirs);
static int prt_symbol_object_tables(prt_symbol_object_t *object,
    unsigned *sources);
static prt_debugfile_t prt_symbol_object_debugfile(
    prt_symbol_object_t *object, const char *dirs);
static void prt_symbol_object_symbol(prt_symbol_object_t *object,
    uint64_t vaddr, prt_symbol_t *out, char *buf);
static size_t prt_symbol_object_place(const prt_symbol_object_t *object,
    uint64_t vaddr);
static int prt_symbol_object_grow(prt_symbol_object_t *object);


prt_symbol_object_t *
prt_symbol_object_create(const prt_image_t *image, prt_pages_t *pages)
{
    const char           *slash;
    prt_symbol_object_t  *object;

    object = prt_pages_alloc(pages, sizeof(prt_symbol_object_t));
    if (object == NULL) {
        return NULL;
    }

    object->pages = pages;

    object->path = prt_symbol_object_text(object, NULL, image->path);
    if (object->path == NULL) {
        return NULL;
    }

    slash = strrchr(object->path, '/');
    object->name = slash ? slash + 1 : object->path;

    object->build_id_len = image->build_id_len;
    memcpy(object->build_id, image->build_id, image->build_id_len);

    return object;
}


void
prt_symbol_object_destroy(prt_symbol_object_t *object)
{
    prt_symbol_object_close(object);
    prt_symbol_object_forget(object);

    free(object->fetched);
    free(object->shared_fetched);
}


/* A copy; the old one again, when it is equal: each opening has the same. */

static const char *
prt_symbol_object_text(prt_symbol_object_t *object, const char *old,
    const char *text)
{
    char    *copy;
    size_t   size;

    if (text == NULL || (old && strcmp(old, text) == 0)) {
        return text ? old : NULL;
    }

    size = strlen(text) + 1;
    copy = prt_pages_alloc(object->pages, size);

    return copy ? memcpy(copy, text, size) : NULL;
}


void
prt_symbol_object_open(prt_symbol_object_t *object, const prt_image_t *image,
    const char *dirs)
{
    char              path[PATH_MAX];
    unsigned          sources;
    const char       *link;
    prt_debugfile_t   debug;

    sources = 0;
    object->opened = 1;

    prt_symbol_object_own(object, image);

    if (object->own.elf) {
        link = prt_elf_debuglink(&object->own, &object->crc);
        object->link = prt_symbol_object_text(object, object->link, link);

        prt_symbol_object_dwarf(object, &object->own, object->path, dirs);
    }

    debug = prt_symbol_object_debugfile(object, dirs);
    object->stamp = prt_debugfile_stamp(&debug);

    if (object->dwarf == NULL && image->memory == NULL) {

        switch (prt_debugfile_open(&debug, &object->debug, path)) {

        case PRT_DEBUGFILE_REBUILT:
            prt_symbol_object_dwarf(object, &object->debug, path, dirs);
            sources |= object->dwarf ? PRT_SYMBOL_REBUILT : 0;
            break;

        case PRT_DEBUGFILE_SAME:
            prt_symbol_object_dwarf(object, &object->debug, path, dirs);
            break;

        default:
            break;
        }
    }

    if (object->shared) {
        debug = prt_symbol_object_debugfile(object, dirs);
        object->stamp = prt_debugfile_stamp(&debug);
    }

    /* With memory short there are fewer names, but none that is wrong. */

    (void) prt_symbol_object_tables(object, &sources);
    prt_elf_names_sort(&object->names);

    prt_elf_give_back(&object->own);
    prt_elf_give_back(&object->debug);
    prt_elf_give_back(&object->mini);
    prt_elf_give_back(&object->common);

    if (object->dwarf) {
        sources |= PRT_SYMBOL_DEBUG;
    }

    if (sources == 0) {
        sources = PRT_SYMBOL_NONE;

        if (faccessat(AT_FDCWD, object->path, R_OK, AT_EACCESS) == -1
            && errno == EACCES)
        {
            sources |= PRT_SYMBOL_DENIED;
        }
    }

    object->sources = sources;
}


/* Debug info of a file, with that which it shares with others. */

static void
prt_symbol_object_dwarf(prt_symbol_object_t *object, prt_elf_t *file,
    const char *path, const char *dirs)
{
    unsigned          len;
    const char       *shared;
    const uint8_t    *id;
    prt_debugfile_t   debug;

    object->lacking = 0;

    shared = prt_dwarf_has(file) ? prt_elf_sharedlink(file, &id, &len) : NULL;

    object->shared = prt_symbol_object_text(object, object->shared, shared);

    if (shared) {
        object->shared_by = prt_symbol_object_text(object, object->shared_by,
                                                   path);
        object->shared_id_len = len;
        memcpy(object->shared_id, id, len);

        debug = prt_symbol_object_debugfile(object, dirs);

        object->lacking = (debug.shared == NULL
                           || prt_debugfile_open_shared(&debug,
                                                        &object->common)
                              != 0);
    }

    if (prt_dwarf_has(file)) {
        object->dwarf = prt_dwarf_open(file, &object->common);
    }
}


/*
 * A program that was replaced by a newer one is still to be had: by its
 * process.
 */

static void
prt_symbol_object_own(prt_symbol_object_t *object, const prt_image_t *image)
{
    unsigned     i;
    const char  *path;

    if (image->memory) {

        if (prt_elf_open_memory(&object->own, image->memory,
                                image->memory_size) == 0
            && !prt_elf_is_image(&object->own, image))
        {
            prt_elf_close(&object->own);
        }

        return;
    }

    for (i = 0; i < 2; i++) {

        path = (i == 0) ? object->path : PRT_SYMBOL_PROGRAM;

        if (path[0] != '/' || prt_elf_open(&object->own, path) != 0) {
            continue;
        }

        if (prt_elf_is_image(&object->own, image)
            && (i == 0 || image->build_id_len))
        {
            return;
        }

        prt_elf_close(&object->own);
    }
}


static int
prt_symbol_object_tables(prt_symbol_object_t *object, unsigned *sources)
{
    prt_elf_names_t  *names;

    names = &object->names;

    if (object->debug.elf
        && prt_elf_names_symbols(names, &object->debug, sources) != 0)
    {
        return -1;
    }

    if (object->own.elf == NULL) {
        return 0;
    }

    if (prt_elf_names_symbols(names, &object->own, sources) != 0) {
        return -1;
    }

    if (!(*sources & PRT_SYMBOL_SYMTAB)
        && prt_elf_debugdata(&object->own, &object->mini) == 0
        && prt_elf_names_symbols(names, &object->mini, sources) != 0)
    {
        return -1;
    }

    prt_elf_names_sort(names);

    if (prt_elf_names_plt(names, &object->own, sources) != 0) {
        return -1;
    }

    return prt_elf_names_fdes(names, &object->own, sources);
}


static prt_debugfile_t
prt_symbol_object_debugfile(prt_symbol_object_t *object, const char *dirs)
{
    prt_debugfile_t  debug;

    debug.dirs = dirs;
    debug.path = object->path;
    debug.build_id = object->build_id;
    debug.build_id_len = object->build_id_len;
    debug.link = object->link;
    debug.crc = object->crc;
    debug.fetched = object->fetched;
    debug.own = object->own.elf ? &object->own : NULL;
    debug.proofs = &object->proofs;

    debug.shared = object->shared_by ? object->shared : NULL;
    debug.shared_by = object->shared_by;
    debug.shared_id = object->shared_id;
    debug.shared_id_len = object->shared_id_len;
    debug.shared_fetched = object->shared_fetched;

    return debug;
}


void
prt_symbol_object_close(prt_symbol_object_t *object)
{
    if (!object->opened) {
        return;
    }

    if (object->dwarf) {
        prt_dwarf_close(object->dwarf);
        object->dwarf = NULL;
    }

    prt_elf_names_free(&object->names);

    prt_elf_close(&object->mini);
    prt_elf_close(&object->common);
    prt_elf_close(&object->debug);
    prt_elf_close(&object->own);

    object->opened = 0;
}


int
prt_symbol_object_changed(prt_symbol_object_t *object, const char *dirs)
{
    prt_debugfile_t  debug;

    debug = prt_symbol_object_debugfile(object, dirs);

    return prt_debugfile_stamp(&debug) != object->stamp;
}


unsigned
prt_symbol_object_name(prt_symbol_object_t *object, uint64_t vaddr,
    prt_symbol_t out[PRT_SYMBOL_INLINES], char *buf)
{
    unsigned       i, n;
    const char    *name;
    prt_symbol_t  *outermost, symbol;

    n = 0;

    if (object->dwarf) {
        n = prt_dwarf_lookup(object->dwarf, vaddr, out, PRT_SYMBOL_INLINES);
    }

    if (n == 0) {
        prt_symbol_object_symbol(object, vaddr, out, buf);
        return 1;
    }

    outermost = &out[n - 1];

    if (outermost->name == NULL) {
        prt_symbol_object_symbol(object, vaddr, &symbol, buf);

        outermost->name = symbol.name;
        outermost->start = symbol.start;
        outermost->from = symbol.from;

    } else if (outermost->start) {

        /*
         * The name that a library's users know: "malloc" is "__libc_malloc"
         * in its source.
         */

        name = prt_elf_names_at(&object->names, outermost->start,
                                PRT_SYMBOL_DYNSYM);
        if (name) {
            outermost->name = name;
        }
    }

    for (i = 0; i < n; i++) {
        if (out[i].name == NULL) {
            out[i].name = "[inlined]";
        }
    }

    return n;
}


static void
prt_symbol_object_symbol(prt_symbol_object_t *object, uint64_t vaddr,
    prt_symbol_t *out, char *buf)
{
    prt_elf_range_t          range;
    const prt_elf_symbol_t  *symbol;

    memset(out, 0, sizeof(prt_symbol_t));

    symbol = prt_elf_names_symbol(&object->names, vaddr);

    if (symbol) {
        out->name = symbol->name;
        out->start = symbol->start;
        out->from = symbol->from;

        if (symbol->from == PRT_SYMBOL_PLT) {
            (void) snprintf(buf, PRT_SYMBOL_NAME, "%s@plt", symbol->name);
            out->name = buf;
        }

        return;
    }

    out->name = buf;

    if (prt_elf_names_fde(&object->names, vaddr, &range) >= 0) {
        (void) snprintf(buf, PRT_SYMBOL_NAME, "%.400s@0x%llx", object->name,
                        (unsigned long long) range.start);

        out->start = range.start;
        out->from = PRT_SYMBOL_FDE;

        return;
    }

    (void) snprintf(buf, PRT_SYMBOL_NAME, "%.400s@?", object->name);

    out->from = PRT_SYMBOL_NONE;
}


const prt_symbol_t *
prt_symbol_object_find(prt_symbol_object_t *object, uint64_t vaddr,
    unsigned *n)
{
    prt_symbol_key_t  *key;

    if (object->nkeys == 0) {
        return NULL;
    }

    key = &object->keys[prt_symbol_object_place(object, vaddr)];

    if (key->n == 0) {
        return NULL;
    }

    *n = key->n;

    return &object->results[key->first];
}


int
prt_symbol_object_store(prt_symbol_object_t *object, uint64_t vaddr,
    const prt_symbol_t *found, unsigned n)
{
    void              *p;
    size_t             size;
    prt_symbol_key_t  *key;

    if (object->nresults + n > UINT32_MAX) {
        return -1;
    }

    if (object->nresults + n > object->aresults) {
        size = object->aresults ? object->aresults * 2 : 256;

        p = prt_pages_grow(object->results,
                           object->aresults * sizeof(prt_symbol_t),
                           size * sizeof(prt_symbol_t));
        if (p == NULL) {
            return -1;
        }

        object->results = p;
        object->aresults = size;
    }

    if (object->nkeys * 2 >= object->akeys
        && prt_symbol_object_grow(object) != 0)
    {
        return -1;
    }

    key = &object->keys[prt_symbol_object_place(object, vaddr)];

    if (key->n == 0) {
        object->nkeys++;
    }

    key->vaddr = vaddr;
    key->first = (uint32_t) object->nresults;
    key->n = n;

    memcpy(&object->results[object->nresults], found,
           n * sizeof(prt_symbol_t));
    object->nresults += n;

    return 0;
}


static int
prt_symbol_object_grow(prt_symbol_object_t *object)
{
    size_t             i, n, size;
    prt_symbol_key_t  *old;

    old = object->keys;
    n = object->akeys;
    size = n ? n * 2 : 256;

    object->keys = prt_pages_grow(NULL, 0, size * sizeof(prt_symbol_key_t));
    if (object->keys == NULL) {
        object->keys = old;
        return -1;
    }

    object->akeys = size;

    for (i = 0; i < n; i++) {
        if (old[i].n) {
            object->keys[prt_symbol_object_place(object, old[i].vaddr)]
                = old[i];
        }
    }

    prt_pages_drop(old, n * sizeof(prt_symbol_key_t));

    return 0;
}


/* The address's place, or the empty one where it belongs. */

static size_t
prt_symbol_object_place(const prt_symbol_object_t *object, uint64_t vaddr)
{
    size_t  i, mask;

    mask = object->akeys - 1;
    i = (size_t) ((vaddr * 0x9e3779b97f4a7c15) >> 32) & mask;

    while (object->keys[i].n && object->keys[i].vaddr != vaddr) {
        i = (i + 1) & mask;
    }

    return i;
}


void
prt_symbol_object_forget(prt_symbol_object_t *object)
{
    prt_pages_drop(object->keys, object->akeys * sizeof(prt_symbol_key_t));
    prt_pages_drop(object->results,
                   object->aresults * sizeof(prt_symbol_t));

    object->keys = NULL;
    object->nkeys = 0;
    object->akeys = 0;

    object->results = NULL;
    object->nresults = 0;
    object->aresults = 0;
}


size_t
prt_symbol_object_memory(const prt_symbol_object_t *object)
{
    size_t  size, grown;

    size = prt_elf_names_memory(&object->names)
           + object->own.size - object->own.given_back
           + object->debug.size - object->debug.given_back
           + object->common.size - object->common.given_back
           + object->mini.size - object->mini.given_back;

    if (object->dwarf) {
        size += prt_dwarf_memory(object->dwarf, &grown);
    }

    return size;
}


size_t
prt_symbol_object_results(const prt_symbol_object_t *object)
{
    return object->akeys * sizeof(prt_symbol_key_t)
           + object->aresults * sizeof(prt_symbol_t);
}
