
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "platform/prt_descriptors.h"
#include "platform/prt_futex.h"
#include "platform/prt_hook.h"
#include "platform/prt_libunwind.h"
#include "platform/prt_object.h"
#include "platform/prt_ticks.h"
#include "serve/prt_allocator.h"
#include "serve/prt_gops.h"
#include "serve/prt_job.h"
#include "sources/prt_block.h"
#include "sources/prt_cpu.h"
#include "sources/prt_crash.h"
#include "sources/prt_goroutine.h"
#include "sources/prt_heap.h"
#include "sources/prt_pool.h"
#include "sources/prt_record.h"
#include "sources/prt_thread.h"
#include "sources/prt_trace.h"


#define PRT_SERVICE_STACK   (512 * 1024)   /* bytes */

/* for a thread to end; nginx kills a worker that takes 1.5 s for TERM */
#define PRT_STOP_TIMEOUT    1              /* s */


static void *prt_service_main(void *data);
static uint64_t prt_service_jobs(prt_job_t **jobs);
static void prt_service_follow(void);
static void prt_service_wake(void);
static void prt_service_crashed(void);
static void prt_service_ask(void);
static void prt_service_gauges(void);
static void prt_service_forked(void);
static void prt_service_once(void);
static unsigned prt_service_demand(unsigned profile);


prt_process_t  prt_process = { .eventfd = -1 };

static pthread_t      prt_service_thread;
static unsigned       prt_service_busy;    /* a source is on */
static uint64_t       prt_service_trimmed; /* as the region's, when it was done */
static prt_region_t  *prt_service_region;  /* of a process without family */


int
prt_start(prt_region_t *region, const prt_options_t *options,
    char error[PRT_ERROR_LEN])
{
    int                      slot;
    void                    *memory, *buffer;
    size_t                   size, ring;
    unsigned                 i, n;
    const prt_table_spec_t  *specs;
    static pthread_once_t    once = PTHREAD_ONCE_INIT;

    if (prt_process.started) {
        snprintf(error, PRT_ERROR_LEN, "already started");
        return -1;
    }

    memset(&prt_process, 0, sizeof(prt_process_t));

    prt_process.eventfd = -1;
    prt_process.options = *options;

    if (prt_process.options.cpu_rate == 0) {
        prt_process.options.cpu_rate = PRT_CPU_RATE_DEFAULT;
    }

    size = options->memory ? options->memory : PRT_MEMORY_DEFAULT;

    if (size < PRT_MEMORY_MIN || size > PRT_MEMORY_MAX) {
        snprintf(error, PRT_ERROR_LEN, "memory must be between %d and %d "
                 "bytes", PRT_MEMORY_MIN, PRT_MEMORY_MAX);
        return -1;
    }

    if (region == NULL) {

        /* never unmapped: a late signal may still count there */

        if (prt_service_region == NULL) {
            prt_service_region = prt_region_create(1, error);
        }

        region = prt_service_region;

        if (region == NULL) {
            return -1;
        }
    }

    prt_ticks_start();

    prt_process.region = region;
    prt_service_trimmed = atomic_load(&region->head->trim);
    prt_process.eventfd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (prt_process.eventfd == -1) {
        snprintf(error, PRT_ERROR_LEN, "eventfd() failed: %s",
                 strerror(errno));
        goto failed;
    }

    ring = options->trace_buffer ? options->trace_buffer : PRT_TRACE_DEFAULT;

    if (ring < PRT_TRACE_MIN || ring > PRT_TRACE_MAX) {
        snprintf(error, PRT_ERROR_LEN, "the trace's buffer must be between %d "
                 "and %d bytes", PRT_TRACE_MIN, PRT_TRACE_MAX);
        goto failed;
    }

    prt_death_look();

    slot = prt_region_claim(region, size, ring, options->worker, error);
    if (slot == -1) {
        goto failed;
    }

    prt_process.slot = (unsigned) slot;
    prt_process.entry = &region->head->entries[slot];

    memory = prt_region_map(region, prt_process.slot, &size);
    specs = prt_profile_tables(&n);

    prt_slot_attach(&prt_slot, memory, size, specs, n);

    /* never unmapped: a late signal may still write there */

    buffer = prt_region_ring(region, prt_process.slot, &ring);
    prt_trace_set(buffer, ring, prt_service_ask);

    prt_objects_own(options->own);

    if (prt_objects_refresh() == -1) {
        snprintf(error, PRT_ERROR_LEN, "no memory for unwind tables");
        goto released;
    }

    prt_record_objects();

    prt_heap_set(options->heap_rate == PRT_HEAP_OFF ? 0
                 : options->heap_rate ? options->heap_rate
                 : PRT_HEAP_RATE_DEFAULT, options->heap_mmap);

    prt_block_set_rate(options->block_rate == PRT_BLOCK_OFF ? 0
                       : options->block_rate ? options->block_rate
                       : PRT_BLOCK_RATE_DEFAULT, options->nonblocking);

    prt_stall_set(options->stall_threshold == PRT_STALL_OFF ? 0
                  : options->stall_threshold ? options->stall_threshold
                  : PRT_STALL_DEFAULT, prt_notice_stall);

    /* without it stacks end where the tables do, no more */
    (void) prt_libunwind_init();

    prt_goroutine_set(options->goroutines, prt_service_ask, prt_service_wake);

    for (i = 0; i < n; i++) {
        if (prt_profile_first(i)
            && prt_profiles[i].source->start(i, error) != 0)
        {
            goto stopped;
        }
    }

    prt_notice_start();
    prt_recorder_start(options->trace_path);
    prt_death_start();

    /* its stack is known by now */

    prt_loop_start(prt_stall_threshold());
    prt_pool_start(options->pools);

    prt_region_publish(region, prt_process.slot);

    if (prt_service_start(error) != 0) {
        goto stopped;
    }

    prt_process.started = 1;

    prt_crash_start(&region->head->crashes, prt_service_crashed);

    (void) pthread_once(&once, prt_service_once);

    return 0;

stopped:

    prt_pool_stop();

    while (i-- > 0) {
        prt_profiles[i].source->stop();
    }

released:

    prt_region_release(region, prt_process.slot);

failed:

    if (prt_process.eventfd != -1) {
        (void) close(prt_process.eventfd);
        prt_process.eventfd = -1;
    }

    return -1;
}


