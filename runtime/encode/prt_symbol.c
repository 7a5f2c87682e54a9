
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "encode/prt_ballast.h"
#include "encode/prt_debugfile.h"
#include "encode/prt_pages.h"
#include "encode/prt_symbol.h"
#include "encode/prt_symbol_object.h"
#include "encode/prt_texts.h"


#define PRT_SYMBOLS_CHECK      (2ull * 1000000000)       /* ns between looks at files */
#define PRT_SYMBOLS_REFUSED    (600ull * 1000000000)     /* ns until asked for again */
#define PRT_SYMBOLS_OBJECTS    512
#define PRT_SYMBOLS_LIMIT_EACH 256                       /* look-ups */


struct prt_symbols_s {
    prt_symbol_object_t  *objects;       /* the last used first */
    size_t                nobjects;
    prt_texts_t           texts;         /* outlive their files */
    prt_pages_t           pages;         /* the texts, and the objects */
    prt_ballast_t         ballast;
    char                 *dirs;
    uint64_t              lookups;
    unsigned              epoch;         /* of trimming */
};


static unsigned prt_symbols_synthetic(const prt_image_t *image,
    uint64_t vaddr, prt_symbol_t *out, unsigned max);
static int prt_symbols_place_cmp(const void *one, const void *two);
static prt_symbol_object_t *prt_symbols_object(prt_symbols_t *symbols,
    const prt_image_t *image);
static void prt_symbols_open(prt_symbols_t *symbols,
    prt_symbol_object_t *object, const prt_image_t *image);
static int prt_symbols_same(const prt_symbol_object_t *object,
    const prt_image_t *image);
static void prt_symbols_check(prt_symbols_t *symbols,
    prt_symbol_object_t *object);
static unsigned prt_symbols_name(prt_symbols_t *symbols,
    prt_symbol_object_t *object, uint64_t vaddr, prt_symbol_t *found);
static void prt_symbols_limit(prt_symbols_t *symbols,
    prt_symbol_object_t *current);
static void prt_symbols_forget(prt_symbols_t *symbols);
static uint64_t prt_symbols_now(void);


prt_symbols_t *
prt_symbols_create(void)
{
    prt_symbols_t  *symbols;

    symbols = calloc(1, sizeof(prt_symbols_t));
    if (symbols == NULL) {
        return NULL;
    }

    if (prt_symbols_debug_path(symbols, PRT_SYMBOLS_DEBUG_PATH) != 0) {
        free(symbols);
        return NULL;
    }

    return symbols;
}


void
prt_symbols_destroy(prt_symbols_t *symbols)
{
    prt_symbols_forget(symbols);
    prt_ballast_drop(&symbols->ballast);

    free(symbols->dirs);
    free(symbols);
}


int
prt_symbols_debug_path(prt_symbols_t *symbols, const char *path)
{
    char  *dirs;

    dirs = strdup(path);
    if (dirs == NULL) {
        return -1;
    }

    free(symbols->dirs);
    symbols->dirs = dirs;

    return 0;
}


unsigned
prt_symbols_lookup(prt_symbols_t *symbols, const prt_image_t *image,
    uint64_t vaddr, prt_symbol_t *out, unsigned max)
{
    unsigned              n;
    prt_symbol_t          found[PRT_SYMBOL_INLINES];
    const prt_symbol_t   *results;
    prt_symbol_object_t  *object;

    if (image->names) {
        return prt_symbols_synthetic(image, vaddr, out, max);
    }

    object = symbols ? prt_symbols_object(symbols, image) : NULL;
    if (object == NULL) {
        return 0;
    }

    results = prt_symbol_object_find(object, vaddr, &n);

    if (results == NULL) {

        if (object->opened && symbols->lookups % PRT_SYMBOLS_LIMIT_EACH == 0) {
            prt_symbols_limit(symbols, object);
        }

        if (!object->opened) {
            prt_symbols_open(symbols, object, image);
        }

        n = prt_symbols_name(symbols, object, vaddr, found);
        if (n == 0 || prt_symbol_object_store(object, vaddr, found, n) != 0) {
            return 0;
        }

        results = found;
    }

    if (n > max) {
        n = max;
    }

    memcpy(out, results, n * sizeof(prt_symbol_t));

    return n;
}


unsigned
prt_symbols_sources(prt_symbols_t *symbols, const prt_image_t *image)
{
    prt_symbol_object_t  *object;

    if (image->names) {
        return PRT_SYMBOL_GIVEN;
    }

    object = symbols ? prt_symbols_object(symbols, image) : NULL;
    if (object == NULL) {
        return PRT_SYMBOL_NONE;
    }

    if (object->sources == 0) {
        prt_symbols_open(symbols, object, image);
    }

    return object->sources;
}


void
prt_symbols_note(prt_symbols_t *symbols, const prt_image_t *image,
    uint32_t addresses, uint32_t unnamed)
{
    prt_symbol_object_t  *object;

    object = symbols ? prt_symbols_object(symbols, image) : NULL;

    if (object) {
        object->addresses = addresses;
        object->unnamed = unnamed;
    }
}


