
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Jobs of the runtime and the requests that wait for them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include <ngx_pprof_module.h>
#include <ngx_http_pprof_module.h>


#define NGX_HTTP_PPROF_TICK         1000        /* ms */
#define NGX_HTTP_PPROF_POLL         50          /* ms */

/* what an answer may take after its window was closed */
#define NGX_HTTP_PPROF_PATIENCE     60000       /* ms */


static void ngx_http_pprof_job_handler(ngx_event_t *ev);
static void ngx_http_pprof_poll_handler(ngx_event_t *ev);
static void ngx_http_pprof_job_done(ngx_http_pprof_ctx_t *ctx,
    prt_job_t *job);
static void ngx_http_pprof_tick_handler(ngx_event_t *ev);
static void ngx_http_pprof_finalize(ngx_http_request_t *r, ngx_int_t rc);
static void ngx_http_pprof_job_cancel(void *data);
static void ngx_http_pprof_job_free(void *data);


/* The debug log of timers wants a connection: this one stands for none. */
static ngx_connection_t  ngx_http_pprof_no_connection = {
    .fd = (ngx_socket_t) -1
};

static ngx_event_t       ngx_http_pprof_poll;


ngx_int_t
ngx_http_pprof_job_init(ngx_cycle_t *cycle)
{
    ngx_event_t       *rev;
    ngx_connection_t  *c;

    c = ngx_get_connection(prt_eventfd(), cycle->log);

    if (c) {
        rev = c->read;

        rev->log = cycle->log;
        rev->handler = ngx_http_pprof_job_handler;

        /*
         * A worker that exits complains of every connection left open that is
         * not its channel.
         */

        rev->channel = 1;

        c->write->log = cycle->log;
        c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);

        if (ngx_add_event(rev, NGX_READ_EVENT, 0) == NGX_OK) {
            return NGX_OK;
        }

        ngx_free_connection(c);
        c->fd = (ngx_socket_t) -1;
    }

    ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                  "pprof: no connection for the profiler's notifications, "
                  "polling every %d ms", NGX_HTTP_PPROF_POLL);

    ngx_http_pprof_poll.handler = ngx_http_pprof_poll_handler;
    ngx_http_pprof_poll.data = &ngx_http_pprof_no_connection;
    ngx_http_pprof_poll.log = cycle->log;
    ngx_http_pprof_poll.cancelable = 1;

    ngx_add_timer(&ngx_http_pprof_poll, NGX_HTTP_PPROF_POLL);

    return NGX_OK;
}


static void
ngx_http_pprof_job_handler(ngx_event_t *ev)
{
    prt_job_t   *job;
    const char  *notice;

    for ( ;; ) {
        job = prt_job_finished();

        if (job == NULL) {
            ngx_http_pprof_goroutines();
            ngx_http_pprof_trace();
            return;
        }

        notice = prt_job_notice(job);

        if (notice) {
            ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0, "pprof: %s",
                          notice);
            prt_job_free(job);
            continue;
        }

        ngx_http_pprof_job_done(prt_job_data(job), job);
    }
}


static void
ngx_http_pprof_poll_handler(ngx_event_t *ev)
{
    ngx_http_pprof_job_handler(ev);

    ngx_add_timer(ev, NGX_HTTP_PPROF_POLL);
}


ngx_int_t
ngx_http_pprof_ready(ngx_http_request_t *r)
{
    const char  *reason;

    if (ngx_pprof_running(&reason)) {
        return NGX_DECLINED;
    }

    return ngx_http_pprof_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                "the profiler does not run: %s", reason);
}