static void
prt_service_once(void)
{
    (void) pthread_atfork(NULL, NULL, prt_service_forked);
}


void
prt_stop(void)
{
    unsigned    i;
    prt_job_t  *job;

    if (!prt_process.started) {
        return;
    }

    /* the last generation ends: there is none to come */

    if (atomic_load(&prt_process.entry->cycle)
        == atomic_load(&prt_process.region->head->cycle))
    {
        prt_recorder_quit();
    }

    prt_process.started = 0;

    prt_crash_stop();

    if (prt_service_stop() != 0) {

        /*
         * A thread of ours is still at work and may write into the slot: it
         * stays taken until the process ends, which it is about to do, and
         * nobody is to wonder how
         */

        atomic_store(&prt_slot.head->crash.state, PRT_CRASH_TOLD);

        prt_cpu_source.stop();
        return;
    }

    prt_pool_stop();

    for (i = 0; i < prt_nprofiles; i++) {
        prt_profiles[i].source->stop();
    }

    prt_region_release(prt_process.region, prt_process.slot);

    while ((job = prt_job_finished()) != NULL) {
        prt_job_free(job);
    }

    (void) close(prt_process.eventfd);
    prt_process.eventfd = -1;
}


int
prt_others_remain(void)
{
    unsigned       i, n;
    uint32_t       cycle;
    uint64_t       owner;
    prt_region_t  *region;

    if (!prt_process.started) {
        return 0;
    }

    region = prt_process.region;

    /* when all end, those of the newest generation are ending too */

    cycle = atomic_load(&region->head->cycle);

    if (atomic_load(&prt_process.entry->cycle) == cycle) {
        return 0;
    }

    n = prt_region_slots(region);

    for (i = 0; i < n; i++) {

        if (atomic_load(&region->head->entries[i].cycle) == cycle
            && prt_region_state(region, i, &owner) == PRT_SLOT_LIVE)
        {
            return 1;
        }
    }

    return 0;
}


int
prt_service_start(char error[PRT_ERROR_LEN])
{
    int             rc;
    sigset_t        all, old;
    pthread_attr_t  attr;

    sigfillset(&all);
    (void) pthread_sigmask(SIG_SETMASK, &all, &old);

    (void) pthread_attr_init(&attr);
    (void) pthread_attr_setstacksize(&attr, PRT_SERVICE_STACK);

    rc = pthread_create(&prt_service_thread, &attr, prt_service_main, NULL);

    (void) pthread_attr_destroy(&attr);
    (void) pthread_sigmask(SIG_SETMASK, &old, NULL);

    if (rc != 0) {
        snprintf(error, PRT_ERROR_LEN, "pthread_create() failed: %s",
                 strerror(rc));
        return -1;
    }

    (void) pthread_setname_np(prt_service_thread, "pprof-service");

    return 0;
}