unsigned
prt_symbols_noted(prt_symbols_t *symbols, prt_naming_t *noted, unsigned max)
{
    unsigned              n;
    prt_symbol_object_t  *object;

    n = 0;

    for (object = symbols->objects; object && n < max; object = object->next) {

        if (object->addresses == 0) {
            continue;
        }

        noted[n].path = object->path;
        noted[n].sources = object->sources;
        noted[n].addresses = object->addresses;
        noted[n].unnamed = object->unnamed;
        n++;
    }

    return n;
}


const char *
prt_symbols_source(unsigned sources)
{
    unsigned  i;

    static const struct {
        unsigned     flag;
        const char  *text;
    } texts[] = {
        { PRT_SYMBOL_REBUILT, "debug info of a rebuild" },
        { PRT_SYMBOL_DEBUG, "debug info" },
        { PRT_SYMBOL_SYMTAB, "symbol table" },
        { PRT_SYMBOL_DYNSYM, "dynamic symbols" },
        { PRT_SYMBOL_PLT, "dynamic symbols" },
        { PRT_SYMBOL_FDE, "unwind information" }
    };

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (sources & texts[i].flag) {
            return texts[i].text;
        }
    }

    return sources & PRT_SYMBOL_DENIED
           ? "nothing: the workers may not read its file"
           : "nothing: its file is not there, or is another one";
}


const char *
prt_symbols_advice(unsigned sources)
{
    if (!(sources & PRT_SYMBOL_NONE)) {
        return NULL;
    }

    return sources & PRT_SYMBOL_DENIED
           ? "let the workers read"
           : "restart or upgrade nginx, which runs another file than";
}


static unsigned
prt_symbols_synthetic(const prt_image_t *image, uint64_t vaddr,
    prt_symbol_t *out, unsigned max)
{
    uint64_t         i;
    uint32_t         number;
    const uint32_t  *place;

    i = vaddr / PRT_IMAGE_NAME_STEP;

    if (image->places) {
        number = i < UINT32_MAX ? (uint32_t) i : UINT32_MAX;

        place = bsearch(&number, image->places, image->nnames,
                        sizeof(uint32_t), prt_symbols_place_cmp);

        i = place ? (uint64_t) (place - image->places) : image->nnames;
    }

    if (i >= image->nnames || max == 0) {
        return 0;
    }

    memset(out, 0, sizeof(prt_symbol_t));

    out->name = image->names[i];
    out->from = PRT_SYMBOL_GIVEN;

    return 1;
}


static int
prt_symbols_place_cmp(const void *one, const void *two)
{
    const uint32_t  *a = one, *b = two;

    return (*a > *b) - (*a < *b);
}


static prt_symbol_object_t *
prt_symbols_object(prt_symbols_t *symbols, const prt_image_t *image)
{
    prt_symbol_object_t  *object, **prev;

    prev = &symbols->objects;

    for (object = *prev; object; object = *prev) {
        if (prt_symbols_same(object, image)) {
            *prev = object->next;
            break;
        }

        prev = &object->next;
    }

    if (object == NULL) {
        object = prt_symbol_object_create(image, &symbols->pages);
        if (object == NULL) {
            return NULL;
        }

        object->epoch = symbols->epoch;
        object->checked = prt_symbols_now();
        symbols->nobjects++;
    }

    object->next = symbols->objects;
    symbols->objects = object;

    object->wanted = 1;
    symbols->lookups++;

    if (object->epoch != symbols->epoch) {
        object->epoch = symbols->epoch;
        prt_symbols_check(symbols, object);
    }

    return object;
}


static void
prt_symbols_open(prt_symbols_t *symbols, prt_symbol_object_t *object,
    const prt_image_t *image)
{
    prt_ballast_load(&symbols->ballast);

    prt_symbol_object_open(object, image, symbols->dirs);

    prt_symbols_limit(symbols, object);
}


static int
prt_symbols_same(const prt_symbol_object_t *object, const prt_image_t *image)
{
    return object->build_id_len == image->build_id_len
           && memcmp(object->build_id, image->build_id, image->build_id_len)
              == 0
           && strcmp(object->path, image->path) == 0;
}


/* A debug file may have been installed meanwhile. */

static void
prt_symbols_check(prt_symbols_t *symbols, prt_symbol_object_t *object)
{
    uint64_t  now;

    if (object->sources == 0
        || ((object->sources & PRT_SYMBOL_DEBUG) && !object->lacking))
    {
        return;
    }

    now = prt_symbols_now();

    if (now - object->checked < PRT_SYMBOLS_CHECK) {
        return;
    }

    object->checked = now;

    if (prt_symbol_object_changed(object, symbols->dirs)) {
        prt_symbol_object_forget(object);
        prt_symbol_object_close(object);
        object->sources = 0;
    }
}


