
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Answers.  "go tool pprof" shows the text of an error only if it is plain
 * text and has X-Go-Pprof; so errors that others make in our locations
 * (auth_request, limit_req, deny) are put into that form by filters.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <ngx_http_pprof_module.h>


#define NGX_HTTP_PPROF_ERROR_LEN    2048


typedef struct {
    ngx_uint_t   status;
    ngx_str_t    text;
} ngx_http_pprof_status_t;


static void ngx_http_pprof_set_type(ngx_http_request_t *r,
    ngx_http_pprof_type_t *type);
static ngx_str_t *ngx_http_pprof_status_text(ngx_uint_t status,
    ngx_http_pprof_loc_conf_t *plcf);




ngx_http_pprof_type_t  ngx_http_pprof_text = {
    ngx_string("text/plain"), ngx_string("utf-8")
};

ngx_http_pprof_type_t  ngx_http_pprof_html = {
    ngx_string("text/html"), ngx_string("utf-8")
};

ngx_http_pprof_type_t  ngx_http_pprof_binary = {
    ngx_string("application/octet-stream"), ngx_null_string
};

ngx_http_pprof_type_t  ngx_http_pprof_json = {
    ngx_string("application/json"), ngx_null_string
};


static ngx_str_t  ngx_http_pprof_token_text = ngx_string(
    "the token is missing or wrong: send it as \"Authorization: Bearer TOKEN\","
    " or as the password in the URL, http://:TOKEN@host/...\n"
);


static ngx_http_pprof_status_t  ngx_http_pprof_statuses[] = {

    { NGX_HTTP_BAD_REQUEST,
      ngx_string("nginx could not understand this request\n") },

    { NGX_HTTP_UNAUTHORIZED,
      ngx_string("authorization required: this location of nginx asks for "
                 "a user and a password, or for what its auth_request "
                 "accepts\n") },

    { NGX_HTTP_FORBIDDEN,
      ngx_string("forbidden by the access rules of this location of "
                 "nginx\n") },

    { NGX_HTTP_NOT_FOUND,
      ngx_string("Unknown profile\n") },

    { NGX_HTTP_TOO_MANY_REQUESTS,
      ngx_string("too many requests: a limit of this location of nginx was "
                 "reached, try again later\n") },

    { NGX_HTTP_INTERNAL_SERVER_ERROR,
      ngx_string("nginx could not answer this request: its error log says "
                 "why\n") },

    { NGX_HTTP_SERVICE_UNAVAILABLE,
      ngx_string("nginx is busy: a limit of this location was reached, try "
                 "again later\n") },

    { 0,
      ngx_string("refused by nginx before the profiler was asked: its error "
                 "log says why\n") }
};


