
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Processes that a signal has killed: what they noted in their slots is given
 * names by one of those that live, which also tells the log.  And those that
 * were killed without a chance to note anything: of them the parent's log tells.
 */


#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encode/prt_where.h"
#include "platform/prt_futex.h"
#include "serve/prt_job.h"
#include "sources/prt_crash.h"
#include "sources/prt_profile.h"


#define PRT_DEATH_LOOK    (50 * PRT_MSEC)  /* until a process has ended */

/* a core dump takes its time; who lives on has handled the signal himself */
#define PRT_DEATH_WAIT    (60 * PRT_SEC)


static int prt_death_slot(unsigned slot, uint64_t now);
static void prt_death_gone(unsigned slot, uint64_t owner);
static void prt_death_last(const prt_slot_t *slot, char *text, size_t size);
static void prt_death_tell(const prt_slot_t *slot, int worker, pid_t pid);
static void prt_death_write(const prt_death_info_t *info, uint64_t time);
static int prt_death_read(prt_death_t *death, prt_death_info_t *info);
static const char *prt_death_signal(int signo);


/* of the service thread: what it has looked for, and when to look again */
static uint64_t  prt_death_seen;
static uint64_t  prt_death_next;


void
prt_death_start(void)
{
    prt_death_seen = 0;
    prt_death_next = 0;
}


uint64_t
prt_death_watch(uint64_t now)
{
    int       open;
    unsigned  i, n;
    uint64_t  crashes;

    crashes = atomic_load(&prt_process.region->head->crashes);

    if (crashes == prt_death_seen) {
        return PRT_FOREVER;
    }

    if (now < prt_death_next) {
        return prt_death_next;
    }

    n = prt_region_slots(prt_process.region);
    open = 0;

    for (i = 0; i < n; i++) {
        if (i != prt_process.slot) {
            open |= prt_death_slot(i, now);
        }
    }

    if (open) {
        prt_death_next = now + PRT_DEATH_LOOK;
        return prt_death_next;
    }

    prt_death_seen = crashes;
    prt_death_next = 0;

    return PRT_FOREVER;
}


/* Whether a process there may be about to end. */

static int
prt_death_slot(unsigned number, uint64_t now)
{
    void                    *memory;
    size_t                   size;
    unsigned                 n;
    uint32_t                 noted;
    uint64_t                 owner;
    prt_slot_t               slot;
    prt_entry_t             *entry;
    prt_slot_crash_t        *crash;
    const prt_table_spec_t  *specs;

    entry = &prt_process.region->head->entries[number];

    if (atomic_load(&entry->owner) == 0) {
        return 0;
    }

    memory = prt_region_map(prt_process.region, number, &size);
    if (memory == NULL) {
        return 0;
    }

    crash = &((prt_slot_head_t *) memory)->crash;

    if (atomic_load(&crash->state) != PRT_CRASH_NOTED) {
        return 0;
    }

    if (prt_region_state(prt_process.region, number, &owner)
        != PRT_SLOT_ENDED)
    {
        /* which may be later than our now */
        return crash->time + PRT_DEATH_WAIT > now;
    }

    noted = PRT_CRASH_NOTED;

    if (!atomic_compare_exchange_strong(&crash->state, &noted,
                                        PRT_CRASH_TOLD))
    {
        return 0;
    }

    specs = prt_profile_tables(&n);
    prt_slot_attach(&slot, memory, size, specs, n);

    prt_death_tell(&slot, atomic_load(&entry->worker),
                   (pid_t) (uint32_t) owner);

    if (prt_process.options.trace_on_crash) {
        prt_recorder_event(PRT_RECORDER_CRASH);
    }

    return 0;
}


void
prt_death_look(void)
{
    unsigned  i, n;
    uint64_t  owner;

    n = prt_region_slots(prt_process.region);

    for (i = 0; i < n; i++) {
        if (prt_region_gone(prt_process.region, i, &owner)) {
            prt_death_gone(i, owner);
        }
    }
}


static void
prt_death_gone(unsigned number, uint64_t owner)
{
    void                    *memory;
    size_t                   size;
    unsigned                 n;
    prt_slot_t               slot;
    prt_entry_t             *entry;
    prt_death_info_t         death;
    const prt_table_spec_t  *specs;

    memory = prt_region_map(prt_process.region, number, &size);
    if (memory == NULL) {
        return;
    }

    specs = prt_profile_tables(&n);
    prt_slot_attach(&slot, memory, size, specs, n);

    /* a signal's note is told by prt_death_slot() */

    if (atomic_load(&slot.head->crash.state) != PRT_CRASH_NONE) {
        return;
    }

    entry = &prt_process.region->head->entries[number];

    memset(&death, 0, sizeof(prt_death_info_t));

    death.worker = atomic_load(&entry->worker);
    death.pid = (pid_t) (uint32_t) owner;
    death.signo = SIGKILL;

    prt_death_last(&slot, death.where, sizeof(death.where));

    /* another process may have taken the slot, and begun in it */

    if (atomic_load(&entry->owner) != owner) {
        death.worker = -1;
        death.where[0] = '\0';
    }

    prt_death_write(&death, prt_now());
}