static unsigned
prt_symbols_name(prt_symbols_t *symbols, prt_symbol_object_t *object,
    uint64_t vaddr, prt_symbol_t *found)
{
    char      buf[PRT_SYMBOL_NAME];
    unsigned  i, n;

    n = prt_symbol_object_name(object, vaddr, found, buf);

    for (i = 0; i < n; i++) {

        found[i].name = prt_texts_keep(&symbols->texts, found[i].name,
                                       &symbols->pages);
        if (found[i].name == NULL) {
            return 0;
        }

        if (found[i].file) {
            found[i].file = prt_texts_keep(&symbols->texts, found[i].file,
                                           &symbols->pages);
            if (found[i].file == NULL) {
                return 0;
            }
        }
    }

    return n;
}


/*
 * Objects that were not used for the longest time are closed first.  The one
 * in use is closed only if what it has grown by since is worth it: else a
 * large one would be opened for every look-up.
 */

static void
prt_symbols_limit(prt_symbols_t *symbols, prt_symbol_object_t *current)
{
    size_t                grown;
    prt_symbol_object_t  *object, *last;

    while (prt_symbols_memory(symbols) > PRT_SYMBOLS_MEMORY) {
        last = NULL;

        for (object = symbols->objects; object; object = object->next) {
            if (object->opened && object != current) {
                last = object;
            }
        }

        if (last == NULL) {
            break;
        }

        prt_symbol_object_close(last);
    }

    if (current->dwarf == NULL
        || prt_symbols_memory(symbols) <= PRT_SYMBOLS_MEMORY)
    {
        return;
    }

    (void) prt_dwarf_memory(current->dwarf, &grown);

    if (grown > PRT_SYMBOLS_MEMORY / 2) {
        prt_symbol_object_close(current);
    }
}


size_t
prt_symbols_memory(prt_symbols_t *symbols)
{
    size_t                size;
    prt_symbol_object_t  *object;

    size = symbols->pages.size + prt_texts_memory(&symbols->texts);

    for (object = symbols->objects; object; object = object->next) {
        size += prt_symbol_object_results(object)
                + (object->opened ? prt_symbol_object_memory(object) : 0);
    }

    return size;
}


void
prt_symbols_trim(prt_symbols_t *symbols)
{
    prt_symbol_object_t  *object;

    for (object = symbols->objects; object; object = object->next) {
        prt_symbol_object_close(object);
    }

    symbols->epoch++;

    if (prt_symbols_memory(symbols) > PRT_SYMBOLS_KEEP
        || symbols->nobjects > PRT_SYMBOLS_OBJECTS)
    {
        prt_symbols_forget(symbols);
    }

    prt_ballast_drop(&symbols->ballast);
}


static void
prt_symbols_forget(prt_symbols_t *symbols)
{
    prt_symbol_object_t  *object, *next;

    for (object = symbols->objects; object; object = next) {
        next = object->next;
        prt_symbol_object_destroy(object);
    }

    symbols->objects = NULL;
    symbols->nobjects = 0;

    prt_texts_free(&symbols->texts);
    prt_pages_free(&symbols->pages);
}


unsigned
prt_symbols_fetch_missing(prt_symbols_t *symbols, uint64_t timeout,
    const atomic_int *cancel)
{
    char                 *path, **place;
    uint64_t              now;
    unsigned              n;
    prt_debuginfod_t     *client;
    prt_symbol_object_t  *object;

    n = 0;
    client = NULL;

    for (object = symbols->objects; object; object = object->next) {

        now = prt_symbols_now();

        if (!object->wanted
            || object->sources == 0
            || ((object->sources & PRT_SYMBOL_DEBUG) && !object->lacking)
            || object->build_id_len == 0
            || object->path[0] != '/'
            || object->refused > now)
        {
            continue;
        }

        if (client == NULL) {
            client = prt_debuginfod_create(now + timeout, cancel);
            if (client == NULL) {
                break;
            }
        }

        if (prt_debuginfod_ended(client)) {
            break;
        }

        if (object->lacking) {
            place = &object->shared_fetched;
            path = prt_debuginfod_fetch(client, object->shared_id,
                                        object->shared_id_len);

        } else {
            place = &object->fetched;
            path = prt_debuginfod_fetch(client, object->build_id,
                                        object->build_id_len);
        }

        /* Given up is not refused. */

        if (path == NULL && prt_debuginfod_ended(client)) {
            break;
        }

        object->wanted = 0;

        /* What has come may want another one, that it shares info with. */

        if (path == NULL || *place) {
            object->refused = prt_symbols_now() + PRT_SYMBOLS_REFUSED;
        }

        if (path) {
            free(*place);
            *place = path;

            /* What was found without it is forgotten when next looked at. */

            object->checked = 0;
            n++;
        }
    }

    if (client) {
        prt_debuginfod_destroy(client);
    }

    return n;
}


static uint64_t
prt_symbols_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec;
}