ngx_int_t
ngx_http_pprof_error(ngx_http_request_t *r, ngx_uint_t status,
    const char *fmt, ...)
{
    u_char        *p, *last;
    va_list        args;
    ngx_int_t      rc;
    ngx_buf_t     *b;
    ngx_chain_t    out;

    if (r->reading_body || ngx_http_discard_request_body(r) != NGX_OK) {

        /* what is left of the body cannot be told from the next request */

        r->keepalive = 0;
    }

    p = ngx_pnalloc(r->pool, NGX_HTTP_PPROF_ERROR_LEN);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    va_start(args, fmt);
    last = ngx_vslprintf(p, p + NGX_HTTP_PPROF_ERROR_LEN - 1, fmt, args);
    va_end(args);

    *last++ = LF;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->pos = p;
    b->last = last;
    b->memory = 1;
    b->last_buf = 1;

    rc = ngx_http_pprof_send_header(r, status, &ngx_http_pprof_text, last - p);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_http_pprof_answer(ngx_http_request_t *r, ngx_http_pprof_type_t *type,
    const u_char *data, size_t size)
{
    return ngx_http_pprof_answer_status(r, NGX_HTTP_OK, type, data, size);
}


ngx_int_t
ngx_http_pprof_answer_status(ngx_http_request_t *r, ngx_uint_t status,
    ngx_http_pprof_type_t *type, const u_char *data, size_t size)
{
    ngx_int_t   rc;
    ngx_buf_t  *b;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_pprof_send_header(r, status, type, size);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b->pos = (u_char *) data;
    b->last = (u_char *) data + size;
    b->memory = size ? 1 : 0;
    b->last_buf = 1;

    return ngx_http_pprof_send(r, b);
}


ngx_int_t
ngx_http_pprof_answer_head(ngx_http_request_t *r, ngx_http_pprof_type_t *type)
{
    return ngx_http_pprof_send_header(r, NGX_HTTP_OK, type, -1);
}


ngx_int_t
ngx_http_pprof_answer_failed(ngx_http_request_t *r, const prt_answer_t *answer)
{
    ngx_uint_t  status;

    switch (answer->status) {

    case PRT_NOT_FOUND:
        status = NGX_HTTP_NOT_FOUND;
        break;

    case PRT_BUSY:
        status = NGX_HTTP_SERVICE_UNAVAILABLE;
        break;

    default:
        status = NGX_HTTP_INTERNAL_SERVER_ERROR;
        break;
    }

    return ngx_http_pprof_error(r, status, "%s", answer->error);
}


ngx_int_t
ngx_http_pprof_send_header(ngx_http_request_t *r, ngx_uint_t status,
    ngx_http_pprof_type_t *type, off_t size)
{
    ngx_http_pprof_ctx_t  *ctx;

    ctx = ngx_http_pprof_get_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->answered = 1;

    r->headers_out.status = status;
    r->headers_out.content_length_n = size;

    ngx_http_pprof_set_type(r, type);

    /* If-Unmodified-Since and the like do not concern a measurement */

    r->disable_not_modified = 1;

#if (NGX_HTTP_GZIP)

    if (type == &ngx_http_pprof_binary) {

        /* it is compressed already, whatever gzip_types says */

        r->gzip_tested = 1;
        r->gzip_ok = 0;
    }

#endif

    return ngx_http_send_header(r);
}


static void
ngx_http_pprof_set_type(ngx_http_request_t *r, ngx_http_pprof_type_t *type)
{
    r->headers_out.content_type = type->type;
    r->headers_out.content_type_len = type->type.len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.charset = type->charset;
}


ngx_int_t
ngx_http_pprof_add_header(ngx_http_request_t *r, const char *key,
    const char *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key.len = ngx_strlen(key);
    h->key.data = (u_char *) key;
    h->value.len = ngx_strlen(value);
    h->value.data = (u_char *) value;

    return NGX_OK;
}


/*
 * Every answer of a served location comes through here, whoever made it.
 * nginx's own error pages get our text; "WWW-Authenticate" is added here and
 * not in the access handler, where "satisfy any" may still let the request in.
 */

ngx_int_t
ngx_http_pprof_answer_header(ngx_http_request_t *r)
{
    ngx_http_pprof_ctx_t       *ctx;
    ngx_http_pprof_loc_conf_t  *plcf;

    if (r != r->main) {
        return NGX_OK;
    }

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_pprof_module);

    ctx = ngx_http_pprof_get_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_pprof_add_header(r, "X-Content-Type-Options", "nosniff")
        != NGX_OK
        || ngx_http_pprof_add_header(r, "Cache-Control", "no-store") != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (r->headers_out.status < NGX_HTTP_BAD_REQUEST) {
        return NGX_OK;
    }

    if (ngx_http_pprof_add_header(r, "X-Go-Pprof", "1") != NGX_OK) {
        return NGX_ERROR;
    }

    /* browsers have no box for a bearer token, but one for a password */

    if (r->headers_out.status == NGX_HTTP_UNAUTHORIZED
        && plcf->digests
        && (ngx_http_pprof_add_header(r, "WWW-Authenticate",
                                      "Bearer realm=\"pprof\"")
            != NGX_OK
            || ngx_http_pprof_add_header(r, "WWW-Authenticate",
                                         "Basic realm=\"pprof\"")
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    if (!ctx->answered) {
        ctx->text = *ngx_http_pprof_status_text(r->headers_out.status, plcf);

        ngx_http_clear_content_length(r);
        r->headers_out.content_length_n = ctx->text.len;

        ngx_http_pprof_set_type(r, &ngx_http_pprof_text);
    }

    return NGX_OK;
}


static ngx_str_t *
ngx_http_pprof_status_text(ngx_uint_t status, ngx_http_pprof_loc_conf_t *plcf)
{
    ngx_http_pprof_status_t  *s;

    if (status == NGX_HTTP_UNAUTHORIZED && plcf->digests) {
        return &ngx_http_pprof_token_text;
    }

    for (s = ngx_http_pprof_statuses; s->status; s++) {
        if (s->status == status) {
            break;
        }
    }

    return &s->text;
}


ngx_int_t
ngx_http_pprof_answer_body(ngx_http_request_t *r, ngx_chain_t **in)
{
    ngx_buf_t             *b;
    ngx_chain_t           *cl;
    ngx_http_pprof_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_pprof_module);

    if (ctx == NULL || ctx->text.len == 0 || *in == NULL) {
        return NGX_OK;
    }

    /* nginx's page counts as sent */

    for (cl = *in; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
        cl->buf->file_pos = cl->buf->file_last;
    }

    *in = NULL;

    if (ctx->replaced) {
        return NGX_OK;
    }

    ctx->replaced = 1;

    b = ngx_calloc_buf(r->pool);
    cl = ngx_alloc_chain_link(r->pool);

    if (b == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    b->pos = ctx->text.data;
    b->last = ctx->text.data + ctx->text.len;
    b->memory = 1;
    b->last_buf = 1;

    cl->buf = b;
    cl->next = NULL;

    *in = cl;

    return NGX_OK;
}