int
prt_service_stop(void)
{
    void             *stuck;
    struct timespec   ts;

    atomic_store(&prt_process.stopping, 1);
    prt_futex_wake(&prt_process.entry->wake);

    (void) clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_sec += PRT_STOP_TIMEOUT;

    if (pthread_timedjoin_np(prt_service_thread, &stuck, &ts) != 0 || stuck) {
        return -1;
    }

    return 0;
}


/*
 * A child of fork() that goes on in the same program: it has our memory, but
 * none of our threads and timers, and the slot is its parent's.
 */

static void
prt_service_forked(void)
{
    unsigned  i;

    if (!prt_process.started) {
        return;
    }

    prt_process.started = 0;

    prt_crash_forked();
    prt_pool_stop();
    prt_gops_forked();
    prt_allocator_forked();

    for (i = 0; i < prt_nprofiles; i++) {
        prt_profiles[i].source->forked();
    }
}


static void *
prt_service_main(void *data)
{
    int         stuck, keep[2];
    uint32_t    word;
    uint64_t    deadline, again, tick;
    prt_job_t  *jobs, *job, *next;

    (void) data;

    prt_thread_own();
    prt_heap_own();
    prt_block_own();

    /* what this thread opens is for itself and the encoder */

    keep[0] = prt_process.eventfd;
    keep[1] = prt_process.region->fd;

    (void) prt_descriptors_unshare(keep, 2);

    /* windows that were open before this process started are ours too */

    prt_service_follow();
    prt_gops_start();

    jobs = NULL;
    tick = 0;

    for ( ;; ) {
        word = atomic_load(&prt_process.entry->wake);

        if (atomic_load(&prt_process.stopping)) {
            break;
        }

        if (atomic_load(&prt_process.entry->synced)
            != atomic_load(&prt_process.region->head->sync)
            || (prt_service_busy && prt_now() >= tick))
        {
            prt_service_follow();
            tick = prt_now() + PRT_SYNC_TICK;
        }

        deadline = prt_service_jobs(&jobs);

        again = prt_stall_watch(prt_now());
        deadline = again < deadline ? again : deadline;

        again = prt_recorder_watch(prt_now());
        deadline = again < deadline ? again : deadline;

        again = prt_death_watch(prt_now());
        deadline = again < deadline ? again : deadline;

        /* objects that load later have to be found */

        if (!prt_service_busy && prt_now() >= tick) {
            (void) prt_hooks_refresh();
            prt_ticks_refine();
            tick = prt_now() + PRT_IDLE_TICK;
        }

        if (tick < deadline) {
            deadline = tick;
        }

        prt_futex_wait(&prt_process.entry->wake, word, deadline);
    }

    stuck = prt_gops_stop();
    stuck |= prt_encoder_stop();

    job = prt_queue_take(&prt_process.submitted);

    for ( /* void */ ; job; job = next) {
        next = job->next;
        prt_session_drop(job);
    }

    for (job = jobs; job; job = next) {
        next = job->next;
        prt_session_drop(job);
    }

    if (!stuck) {
        prt_gops_drain();
    }

    return stuck ? &prt_process : NULL;
}


/* Steps all jobs; returns when to come again. */

static uint64_t
prt_service_jobs(prt_job_t **jobs)
{
    uint32_t     waiting;
    uint64_t     now, again, deadline;
    prt_job_t   *job, *next, **link;

    link = jobs;

    while (*link) {
        link = &(*link)->next;
    }

    *link = prt_queue_take(&prt_process.submitted);

    now = prt_now();
    deadline = PRT_FOREVER;
    waiting = 0;
    link = jobs;

    for (job = *jobs; job; job = next) {

        /* the step may give the job away, so it is not looked at after */

        next = job->next;

        /* the recorder was told, whoever hears of it */

        if (atomic_load(&job->cancelled) && job->kind != PRT_JOB_RECORDER) {
            prt_session_drop(job);
            continue;
        }

        again = prt_session_step(job, now);

        if (again == 0) {
            continue;
        }

        *link = job;
        link = &job->next;

        deadline = again < deadline ? again : deadline;
        waiting |= job->stage != PRT_STAGE_RUNNING;
    }

    *link = NULL;

    if (waiting && !atomic_exchange(&prt_process.entry->waiting, 1)) {

        /* who synced before this was set did not wake us: look once more */
        return now;
    }

    atomic_store(&prt_process.entry->waiting, waiting);

    return deadline;
}


