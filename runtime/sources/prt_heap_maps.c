
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Anonymous memory that the program maps itself, as LuaJIT does its arenas.
 * A mapping costs a system call and page faults: so each is counted, and none
 * is sampled.
 *
 * What libc maps for itself (malloc(), stacks of threads) does not come by
 * these hooks.  An allocator of another library does, and is left out: its
 * blocks are counted.
 */


#include <dlfcn.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "platform/prt_hook.h"
#include "sources/prt_heap.h"
#include "sources/prt_heap_sample.h"
#include "sources/prt_record.h"
#include "store/prt_span.h"


typedef void *(*prt_heap_mmap_pt)(void *, size_t, int, int, int, off_t);


static void prt_heap_allocator(void);
static void *prt_heap_hook_mmap(void *where, size_t size, int prot, int flags,
    int fd, off_t offset);
static void *prt_heap_hook_mmap64(void *where, size_t size, int prot,
    int flags, int fd, off_t offset);
static int prt_heap_hook_munmap(void *p, size_t size);
static void *prt_heap_hook_mremap(void *old, size_t old_size, size_t size,
    int flags, void *where);

static void prt_heap_mapped(void *p, size_t size, int prot, int flags,
    uintptr_t caller);
static uint64_t prt_heap_unmapped(const void *p, size_t size,
    uint64_t serial);
static void prt_heap_span(const void *p, size_t size, uint64_t serial);
static uint64_t prt_heap_end(const void *p, size_t size);


static prt_heap_mmap_pt  prt_heap_mmap = mmap;
static prt_heap_mmap_pt  prt_heap_mmap64 = mmap;
static int             (*prt_heap_munmap)(void *, size_t) = munmap;
static void           *(*prt_heap_mremap)(void *, size_t, size_t, int, void *);


static const prt_hook_t  prt_heap_map_hooks[] = {
    { "mmap", (void *) prt_heap_hook_mmap, (void **) &prt_heap_mmap },
    { "mmap64", (void *) prt_heap_hook_mmap64, (void **) &prt_heap_mmap64 },
    { "munmap", (void *) prt_heap_hook_munmap, (void **) &prt_heap_munmap },
    { "mremap", (void *) prt_heap_hook_mremap, (void **) &prt_heap_mremap }
};


static prt_spans_t  prt_heap_spans;
static uintptr_t    prt_heap_page;

/* the code of the library that has malloc() */
static uintptr_t    prt_heap_allocator_lo;
static uintptr_t    prt_heap_allocator_hi;


int
prt_heap_maps_install(void)
{
    uint32_t  i;

    /* of a run before this one */

    for (i = 0; i < atomic_load(&prt_heap_spans.used); i++) {
        atomic_store(&prt_heap_spans.spans[i].lo, 0);
    }

    prt_heap_page = (uintptr_t) getpagesize();

    prt_heap_allocator();

    return prt_hooks_install(prt_heap_map_hooks,
                             sizeof(prt_heap_map_hooks) / sizeof(prt_hook_t))
           < 0 ? -1 : 0;
}


static void
prt_heap_allocator(void)
{
    void                *p;
    unsigned             i;
    uintptr_t            start, end;
    const prt_map_t     *map;
    const prt_object_t  *object;

    prt_heap_allocator_lo = 0;
    prt_heap_allocator_hi = 0;

    p = dlsym(RTLD_DEFAULT, "malloc");

    if (p == NULL) {
        (void) dlerror();
        return;
    }

    map = prt_map_acquire();
    object = prt_map_find(map, (uintptr_t) p);

    /* of a program that has its own, all mappings would be left out */

    for (i = 0; object && !object->is_main && i < object->nsegments; i++) {
        start = object->bias + object->segments[i].vaddr;
        end = start + object->segments[i].size;

        if (prt_heap_allocator_hi == 0 || start < prt_heap_allocator_lo) {
            prt_heap_allocator_lo = start;
        }

        if (end > prt_heap_allocator_hi) {
            prt_heap_allocator_hi = end;
        }
    }

    prt_map_release();
}