ngx_int_t
ngx_http_pprof_wait(ngx_http_request_t *r, prt_job_t *job, uint64_t window,
    ngx_http_pprof_done_pt done)
{
    ngx_http_cleanup_t    *hcln;
    ngx_pool_cleanup_t    *cln;
    ngx_http_pprof_ctx_t  *ctx;

    if (job == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx = prt_job_data(job);

    hcln = ngx_http_cleanup_add(r, 0);
    if (hcln == NULL) {
        prt_job_cancel(job);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        prt_job_cancel(job);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    hcln->handler = ngx_http_pprof_job_cancel;
    hcln->data = ctx;

    cln->handler = ngx_http_pprof_job_free;
    cln->data = ctx;

    ctx->job = job;
    ctx->done = done;
    ctx->deadline = ngx_current_msec + (ngx_msec_t) (window / 1000000)
                    + NGX_HTTP_PPROF_PATIENCE;

    /*
     * Not cancelable: a worker that exits gracefully waits for the timers
     * that are not, and so for the answer.
     */

    ctx->tick.handler = ngx_http_pprof_tick_handler;
    ctx->tick.data = &ngx_http_pprof_no_connection;
    ctx->tick.log = r->connection->log;

    ngx_add_timer(&ctx->tick, NGX_HTTP_PPROF_TICK);

    if (!r->discard_body) {
        r->read_event_handler = ngx_http_test_reading;
    }

    r->main->count++;

    return NGX_DONE;
}


static void
ngx_http_pprof_job_done(ngx_http_pprof_ctx_t *ctx, prt_job_t *job)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    ctx->job = NULL;
    ctx->finished = job;

    if (ctx->tick.timer_set) {
        ngx_del_timer(&ctx->tick);
    }

    ngx_http_set_log_request(r->connection->log, r);

    ngx_http_pprof_finalize(r, ctx->done(r, job));
}


static void
ngx_http_pprof_tick_handler(ngx_event_t *ev)
{
    prt_job_t             *job;
    ngx_http_request_t    *r;
    ngx_http_pprof_ctx_t  *ctx;

    ctx = (ngx_http_pprof_ctx_t *)
              ((u_char *) ev - offsetof(ngx_http_pprof_ctx_t, tick));

    r = ctx->request;

    if ((ngx_msec_int_t) (ngx_current_msec - ctx->deadline) >= 0) {

        job = ctx->job;
        ctx->job = NULL;

        prt_job_cancel(job);

        ngx_http_set_log_request(r->connection->log, r);

        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "pprof: the profiler does not answer");

        ngx_http_pprof_finalize(r,
            ngx_http_pprof_error(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                 "the profiler of this worker does not "
                                 "answer: try again, and see the error log"));
        return;
    }

    /*
     * On a reload the window goes on over the new workers; when the server
     * quits, what was measured so far is sent.
     */

    if (ngx_exiting && !ctx->ending && !prt_others_remain()) {
        ctx->ending = 1;
        ctx->deadline = ngx_current_msec + NGX_HTTP_PPROF_PATIENCE;

        prt_job_end(ctx->job);
    }

    /* the rest of a discarded body has come */

    if (r->read_event_handler == ngx_http_block_reading) {
        r->read_event_handler = ngx_http_test_reading;
    }

    ngx_add_timer(ev, NGX_HTTP_PPROF_TICK);
}


static void
ngx_http_pprof_finalize(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_connection_t  *c;

    c = r->connection;

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


/* The client has hung up, or the answer was sent. */

static void
ngx_http_pprof_job_cancel(void *data)
{
    ngx_http_pprof_ctx_t *ctx = data;

    prt_job_t  *job;

    if (ctx->tick.timer_set) {
        ngx_del_timer(&ctx->tick);
    }

    if (ctx->job) {
        job = ctx->job;
        ctx->job = NULL;

        prt_job_cancel(job);
    }
}


/* The answer is in the runtime's memory, and is sent from there. */

static void
ngx_http_pprof_job_free(void *data)
{
    ngx_http_pprof_ctx_t *ctx = data;

    if (ctx->finished) {
        prt_job_free(ctx->finished);
        ctx->finished = NULL;
    }
}
