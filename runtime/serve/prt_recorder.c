
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The flight recorder.  That it runs is a word in the region, which all
 * processes look at when they follow a sync, so it is nobody's: who starts it
 * may end, and those that come later record as well.  What is to be done with
 * it is done by the process that has its claim, and that of one that died on
 * it is taken over.
 *
 * Each recording has a number.  Who is told to stop one, or finds that its time
 * is over, means that number, and does nothing to a later one.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/prt_futex.h"
#include "serve/prt_file.h"
#include "serve/prt_recorder.h"
#include "store/prt_claim.h"


#define PRT_RECORDER_POLL   (10 * PRT_MSEC)   /* for somebody else's claim */
#define PRT_RECORDER_LOOK   (100 * PRT_MSEC)  /* the same, when nobody waits */

/* after the first failure at the end, twice as much after each, at most ... */
#define PRT_RECORDER_AGAIN  (5 * PRT_SEC)
#define PRT_RECORDER_TWICE  6                 /* ... times */

/* for the last file, when all end; then nginx would lose its patience */
#define PRT_RECORDER_LAST   PRT_SEC
#define PRT_RECORDER_NAP    2000              /* us */

#define PRT_RECORDER_QUIET  (60 * PRT_SEC)    /* between files of one event */


#define prt_recorder_number(state)  ((uint32_t) ((state) >> 32))
#define prt_recorder_runs(state)    ((int) ((state) & 1))
#define prt_recorder_state(number, runs)                                      \
    ((uint64_t) (number) << 32 | (runs))


static uint64_t prt_recorder_new(prt_job_t *job, uint64_t now);
static void prt_recorder_begin(prt_job_t *job, uint64_t now);
static int prt_recorder_left(uint64_t now);
static void prt_recorder_push(prt_recorder_event_t event, uint64_t state);
static void prt_recorder_again(void);
static void prt_recorder_over(prt_job_t *job);
static void prt_recorder_done(unsigned command);


/* a job of our own for the end is under way */
static atomic_int        prt_recorder_ending;

/* prt_now() when the process's own end began; 0: there is nothing to wait for */
static _Atomic uint64_t  prt_recorder_leaving;


void
prt_recorder_start(const char *path)
{
    atomic_store(&prt_recorder_ending, 0);
    atomic_store(&prt_recorder_leaving, 0);
    prt_recorder_set(path);
}


int
prt_recorder_running(void)
{
    return prt_recorder_runs(atomic_load(&prt_recorder_shared()->state));
}


uint64_t
prt_recorder_step(prt_job_t *job, uint64_t now)
{
    if (job->stage == PRT_STAGE_NEW) {
        return prt_recorder_new(job, now);
    }

    if (now < job->deadline && !prt_session_synced(job)) {
        return job->deadline;
    }

    if (job->command == PRT_RECORDER_RUN) {
        prt_job_finish(job);

    } else {
        prt_encoder_push(job);
    }

    return 0;
}


static uint64_t
prt_recorder_new(prt_job_t *job, uint64_t now)
{
    pid_t            dead;
    uint64_t         state;
    prt_recorder_t  *recorder;

    recorder = prt_recorder_shared();
    state = atomic_load(&recorder->state);

    if (job->command == PRT_RECORDER_RUN) {

        if (prt_recorder_runs(state)) {
            prt_job_fail(job, PRT_CONFLICT, "already running");
            return 0;
        }

        if (!prt_recorder_writes()) {
            prt_job_fail(job, PRT_FAILED, "no file is configured to write to");
            return 0;
        }

    } else if (state != prt_recorder_state(job->recording, 1)) {

        if (job->command > PRT_RECORDER_SNAPSHOT) {
            prt_session_drop(job);

        } else {
            prt_job_fail(job, PRT_CONFLICT, "not running");
        }

        return 0;
    }

    if (!job->claimed) {

        if (!prt_claim_take(prt_process.region, prt_process.slot,
                            &recorder->claim, &dead))
        {
            return now + PRT_RECORDER_POLL;
        }

        job->claimed = 1;

        if (dead) {
            prt_recorder_sweep(dead);
        }

        /* whoever had it before us may have changed what was read above */

        if (atomic_load(&recorder->state) != state) {
            prt_claim_give(&recorder->claim);
            job->claimed = 0;
            return now;
        }
    }

    if (job->command == PRT_RECORDER_RUN) {
        prt_recorder_begin(job, now);

    } else if (job->command == PRT_RECORDER_QUIT && prt_recorder_left(now)) {
        prt_session_drop(job);
        return 0;
    }

    /* at a sync all write down what a reader needs */

    return prt_session_sync(job, PRT_STAGE_CLOSING, now);
}


