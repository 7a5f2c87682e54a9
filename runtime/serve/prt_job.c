
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "platform/prt_futex.h"
#include "serve/prt_job.h"


/* bytes of an answer, some 0.1 ms for the kernel to take back */
#define PRT_JOB_LARGE  (1024 * 1024)


/* finished jobs that the control thread has taken but not yet been given */
static prt_job_t  *prt_job_ready;


prt_job_t *
prt_job_profile(const prt_profile_request_t *request, void *data)
{
    prt_job_t  *job;

    job = prt_job_open(PRT_JOB_PROFILE, data);
    if (job == NULL) {
        return NULL;
    }

    prt_job_request(job, request);
    prt_job_submit(job);

    return job;
}


void
prt_job_request(prt_job_t *job, const prt_profile_request_t *request)
{
    job->request = *request;
    job->profile = (unsigned) ((const prt_profile_t *) request->profile
                               - prt_profiles);
    job->target.worker = request->worker;
    job->target.pid = request->pid;

    if (job->request.rate == 0) {
        job->request.rate = prt_process.options.cpu_rate;
    }
}


prt_job_t *
prt_job_symbol(uint64_t *addresses, size_t n, void *data)
{
    prt_job_t  *job;

    job = prt_job_open(PRT_JOB_SYMBOL, data);
    if (job == NULL) {
        free(addresses);
        return NULL;
    }

    job->addresses = addresses;
    job->naddresses = n;

    prt_job_submit(job);

    return job;
}


prt_job_t *
prt_job_state(void *data)
{
    prt_job_t  *job;

    job = prt_job_open(PRT_JOB_STATE, data);
    if (job == NULL) {
        return NULL;
    }

    prt_job_submit(job);

    return job;
}


prt_job_t *
prt_job_open(prt_job_kind_t kind, void *data)
{
    return prt_process.started ? prt_job_create(kind, data) : NULL;
}


prt_job_t *
prt_job_create(prt_job_kind_t kind, void *data)
{
    prt_job_t  *job;

    job = calloc(1, sizeof(prt_job_t));
    if (job == NULL) {
        return NULL;
    }

    job->kind = kind;
    job->data = data;
    job->window = -1;
    job->target.worker = PRT_ANY;
    job->target.pid = PRT_ANY;

    return job;
}


void
prt_job_submit(prt_job_t *job)
{
    prt_queue_push(&prt_process.submitted, job);
    prt_futex_wake(&prt_process.entry->wake);
}


void
prt_job_end(prt_job_t *job)
{
    atomic_store(&job->ended, 1);
    prt_futex_wake(&prt_process.entry->wake);
}


void
prt_job_cancel(prt_job_t *job)
{
    atomic_store(&job->cancelled, 1);

    /* the job may be gone by now */

    if (prt_process.started) {
        prt_futex_wake(&prt_process.entry->wake);
    }
}


int
prt_eventfd(void)
{
    return prt_process.eventfd;
}


prt_job_t *
prt_job_finished(void)
{
    ssize_t     n;
    uint64_t    value;
    prt_job_t  *job;

    for ( ;; ) {

        if (prt_job_ready == NULL) {

            /* first the descriptor, then the queue: nothing falls between */

            n = read(prt_process.eventfd, &value, sizeof(uint64_t));
            (void) n;

            prt_job_ready = prt_queue_take(&prt_process.finished);

            if (prt_job_ready == NULL) {
                return NULL;
            }
        }

        job = prt_job_ready;
        prt_job_ready = job->next;

        if (!atomic_load(&job->cancelled)) {
            return job;
        }

        prt_job_free(job);
    }
}


void *
prt_job_data(prt_job_t *job)
{
    return job->data;
}


const prt_answer_t *
prt_job_answer(prt_job_t *job)
{
    return &job->answer;
}


const prt_worker_info_t *
prt_job_workers(prt_job_t *job, size_t *n)
{
    *n = job->nworkers;

    return job->workers;
}


const prt_naming_info_t *
prt_job_naming(prt_job_t *job, size_t *n)
{
    *n = job->nnaming;

    return job->naming;
}


uint64_t
prt_job_count(prt_job_t *job, const prt_profile_info_t *profile)
{
    return job->counts[(const prt_profile_t *) profile - prt_profiles];
}


void
prt_job_free(prt_job_t *job)
{
    /* the event loop is not held for it: the service thread comes here again */

    if (job->answer.size > PRT_JOB_LARGE && !job->over
        && prt_process.started)
    {
        job->over = 1;
        atomic_store(&job->cancelled, 1);

        prt_job_submit(job);
        return;
    }

    prt_snapshot_free(job->start);
    prt_merge_free(job->merge);

    free(job->addresses);
    free(job->workers);
    free(job->naming);
    free(job->body);
    free(job);
}


void
prt_job_finish(prt_job_t *job)
{
    int           notify;
    ssize_t       n;
    uint64_t      one;
    prt_queue_t  *queue;

    /* what the answer does not need goes here, off the control thread */

    prt_snapshot_free(job->start);
    job->start = NULL;

    prt_merge_free(job->merge);
    job->merge = NULL;

    /* whose it is may free it as soon as it is there */

    queue = job->finished ? job->finished : &prt_process.finished;
    notify = job->finished ? job->notify : prt_process.eventfd;

    prt_queue_push(queue, job);

    one = 1;
    n = write(notify, &one, sizeof(uint64_t));
    (void) n;
}


void
prt_job_fail(prt_job_t *job, prt_status_t status, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    (void) vsnprintf(job->error, sizeof(job->error), fmt, args);
    va_end(args);

    job->answer.status = status;
    job->answer.error = job->error;

    prt_job_finish(job);
}


void
prt_queue_push(prt_queue_t *queue, prt_job_t *job)
{
    prt_job_t  *head;

    head = atomic_load(&queue->head);

    do {
        job->next = head;
    } while (!atomic_compare_exchange_weak(&queue->head, &head, job));
}


prt_job_t *
prt_queue_take(prt_queue_t *queue)
{
    prt_job_t  *job, *next, *list;

    job = atomic_exchange(&queue->head, NULL);
    list = NULL;

    while (job) {
        next = job->next;
        job->next = list;
        list = job;
        job = next;
    }

    return list;
}