static void *
prt_heap_hook_mmap(void *where, size_t size, int prot, int flags, int fd,
    off_t offset)
{
    void  *p;

    p = prt_heap_mmap(where, size, prot, flags, fd, offset);

    prt_heap_mapped(p, size, prot, flags,
                    (uintptr_t) __builtin_return_address(0));

    return p;
}


static void *
prt_heap_hook_mmap64(void *where, size_t size, int prot, int flags, int fd,
    off_t offset)
{
    void  *p;

    p = prt_heap_mmap64(where, size, prot, flags, fd, offset);

    prt_heap_mapped(p, size, prot, flags,
                    (uintptr_t) __builtin_return_address(0));

    return p;
}


static int
prt_heap_hook_munmap(void *p, size_t size)
{
    int       rc, err;
    uint64_t  serial;

    serial = prt_span_serial(&prt_heap_spans);

    rc = prt_heap_munmap(p, size);

    if (rc == 0 && prt_heap_mappings() && prt_heap_counts()) {
        err = errno;
        (void) prt_heap_unmapped(p, size, serial);
        errno = err;
    }

    return rc;
}


/*
 * The last argument is there only with MREMAP_FIXED and MREMAP_DONTUNMAP; else
 * it is passed on as whatever was in its register.
 */

static void *
prt_heap_hook_mremap(void *old, size_t old_size, size_t size, int flags,
    void *where)
{
    int        err;
    void      *p;
    uint64_t   serial, known;

    serial = prt_span_serial(&prt_heap_spans);

    p = prt_heap_mremap(old, old_size, size, flags, where);

    if (p == MAP_FAILED || !prt_heap_mappings() || !prt_heap_counts()) {
        return p;
    }

    err = errno;

    /* as realloc(): the old one ends, and a new one begins */

    known = prt_heap_unmapped(old, old_size, serial);
    serial = prt_span_serial(&prt_heap_spans);

    (void) prt_heap_unmapped(p, size, serial);

    if (known) {
        prt_heap_span(p, size, serial);
    }

    errno = err;

    return p;
}


/* What is mapped without access is addresses, and no memory yet. */

static void
prt_heap_mapped(void *p, size_t size, int prot, int flags, uintptr_t caller)
{
    int       err;
    uint64_t  serial;

    if (p == MAP_FAILED || !prt_heap_mappings() || !prt_heap_counts()) {
        return;
    }

    err = errno;
    serial = prt_span_serial(&prt_heap_spans);

    /* by MAP_FIXED, or of a span whose end was not seen */

    (void) prt_heap_unmapped(p, size, serial);

    if ((flags & MAP_ANONYMOUS) && prot != PROT_NONE
        && (caller < prt_heap_allocator_lo || caller >= prt_heap_allocator_hi))
    {
        prt_heap_span(p, size, serial);
    }

    errno = err;
}


/* Returns the bytes of it that were counted. */

static uint64_t
prt_heap_unmapped(const void *p, size_t size, uint64_t serial)
{
    uint64_t  bytes;
    unsigned  stuck;

    bytes = prt_span_cut(&prt_heap_spans, (uintptr_t) p,
                         prt_heap_end(p, size), serial, prt_heap_released,
                         &stuck);

    if (stuck) {
        prt_slot_count(&prt_slot, PRT_COUNT_HEAP_MISSED, stuck);
    }

    return bytes;
}


static void
prt_heap_span(const void *p, size_t size, uint64_t serial)
{
    prt_live_block_t  block;

    block.objects = 1;
    block.bytes = prt_heap_end(p, size) - (uintptr_t) p;

    prt_heap_taken(&block);

    if (prt_span_put(&prt_heap_spans, (uintptr_t) p, prt_heap_end(p, size),
                     serial, &block)
        != 0)
    {
        prt_heap_released(&block);
        prt_slot_count(&prt_slot, PRT_COUNT_HEAP_LOST, 1);
    }
}


/* The kernel counts in pages. */

static uint64_t
prt_heap_end(const void *p, size_t size)
{
    return ((uintptr_t) p + size + prt_heap_page - 1) & ~(prt_heap_page - 1);
}
