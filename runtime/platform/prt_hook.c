
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * An entry is changed when it leads to the original, and changed back when it
 * leads to the replacement: both ways are one search through the relocations
 * of the objects that are loaded at that time.  Nothing is remembered that
 * could point into an object which is gone.
 */


#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "platform/prt_hook.h"
#include "platform/prt_memory.h"


typedef enum {
    PRT_HOOK_EVERYWHERE,
    PRT_HOOK_MAIN,                        /* in the main program */
    PRT_HOOK_OUTSIDE                      /* in all others */
} prt_hook_where_t;


typedef struct {
    const char            *name;
    void                  *from;          /* NULL: whatever it is */
    void                  *to;
    int                    lazy;          /* entries not bound yet as well */
    prt_hook_where_t       where;
} prt_change_t;


/* What the dynamic section of an object tells. */

typedef struct {
    const prt_object_t    *object;
    const ElfW(Sym)       *symbols;
    const char            *strings;
    const ElfW(Versym)    *versions;      /* of symbols; NULL: none */
    const ElfW(Verneed)   *needed;
    const ElfW(Rela)      *relocs[2];
    size_t                 nrelocs[2];
} prt_dynamic_t;


static int prt_hooks_add(const prt_hook_t *hooks, unsigned n,
    prt_hook_where_t where);
static int prt_hooks_apply(const prt_map_t *map, const prt_change_t *changes,
    unsigned n);
static int prt_hook_wanted(const prt_object_t *object);
static void *prt_hook_pin(const prt_object_t *object)
    __attribute__((no_sanitize("thread")));  /* does not see the loader's lock */
static int prt_hook_change(const prt_object_t *object,
    const prt_change_t *changes, unsigned n);
static int prt_hook_dynamic(const prt_object_t *object, prt_dynamic_t *d);
static const void *prt_hook_pointer(const prt_object_t *object,
    uint64_t value);
static int prt_hook_leads(const prt_dynamic_t *d, size_t symbol,
    unsigned type, uintptr_t value, const prt_change_t *change);
static const char *prt_hook_version(const prt_dynamic_t *d, size_t symbol);
static void *prt_hook_original(const prt_map_t *map, const char *name);


static pthread_mutex_t   prt_hooks_mutex = PTHREAD_MUTEX_INITIALIZER;
static prt_change_t     *prt_hooks;
static unsigned          prt_nhooks;
static uint64_t          prt_hooks_serial;    /* of the map they are in */


int
prt_hooks_install(const prt_hook_t *hooks, unsigned n)
{
    return prt_hooks_add(hooks, n, PRT_HOOK_EVERYWHERE);
}


int
prt_hooks_install_main(const prt_hook_t *hooks, unsigned n)
{
    return prt_hooks_add(hooks, n, PRT_HOOK_MAIN);
}


int
prt_hooks_install_outside(const prt_hook_t *hooks, unsigned n)
{
    return prt_hooks_add(hooks, n, PRT_HOOK_OUTSIDE);
}


static int
prt_hooks_add(const prt_hook_t *hooks, unsigned n, prt_hook_where_t where)
{
    int               rc;
    void             *p;
    unsigned          i;
    prt_change_t     *change;
    const prt_map_t  *map;

    if (prt_objects_refresh() < 0) {
        return -1;
    }

    pthread_mutex_lock(&prt_hooks_mutex);

    map = prt_map_acquire();
    rc = -1;

    p = realloc(prt_hooks, (prt_nhooks + n) * sizeof(prt_change_t));
    if (p == NULL) {
        goto done;
    }

    prt_hooks = p;

    for (i = 0; i < n; i++) {
        p = prt_hook_original(map, hooks[i].name);

        *hooks[i].original = p;

        if (p == NULL) {
            continue;
        }

        change = &prt_hooks[prt_nhooks++];
        change->name = hooks[i].name;
        change->from = p;
        change->to = hooks[i].replacement;
        change->lazy = 1;
        change->where = where;
    }

    /* the originals have to be seen before the first call */
    atomic_thread_fence(memory_order_seq_cst);

    rc = prt_hooks_apply(map, prt_hooks, prt_nhooks);
    prt_hooks_serial = prt_map_serial(map);

done:

    prt_map_release();
    pthread_mutex_unlock(&prt_hooks_mutex);

    return rc;
}


