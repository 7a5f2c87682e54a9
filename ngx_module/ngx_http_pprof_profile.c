
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Profiles: their parameters, and their answers.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <ngx_http_pprof_module.h>


#define NGX_HTTP_PPROF_SECONDS      30          /* of "profile" */
#define NGX_HTTP_PPROF_TRACE        1           /* of "trace" */
#define NGX_HTTP_PPROF_SECONDS_MAX  1000000000  /* more is as much */

#define NGX_HTTP_PPROF_NS           1000000000  /* of a second */


static ngx_int_t ngx_http_pprof_window(ngx_http_request_t *r,
    prt_profile_request_t *req);
static ngx_int_t ngx_http_pprof_which(ngx_http_request_t *r,
    prt_profile_request_t *req);
static ngx_int_t ngx_http_pprof_profile_done(ngx_http_request_t *r,
    prt_job_t *job);
static ngx_int_t ngx_http_pprof_profile_header(ngx_http_request_t *r);
static ngx_int_t ngx_http_pprof_seconds(ngx_str_t *value, uint64_t *ns);
static ngx_uint_t ngx_http_pprof_debug(ngx_str_t *value);


ngx_int_t
ngx_http_pprof_profile_handler(ngx_http_request_t *r)
{
    ngx_int_t               rc;
    ngx_str_t               gc;
    ngx_http_pprof_ctx_t   *ctx;
    prt_profile_request_t   req;

    ctx = ngx_http_get_module_ctx(r, ngx_http_pprof_module);

    ngx_memzero(&req, sizeof(prt_profile_request_t));

    req.profile = ctx->profile;

    rc = ngx_http_pprof_window(r, &req);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    rc = ngx_http_pprof_which(r, &req);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    /* as in Go: a number above 0, and on other profiles it means nothing */

    if ((req.profile->flags & PRT_PROFILE_MEMORY)
        && ngx_http_pprof_arg(r, "gc", &gc) == NGX_OK)
    {
        req.trim = ngx_atoi(gc.data, gc.len) > 0;
    }

    ctx->debug = req.debug ? 1 : 0;
    ctx->delta = req.window && !(req.profile->flags & PRT_PROFILE_WINDOW);

    if (r->method == NGX_HTTP_HEAD) {

        /* nothing is measured for those who do not want to see it */

        if (ngx_http_pprof_profile_header(r) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return ngx_http_pprof_answer_head(r, ctx->debug
                                                 ? &ngx_http_pprof_text
                                                 : &ngx_http_pprof_binary);
    }

    rc = ngx_http_pprof_ready(r);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    return ngx_http_pprof_wait(r, prt_job_profile(&req, ctx), req.window,
                               ngx_http_pprof_profile_done);
}


/*
 * The time of the answer.  These functions return NGX_DECLINED when there is
 * nothing to complain of, else what sending the complaint has returned.
 */

static ngx_int_t
ngx_http_pprof_window(ngx_http_request_t *r, prt_profile_request_t *req)
{
    ngx_int_t                    n;
    ngx_str_t                    value, debug;
    ngx_uint_t                   given, trace;
    ngx_http_pprof_main_conf_t  *pmcf;

    /* an empty one of Go's parameters is as good as none, as it is there */

    given = ngx_http_pprof_arg(r, "seconds", &value) == NGX_OK
            && value.len != 0;
    trace = (req->profile->flags & PRT_PROFILE_TRACE) ? 1 : 0;

    if (req->profile->flags & PRT_PROFILE_WINDOW) {

        if (!given || ngx_http_pprof_seconds(&value, &req->window) != NGX_OK) {
            req->window = (uint64_t) (trace ? NGX_HTTP_PPROF_TRACE
                                            : NGX_HTTP_PPROF_SECONDS)
                          * NGX_HTTP_PPROF_NS;
        }

        if (trace && ngx_http_pprof_events(r, &req->events) != NGX_OK) {
            return ngx_http_pprof_error(r, NGX_HTTP_BAD_REQUEST,
                                        "invalid value for \"events\" - must "
                                        "be a positive integer, %d at most",
                                        PRT_TRACE_EVENTS_MAX);
        }

        if (!trace && ngx_http_pprof_arg(r, "hz", &value) == NGX_OK) {
            n = ngx_atoi(value.data, value.len);

            if (n < PRT_CPU_RATE_MIN || n > PRT_CPU_RATE_MAX) {
                return ngx_http_pprof_error(r, NGX_HTTP_BAD_REQUEST,
                                            "invalid value for \"hz\" - must "
                                            "be an integer from %d to %d",
                                            PRT_CPU_RATE_MIN,
                                            PRT_CPU_RATE_MAX);
            }

            req->rate = (unsigned) n;
        }

    } else {
        if (ngx_http_pprof_arg(r, "debug", &debug) == NGX_OK) {
            req->debug = (int) ngx_min(ngx_http_pprof_debug(&debug), 2);
        }

        if (given && ngx_http_pprof_seconds(&value, &req->window) != NGX_OK) {
            return ngx_http_pprof_error(r, NGX_HTTP_BAD_REQUEST,
                                        "invalid value for \"seconds\" - must "
                                        "be a positive number");
        }

        if (given && !(req->profile->flags & PRT_PROFILE_DELTA)) {
            return ngx_http_pprof_error(r, NGX_HTTP_BAD_REQUEST,
                                        "\"seconds\" parameter is not "
                                        "supported for this profile type");
        }

        if (given && req->debug) {
            return ngx_http_pprof_error(r, NGX_HTTP_BAD_REQUEST,
                                        "seconds and debug params are "
                                        "incompatible");
        }

        if (req->debug && !(req->profile->flags & PRT_PROFILE_TEXT)) {
            return ngx_http_pprof_error(r, NGX_HTTP_BAD_REQUEST,
                                        "\"debug\" parameter is not "
                                        "supported for this profile type");
        }
    }

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_pprof_module);

    if (req->window > (uint64_t) pmcf->max_duration * 1000000) {
        return ngx_http_pprof_error(r, NGX_HTTP_BAD_REQUEST,
                                    "profile duration exceeds "
                                    "pprof_max_duration, which is %Ms here",
                                    pmcf->max_duration / 1000);
    }

    return NGX_DECLINED;
}


