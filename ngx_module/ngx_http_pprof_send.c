
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Large answers.  nginx sends one for as long as its client takes it, up to
 * 2 MB of memory and any part of a file, and encrypts that: some milliseconds
 * in which a worker does nothing else.  Ours go out in pieces, one in a turn of
 * the event loop.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include <ngx_http_pprof_module.h>


/* some 0.1 ms with TLS */
#define NGX_HTTP_PPROF_PIECE  (128 * 1024)


static void ngx_http_pprof_send_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_pprof_send_next(ngx_http_request_t *r,
    ngx_http_pprof_ctx_t *ctx);
static ngx_int_t ngx_http_pprof_send_piece(ngx_http_request_t *r,
    ngx_http_pprof_ctx_t *ctx);
static ngx_buf_t *ngx_http_pprof_send_cut(ngx_http_pprof_ctx_t *ctx);


ngx_int_t
ngx_http_pprof_send(ngx_http_request_t *r, ngx_buf_t *b)
{
    ngx_int_t              rc;
    ngx_chain_t            out;
    ngx_http_pprof_ctx_t  *ctx;

    ctx = ngx_http_pprof_get_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* events of a connection come to the subrequest whose turn it is */

    if (r != r->main || ngx_buf_size(b) <= NGX_HTTP_PPROF_PIECE) {
        out.buf = b;
        out.next = NULL;

        return ngx_http_output_filter(r, &out);
    }

    ctx->piece = ngx_calloc_buf(r->pool);
    if (ctx->piece == NULL) {
        return NGX_ERROR;
    }

    ctx->rest = b;

    rc = ngx_http_pprof_send_next(r, ctx);
    if (rc != NGX_AGAIN) {
        return rc;
    }

    r->http_state = NGX_HTTP_WRITING_REQUEST_STATE;
    r->read_event_handler = r->discard_body
                                ? ngx_http_discarded_request_body_handler
                                : ngx_http_test_reading;
    r->write_event_handler = ngx_http_pprof_send_handler;

    r->main->count++;

    return NGX_DONE;
}


static void
ngx_http_pprof_send_handler(ngx_http_request_t *r)
{
    ngx_int_t          rc;
    ngx_event_t       *wev;
    ngx_connection_t  *c;

    c = r->connection;
    wev = c->write;

    if (wev->timedout) {
        ngx_log_error(NGX_LOG_INFO, c->log, NGX_ETIMEDOUT,
                      "client timed out");
        c->timedout = 1;

        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    rc = ngx_http_pprof_send_next(r, ngx_http_get_module_ctx(r,
                                                     ngx_http_pprof_module));
    if (rc == NGX_AGAIN) {
        return;
    }

    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_http_finalize_request(r, rc);
}


/* NGX_AGAIN: it goes on with an event. */

static ngx_int_t
ngx_http_pprof_send_next(ngx_http_request_t *r, ngx_http_pprof_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_event_t               *wev;
    ngx_http_core_loc_conf_t  *clcf;

    wev = r->connection->write;

    if (!wev->delayed && !r->aio) {
        rc = ngx_http_pprof_send_piece(r, ctx);

        if (rc != NGX_AGAIN) {
            return rc;
        }
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    /* also when it goes on at once: a worker that quits waits for timers only */

    if (!wev->delayed) {
        ngx_add_timer(wev, clcf->send_timeout);
    }

    if (!wev->delayed && !r->aio && !r->buffered && !r->connection->buffered) {

        /* the client takes more, and has its turn when others had theirs */

        if (!wev->posted) {
            ngx_post_event(wev, &ngx_posted_next_events);
        }

        return NGX_AGAIN;
    }

    if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


/* NGX_AGAIN: there is more. */

static ngx_int_t
ngx_http_pprof_send_piece(ngx_http_request_t *r, ngx_http_pprof_ctx_t *ctx)
{
    ngx_int_t    rc;
    ngx_chain_t  out, *in;

    in = NULL;

    /* nobody has anything of the last one any more */

    if (ctx->rest && !r->buffered && !r->connection->buffered) {
        out.buf = ngx_http_pprof_send_cut(ctx);
        out.next = NULL;
        in = &out;
    }

    rc = ngx_http_output_filter(r, in);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    return ctx->rest || r->buffered || r->connection->buffered ? NGX_AGAIN
                                                               : rc;
}


static ngx_buf_t *
ngx_http_pprof_send_cut(ngx_http_pprof_ctx_t *ctx)
{
    ngx_buf_t  *b, *rest;

    b = ctx->piece;
    rest = ctx->rest;

    *b = *rest;

    if (ngx_buf_size(rest) <= NGX_HTTP_PPROF_PIECE) {
        ctx->rest = NULL;
        return b;
    }

    /* without it TLS keeps the end of a piece until there is more */

    b->flush = 1;
    b->last_buf = 0;

    if (rest->in_file) {
        rest->file_pos += NGX_HTTP_PPROF_PIECE;
        b->file_last = rest->file_pos;

    } else {
        rest->pos += NGX_HTTP_PPROF_PIECE;
        b->last = rest->pos;
    }

    return b;
}