static void
prt_recorder_begin(prt_job_t *job, uint64_t now)
{
    uint64_t         state;
    prt_recorder_t  *recorder;

    recorder = prt_recorder_shared();
    state = atomic_load(&recorder->state);

    atomic_store(&recorder->start, now);
    atomic_store(&recorder->until, now + job->duration);
    atomic_store(&recorder->again, 0);
    atomic_store(&recorder->events, job->request.events);
    atomic_store(&recorder->failures, 0);

    atomic_store(&recorder->state,
                 prt_recorder_state(prt_recorder_number(state) + 1, 1));

    prt_claim_give(&recorder->claim);
    job->claimed = 0;
}


uint64_t
prt_recorder_watch(uint64_t now)
{
    uint64_t         state, until;
    prt_recorder_t  *recorder;

    recorder = prt_recorder_shared();
    state = atomic_load(&recorder->state);

    /* who starts it syncs, which wakes us */

    if (!prt_recorder_runs(state)) {
        return PRT_FOREVER;
    }

    until = atomic_load(&recorder->again);
    until = until ? until : atomic_load(&recorder->until);

    if (now < until) {
        return until;
    }

    if (atomic_load(&prt_recorder_ending)
        || !prt_claim_free(prt_process.region, &recorder->claim))
    {
        return now + PRT_RECORDER_LOOK;
    }

    atomic_store(&prt_recorder_ending, 1);
    prt_recorder_push(PRT_RECORDER_END, state);

    return now + PRT_RECORDER_LOOK;
}


/*
 * The process ends.  If all do, there is nobody left to write the file, so one
 * is written now; if it is only this one, the others go on recording.  Nobody
 * knows which: a snapshot is right for both.
 */

void
prt_recorder_quit(void)
{
    uint64_t         now, state;
    prt_recorder_t  *recorder;

    recorder = prt_recorder_shared();
    state = atomic_load(&recorder->state);

    if (!prt_recorder_runs(state)) {
        return;
    }

    now = prt_now();

    atomic_store(&prt_recorder_leaving, now);
    prt_recorder_push(PRT_RECORDER_QUIT, state);

    while (atomic_load(&prt_recorder_leaving)
           && prt_now() - now < PRT_RECORDER_LAST)
    {
        (void) usleep(PRT_RECORDER_NAP);
    }
}


/*
 * Whether a file has been begun for the end of another process since our own
 * began; if not, ours is.  With the claim.
 */

static int
prt_recorder_left(uint64_t now)
{
    prt_recorder_t  *recorder;

    recorder = prt_recorder_shared();

    if (atomic_load(&recorder->quit) >= atomic_load(&prt_recorder_leaving)) {
        return 1;
    }

    atomic_store(&recorder->quit, now);

    return 0;
}


void
prt_recorder_event(prt_recorder_event_t event)
{
    uint64_t           now, last, state;
    prt_recorder_t    *recorder;
    _Atomic uint64_t  *asked;

    recorder = prt_recorder_shared();
    state = atomic_load(&recorder->state);

    if (!prt_recorder_runs(state)) {
        return;
    }

    now = prt_now();
    asked = &recorder->files[prt_recorder_kind(event)].asked;
    last = atomic_load(asked);

    /*
     * It is asked for, not written, that counts: an event that goes on asks
     * again while the file is being made, or cannot be, and others see it, too.
     */

    if ((last && now - last < PRT_RECORDER_QUIET)
        || !atomic_compare_exchange_strong(asked, &last, now))
    {
        return;
    }

    prt_recorder_push(event, state);
}


static void
prt_recorder_push(prt_recorder_event_t event, uint64_t state)
{
    prt_job_t  *job;

    job = calloc(1, sizeof(prt_job_t));

    if (job == NULL) {
        prt_recorder_done(event);
        return;
    }

    job->kind = PRT_JOB_RECORDER;
    job->command = event;
    job->recording = prt_recorder_number(state);
    job->window = -1;
    job->target.worker = PRT_ANY;
    job->target.pid = PRT_ANY;

    prt_queue_push(&prt_process.submitted, job);
    prt_futex_wake(&prt_process.entry->wake);
}


