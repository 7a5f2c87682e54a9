
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The allocator's functions as the hooks have them.  What is given back leaves
 * the table before the allocator has it: after that another thread may get the
 * same address.
 */


#include <dlfcn.h>
#include <stdlib.h>

#include "platform/prt_hook.h"
#include "sources/prt_heap_sample.h"


static void *prt_heap_hook_malloc(size_t size);
static void *prt_heap_hook_calloc(size_t n, size_t size);
static void *prt_heap_hook_realloc(void *old, size_t size);
static void *prt_heap_hook_reallocarray(void *old, size_t n, size_t size);
static void prt_heap_hook_free(void *p);
static int prt_heap_hook_posix_memalign(void **p, size_t alignment,
    size_t size);
static void *prt_heap_hook_memalign(size_t alignment, size_t size);
static void *prt_heap_hook_aligned_alloc(size_t alignment, size_t size);
static void *prt_heap_hook_valloc(size_t size);
static void *prt_heap_hook_pvalloc(size_t size);
static int prt_heap_operators(void);


static void *(*prt_heap_malloc)(size_t) = malloc;
static void *(*prt_heap_calloc)(size_t, size_t) = calloc;
static void *(*prt_heap_realloc)(void *, size_t) = realloc;
static void *(*prt_heap_reallocarray)(void *, size_t, size_t);
static void (*prt_heap_free)(void *) = free;
static int (*prt_heap_posix_memalign)(void **, size_t, size_t);
static void *(*prt_heap_memalign)(size_t, size_t);
static void *(*prt_heap_aligned_alloc)(size_t, size_t);
static void *(*prt_heap_valloc)(size_t);
static void *(*prt_heap_pvalloc)(size_t);