int
prt_hooks_refresh(void)
{
    int               rc;
    const prt_map_t  *map;

    if (prt_objects_refresh() < 0) {
        return -1;
    }

    pthread_mutex_lock(&prt_hooks_mutex);

    map = prt_map_acquire();
    rc = 0;

    if (prt_nhooks && prt_map_serial(map) != prt_hooks_serial) {

        /* all objects: one may have gone and come back at the same place */

        rc = prt_hooks_apply(map, prt_hooks, prt_nhooks);

        if (rc >= 0) {
            prt_hooks_serial = prt_map_serial(map);
        }
    }

    prt_map_release();
    pthread_mutex_unlock(&prt_hooks_mutex);

    return rc;
}


void
prt_hooks_remove(void)
{
    void             *p;
    unsigned          i;
    const prt_map_t  *map;

    (void) prt_objects_refresh();

    pthread_mutex_lock(&prt_hooks_mutex);

    for (i = 0; i < prt_nhooks; i++) {
        p = prt_hooks[i].from;
        prt_hooks[i].from = prt_hooks[i].to;
        prt_hooks[i].to = p;
        prt_hooks[i].lazy = 0;
    }

    map = prt_map_acquire();
    (void) prt_hooks_apply(map, prt_hooks, prt_nhooks);
    prt_map_release();

    free(prt_hooks);
    prt_hooks = NULL;
    prt_nhooks = 0;
    prt_hooks_serial = 0;

    pthread_mutex_unlock(&prt_hooks_mutex);
}


int
prt_hook_object(const prt_object_t *object, const char *name, void *from,
    void *to)
{
    int            rc;
    void          *handle;
    prt_change_t   change;

    change.name = name;
    change.from = from;
    change.to = to;
    change.lazy = 1;
    change.where = PRT_HOOK_EVERYWHERE;

    rc = 0;

    handle = prt_hook_pin(object);

    if (handle) {
        rc = prt_hook_change(object, &change, 1);
        dlclose(handle);
    }

    return rc;
}


static int
prt_hooks_apply(const prt_map_t *map, const prt_change_t *changes, unsigned n)
{
    int                  rc;
    void                *handle;
    unsigned             i;
    const prt_object_t  *object;

    rc = 0;

    for (i = 0; i < prt_map_count(map); i++) {
        object = prt_map_object(map, i);

        if (!prt_hook_wanted(object)) {
            continue;
        }

        handle = prt_hook_pin(object);

        if (handle) {
            rc += prt_hook_change(object, changes, n);
            dlclose(handle);
        }
    }

    return rc;
}


static int
prt_hook_wanted(const prt_object_t *object)
{
    const char  *name;

    static const char  libunwind[] = "libunwind";

#ifdef __SANITIZE_THREAD__
    static const char  libc[] = "libc.so", libtsan[] = "libtsan";
#endif

    name = strrchr(object->path, '/');
    name = name ? name + 1 : object->path;

#ifdef __SANITIZE_THREAD__

    /* TSan allocates by them in a thread that it does not know yet */

    if (strncmp(name, libc, sizeof(libc) - 1) == 0
        || strncmp(name, libtsan, sizeof(libtsan) - 1) == 0)
    {
        return 0;
    }

#endif

    return !object->own && !object->is_vdso && !object->is_loader
           && strncmp(name, libunwind, sizeof(libunwind) - 1) != 0;
}


/*
 * Keeps an object loaded.  That also waits for a dlopen() of another thread,
 * which could be about to relocate it, and tells that it is still the one.
 */

static void *
prt_hook_pin(const prt_object_t *object)
{
    void             *handle;
    struct link_map  *link;

    handle = dlopen(object->is_main ? NULL : object->path,
                    RTLD_LAZY|RTLD_NOLOAD);

    if (handle == NULL) {
        /* that is no error of the program's: it must not find the message */
        (void) dlerror();
        return NULL;
    }

    if (dlinfo(handle, RTLD_DI_LINKMAP, &link) != 0
        || link->l_addr != object->bias)
    {
        dlclose(handle);
        return NULL;
    }

    return handle;
}


