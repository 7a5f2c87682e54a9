
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "sources/prt_custom.h"
#include "sources/prt_record.h"
#include "sources/prt_thread.h"


/* what is in a profile at once, at most */
#define PRT_CUSTOM_KEYS  65536


/* Its number is that in the arrays of names. */

struct prt_custom_s {
    unsigned             table;            /* in the slot */
    _Atomic int          active;
    _Atomic uint64_t     count;            /* keys that are in it */
    prt_live_t           keys;
    void                *memory;           /* of keys */
};


static int prt_custom_start(unsigned table, char error[PRT_ERROR_LEN]);
static void prt_custom_sync(unsigned rate);
static void prt_custom_stop(void);
static void prt_custom_forked(void);

static int prt_custom_valid(const char *name, const char *description);
static int prt_custom_open(prt_custom_t *custom);
static void prt_custom_publish(unsigned i);
static void prt_custom_out(prt_custom_t *custom,
    const prt_live_block_t *block);


const prt_source_t  prt_custom_source = {
    prt_custom_start,
    prt_custom_sync,
    prt_custom_stop,
    prt_custom_forked
};


char  prt_custom_names[PRT_CUSTOM_MAX][PRT_CUSTOM_NAME];
char  prt_custom_descriptions[PRT_CUSTOM_MAX][PRT_CUSTOM_DESCRIPTION];

static prt_custom_t     prt_customs[PRT_CUSTOM_MAX];

/* of names: of making one, and of starting */
static pthread_mutex_t  prt_custom_mutex = PTHREAD_MUTEX_INITIALIZER;
static unsigned         prt_custom_started;


static int
prt_custom_start(unsigned table, char error[PRT_ERROR_LEN])
{
    int            rc;
    unsigned       i;
    prt_custom_t  *custom;

    /* the rows of the registry are started in the order of the names */

    i = prt_custom_number(table);
    custom = &prt_customs[i];
    rc = 0;

    (void) pthread_mutex_lock(&prt_custom_mutex);

    custom->table = table;
    prt_custom_started |= 1u << i;

    /* a process before this one may have had the slot */
    atomic_store(&prt_slot.head->customs[i], 0);

    if (prt_custom_names[i][0] && prt_custom_open(custom) != 0) {
        snprintf(error, PRT_ERROR_LEN, "no memory for a custom profile");
        rc = -1;
    }

    (void) pthread_mutex_unlock(&prt_custom_mutex);

    return rc;
}


static void
prt_custom_sync(unsigned rate)
{
    (void) rate;
}


/* The memory stays: somebody may be in it. */

static void
prt_custom_stop(void)
{
    unsigned  i;

    for (i = 0; i < PRT_CUSTOM_MAX; i++) {
        atomic_store(&prt_customs[i].active, 0);
        atomic_store(&prt_customs[i].count, 0);
    }

    prt_custom_started = 0;
}


/* What its parent had is not the child's. */

static void
prt_custom_forked(void)
{
    prt_custom_stop();

    /* another thread of the parent may have held it */
    prt_custom_mutex = (pthread_mutex_t) PTHREAD_MUTEX_INITIALIZER;
}


prt_custom_t *
prt_custom_new(const char *name, const char *description)
{
    unsigned       i;
    prt_custom_t  *custom;

    if (!prt_custom_valid(name, description)) {
        errno = EINVAL;
        return NULL;
    }

    (void) pthread_mutex_lock(&prt_custom_mutex);

    custom = NULL;

    for (i = 0; i < PRT_CUSTOM_MAX; i++) {

        if (strcmp(prt_custom_names[i], name) == 0) {
            custom = &prt_customs[i];
            goto done;
        }

        if (prt_custom_names[i][0] == '\0') {
            break;
        }
    }

    if (i == PRT_CUSTOM_MAX) {
        errno = ENOSPC;
        goto done;
    }

    if (prt_profile_find(name, strlen(name))) {
        errno = EEXIST;
        goto done;
    }

    custom = &prt_customs[i];

    /* readers do not lock: the first byte makes it a name */

    memcpy(prt_custom_descriptions[i], description, strlen(description) + 1);
    memcpy(prt_custom_names[i] + 1, name + 1, strlen(name));
    atomic_thread_fence(memory_order_release);
    prt_custom_names[i][0] = name[0];

    if ((prt_custom_started & (1u << i)) && prt_custom_open(custom) != 0) {
        prt_custom_names[i][0] = '\0';
        custom = NULL;
        errno = ENOMEM;
    }

done:

    (void) pthread_mutex_unlock(&prt_custom_mutex);

    return custom;
}


/* They stand in a path and on a page. */

