
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "platform/prt_clock.h"
#include "store/prt_region.h"


#define PRT_REGION_HEAD   (1024 * 1024)    /* bytes before the first slot */
#define PRT_REGION_SPARE  8                /* slots beside two for each worker */

/* from slot to slot: the ring lies behind the largest one */
#define PRT_REGION_STEP   ((off_t) PRT_MEMORY_MAX + PRT_TRACE_MAX)

/* nobody knows, e.g. because this process has no descriptor left to look */
#define PRT_BIRTH_UNKNOWN  UINT64_MAX

#define prt_generation(word)  ((uint32_t) ((word) >> 32))
#define prt_owner(generation, low)                                            \
    ((uint64_t) (generation) << 32 | (uint32_t) (low))


_Static_assert(sizeof(prt_region_head_t) <= PRT_REGION_HEAD,
               "the directory fits before the first slot");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics without locks");


static uint64_t prt_process_birth(pid_t pid);
static int prt_process_alive(pid_t pid, uint64_t birth);
static uint64_t prt_window_owner(prt_region_t *region, unsigned slot);
static off_t prt_region_offset(unsigned slot);
static void *prt_region_mmap(const prt_region_t *region, off_t offset,
    size_t size);
static int prt_region_take(prt_region_t *region, unsigned slot,
    uint64_t owner);


prt_region_t *
prt_region_create(unsigned workers, char error[PRT_ERROR_LEN])
{
    off_t           size;
    prt_region_t   *region;
    struct rlimit   limit;

    region = calloc(1, sizeof(prt_region_t));
    if (region == NULL) {
        snprintf(error, PRT_ERROR_LEN, "no memory");
        return NULL;
    }

    region->limit = PRT_SLOTS_MAX;

    /* a file past RLIMIT_FSIZE would be answered with SIGXFSZ */

    if (getrlimit(RLIMIT_FSIZE, &limit) == 0
        && limit.rlim_cur != RLIM_INFINITY)
    {
        while (region->limit
               && (rlim_t) prt_region_offset(region->limit) > limit.rlim_cur)
        {
            region->limit--;
        }
    }

    size = prt_region_offset(region->limit);

    region->fd = memfd_create("pprof", MFD_CLOEXEC);

    if (region->fd == -1) {
        snprintf(error, PRT_ERROR_LEN, "memfd_create() failed: %s",
                 strerror(errno));
        goto failed;
    }

    if (region->limit == 0) {
        snprintf(error, PRT_ERROR_LEN, "RLIMIT_FSIZE allows no file of %lld "
                 "bytes", (long long) prt_region_offset(1));
        goto failed;
    }

    if (ftruncate(region->fd, size) == -1) {
        snprintf(error, PRT_ERROR_LEN,
                 "a sparse file of %lld bytes is not allowed "
                 "(RLIMIT_FSIZE): %s", (long long) size, strerror(errno));
        goto failed;
    }

    region->head = mmap(NULL, sizeof(prt_region_head_t),
                        PROT_READ|PROT_WRITE, MAP_SHARED, region->fd, 0);

    if (region->head == MAP_FAILED) {
        snprintf(error, PRT_ERROR_LEN, "mmap() failed: %s", strerror(errno));
        goto failed;
    }

    prt_region_renew(region, workers);

    return region;

failed:

    if (region->fd != -1) {
        (void) close(region->fd);
    }

    free(region);

    return NULL;
}


void
prt_region_renew(prt_region_t *region, unsigned workers)
{
    unsigned  n;

    n = workers < region->limit ? 2 * workers + PRT_REGION_SPARE
                                : region->limit;
    if (n > region->limit) {
        n = region->limit;
    }

    if (n > atomic_load(&region->head->nslots)) {
        atomic_store(&region->head->nslots, n);
    }

    /* for the workers forked from now on, however late they start */

    region->cycle = atomic_fetch_add(&region->head->cycle, 1) + 1;
}


void
prt_region_destroy(prt_region_t *region)
{
    unsigned  i;

    for (i = 0; i < PRT_SLOTS_MAX; i++) {
        if (region->maps[i].memory) {
            (void) munmap(region->maps[i].memory, region->maps[i].size);
        }
    }

    (void) munmap(region->head, sizeof(prt_region_head_t));
    (void) close(region->fd);

    free(region);
}


