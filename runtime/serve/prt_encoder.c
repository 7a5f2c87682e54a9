
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Symbolising and compressing take their time, so they have a thread: the
 * windows of others open and close on time meanwhile.
 */


#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encode/prt_buffer.h"
#include "encode/prt_gotrace.h"
#include "encode/prt_pprof.h"
#include "encode/prt_symbol.h"
#include "encode/prt_text.h"
#include "platform/prt_futex.h"
#include "serve/prt_job.h"
#include "sources/prt_block.h"
#include "sources/prt_heap.h"
#include "sources/prt_thread.h"


#define PRT_ENCODER_STACK  (2 * 1024 * 1024)  /* bytes; libdw recurses */
#define PRT_ENCODER_IDLE   (2 * PRT_SEC)      /* then its memory is given back ... */
#define PRT_ENCODER_HOLD   (30 * PRT_SEC)     /* ... and after so long in any case */
#define PRT_ENCODER_FETCH  (60 * PRT_SEC)     /* at most, for debug info */
#define PRT_ENCODER_STOP   (500 * PRT_MSEC)   /* for the thread to end */


static void *prt_encoder_main(void *data);
static void prt_encoder_current(prt_job_t *job);
static void prt_encode(prt_job_t *job, prt_symbols_t *symbols);
static int prt_encode_trace(prt_job_t *job, prt_symbols_t *symbols);
static int prt_encode_sink(void *data, const void *bytes, size_t size);


static pthread_t         prt_encoder_thread;
static unsigned          prt_encoder_running;
static prt_queue_t       prt_encoder_queue;
static _Atomic uint32_t  prt_encoder_word;
static atomic_int        prt_encoder_stopping;
static atomic_int        prt_encoder_wanted;  /* a job is there: no fetching now */

static pthread_mutex_t   prt_encoder_mutex = PTHREAD_MUTEX_INITIALIZER;
static prt_job_t        *prt_encoder_job;     /* at work on */


void
prt_encoder_push(prt_job_t *job)
{
    int             rc;
    pthread_attr_t  attr;

    if (!prt_encoder_running) {

        atomic_store(&prt_encoder_stopping, 0);

        (void) pthread_attr_init(&attr);
        (void) pthread_attr_setstacksize(&attr, PRT_ENCODER_STACK);

        /* all signals are blocked in the service thread, so here as well */

        rc = pthread_create(&prt_encoder_thread, &attr, prt_encoder_main,
                            NULL);

        (void) pthread_attr_destroy(&attr);

        if (rc != 0) {
            prt_job_fail(job, PRT_FAILED, "no thread for encoding: %s",
                         strerror(rc));
            return;
        }

        (void) pthread_setname_np(prt_encoder_thread, "pprof-encoder");

        prt_encoder_running = 1;
    }

    prt_queue_push(&prt_encoder_queue, job);
    atomic_store(&prt_encoder_wanted, 1);
    prt_futex_wake(&prt_encoder_word);
}


int
prt_encoder_stop(void)
{
    uint64_t         until;
    struct timespec  ts;

    if (!prt_encoder_running) {
        return 0;
    }

    atomic_store(&prt_encoder_stopping, 1);
    atomic_store(&prt_encoder_wanted, 1);
    prt_futex_wake(&prt_encoder_word);

    (void) pthread_mutex_lock(&prt_encoder_mutex);

    if (prt_encoder_job) {
        atomic_store(&prt_encoder_job->cancelled, 1);
    }

    (void) pthread_mutex_unlock(&prt_encoder_mutex);

    until = prt_clock(CLOCK_REALTIME) + PRT_ENCODER_STOP;
    ts.tv_sec = (time_t) (until / PRT_SEC);
    ts.tv_nsec = (long) (until % PRT_SEC);

    if (pthread_timedjoin_np(prt_encoder_thread, NULL, &ts) != 0) {
        return -1;
    }

    prt_encoder_running = 0;

    return 0;
}


