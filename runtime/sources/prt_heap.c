
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * A hook subtracts the size from a counter of the thread and jumps on; all else
 * happens when the counter is used up, once in "rate" bytes.  A block is in a filter of counters by address as long as it is known, so
 * that giving back one that is not costs a load.
 *
 * What is given back leaves the table before the allocator has it: after that
 * another thread may get the same address.
 */


#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/prt_clock.h"
#include "platform/prt_hook.h"
#include "sources/prt_heap.h"
#include "sources/prt_memo.h"
#include "sources/prt_record.h"
#include "sources/prt_thread.h"


#define PRT_HEAP_FILTER_BITS  14
#define PRT_HEAP_LATER        (1024 * 1024)     /* bytes, to the next look */


/* of a thread; all zero at its start */

typedef struct {
    uint64_t   left;                       /* bytes until the next sample */
    uint64_t   random;                     /* 0: not begun */
    uint32_t   inside;                     /* at work on a sample */
    uint32_t   own;                        /* the profiler's */
} prt_heap_local_t;


static int prt_heap_start(unsigned table, char error[PRT_ERROR_LEN]);
static void prt_heap_sync(unsigned rate);
static void prt_heap_stop(void);
static void prt_heap_forked(void);

static void *prt_heap_sample(void *p, size_t size) __attribute__((noinline));
static void prt_heap_record(void *p, size_t size);
static int prt_heap_forget(const void *p, prt_live_block_t *block);
static void prt_heap_gone(const void *p) __attribute__((noinline));
static void prt_heap_add(void *p, const prt_live_block_t *block);
static void prt_heap_mark(const void *p, int change);
static void prt_heap_count(const prt_live_block_t *block, int alloc, int freed);
static double prt_heap_uniform(void);
static uint64_t prt_heap_distance(void);
static int prt_heap_operators(void);

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


const prt_source_t  prt_heap_source = {
    prt_heap_start,
    prt_heap_sync,
    prt_heap_stop,
    prt_heap_forked
};


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


static unsigned              prt_heap_table;
static _Atomic int           prt_heap_active;
static uint64_t              prt_heap_rate;
static _Atomic uint8_t       prt_heap_filter[1 << PRT_HEAP_FILTER_BITS];

static _Thread_local prt_heap_local_t  prt_heap_local
    __attribute__((tls_model("initial-exec")));


static inline _Atomic uint8_t *
prt_heap_filter_of(const void *p)
{
    return &prt_heap_filter[((uintptr_t) p >> 4) * 0x9e3779b97f4a7c15
                            >> (64 - PRT_HEAP_FILTER_BITS)];
}


/*
 * Whether an allocation of this size is no sample: then it is counted, and the
 * hook has nothing to do after the call.
 */

static inline int
prt_heap_passes(size_t size)
{
    if (__builtin_expect(size >= prt_heap_local.left, 0)) {
        return 0;
    }

    prt_heap_local.left -= size;

    return 1;
}


static inline int
prt_heap_known(const void *p)
{
    return __builtin_expect(atomic_load_explicit(prt_heap_filter_of(p),
                                                 memory_order_relaxed) != 0,
                            0);
}


void
prt_heap_set_rate(uint64_t rate)
{
    prt_heap_rate = rate;
}


int64_t
prt_heap_period(void)
{
    return (int64_t) prt_heap_rate;
}


static int
prt_heap_start(unsigned table, char error[PRT_ERROR_LEN])
{
    prt_heap_table = table;

    if (prt_heap_rate == 0) {
        return 0;
    }

    /* of a run before this one: its slot is another's */
    prt_memo_reset();
    memset((void *) prt_heap_filter, 0, sizeof(prt_heap_filter));

    atomic_store(&prt_heap_active, 1);

    if (prt_hooks_install(prt_heap_hooks,
                          sizeof(prt_heap_hooks) / sizeof(prt_hook_t)) < 0
        || prt_heap_operators() < 0)
    {
        snprintf(error, PRT_ERROR_LEN, "no memory for the memory hooks");
        return -1;
    }

    return 0;
}


/* The hooks get into new objects by the thread source's refresh. */

static void
prt_heap_sync(unsigned rate)
{
    (void) rate;
}


static void
prt_heap_stop(void)
{
    /* the hooks stay: who calls them now passes through */

    atomic_store(&prt_heap_active, 0);
}


/* A child must not count in its parent's slot, whose blocks it inherits. */

static void
prt_heap_forked(void)
{
    prt_heap_stop();
    memset((void *) prt_heap_filter, 0, sizeof(prt_heap_filter));
}


void
prt_heap_own(void)
{
    prt_heap_local.own = 1;
}