static int
prt_hook_change(const prt_object_t *object, const prt_change_t *changes,
    unsigned n)
{
    int                 count;
    size_t              i, symbol;
    unsigned            type, table, c;
    uintptr_t           addr, value;
    const char         *name;
    prt_memory_t        memory;
    prt_dynamic_t       d;
    prt_hook_where_t    elsewhere;
    const ElfW(Rela)   *reloc;

    elsewhere = object->is_main ? PRT_HOOK_OUTSIDE : PRT_HOOK_MAIN;

    memset(&memory, 0, sizeof(prt_memory_t));

    if (prt_hook_dynamic(object, &d) != 0) {
        return 0;
    }

    count = 0;

    for (table = 0; table < 2; table++) {
        for (i = 0; i < d.nrelocs[table]; i++) {

            reloc = &d.relocs[table][i];
            type = (unsigned) ELF64_R_TYPE(reloc->r_info);
            symbol = ELF64_R_SYM(reloc->r_info);

            if ((type != PRT_ARCH_RELOC_SLOT && type != PRT_ARCH_RELOC_GOT
                 && type != PRT_ARCH_RELOC_DATA)
                || symbol == 0 || reloc->r_addend != 0)
            {
                continue;
            }

            name = d.strings + d.symbols[symbol].st_name;

            for (c = 0; c < n; c++) {
                if (changes[c].where != elsewhere
                    && strcmp(name, changes[c].name) == 0)
                {
                    break;
                }
            }

            addr = object->bias + reloc->r_offset;

            if (c == n || addr % sizeof(uintptr_t) != 0) {
                continue;
            }

            value = atomic_load((_Atomic(uintptr_t) *) addr);

            if (!prt_hook_leads(&d, symbol, type, value, &changes[c])
                || prt_memory_open(&memory, addr) != 0)
            {
                continue;
            }

            /* another thread may be binding it, or changing its own data */

            if (atomic_compare_exchange_strong((_Atomic(uintptr_t) *) addr,
                                               &value,
                                               (uintptr_t) changes[c].to))
            {
                count++;
            }
        }
    }

    prt_memory_free(&memory);

    return count;
}


static int
prt_hook_dynamic(const prt_object_t *object, prt_dynamic_t *d)
{
    size_t             sizes[2];
    unsigned           i;
    const ElfW(Dyn)   *dyn;

    memset(d, 0, sizeof(prt_dynamic_t));
    memset(sizes, 0, sizeof(sizes));

    d->object = object;
    dyn = NULL;

    for (i = 0; i < object->phnum; i++) {
        if (object->phdr[i].p_type == PT_DYNAMIC) {
            dyn = (const ElfW(Dyn) *) (object->bias + object->phdr[i].p_vaddr);
        }
    }

    if (dyn == NULL) {
        return -1;
    }

    for ( /* void */ ; dyn->d_tag != DT_NULL; dyn++) {

        switch (dyn->d_tag) {

        case DT_SYMTAB:
            d->symbols = prt_hook_pointer(object, dyn->d_un.d_ptr);
            break;

        case DT_STRTAB:
            d->strings = prt_hook_pointer(object, dyn->d_un.d_ptr);
            break;

        case DT_VERSYM:
            d->versions = prt_hook_pointer(object, dyn->d_un.d_ptr);
            break;

        case DT_VERNEED:
            d->needed = prt_hook_pointer(object, dyn->d_un.d_ptr);
            break;

        case DT_RELA:
            d->relocs[0] = prt_hook_pointer(object, dyn->d_un.d_ptr);
            break;

        case DT_RELASZ:
            sizes[0] = dyn->d_un.d_val;
            break;

        case DT_JMPREL:
            d->relocs[1] = prt_hook_pointer(object, dyn->d_un.d_ptr);
            break;

        case DT_PLTRELSZ:
            sizes[1] = dyn->d_un.d_val;
            break;
        }
    }

    if (d->symbols == NULL || d->strings == NULL) {
        return -1;
    }

    for (i = 0; i < 2; i++) {
        d->nrelocs[i] = d->relocs[i] ? sizes[i] / sizeof(ElfW(Rela)) : 0;
    }

    return 0;
}


