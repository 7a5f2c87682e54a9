
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Names of addresses.  The body is read in pieces and not kept: what a
 * request may cost is the array of its addresses.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <ngx_http_pprof_module.h>


#define NGX_HTTP_PPROF_ADDRESSES_MIN   256
#define NGX_HTTP_PPROF_ADDRESSES_MAX   1048576      /* 8 MiB */


typedef struct {
    uint64_t                *addresses;    /* from malloc() */
    size_t                   n;
    size_t                   allocated;

    uint64_t                 value;        /* of the address being read */
    ngx_uint_t               length;       /* its characters so far */
    unsigned                 hex:1;        /* it has digits after "0x" */
    unsigned                 bad:1;        /* it is none */
} ngx_http_pprof_symbols_t;


static void ngx_http_pprof_symbol_body_handler(ngx_http_request_t *r);
static void ngx_http_pprof_symbol_read_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_pprof_symbol_take(ngx_http_request_t *r,
    ngx_http_pprof_symbols_t *s);
static ngx_int_t ngx_http_pprof_symbol_lookup(ngx_http_request_t *r,
    ngx_http_pprof_symbols_t *s);
static ngx_int_t ngx_http_pprof_symbol_done(ngx_http_request_t *r,
    prt_job_t *job);
static ngx_int_t ngx_http_pprof_symbol_failed(ngx_http_request_t *r,
    ngx_int_t rc);
static ngx_int_t ngx_http_pprof_symbol_parse(ngx_http_pprof_symbols_t *s,
    u_char *p, u_char *last);
static ngx_int_t ngx_http_pprof_symbol_end(ngx_http_pprof_symbols_t *s);
static ngx_http_pprof_symbols_t *ngx_http_pprof_symbol_create(
    ngx_http_request_t *r);
static void ngx_http_pprof_symbol_cleanup(void *data);


ngx_int_t
ngx_http_pprof_symbol_handler(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_http_pprof_symbols_t  *s;

    rc = ngx_http_pprof_ready(r);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    s = ngx_http_pprof_symbol_create(r);
    if (s == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (r->method == NGX_HTTP_POST) {
        r->request_body_no_buffering = 1;

        rc = ngx_http_read_client_request_body(r,
                                           ngx_http_pprof_symbol_body_handler);

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
            return rc;
        }

        return NGX_DONE;
    }

    if (r->method == NGX_HTTP_HEAD) {
        return ngx_http_pprof_answer_head(r, &ngx_http_pprof_text);
    }

    rc = ngx_http_pprof_symbol_parse(s, r->args.data,
                                     r->args.data + r->args.len);

    if (rc != NGX_OK) {
        return ngx_http_pprof_symbol_failed(r, rc);
    }

    return ngx_http_pprof_symbol_lookup(r, s);
}


static void
ngx_http_pprof_symbol_body_handler(ngx_http_request_t *r)
{
    r->read_event_handler = ngx_http_pprof_symbol_read_handler;

    ngx_http_pprof_symbol_read_handler(r);
}


static void
ngx_http_pprof_symbol_read_handler(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_http_pprof_ctx_t      *ctx;
    ngx_http_pprof_symbols_t  *s;

    ctx = ngx_http_get_module_ctx(r, ngx_http_pprof_module);
    s = ctx->symbols;

    for ( ;; ) {
        rc = ngx_http_pprof_symbol_take(r, s);

        if (rc != NGX_OK) {
            ngx_http_finalize_request(r, ngx_http_pprof_symbol_failed(r, rc));
            return;
        }

        if (!r->reading_body) {
            break;
        }

        rc = ngx_http_read_unbuffered_request_body(r);

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
            ngx_http_finalize_request(r, rc);
            return;
        }

        if (rc == NGX_AGAIN && r->request_body->bufs == NULL) {
            return;
        }
    }

    ngx_http_finalize_request(r, ngx_http_pprof_symbol_lookup(r, s));
}


/* What has come of the body is parsed, and its memory given back. */