#define prt_heap_hook(name)                                                   \
    { #name, (void *) prt_heap_hook_##name, (void **) &prt_heap_##name }

static const prt_hook_t  prt_heap_hooks[] = {
    prt_heap_hook(malloc),
    prt_heap_hook(calloc),
    prt_heap_hook(realloc),
    prt_heap_hook(reallocarray),
    prt_heap_hook(free),
    prt_heap_hook(posix_memalign),
    prt_heap_hook(memalign),
    prt_heap_hook(aligned_alloc),
    prt_heap_hook(valloc),
    prt_heap_hook(pvalloc)
};


/*
 * Operators of C++, by their mangled names; the arguments behind the first
 * two change nothing for us and are passed on.  Only where the allocator has
 * them: those of libstdc++ call malloc() and are seen there.
 */

#define PRT_HEAP_NEWS     8
#define PRT_HEAP_DELETES  12

typedef void *(*prt_heap_new_pt)(size_t, uintptr_t, uintptr_t);
typedef void (*prt_heap_delete_pt)(void *, uintptr_t, uintptr_t);

static prt_heap_new_pt     prt_heap_new[PRT_HEAP_NEWS];
static prt_heap_delete_pt  prt_heap_delete[PRT_HEAP_DELETES];


int
prt_heap_hooks_install(void)
{
    if (prt_hooks_install(prt_heap_hooks,
                          sizeof(prt_heap_hooks) / sizeof(prt_hook_t))
        < 0)
    {
        return -1;
    }

    return prt_heap_operators() < 0 ? -1 : 0;
}


static void *
prt_heap_hook_malloc(size_t size)
{
    if (prt_heap_passes(size)) {
        return prt_heap_malloc(size);
    }

    return prt_heap_sample(prt_heap_malloc(size), size);
}


static void *
prt_heap_hook_calloc(size_t n, size_t size)
{
    size_t  total;

    if (__builtin_mul_overflow(n, size, &total) || prt_heap_passes(total)) {
        return prt_heap_calloc(n, size);
    }

    return prt_heap_sample(prt_heap_calloc(n, size), total);
}


static void *
prt_heap_hook_realloc(void *old, size_t size)
{
    int                passes;
    void              *p;
    prt_live_block_t   block;

    passes = prt_heap_passes(size);

    if (!prt_heap_known(old) || !prt_heap_forget(old, &block)) {
        p = prt_heap_realloc(old, size);

        return passes ? p : prt_heap_sample(p, size);
    }

    p = prt_heap_realloc(old, size);

    if (p == NULL && size != 0) {

        /* it failed, and the old block is as it was */

        prt_heap_add(old, &block);
        return NULL;
    }

    prt_heap_released(&block);

    return passes ? p : prt_heap_sample(p, size);
}


static void *
prt_heap_hook_reallocarray(void *old, size_t n, size_t size)
{
    size_t  total;

    if (__builtin_mul_overflow(n, size, &total)) {
        return prt_heap_reallocarray(old, n, size);
    }

    return prt_heap_hook_realloc(old, total);
}


static void
prt_heap_hook_free(void *p)
{
    if (prt_heap_known(p)) {
        prt_heap_gone(p);
    }

    prt_heap_free(p);
}


static int
prt_heap_hook_posix_memalign(void **p, size_t alignment, size_t size)
{
    int  rc;

    rc = prt_heap_posix_memalign(p, alignment, size);

    if (rc == 0 && !prt_heap_passes(size)) {
        (void) prt_heap_sample(*p, size);
    }

    return rc;
}


static void *
prt_heap_hook_memalign(size_t alignment, size_t size)
{
    if (prt_heap_passes(size)) {
        return prt_heap_memalign(alignment, size);
    }

    return prt_heap_sample(prt_heap_memalign(alignment, size), size);
}


static void *
prt_heap_hook_aligned_alloc(size_t alignment, size_t size)
{
    if (prt_heap_passes(size)) {
        return prt_heap_aligned_alloc(alignment, size);
    }

    return prt_heap_sample(prt_heap_aligned_alloc(alignment, size), size);
}


static void *
prt_heap_hook_valloc(size_t size)
{
    if (prt_heap_passes(size)) {
        return prt_heap_valloc(size);
    }

    return prt_heap_sample(prt_heap_valloc(size), size);
}


static void *
prt_heap_hook_pvalloc(size_t size)
{
    if (prt_heap_passes(size)) {
        return prt_heap_pvalloc(size);
    }

    return prt_heap_sample(prt_heap_pvalloc(size), size);
}


#define PRT_HEAP_NEW(i)                                                       \
                                                                              \
    static void *                                                             \
    prt_heap_hook_new_##i(size_t size, uintptr_t a, uintptr_t b)              \
    {                                                                         \
        if (prt_heap_passes(size)) {                                          \
            return prt_heap_new[i](size, a, b);                               \
        }                                                                     \
                                                                              \
        return prt_heap_sample(prt_heap_new[i](size, a, b), size);            \
    }

#define PRT_HEAP_DELETE(i)                                                    \
                                                                              \
    static void                                                               \
    prt_heap_hook_delete_##i(void *p, uintptr_t a, uintptr_t b)               \
    {                                                                         \
        if (prt_heap_known(p)) {                                              \
            prt_heap_gone(p);                                                 \
        }                                                                     \
                                                                              \
        prt_heap_delete[i](p, a, b);                                          \
    }

PRT_HEAP_NEW(0) PRT_HEAP_NEW(1) PRT_HEAP_NEW(2) PRT_HEAP_NEW(3)
PRT_HEAP_NEW(4) PRT_HEAP_NEW(5) PRT_HEAP_NEW(6) PRT_HEAP_NEW(7)

PRT_HEAP_DELETE(0) PRT_HEAP_DELETE(1) PRT_HEAP_DELETE(2) PRT_HEAP_DELETE(3)
PRT_HEAP_DELETE(4) PRT_HEAP_DELETE(5) PRT_HEAP_DELETE(6) PRT_HEAP_DELETE(7)
PRT_HEAP_DELETE(8) PRT_HEAP_DELETE(9) PRT_HEAP_DELETE(10) PRT_HEAP_DELETE(11)


#define prt_heap_hook_of(name, what, i)                                       \
    { name, (void *) prt_heap_hook_##what##_##i,                              \
      (void **) &prt_heap_##what[i] }

static const prt_hook_t  prt_heap_operator_hooks[] = {
    prt_heap_hook_of("_Znwm", new, 0),
    prt_heap_hook_of("_Znam", new, 1),
    prt_heap_hook_of("_ZnwmRKSt9nothrow_t", new, 2),
    prt_heap_hook_of("_ZnamRKSt9nothrow_t", new, 3),
    prt_heap_hook_of("_ZnwmSt11align_val_t", new, 4),
    prt_heap_hook_of("_ZnamSt11align_val_t", new, 5),
    prt_heap_hook_of("_ZnwmSt11align_val_tRKSt9nothrow_t", new, 6),
    prt_heap_hook_of("_ZnamSt11align_val_tRKSt9nothrow_t", new, 7),
    prt_heap_hook_of("_ZdlPv", delete, 0),
    prt_heap_hook_of("_ZdaPv", delete, 1),
    prt_heap_hook_of("_ZdlPvm", delete, 2),
    prt_heap_hook_of("_ZdaPvm", delete, 3),
    prt_heap_hook_of("_ZdlPvRKSt9nothrow_t", delete, 4),
    prt_heap_hook_of("_ZdaPvRKSt9nothrow_t", delete, 5),
    prt_heap_hook_of("_ZdlPvSt11align_val_t", delete, 6),
    prt_heap_hook_of("_ZdaPvSt11align_val_t", delete, 7),
    prt_heap_hook_of("_ZdlPvmSt11align_val_t", delete, 8),
    prt_heap_hook_of("_ZdaPvmSt11align_val_t", delete, 9),
    prt_heap_hook_of("_ZdlPvSt11align_val_tRKSt9nothrow_t", delete, 10),
    prt_heap_hook_of("_ZdaPvSt11align_val_tRKSt9nothrow_t", delete, 11)
};


static int
prt_heap_operators(void)
{
    void     *operator;
    Dl_info   mine, theirs;

    operator = dlsym(RTLD_DEFAULT, "_Znwm");

    if (operator == NULL) {
        (void) dlerror();
        return 0;
    }

    if (dladdr(operator, &theirs) == 0
        || dladdr(*(void **) &prt_heap_malloc, &mine) == 0
        || mine.dli_fbase != theirs.dli_fbase)
    {
        return 0;
    }

    return prt_hooks_install(prt_heap_operator_hooks,
                             sizeof(prt_heap_operator_hooks)
                             / sizeof(prt_hook_t));
}