/* The loader relocates what the dynamic section points to, but not always. */

static const void *
prt_hook_pointer(const prt_object_t *object, uint64_t value)
{
    if (value < object->bias) {
        value += object->bias;
    }

    return (const void *) value;
}


static int
prt_hook_leads(const prt_dynamic_t *d, size_t symbol, unsigned type,
    uintptr_t value, const prt_change_t *change)
{
    void                *p;
    unsigned             i;
    uintptr_t            vaddr;
    const char          *version;
    const prt_map_t     *map;
    const prt_object_t  *object;

    if (value == (uintptr_t) change->to) {
        return 0;
    }

    if (change->from == NULL || value == (uintptr_t) change->from) {
        return 1;
    }

    if (!change->lazy || type != PRT_ARCH_RELOC_SLOT
        || d->symbols[symbol].st_shndx != SHN_UNDEF)
    {
        return 0;
    }

    /*
     * An entry that was not called yet leads to the object's own .plt.  It
     * will be bound to the symbol of its version, which may be another than
     * the original.
     */

    object = d->object;
    vaddr = value - object->bias;

    for (i = 0; i < object->nsegments; i++) {
        if (vaddr - object->segments[i].vaddr < object->segments[i].size) {
            break;
        }
    }

    if (i == object->nsegments) {
        return 0;
    }

    version = prt_hook_version(d, symbol);

    if (version == NULL) {
        return 1;
    }

    p = dlvsym(RTLD_DEFAULT, change->name, version);

    if (p == NULL) {
        (void) dlerror();
        return 0;
    }

    if (p == change->from) {
        return 1;
    }

    /*
     * A library in front of it, as a preloaded allocator, has no versions: it
     * is taken for all of them, though not by dlvsym().
     */

    map = prt_map_acquire();
    object = prt_map_find(map, (uintptr_t) change->from);
    i = object != prt_map_find(map, (uintptr_t) p);
    prt_map_release();

    return (int) i;
}


static const char *
prt_hook_version(const prt_dynamic_t *d, size_t symbol)
{
    unsigned              index;
    const ElfW(Vernaux)  *aux;
    const ElfW(Verneed)  *need;

    if (d->versions == NULL || d->needed == NULL) {
        return NULL;
    }

    index = d->versions[symbol] & 0x7fff;

    for (need = d->needed; ; ) {

        for (aux = (const void *) ((const char *) need + need->vn_aux); ; ) {

            if (aux->vna_other == index) {
                return d->strings + aux->vna_name;
            }

            if (aux->vna_next == 0) {
                break;
            }

            aux = (const void *) ((const char *) aux + aux->vna_next);
        }

        if (need->vn_next == 0) {
            return NULL;
        }

        need = (const void *) ((const char *) need + need->vn_next);
    }
}


/*
 * A main program that is not relocatable can stand for a function of a
 * library by an entry of its own .plt, and the entry leads through the very
 * slot that is to be changed.  Then the library that has the function tells.
 */

static void *
prt_hook_original(const prt_map_t *map, const char *name)
{
    void                *p, *handle;
    unsigned             i;
    const prt_object_t  *object;

    p = dlsym(RTLD_DEFAULT, name);

    if (p == NULL) {
        (void) dlerror();
        return NULL;
    }

    object = prt_map_find(map, (uintptr_t) p);

    if (object == NULL || !object->is_main || !object->is_exec_type) {
        return p;
    }

    for (i = 0; i < prt_map_count(map); i++) {
        object = prt_map_object(map, i);

        if (object->is_main || object->is_vdso || object->own) {
            continue;
        }

        handle = prt_hook_pin(object);
        if (handle == NULL) {
            continue;
        }

        p = dlsym(handle, name);

        if (p == NULL) {
            (void) dlerror();
        }

        dlclose(handle);

        if (p && prt_map_find(map, (uintptr_t) p) == object) {
            return p;
        }
    }

    return NULL;
}