void
prt_heap_derive(const uint64_t *before, const uint64_t *delta, int live,
    int64_t *values)
{
    unsigned  i;

    for (i = 0; i < 2; i++) {
        values[i] = (int64_t) delta[PRT_HEAP_ALLOC_OBJECTS + i];

        if (live) {
            values[2 + i] = (int64_t) (delta[PRT_HEAP_ALLOC_OBJECTS + i]
                                       - delta[PRT_HEAP_FREE_OBJECTS + i]);
            continue;
        }

        /* nothing is in use in a process that has ended */

        values[2 + i] = -(int64_t) (before[PRT_HEAP_ALLOC_OBJECTS + i]
                                    - before[PRT_HEAP_FREE_OBJECTS + i]);
    }
}


/* The counter is used up by this block; NULL: it was not to be had. */

static void *
prt_heap_sample(void *p, size_t size)
{
    int                err;
    prt_heap_local_t  *local;

    local = &prt_heap_local;

    if (local->own
        || !atomic_load_explicit(&prt_heap_active, memory_order_relaxed))
    {
        local->left = PRT_HEAP_LATER;
        return p;
    }

    /* inside: in a signal handler, within a sample */

    if (p == NULL || local->inside) {
        return p;
    }

    local->inside = 1;
    err = errno;

    if (local->random == 0) {
        local->random = prt_now() ^ (uintptr_t) local ^ (uintptr_t) p;
        local->left = prt_heap_distance();
    }

    if (size < local->left) {
        local->left -= size;

    } else {
        local->left = prt_heap_distance();
        prt_heap_record(p, size);
    }

    errno = err;
    local->inside = 0;

    return p;
}


static void
prt_heap_record(void *p, size_t size)
{
    double            likely, objects;
    prt_regs_t        regs;
    prt_live_block_t  block, missed;

    likely = -expm1(-(double) size / (double) prt_heap_rate);
    objects = 1 / likely;

    /* a whole number, and right on average */

    block.objects = (uint64_t) (objects + prt_heap_uniform());
    block.bytes = (uint64_t) ((double) size * objects + 0.5);

    prt_regs_here(&regs);

    block.stack = prt_memo_stack(prt_heap_table, &regs, &prt_thread_stack);
    block.labels = prt_labels;

    /* it was given back in a way that we did not see */

    if (prt_heap_known(p) && prt_heap_forget(p, &missed)) {
        prt_heap_count(&missed, 0, 1);
        prt_slot_count(&prt_slot, PRT_COUNT_HEAP_MISSED, 1);
    }

    prt_heap_count(&block, 1, 0);
    prt_heap_add(p, &block);
}


static void
prt_heap_add(void *p, const prt_live_block_t *block)
{
    prt_heap_mark(p, 1);

    if (prt_live_put(&prt_slot.live, (uintptr_t) p, block) == 0) {
        return;
    }

    /* what would never be seen to end is not in use, rather than a leak */

    prt_heap_count(block, 0, 1);
    prt_slot_count(&prt_slot, PRT_COUNT_HEAP_LOST, 1);

    prt_heap_mark(p, -1);
}


/* A counter of the filter that is full stays so: it must not miss a block. */

static void
prt_heap_mark(const void *p, int change)
{
    uint8_t           n;
    _Atomic uint8_t  *filter;

    filter = prt_heap_filter_of(p);
    n = atomic_load(filter);

    while (n != UINT8_MAX
           && !atomic_compare_exchange_weak(filter, &n,
                                            (uint8_t) (n + change)))
    {
        /* n is what it is now */
    }
}


static int
prt_heap_forget(const void *p, prt_live_block_t *block)
{
    /* realloc() and free() take NULL */

    if (p == NULL
        || !atomic_load_explicit(&prt_heap_active, memory_order_relaxed)
        || !prt_live_take(&prt_slot.live, (uintptr_t) p, block))
    {
        return 0;
    }

    prt_heap_mark(p, -1);

    return 1;
}


/* A block that may be known is given back. */

static void
prt_heap_gone(const void *p)
{
    prt_live_block_t  block;

    if (prt_heap_forget(p, &block)) {
        prt_heap_count(&block, 0, 1);
    }
}


static void
prt_heap_count(const prt_live_block_t *block, int alloc, int freed)
{
    uint64_t  values[PRT_HEAP_COUNTERS];

    memset(values, 0, sizeof(values));

    if (alloc) {
        values[PRT_HEAP_ALLOC_OBJECTS] = block->objects;
        values[PRT_HEAP_ALLOC_SPACE] = block->bytes;
    }

    if (freed) {
        values[PRT_HEAP_FREE_OBJECTS] = block->objects;
        values[PRT_HEAP_FREE_SPACE] = block->bytes;
    }

    prt_table_add(&prt_slot.tables[prt_heap_table], block->stack,
                  block->labels, values);
}


/* In (0, 1); splitmix64. */

static double
prt_heap_uniform(void)
{
    uint64_t  x;

    x = prt_heap_local.random += 0x9e3779b97f4a7c15;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    x ^= x >> 31;

    return ((double) (x >> 12) + 0.5) * 0x1p-52;
}


static uint64_t
prt_heap_distance(void)
{
    return (uint64_t) (-log(prt_heap_uniform()) * (double) prt_heap_rate);
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

    prt_heap_count(&block, 0, 1);

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