static void *
prt_encoder_main(void *data)
{
    uint32_t        word;
    uint64_t        trimmed;
    unsigned        answered;
    prt_job_t      *job, *next;
    prt_symbols_t  *symbols;

    (void) data;

    prt_thread_own();
    prt_heap_own();
    prt_block_own();

    symbols = prt_symbols_create();

    if (symbols && prt_process.options.debug_path) {
        (void) prt_symbols_debug_path(symbols,
                                      prt_process.options.debug_path);
    }

    trimmed = prt_now();
    answered = 0;

    for ( ;; ) {
        atomic_store(&prt_encoder_wanted, 0);
        word = atomic_load(&prt_encoder_word);
        job = prt_queue_take(&prt_encoder_queue);

        for ( /* void */ ; job; job = next) {
            next = job->next;

            if (atomic_load(&prt_encoder_stopping)
                || (atomic_load(&job->cancelled)
                    && job->kind != PRT_JOB_RECORDER))
            {
                prt_recorder_drop(job);
                prt_job_free(job);
                continue;
            }

            answered |= job->kind != PRT_JOB_NOTICE;

            prt_encoder_current(job);
            prt_encode(job, symbols);
        }

        if (atomic_load(&prt_encoder_stopping)) {
            break;
        }

        /* Scrapers may never let it be idle. */

        if (symbols && prt_now() - trimmed > PRT_ENCODER_HOLD) {
            prt_symbols_trim(symbols);
            trimmed = prt_now();
        }

        if (atomic_load(&prt_encoder_word) != word) {
            continue;
        }

        /*
         * The network is not waited for by anybody but this idle thread, nor
         * asked where nobody has asked for a profile.
         */

        if (symbols && answered) {
            (void) prt_symbols_fetch_missing(symbols, PRT_ENCODER_FETCH,
                                             &prt_encoder_wanted);
        }

        prt_futex_wait(&prt_encoder_word, word, prt_now() + PRT_ENCODER_IDLE);

        if (symbols && atomic_load(&prt_encoder_word) == word) {
            prt_symbols_trim(symbols);
            prt_futex_wait(&prt_encoder_word, word, PRT_FOREVER);
            trimmed = prt_now();
        }
    }

    if (symbols) {
        prt_symbols_destroy(symbols);
    }

    return NULL;
}


static void
prt_encoder_current(prt_job_t *job)
{
    (void) pthread_mutex_lock(&prt_encoder_mutex);
    prt_encoder_job = job;
    (void) pthread_mutex_unlock(&prt_encoder_mutex);
}


static void
prt_encode(prt_job_t *job, prt_symbols_t *symbols)
{
    int            rc;
    prt_report_t  *report;

    if (job->kind == PRT_JOB_RECORDER) {
        prt_encoder_current(NULL);
        prt_recorder_encode(job, symbols);
        return;
    }

    if (symbols == NULL && job->kind != PRT_JOB_NOTICE) {
        prt_encoder_current(NULL);
        prt_job_fail(job, PRT_FAILED, "no memory for symbols");
        return;
    }

    if (job->kind == PRT_JOB_NOTICE) {
        prt_encoder_current(NULL);
        prt_notice_encode(job, symbols);
        return;
    }

    job->error[0] = '\0';

    if (job->kind == PRT_JOB_PROFILE
        && (job->request.profile->flags & PRT_PROFILE_TRACE))
    {
        rc = prt_encode_trace(job, symbols);
        goto done;
    }

    report = &job->merge->report;

    if (job->kind == PRT_JOB_SYMBOL) {
        rc = prt_text_symbols(job->addresses, job->naddresses, report->images,
                              report->nimages, symbols, &job->body,
                              &job->answer.size, job->error, &job->cancelled);

    } else if (job->request.debug > 1
               && (job->request.profile->flags & PRT_PROFILE_NOW))
    {
        rc = prt_text_dump(report, symbols, &job->body, &job->answer.size,
                           job->error, &job->cancelled);

    } else if (job->request.debug) {
        rc = prt_text_encode(report, symbols, &job->body, &job->answer.size,
                             job->error, &job->cancelled);

    } else {
        rc = prt_pprof_encode(report, symbols, &job->body, &job->answer.size,
                              job->error, &job->cancelled);

        prt_naming_write(symbols);
    }

done:

    if (rc != 0) {
        job->answer.status = PRT_FAILED;
        job->answer.error = job->error[0] ? job->error : "encoding failed";
    }

    /* the control thread may free it from here on */
    prt_encoder_current(NULL);

    job->answer.data = job->body;

    prt_job_finish(job);
}


static int
prt_encode_trace(prt_job_t *job, prt_symbols_t *symbols)
{
    int                    rc;
    prt_buffer_t           buffer;
    prt_gotrace_window_t   window;
    prt_gotrace_result_t   result;

    memset(&buffer, 0, sizeof(prt_buffer_t));
    memset(&window, 0, sizeof(prt_gotrace_window_t));

    window.from = job->from;
    window.to = job->to;
    window.events = job->request.events;
    window.target = job->target;

    rc = prt_gotrace_dump(prt_process.region, &window, symbols,
                          prt_encode_sink, &buffer, &result, job->error,
                          &job->cancelled);

    if (rc != 0) {
        free(buffer.data);
        return -1;
    }

    job->body = buffer.data;
    job->answer.size = buffer.size;

    return 0;
}


static int
prt_encode_sink(void *data, const void *bytes, size_t size)
{
    prt_buffer_t  *buffer = data;

    prt_buffer_add(buffer, bytes, size);

    return buffer->failed;
}