/* What its slot says by itself. */

static void
prt_death_last(const prt_slot_t *slot, char *text, size_t size)
{
    int       n;
    char      stall[PRT_STALL_TEXT];
    uint64_t  begin, rss;

    begin = atomic_load(&slot->head->loop_begin);
    rss = atomic_load(&slot->head->rss);

    n = 0;

    if (begin && prt_slot_stall_text(slot, begin, stall)) {
        n = snprintf(text, size, "its event loop was held, %s", stall);
    }

    if (rss) {
        (void) snprintf(text + n, size - (size_t) n,
                        "%sRSS %.1f MiB when it was last asked", n ? "; " : "",
                        (double) rss / 1048576);
    }
}


static void
prt_death_tell(const prt_slot_t *slot, int worker, pid_t pid)
{
    unsigned           n;
    prt_job_t         *job;
    prt_slot_crash_t  *crash;

    job = calloc(1, sizeof(prt_job_t));
    if (job == NULL) {
        return;
    }

    crash = &slot->head->crash;

    job->kind = PRT_JOB_NOTICE;
    job->window = -1;
    job->death.worker = worker;
    job->death.pid = pid;
    job->death.signo = (int) crash->signo;

    /* for prt_death_encode(): when, not how long ago */
    job->death.age = crash->time;

    n = crash->nframes;
    n = n < PRT_STACK_MAX + 2 ? n : PRT_STACK_MAX + 2;

    job->merge = prt_merge_stack(slot, crash->frames, n, crash->labels);

    if (job->merge == NULL) {
        prt_job_free(job);
        return;
    }

    prt_encoder_push(job);
}


void
prt_death_encode(prt_job_t *job, prt_symbols_t *symbols)
{
    int                labels;
    char               worker[32];
    prt_death_info_t  *death;

    death = &job->death;

    (void) prt_where(&job->merge->report, symbols, death->where,
                     sizeof(death->where));

    prt_death_write(death, death->age);

    worker[0] = '\0';

    if (death->worker >= 0) {
        (void) snprintf(worker, sizeof(worker), " (worker %d)", death->worker);
    }

    labels = job->merge->report.samples[0].nlabels > 1;

    (void) snprintf(job->error, sizeof(job->error),
                    "process %d%s died by %s%s %s", (int) death->pid, worker,
                    prt_death_signal(death->signo), labels ? "," : ":",
                    death->where);
}


/* Those who look see an old one, the new one, or none. */

static void
prt_death_write(const prt_death_info_t *info, uint64_t time)
{
    size_t              i;
    uint32_t            number;
    prt_death_t        *death;
    prt_region_head_t  *head;

    head = prt_process.region->head;

    number = atomic_fetch_add(&head->ndeaths, 1);
    death = &head->deaths[number % PRT_DEATHS_MAX];

    atomic_store(&death->version, 2 * number + 1);

    atomic_store(&death->worker, info->worker);
    atomic_store(&death->pid, info->pid);
    atomic_store(&death->signo, (uint32_t) info->signo);
    atomic_store(&death->time, time);

    for (i = 0; i < PRT_DEATH_TEXT; i++) {
        atomic_store_explicit(&death->where[i], info->where[i],
                              memory_order_relaxed);
    }

    atomic_store(&death->version, 2 * number + 2);
}


unsigned
prt_deaths(prt_death_info_t *deaths, unsigned max)
{
    unsigned            i, n;
    uint32_t            number;
    prt_region_head_t  *head;

    if (!prt_process.started) {
        return 0;
    }

    head = prt_process.region->head;
    number = atomic_load(&head->ndeaths);
    n = 0;

    for (i = 0; i < PRT_DEATHS_MAX && i < number && n < max; i++) {
        n += (unsigned) prt_death_read(
                 &head->deaths[(number - 1 - i) % PRT_DEATHS_MAX], &deaths[n]);
    }

    return n;
}


static int
prt_death_read(prt_death_t *death, prt_death_info_t *info)
{
    size_t    i;
    uint32_t  version;

    version = atomic_load(&death->version);

    if (version == 0 || version % 2) {
        return 0;
    }

    info->worker = atomic_load(&death->worker);
    info->pid = atomic_load(&death->pid);
    info->signo = (int) atomic_load(&death->signo);
    info->signal = prt_death_signal(info->signo);
    info->age = prt_now() - atomic_load(&death->time);

    for (i = 0; i < PRT_DEATH_TEXT; i++) {
        info->where[i] = atomic_load_explicit(&death->where[i],
                                              memory_order_relaxed);
    }

    info->where[PRT_DEATH_TEXT - 1] = '\0';

    return atomic_load(&death->version) == version;
}


static const char *
prt_death_signal(int signo)
{
    switch (signo) {

    case SIGSEGV:
        return "SIGSEGV";

    case SIGBUS:
        return "SIGBUS";

    case SIGILL:
        return "SIGILL";

    case SIGFPE:
        return "SIGFPE";

    case SIGABRT:
        return "SIGABRT";

    case SIGKILL:
        return "killed (SIGKILL, or the kernel's OOM killer)";

    default:
        return "an unknown signal";
    }
}