prt_job_t *
prt_job_recorder(prt_recorder_command_t command, uint64_t duration,
    uint64_t events, void *data)
{
    prt_job_t  *job;

    job = prt_job_open(PRT_JOB_RECORDER, data);
    if (job == NULL) {
        return NULL;
    }

    job->command = command;
    job->duration = duration < PRT_RECORDER_MAX ? duration : PRT_RECORDER_MAX;
    job->request.events = events;

    /* that which runs now is meant, none that starts until it is our turn */

    job->recording = prt_recorder_number(
                         atomic_load(&prt_recorder_shared()->state));

    prt_job_submit(job);

    return job;
}


void
prt_recorder_encode(prt_job_t *job, prt_symbols_t *symbols)
{
    prt_recorder_t  *recorder;

    recorder = prt_recorder_shared();

    job->error[0] = '\0';

    if (prt_recorder_write(job, symbols) == 0
        && (job->command == PRT_RECORDER_STOP
            || job->command == PRT_RECORDER_END))
    {
        atomic_store(&recorder->state,
                     prt_recorder_state(job->recording, 0));

    } else if (job->command == PRT_RECORDER_END
               && !atomic_load(&prt_process.stopping))
    {
        prt_recorder_again();
    }

    prt_claim_give(&recorder->claim);
    job->claimed = 0;

    /* all stop recording, or see when the end is tried again */

    (void) prt_service_sync();

    prt_recorder_over(job);
}



/* Its time is over, and it goes on: that is tried again. */

static void
prt_recorder_again(void)
{
    uint32_t         failures;
    uint64_t         pause;
    prt_recorder_t  *recorder;

    recorder = prt_recorder_shared();

    failures = atomic_fetch_add(&recorder->failures, 1);
    pause = PRT_RECORDER_AGAIN << (failures < PRT_RECORDER_TWICE
                                   ? failures : PRT_RECORDER_TWICE);

    atomic_store(&recorder->again, prt_now() + pause);
}



/* Who waits is told; of what nobody waits for, the log is. */

static void
prt_recorder_over(prt_job_t *job)
{
    prt_recorder_done(job->command);

    if (job->command <= PRT_RECORDER_SNAPSHOT) {

        if (job->error[0]) {
            job->answer.status = PRT_FAILED;
            job->answer.error = job->error;
        }

        prt_job_finish(job);
        return;
    }

    /* what was cut short by our own end is done by another process */

    if (job->error[0] == '\0' || atomic_load(&prt_process.stopping)) {
        prt_job_free(job);
        return;
    }

    job->kind = PRT_JOB_NOTICE;
    prt_job_finish(job);
}


static void
prt_recorder_done(unsigned command)
{
    if (command == PRT_RECORDER_END) {
        atomic_store(&prt_recorder_ending, 0);

    } else if (command == PRT_RECORDER_QUIT) {
        atomic_store(&prt_recorder_leaving, 0);
    }
}


void
prt_recorder_drop(prt_job_t *job)
{
    if (job->kind != PRT_JOB_RECORDER) {
        return;
    }

    prt_recorder_done(job->command);

    if (job->claimed) {
        prt_claim_give(&prt_recorder_shared()->claim);
        job->claimed = 0;
    }
}


int
prt_recorder_info(prt_recorder_info_t *info)
{
    int              error;
    unsigned         i;
    uint64_t         now, until;
    prt_recorder_t  *recorder;

    memset(info, 0, sizeof(prt_recorder_info_t));

    if (!prt_process.started) {
        return -1;
    }

    recorder = prt_recorder_shared();
    now = prt_now();

    info->running = prt_recorder_running();

    if (info->running) {
        until = atomic_load(&recorder->again);
        until = until ? until : atomic_load(&recorder->until);

        info->elapsed = now - atomic_load(&recorder->start);
        info->remaining = until > now ? until - now : 0;
        info->failures = atomic_load(&recorder->failures);
    }

    error = (int) atomic_load(&recorder->error);

    if (error) {
        (void) snprintf(info->error, sizeof(info->error), "%s failed (%d: %s)",
                        prt_file_call(atomic_load(&recorder->failed)), error,
                        strerror(error));
    }

    for (i = 0; i < PRT_FILES; i++) {
        info->files[i].time = atomic_load(&recorder->files[i].time);
        info->files[i].size = atomic_load(&recorder->files[i].size);
        info->files[i].events = atomic_load(&recorder->files[i].events);
        info->files[i].overwritten =
            atomic_load(&recorder->files[i].overwritten);
        info->files[i].left_out = atomic_load(&recorder->files[i].left_out);
    }

    return 0;
}
