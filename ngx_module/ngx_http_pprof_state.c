
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * What a request waits for, as far as nginx's own fields tell it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <ngx_http_pprof_goroutine.h>


static ngx_http_pprof_name_t ngx_http_pprof_state_upstream(
    ngx_http_request_t *r);
static ngx_http_pprof_name_t ngx_http_pprof_state_delayed(
    ngx_http_request_t *r) __attribute__((noinline));
static ngx_uint_t ngx_http_pprof_subrequests(ngx_http_request_t *r)
    __attribute__((noinline));
static ngx_uint_t ngx_http_pprof_reads_body(ngx_http_request_t *r)
    __attribute__((noinline));


ngx_http_pprof_name_t
ngx_http_pprof_state(ngx_http_request_t *r)
{
    ngx_connection_t       *c;
    ngx_http_pprof_ctx_t   *ctx;
    ngx_http_pprof_name_t   state;

    c = r->connection;

    if (r->http_state == NGX_HTTP_READING_REQUEST_STATE) {
        return NGX_HTTP_PPROF_CLIENT_HEADER;
    }

    /* what is over and still there; HTTP/2 has no such thing */

    if (r->done && r == r->main
        && c->write->handler == ngx_http_empty_handler)
    {
        return NGX_HTTP_PPROF_LINGERING;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_pprof_module);

    if (ctx) {

        if (ctx->job) {
            return NGX_HTTP_PPROF_PROFILING;
        }

        if (ctx->rest) {
            return NGX_HTTP_PPROF_WRITING;
        }
    }

    if ((r->postponed || c->data != r) && ngx_http_pprof_subrequests(r)) {
        return NGX_HTTP_PPROF_SUBREQUEST;
    }

#if (NGX_HTTP_CACHE)
    if (r->cache && r->cache->waiting) {
        return NGX_HTTP_PPROF_CACHE_LOCK;
    }
#endif

    if (r->aio) {
        return NGX_HTTP_PPROF_DISK;
    }

    if (r->request_body && ngx_http_pprof_reads_body(r)) {
        return NGX_HTTP_PPROF_CLIENT_BODY;
    }

    if (r->upstream) {
        state = ngx_http_pprof_state_upstream(r);

        if (state != NGX_HTTP_PPROF_WAITING) {
            return state;
        }
    }

    if (c->write->delayed) {
        return ngx_http_pprof_state_delayed(r);
    }

    if (r->buffered || c->buffered || r->out) {
        return NGX_HTTP_PPROF_WRITING;
    }

    if (r->discard_body) {
        return NGX_HTTP_PPROF_DISCARD;
    }

    return r != r->main && c->data != r && !r->background
           ? NGX_HTTP_PPROF_POSTPONED : NGX_HTTP_PPROF_WAITING;
}


