
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Notices: what the runtime has to say without being asked.  The service thread
 * finds it, the encoder thread gives it names, and the control thread logs it;
 * of an event from which that one does not return, the encoder thread does.
 */


#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "encode/prt_where.h"
#include "platform/prt_clock.h"
#include "serve/prt_job.h"
#include "sources/prt_record.h"


/* One for the index waits for its names already. */
static atomic_int  prt_notice_begun;


void
prt_notice_start(void)
{
    atomic_store(&prt_notice_begun, 0);
}


void
prt_notice_stall(const prt_stall_notice_t *stall)
{
    prt_job_t  *job;

    if (stall->state != PRT_STALL_BEGUN
        && prt_process.options.trace_on_stall
        && stall->duration >= prt_process.options.trace_on_stall)
    {
        prt_recorder_event(PRT_RECORDER_STALL);
    }

    if (stall->told) {
        return;
    }

    if (stall->state == PRT_STALL_BEGUN
        && atomic_exchange(&prt_notice_begun, 1))
    {
        return;
    }

    job = prt_job_create(PRT_JOB_NOTICE, NULL);
    if (job == NULL) {
        goto failed;
    }

    job->stall = *stall;
    job->stall.frames = NULL;

    prt_record_objects();

    job->merge = prt_merge_stack(&prt_slot, stall->frames, stall->nframes,
                                 stall->labels);
    if (job->merge == NULL) {
        prt_job_free(job);
        goto failed;
    }

    prt_encoder_push(job);

    return;

failed:

    if (stall->state == PRT_STALL_BEGUN) {
        atomic_store(&prt_notice_begun, 0);
    }
}


void
prt_notice_text(const char *fmt, ...)
{
    va_list     args;
    prt_job_t  *job;

    job = prt_job_create(PRT_JOB_NOTICE, NULL);
    if (job == NULL) {
        return;
    }

    va_start(args, fmt);
    (void) vsnprintf(job->error, sizeof(job->error), fmt, args);
    va_end(args);

    prt_job_finish(job);
}


void
prt_notice_encode(prt_job_t *job, prt_symbols_t *symbols)
{
    char                       where[PRT_STALL_TEXT];
    const char                *mark;
    unsigned long              ms;
    const prt_stall_notice_t  *stall;

    if (job->death.pid) {
        prt_death_encode(job, symbols);
        prt_job_finish(job);
        return;
    }

    stall = &job->stall;

    (void) prt_where(&job->merge->report, symbols, where, sizeof(where));

    prt_slot_stall(&prt_slot, stall->begin, where);

    ms = (unsigned long) (stall->duration / PRT_MSEC);

    /* labels follow a comma, functions alone a colon */
    mark = stall->labels ? "," : ":";

    switch (stall->state) {

    case PRT_STALL_BEGUN:
        atomic_store(&prt_notice_begun, 0);
        prt_job_free(job);
        return;

    case PRT_STALL_LASTS:

        if (prt_process.options.alarm) {
            (void) snprintf(job->error, sizeof(job->error),
                            "the event loop has been held for %lu ms%s %s",
                            ms, mark, where);

            prt_process.options.alarm(job->error);
        }

        prt_job_free(job);
        return;

    default:
        (void) snprintf(job->error, sizeof(job->error),
                        "the event loop was held for %lu ms%s %s", ms, mark,
                        where);
        prt_job_finish(job);
    }
}


const char *
prt_job_notice(prt_job_t *job)
{
    return job->kind == PRT_JOB_NOTICE ? job->error : NULL;
}