uint64_t
prt_service_sync(void)
{
    unsigned       i, n;
    uint64_t       sync;
    prt_entry_t   *entry;
    prt_region_t  *region;

    region = prt_process.region;
    sync = atomic_fetch_add(&region->head->sync, 1) + 1;
    n = prt_region_slots(region);

    for (i = 0; i < n; i++) {
        entry = &region->head->entries[i];

        if ((uint32_t) atomic_load(&entry->state) == PRT_SLOT_LIVE) {
            prt_futex_wake(&entry->wake);
        }
    }

    return sync;
}


/* Does what the open windows ask of this process, and says so. */

static void
prt_service_follow(void)
{
    unsigned       i, rate;
    uint64_t       sync;
    prt_region_t  *region;

    region = prt_process.region;
    sync = atomic_load(&region->head->sync);

    prt_region_window_sweep(region, prt_process.slot);

    (void) prt_objects_refresh();
    prt_ticks_refine();

    if (atomic_load(&region->head->trim) != prt_service_trimmed) {
        prt_service_trimmed = atomic_load(&region->head->trim);
        (void) prt_allocator_trim();
    }

    prt_service_busy = 0;

    for (i = 0; i < prt_nprofiles; i++) {
        rate = prt_service_demand(i);
        prt_profiles[i].source->sync(rate);
        prt_service_busy |= rate;
    }

    prt_record_objects();
    prt_service_gauges();

    atomic_store(&prt_process.entry->seen, prt_now());

    if (atomic_exchange(&prt_process.entry->synced, sync) != sync) {
        prt_service_wake();
    }
}


/* Those that wait for others, ourselves too, look again. */

static void
prt_service_wake(void)
{
    unsigned       i, n;
    prt_entry_t   *entry;

    n = prt_region_slots(prt_process.region);

    for (i = 0; i < n; i++) {
        entry = &prt_process.region->head->entries[i];

        if (atomic_load(&entry->waiting)) {
            prt_futex_wake(&entry->wake);
        }
    }
}


/* This process is about to die: the others look.  Signal-safe. */

static void
prt_service_crashed(void)
{
    unsigned  i, n;

    n = prt_region_slots(prt_process.region);

    for (i = 0; i < n; i++) {
        if (i != prt_process.slot) {
            prt_futex_wake(&prt_process.region->head->entries[i].wake);
        }
    }
}


/* The control thread has to look what is wanted of it. */

static void
prt_service_ask(void)
{
    ssize_t   n;
    uint64_t  one;

    one = 1;
    n = write(prt_process.eventfd, &one, sizeof(uint64_t));
    (void) n;
}


static unsigned
prt_service_demand(unsigned profile)
{
    unsigned       i, rate, highest;
    prt_target_t   target;
    prt_window_t  *window;

    highest = 0;

    if ((prt_profiles[profile].info.flags & PRT_PROFILE_TRACE)
        && prt_recorder_running())
    {
        highest = 1;
    }

    for (i = 0; i < PRT_WINDOWS_MAX; i++) {
        window = &prt_process.region->head->windows[i];

        if (!atomic_load(&window->open)
            || atomic_load(&window->profile) != profile)
        {
            continue;
        }

        target.worker = atomic_load(&window->worker);
        target.pid = atomic_load(&window->pid);

        if (!prt_target_matches(&target, prt_process.options.worker,
                                getpid()))
        {
            continue;
        }

        rate = atomic_load(&window->rate);
        highest = rate > highest ? rate : highest;
    }

    return highest < PRT_CPU_RATE_MAX ? highest : PRT_CPU_RATE_MAX;
}


static void
prt_service_gauges(void)
{
    int               fd;
    char              text[128];
    ssize_t           n;
    prt_gauges_t      gauges;
    unsigned long     pages;
    prt_slot_head_t  *head;

    head = prt_slot.head;

    atomic_store(&head->cpu, prt_clock(CLOCK_PROCESS_CPUTIME_ID));

    fd = open("/proc/self/statm", O_RDONLY|O_CLOEXEC);

    if (fd != -1) {
        n = read(fd, text, sizeof(text) - 1);
        (void) close(fd);

        text[n > 0 ? n : 0] = '\0';

        if (sscanf(text, "%*s %lu", &pages) == 1) {
            atomic_store(&head->rss,
                         pages * (uint64_t) sysconf(_SC_PAGESIZE));
        }
    }

    if (prt_process.options.gauges) {
        memset(&gauges, 0, sizeof(prt_gauges_t));
        prt_process.options.gauges(&gauges);

        atomic_store(&head->connections, gauges.connections);
        atomic_store(&head->requests, gauges.requests);
    }
}