static int
prt_custom_valid(const char *name, const char *description)
{
    size_t  i;

    static const char  *const taken[] = { "trace", "cmdline", "symbol" };

    if (name == NULL || description == NULL
        || strlen(name) >= PRT_CUSTOM_NAME
        || strlen(description) >= PRT_CUSTOM_DESCRIPTION)
    {
        return 0;
    }

    for (i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        if (strcmp(name, taken[i]) == 0) {
            return 0;
        }
    }

    for (i = 0; description[i]; i++) {
        if ((unsigned char) description[i] < ' '
            || strchr("<>&\"", description[i]))
        {
            return 0;
        }
    }

    i = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                     "0123456789_-");

    return i != 0 && name[i] == '\0';
}


static int
prt_custom_open(prt_custom_t *custom)
{
    void    *memory;
    size_t   size;

    size = PRT_CUSTOM_KEYS * sizeof(prt_live_entry_t);

    if (custom->memory == NULL) {
        memory = mmap(NULL, size, PROT_READ|PROT_WRITE,
                      MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            return -1;
        }

        custom->memory = memory;

    } else if (madvise(custom->memory, size, MADV_DONTNEED) != 0) {
        return -1;
    }

    prt_live_attach(&custom->keys, custom->memory, size);

    atomic_store(&custom->count, 0);
    prt_custom_publish((unsigned) (custom - prt_customs));
    atomic_store(&custom->active, 1);

    return 0;
}


static void
prt_custom_publish(unsigned i)
{
    atomic_store(&prt_slot.head->customs[i],
                 prt_slot_string(&prt_slot, prt_custom_names[i],
                                 strlen(prt_custom_names[i])));
}


int
prt_custom_add(prt_custom_t *custom, const void *key, uint64_t value)
{
    int                err;
    unsigned           n;
    uint64_t           frames[PRT_STACK_MAX + 1], values[PRT_CUSTOM_COUNTERS];
    prt_regs_t         regs;
    prt_live_block_t   block, before;

    if (custom == NULL
        || !atomic_load_explicit(&custom->active, memory_order_acquire))
    {
        return -1;
    }

    /* nobody is pointed to there */

    if ((uintptr_t) key < 2) {
        return -1;
    }

    err = errno;

    if (prt_live_take(&custom->keys, (uintptr_t) key, &before)) {
        prt_custom_out(custom, &before);
    }

    prt_regs_here(&regs);
    n = prt_record_stack(&regs, &prt_thread_stack, frames, prt_unwind);

    block.stack = prt_record_intern(custom->table, frames, n);
    block.labels = prt_labels;
    block.objects = 1;
    block.bytes = value;

    errno = err;

    if (prt_live_put(&custom->keys, (uintptr_t) key, &block) != 0) {
        prt_slot_count(&prt_slot, PRT_COUNT_CUSTOM_LOST, 1);
        return -1;
    }

    values[PRT_CUSTOM_ADDED] = value;
    values[PRT_CUSTOM_REMOVED] = 0;

    prt_table_add(&prt_slot.tables[custom->table], block.stack, block.labels,
                  values);

    atomic_fetch_add(&custom->count, 1);

    return 0;
}


int
prt_custom_remove(prt_custom_t *custom, const void *key)
{
    prt_live_block_t  block;

    if (custom == NULL
        || !atomic_load_explicit(&custom->active, memory_order_acquire)
        || (uintptr_t) key < 2
        || !prt_live_take(&custom->keys, (uintptr_t) key, &block))
    {
        return -1;
    }

    prt_custom_out(custom, &block);

    return 0;
}


static void
prt_custom_out(prt_custom_t *custom, const prt_live_block_t *block)
{
    uint64_t  values[PRT_CUSTOM_COUNTERS];

    values[PRT_CUSTOM_ADDED] = 0;
    values[PRT_CUSTOM_REMOVED] = block->bytes;

    prt_table_add(&prt_slot.tables[custom->table], block->stack, block->labels,
                  values);

    atomic_fetch_sub(&custom->count, 1);
}


uint64_t
prt_custom_count(const prt_custom_t *custom)
{
    return custom ? atomic_load(&custom->count) : 0;
}


void
prt_custom_derive(const uint64_t *before, const uint64_t *delta, int live,
    int64_t *values)
{
    if (live) {
        values[0] = (int64_t) (delta[PRT_CUSTOM_ADDED]
                               - delta[PRT_CUSTOM_REMOVED]);
        return;
    }

    /* nothing is in it any more */

    values[0] = -(int64_t) (before[PRT_CUSTOM_ADDED]
                            - before[PRT_CUSTOM_REMOVED]);
}


int
prt_custom_table(const prt_slot_t *slot, unsigned profile)
{
    char      text[PRT_STRING_MAX];
    unsigned  i, own;

    if (prt_profiles[profile].source != &prt_custom_source) {
        return (int) profile;
    }

    own = prt_custom_number(profile);

    for (i = 0; i < PRT_CUSTOM_MAX; i++) {

        if (strcmp(prt_slot_text(slot, atomic_load(&slot->head->customs[i]),
                                 text),
                   prt_custom_names[own])
            == 0)
        {
            return (int) (profile - own + i);
        }
    }

    return -1;
}