static ngx_uint_t
ngx_http_pprof_subrequests(ngx_http_request_t *r)
{
    ngx_http_postponed_request_t  *pr;

    /* the one that may send is not among the postponed ones any more */

    if (r == r->main && r->connection->data != r) {
        return 1;
    }

    for (pr = r->postponed; pr; pr = pr->next) {
        if (pr->request && !pr->request->done) {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_pprof_reads_body(ngx_http_request_t *r)
{
    if (r != r->main) {
        return 0;
    }

    if (r->upstream && r->upstream->peer.connection) {

        /* both go on at the same time, unless the upstream has all there is */

        return r->reading_body && r->upstream->request_sent
               && !r->upstream->header_sent;
    }

    return r->request_body->rest > 0 && !r->discard_body;
}


static ngx_http_pprof_name_t
ngx_http_pprof_state_upstream(ngx_http_request_t *r)
{
    ngx_connection_t     *c, *pc;
    ngx_http_upstream_t  *u;

    u = r->upstream;
    c = r->connection;

    if (u->resolved && u->resolved->ctx) {
        return NGX_HTTP_PPROF_RESOLVER;
    }

    pc = u->peer.connection;

    if (pc == NULL || u->state == NULL) {
        return NGX_HTTP_PPROF_WAITING;
    }

    if (u->state->connect_time == (ngx_msec_t) -1) {

#if (NGX_HTTP_SSL)
        if (pc->ssl && !pc->ssl->handshaked) {
            return NGX_HTTP_PPROF_UPSTREAM_HANDSHAKE;
        }
#endif

        return NGX_HTTP_PPROF_CONNECT;
    }

    if (u->state->header_time == (ngx_msec_t) -1) {
        return u->request_body_sent ? NGX_HTTP_PPROF_HEADER
                                    : NGX_HTTP_PPROF_SEND;
    }

    if (u->upgrade) {
        return NGX_HTTP_PPROF_UPGRADED;
    }

    if (c->write->delayed) {
        return NGX_HTTP_PPROF_LIMIT_RATE;
    }

    if (!c->write->ready && (r->buffered || c->buffered || r->out)) {
        return NGX_HTTP_PPROF_WRITING;
    }

    return NGX_HTTP_PPROF_BODY;
}


static ngx_http_pprof_name_t
ngx_http_pprof_state_delayed(ngx_http_request_t *r)
{
    ngx_uint_t  phase;

    (void) ngx_http_pprof_labels(r, &phase);

    switch (phase) {

    case NGX_HTTP_PREACCESS_PHASE:
        return NGX_HTTP_PPROF_LIMIT_REQ;

    case NGX_HTTP_ACCESS_PHASE:
    case NGX_HTTP_POST_ACCESS_PHASE:
        return NGX_HTTP_PPROF_AUTH_DELAY;

    default:
        return NGX_HTTP_PPROF_LIMIT_RATE;
    }
}


void
ngx_http_pprof_state_time(ngx_http_request_t *r, ngx_http_pprof_name_t state,
    ngx_http_pprof_goroutine_t *g)
{
    ngx_time_t           *tp;
    ngx_msec_int_t        age, ms;
    ngx_http_upstream_t  *u;

    tp = ngx_timeofday();

    age = (ngx_msec_int_t) ((tp->sec - r->start_sec) * 1000
                            + ((ngx_msec_int_t) tp->msec
                               - (ngx_msec_int_t) r->start_msec));
    age = ngx_max(age, 0);
    ms = age;

    u = r->upstream;

    switch (state) {

    case NGX_HTTP_PPROF_CONNECT:
    case NGX_HTTP_PPROF_UPSTREAM_HANDSHAKE:
        ms = (ngx_msec_int_t) (ngx_current_msec - u->start_time);
        break;

    case NGX_HTTP_PPROF_SEND:
    case NGX_HTTP_PPROF_HEADER:
        ms = (ngx_msec_int_t) (ngx_current_msec - u->start_time
                               - u->state->connect_time);
        break;

    case NGX_HTTP_PPROF_BODY:
    case NGX_HTTP_PPROF_UPGRADED:
        ms = (ngx_msec_int_t) (ngx_current_msec - u->start_time
                               - u->state->header_time);
        break;

    default:
        break;
    }

    g->entry.age = (uint64_t) age * NGX_HTTP_PPROF_NSEC;
    g->entry.lasts = (uint64_t) ngx_max(ms, 0) * NGX_HTTP_PPROF_NSEC;
}


void
ngx_http_pprof_state_handlers(ngx_http_request_t *r, ngx_http_pprof_name_t state,
    ngx_http_pprof_goroutine_t *g)
{
    ngx_connection_t     *c, *pc;
    ngx_http_upstream_t  *u;

    u = r->upstream;
    c = r->connection;
    pc = u ? u->peer.connection : NULL;

    switch (state) {

    case NGX_HTTP_PPROF_CLIENT_HEADER:
    case NGX_HTTP_PPROF_LINGERING:
        ngx_http_pprof_goroutine_function(g, (const void *) c->read->handler);
        return;

    case NGX_HTTP_PPROF_RESOLVER:

        if (u && u->resolved && u->resolved->ctx) {
            ngx_http_pprof_goroutine_function(g,
                (const void *) u->resolved->ctx->handler);
        }

        return;

    case NGX_HTTP_PPROF_CONNECT:
    case NGX_HTTP_PPROF_UPSTREAM_HANDSHAKE:
    case NGX_HTTP_PPROF_SEND:

        if (pc == NULL) {
            return;
        }

        ngx_http_pprof_goroutine_function(g,
            (const void *) u->write_event_handler);
        ngx_http_pprof_goroutine_function(g,
            (const void *) pc->write->handler);
        return;

    case NGX_HTTP_PPROF_HEADER:
    case NGX_HTTP_PPROF_BODY:
    case NGX_HTTP_PPROF_UPGRADED:

        if (pc == NULL) {
            return;
        }

        ngx_http_pprof_goroutine_function(g,
            (const void *) u->read_event_handler);
        ngx_http_pprof_goroutine_function(g, (const void *) pc->read->handler);
        return;

    case NGX_HTTP_PPROF_CLIENT_BODY:
    case NGX_HTTP_PPROF_DISCARD:
        ngx_http_pprof_goroutine_function(g,
            (const void *) r->read_event_handler);
        ngx_http_pprof_goroutine_function(g, (const void *) c->read->handler);
        return;

    default:
        ngx_http_pprof_goroutine_function(g,
            (const void *) r->write_event_handler);
        ngx_http_pprof_goroutine_function(g, (const void *) c->write->handler);
    }
}