/* Whose profile is asked for. */

static ngx_int_t
ngx_http_pprof_which(ngx_http_request_t *r, prt_profile_request_t *req)
{
    ngx_int_t  n;
    ngx_str_t  value;

    req->worker = PRT_ANY;
    req->pid = PRT_ANY;

    if (ngx_http_pprof_arg(r, "worker", &value) == NGX_OK) {
        n = ngx_atoi(value.data, value.len);

        if (n == NGX_ERROR || n > NGX_MAX_INT32_VALUE) {
            return ngx_http_pprof_error(r, NGX_HTTP_BAD_REQUEST,
                                        "invalid value for \"worker\" - must "
                                        "be the number of a worker, from 0");
        }

        req->worker = (int) n;
    }

    if (ngx_http_pprof_arg(r, "pid", &value) == NGX_OK) {
        n = ngx_atoi(value.data, value.len);

        if (n < 1 || n > NGX_MAX_INT32_VALUE) {
            return ngx_http_pprof_error(r, NGX_HTTP_BAD_REQUEST,
                                        "invalid value for \"pid\" - must be "
                                        "the process ID of a worker");
        }

        req->pid = (pid_t) n;
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_pprof_profile_done(ngx_http_request_t *r, prt_job_t *job)
{
    const prt_answer_t    *answer;
    ngx_http_pprof_ctx_t  *ctx;

    answer = prt_job_answer(job);

    if (answer->status != PRT_OK) {
        return ngx_http_pprof_answer_failed(r, answer);
    }

    if (ngx_http_pprof_profile_header(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_pprof_module);

    return ngx_http_pprof_answer(r, ctx->debug ? &ngx_http_pprof_text
                                               : &ngx_http_pprof_binary,
                                 answer->data, answer->size);
}


static ngx_int_t
ngx_http_pprof_profile_header(ngx_http_request_t *r)
{
    u_char                *p;
    size_t                 len;
    ngx_http_pprof_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_pprof_module);

    if (ctx->debug) {
        return NGX_OK;
    }

    len = sizeof("attachment; filename=\"-delta\"")
          + ngx_strlen(ctx->profile->name);

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(p, "attachment; filename=\"%s%s\"%Z",
                ctx->profile->name, ctx->delta ? "-delta" : "");

    return ngx_http_pprof_add_header(r, "Content-Disposition", (char *) p);
}


ngx_int_t
ngx_http_pprof_arg(ngx_http_request_t *r, const char *name, ngx_str_t *value)
{
    u_char     *src, *dst;
    ngx_str_t   raw;

    if (ngx_http_arg(r, (u_char *) name, ngx_strlen(name), &raw) != NGX_OK) {
        return NGX_DECLINED;
    }

    value->data = ngx_pnalloc(r->pool, raw.len);
    if (value->data == NULL) {
        return NGX_DECLINED;
    }

    src = raw.data;
    dst = value->data;

    ngx_unescape_uri(&dst, &src, raw.len, 0);

    value->len = dst - value->data;

    return NGX_OK;
}


ngx_int_t
ngx_http_pprof_events(ngx_http_request_t *r, uint64_t *events)
{
    ngx_int_t  n;
    ngx_str_t  value;

    *events = 0;

    if (ngx_http_pprof_arg(r, "events", &value) != NGX_OK) {
        return NGX_OK;
    }

    n = ngx_atoi(value.data, value.len);

    if (n < 1 || n > PRT_TRACE_EVENTS_MAX) {
        return NGX_ERROR;
    }

    *events = (uint64_t) n;

    return NGX_OK;
}


/* "30", "0.5": more than nothing */

static ngx_int_t
ngx_http_pprof_seconds(ngx_str_t *value, uint64_t *ns)
{
    u_char      *p, *last;
    uint64_t     whole, fraction, unit;
    ngx_uint_t   digits;

    whole = 0;
    fraction = 0;
    digits = 0;

    p = value->data;
    last = value->data + value->len;

    for ( /* void */ ; p < last && *p >= '0' && *p <= '9'; p++) {
        digits++;
        whole = whole * 10 + (*p - '0');

        if (whole > NGX_HTTP_PPROF_SECONDS_MAX) {
            whole = NGX_HTTP_PPROF_SECONDS_MAX;
        }
    }

    if (p < last && *p == '.') {
        unit = NGX_HTTP_PPROF_NS;

        for (p++; p < last && *p >= '0' && *p <= '9'; p++) {
            digits++;
            unit /= 10;
            fraction += (*p - '0') * unit;
        }
    }

    if (p < last || digits == 0) {
        return NGX_ERROR;
    }

    *ns = whole * NGX_HTTP_PPROF_NS + fraction;

    return *ns ? NGX_OK : NGX_ERROR;
}


/* Anything that is not a number is 0, as in Go. */

static ngx_uint_t
ngx_http_pprof_debug(ngx_str_t *value)
{
    u_char     *p;
    size_t      len;
    ngx_int_t   n;

    p = value->data;
    len = value->len;

    if (len > 1 && (*p == '-' || *p == '+')) {
        p++;
        len--;
    }

    n = ngx_atoi(p, len);

    if (n <= 0) {
        return 0;
    }

    return value->data[0] == '-' ? 1 : (ngx_uint_t) n;
}