int
prt_region_claim(prt_region_t *region, size_t size, size_t ring, int worker,
    char error[PRT_ERROR_LEN])
{
    unsigned      i, n, best;
    uint64_t      owner, last, oldest, seen;
    prt_entry_t  *entry;

    n = prt_region_slots(region);

    for ( ;; ) {
        best = n;
        last = 0;
        oldest = UINT64_MAX;

        for (i = 0; i < n; i++) {

            switch (prt_region_state(region, i, &owner)) {

            case PRT_SLOT_FREE:
                seen = 0;
                break;

            case PRT_SLOT_ENDED:
                seen = atomic_load(&region->head->entries[i].seen);
                break;

            default:
                continue;
            }

            if (seen < oldest) {
                oldest = seen;
                best = i;
                last = owner;
            }
        }

        if (best == n) {

            /* more processes than announced: a worker is not refused */

            if (n == region->limit) {
                snprintf(error, PRT_ERROR_LEN, "no free slot of %u", n);
                return -1;
            }

            atomic_compare_exchange_strong(&region->head->nslots,
                                           &(uint32_t) { n }, n + 1);
            n = prt_region_slots(region);
            continue;
        }

        if (prt_region_take(region, best, last)) {
            break;
        }
    }

    entry = &region->head->entries[best];

    atomic_store(&entry->size, size);
    atomic_store(&entry->ring, ring);
    atomic_store(&entry->seen, prt_now());

    if (fallocate(region->fd, FALLOC_FL_PUNCH_HOLE|FALLOC_FL_KEEP_SIZE,
                  prt_region_offset(best), PRT_REGION_STEP)
        == -1)
    {
        snprintf(error, PRT_ERROR_LEN, "fallocate() failed: %s",
                 strerror(errno));
        prt_region_release(region, best);
        return -1;
    }

    atomic_store(&entry->worker, worker);
    atomic_store(&entry->cycle, region->cycle);
    atomic_store(&entry->synced, 0);
    atomic_store(&entry->waiting, 0);

    if (prt_region_map(region, best, &size) == NULL) {
        snprintf(error, PRT_ERROR_LEN, "mmap() failed: %s", strerror(errno));
        prt_region_release(region, best);
        return -1;
    }

    return (int) best;
}


static int
prt_region_take(prt_region_t *region, unsigned slot, uint64_t owner)
{
    uint64_t      mine;
    prt_entry_t  *entry;

    entry = &region->head->entries[slot];
    mine = prt_owner(prt_generation(owner) + 1, getpid());

    if (!atomic_compare_exchange_strong(&entry->owner, &owner, mine)) {
        return 0;
    }

    atomic_store(&entry->birth, prt_process_birth(getpid()));
    atomic_store(&entry->state,
                 prt_owner(prt_generation(mine), PRT_SLOT_CLAIMED));

    return 1;
}


void
prt_region_publish(prt_region_t *region, unsigned slot)
{
    prt_entry_t  *entry;

    entry = &region->head->entries[slot];

    atomic_store(&entry->state,
                 prt_owner(prt_generation(atomic_load(&entry->owner)),
                           PRT_SLOT_LIVE));

    /* after it: who is not in a snapshot has a later start than that */
    atomic_store(&entry->start, prt_now());
}


void
prt_region_release(prt_region_t *region, unsigned slot)
{
    prt_entry_t  *entry;

    entry = &region->head->entries[slot];

    atomic_store(&entry->seen, prt_now());
    atomic_store(&entry->state,
                 prt_owner(prt_generation(atomic_load(&entry->owner)),
                           PRT_SLOT_ENDED));
}


void *
prt_region_map(prt_region_t *region, unsigned slot, size_t *size)
{
    void    *memory;
    size_t   want;

    want = atomic_load(&region->head->entries[slot].size);

    if (want < PRT_MEMORY_MIN || want > PRT_MEMORY_MAX) {
        return NULL;
    }

    if (region->maps[slot].size != want) {

        memory = prt_region_mmap(region, prt_region_offset(slot), want);

        if (memory == NULL) {
            return NULL;
        }

        if (region->maps[slot].memory) {
            (void) munmap(region->maps[slot].memory, region->maps[slot].size);
        }

        region->maps[slot].memory = memory;
        region->maps[slot].size = want;
    }

    *size = want;

    return region->maps[slot].memory;
}


void *
prt_region_view(const prt_region_t *region, unsigned slot, size_t *size)
{
    *size = atomic_load(&region->head->entries[slot].size);

    if (*size < PRT_MEMORY_MIN || *size > PRT_MEMORY_MAX) {
        return NULL;
    }

    return prt_region_mmap(region, prt_region_offset(slot), *size);
}


void *
prt_region_ring(const prt_region_t *region, unsigned slot, size_t *size)
{
    *size = atomic_load(&region->head->entries[slot].ring);

    if (*size < PRT_TRACE_MIN || *size > PRT_TRACE_MAX) {
        return NULL;
    }

    return prt_region_mmap(region, prt_region_offset(slot) + PRT_MEMORY_MAX,
                           *size);
}


static void *
prt_region_mmap(const prt_region_t *region, off_t offset, size_t size)
{
    void  *memory;

    memory = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_SHARED, region->fd,
                  offset);

    if (memory == MAP_FAILED) {
        return NULL;
    }

    /* core dumps shall not grow by what other processes recorded */
    (void) madvise(memory, size, MADV_DONTDUMP);

    return memory;
}


unsigned
prt_region_slots(const prt_region_t *region)
{
    unsigned  n;

    n = atomic_load(&region->head->nslots);

    return n < region->limit ? n : region->limit;
}