static ngx_int_t
ngx_http_pprof_symbol_take(ngx_http_request_t *r, ngx_http_pprof_symbols_t *s)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t  *cl, *next;

    if (r->request_body == NULL) {
        return NGX_OK;
    }

    cl = r->request_body->bufs;
    r->request_body->bufs = NULL;

    for ( /* void */ ; cl; cl = next) {
        b = cl->buf;
        next = cl->next;

        ngx_free_chain(r->pool, cl);

        if (!ngx_buf_in_memory(b)) {
            continue;
        }

        rc = ngx_http_pprof_symbol_parse(s, b->pos, b->last);

        if (rc != NGX_OK) {
            return rc;
        }

        b->pos = b->last;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_pprof_symbol_lookup(ngx_http_request_t *r,
    ngx_http_pprof_symbols_t *s)
{
    ngx_int_t              rc;
    uint64_t              *addresses;
    ngx_http_pprof_ctx_t  *ctx;

    rc = ngx_http_pprof_symbol_end(s);

    if (rc != NGX_OK) {
        return ngx_http_pprof_symbol_failed(r, rc);
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_pprof_module);

    addresses = s->addresses;
    s->addresses = NULL;

    return ngx_http_pprof_wait(r, prt_job_symbol(addresses, s->n, ctx), 0,
                               ngx_http_pprof_symbol_done);
}


static ngx_int_t
ngx_http_pprof_symbol_done(ngx_http_request_t *r, prt_job_t *job)
{
    const prt_answer_t  *answer;

    answer = prt_job_answer(job);

    if (answer->status != PRT_OK) {
        return ngx_http_pprof_answer_failed(r, answer);
    }

    return ngx_http_pprof_answer(r, &ngx_http_pprof_text, answer->data,
                                 answer->size);
}


static ngx_int_t
ngx_http_pprof_symbol_failed(ngx_http_request_t *r, ngx_int_t rc)
{
    if (rc == NGX_DECLINED) {
        return ngx_http_pprof_error(r, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                    "more than %d addresses in one request: "
                                    "send them in several",
                                    NGX_HTTP_PPROF_ADDRESSES_MAX);
    }

    return NGX_HTTP_INTERNAL_SERVER_ERROR;
}


/*
 * Addresses are hexadecimal, with and without "0x".  What is none is left
 * out, as Go does.
 */

static ngx_int_t
ngx_http_pprof_symbol_parse(ngx_http_pprof_symbols_t *s, u_char *p,
    u_char *last)
{
    u_char     ch;
    ngx_int_t  rc, digit;

    for ( /* void */ ; p < last; p++) {

        switch (*p) {

        case '+':
        case '&':
        case ',':
        case ' ':
        case '\t':
        case CR:
        case LF:
            rc = ngx_http_pprof_symbol_end(s);

            if (rc != NGX_OK) {
                return rc;
            }

            continue;
        }

        s->length++;

        ch = (u_char) (*p | 0x20);

        if (ch == 'x' && s->length == 2 && s->hex && s->value == 0) {
            s->hex = 0;
            continue;
        }

        if (*p >= '0' && *p <= '9') {
            digit = *p - '0';

        } else if (ch >= 'a' && ch <= 'f') {
            digit = ch - 'a' + 10;

        } else {
            s->bad = 1;
            continue;
        }

        if (s->value >> 60) {
            s->bad = 1;
        }

        s->value = (s->value << 4) | (uint64_t) digit;
        s->hex = 1;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_pprof_symbol_end(ngx_http_pprof_symbols_t *s)
{
    size_t      n;
    uint64_t    value, *addresses;
    ngx_uint_t  good;

    value = s->value;
    good = s->hex && !s->bad && value != 0;

    s->value = 0;
    s->length = 0;
    s->hex = 0;
    s->bad = 0;

    if (!good) {
        return NGX_OK;
    }

    if (s->n == NGX_HTTP_PPROF_ADDRESSES_MAX) {
        return NGX_DECLINED;
    }

    if (s->n == s->allocated) {
        n = s->allocated * 2;

        addresses = realloc(s->addresses, n * sizeof(uint64_t));
        if (addresses == NULL) {
            return NGX_ERROR;
        }

        s->addresses = addresses;
        s->allocated = n;
    }

    s->addresses[s->n++] = value;

    return NGX_OK;
}


static ngx_http_pprof_symbols_t *
ngx_http_pprof_symbol_create(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t        *cln;
    ngx_http_pprof_ctx_t      *ctx;
    ngx_http_pprof_symbols_t  *s;

    ctx = ngx_http_pprof_get_ctx(r);
    if (ctx == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_pprof_symbols_t));
    if (cln == NULL) {
        return NULL;
    }

    s = cln->data;
    ngx_memzero(s, sizeof(ngx_http_pprof_symbols_t));

    s->allocated = NGX_HTTP_PPROF_ADDRESSES_MIN;
    s->addresses = malloc(s->allocated * sizeof(uint64_t));

    if (s->addresses == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_pprof_symbol_cleanup;

    ctx->symbols = s;

    return s;
}


static void
ngx_http_pprof_symbol_cleanup(void *data)
{
    ngx_http_pprof_symbols_t *s = data;

    free(s->addresses);
}