prt_slot_state_t
prt_region_state(const prt_region_t *region, unsigned slot, uint64_t *owner)
{
    uint64_t            state, birth;
    prt_entry_t        *entry;
    prt_slot_state_t    s;

    entry = &region->head->entries[slot];

    *owner = atomic_load(&entry->owner);
    birth = atomic_load(&entry->birth);
    state = atomic_load(&entry->state);

    if (*owner == 0) {
        return PRT_SLOT_FREE;
    }

    s = prt_generation(state) == prt_generation(*owner)
        ? (prt_slot_state_t) (uint32_t) state : PRT_SLOT_CLAIMED;

    if (s == PRT_SLOT_ENDED) {
        return s;
    }

    if (s != PRT_SLOT_LIVE) {
        /* "birth" may still be that of the process before */
        birth = 0;
    }

    if (prt_process_alive((pid_t) (uint32_t) *owner, birth)) {
        return s;
    }

    return PRT_SLOT_ENDED;
}


int
prt_region_gone(prt_region_t *region, unsigned slot, uint64_t *owner)
{
    uint64_t      state;
    prt_entry_t  *entry;

    entry = &region->head->entries[slot];
    state = atomic_load(&entry->state);

    if ((prt_slot_state_t) (uint32_t) state != PRT_SLOT_LIVE
        || prt_region_state(region, slot, owner) != PRT_SLOT_ENDED
        || prt_generation(*owner) != prt_generation(state))
    {
        return 0;
    }

    /* not of a process that has taken the slot meanwhile */

    return atomic_compare_exchange_strong(&entry->state, &state,
                                          prt_owner(prt_generation(state),
                                                    PRT_SLOT_ENDED));
}


int
prt_region_window_open(prt_region_t *region, unsigned slot,
    const prt_window_t *wanted)
{
    unsigned       i;
    uint64_t       mine;
    prt_window_t  *window;

    mine = prt_window_owner(region, slot);

    for (i = 0; i < PRT_WINDOWS_MAX; i++) {
        window = &region->head->windows[i];

        if (!atomic_compare_exchange_strong(&window->owner, &(uint64_t) { 0 },
                                            mine))
        {
            continue;
        }

        window->profile = wanted->profile;
        window->rate = wanted->rate;
        window->worker = wanted->worker;
        window->pid = wanted->pid;

        atomic_store(&window->open, 1);

        return (int) i;
    }

    return -1;
}


void
prt_region_window_close(prt_region_t *region, unsigned window)
{
    atomic_store(&region->head->windows[window].open, 0);
    atomic_store(&region->head->windows[window].owner, 0);
}


void
prt_region_window_sweep(prt_region_t *region, unsigned mine)
{
    unsigned       i, slot;
    uint64_t       owner, current, self;
    prt_window_t  *window;

    self = prt_window_owner(region, mine);

    for (i = 0; i < PRT_WINDOWS_MAX; i++) {
        window = &region->head->windows[i];
        owner = atomic_load(&window->owner);

        if (owner == 0) {
            continue;
        }

        slot = (uint32_t) owner - 1;

        if (slot < PRT_SLOTS_MAX
            && prt_region_state(region, slot, &current) == PRT_SLOT_LIVE
            && prt_generation(current) == prt_generation(owner))
        {
            continue;
        }

        /* ours first: another sweeper may have freed it, and somebody taken it */

        if (atomic_compare_exchange_strong(&window->owner, &owner, self)) {
            prt_region_window_close(region, i);
        }
    }
}


static uint64_t
prt_window_owner(prt_region_t *region, unsigned slot)
{
    uint64_t  owner;

    owner = atomic_load(&region->head->entries[slot].owner);

    return prt_owner(prt_generation(owner), slot + 1);
}


static off_t
prt_region_offset(unsigned slot)
{
    return PRT_REGION_HEAD + (off_t) slot * PRT_REGION_STEP;
}


static uint64_t
prt_process_birth(pid_t pid)
{
    int                 fd;
    char                path[32], text[1024], *p;
    ssize_t             n;
    unsigned            i;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);

    fd = open(path, O_RDONLY|O_CLOEXEC);
    if (fd == -1) {
        return errno == ENOENT || errno == ESRCH ? 0 : PRT_BIRTH_UNKNOWN;
    }

    n = read(fd, text, sizeof(text) - 1);
    (void) close(fd);

    if (n <= 0) {
        return 0;
    }

    text[n] = '\0';

    /* the name may hold anything, also ") Z" */

    p = strrchr(text, ')');
    if (p == NULL || p[1] != ' ' || p[2] == 'Z' || p[2] == 'X') {
        return 0;
    }

    for (i = 0, p += 2; i < 19 && p; i++) {
        p = strchr(p + 1, ' ');
    }

    return p ? strtoull(p + 1, NULL, 10) : 0;
}


static int
prt_process_alive(pid_t pid, uint64_t birth)
{
    uint64_t  now;

    if (kill(pid, 0) == -1 && errno == ESRCH) {
        return 0;
    }

    if (birth == 0 || birth == PRT_BIRTH_UNKNOWN) {
        return 1;
    }

    /* the number may be another process's by now, and a zombie has ended */

    now = prt_process_birth(pid);

    return now == birth || now == PRT_BIRTH_UNKNOWN;
}
