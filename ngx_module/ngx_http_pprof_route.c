
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Endpoints.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <ngx_http_pprof_module.h>


typedef struct {
    ngx_str_t     path;
    ngx_uint_t    methods;
    const char   *allow;
    ngx_int_t   (*handler)(ngx_http_request_t *r);
} ngx_http_pprof_route_t;


static ngx_http_pprof_route_t *ngx_http_pprof_route(ngx_http_request_t *r,
    u_char *path, u_char *last);
static ngx_http_pprof_route_t *ngx_http_pprof_find(
    ngx_http_pprof_route_t *routes, u_char *path, size_t len);
static const char *ngx_http_pprof_unknown(u_char *root);
static ngx_uint_t ngx_http_pprof_cross_site(ngx_http_request_t *r);
static u_char *ngx_http_pprof_last(u_char *start, u_char *end,
    const char *text, size_t len);
static ngx_int_t ngx_http_pprof_redirect_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_pprof_cmdline_handler(ngx_http_request_t *r);


/* of a root: "/debug/trace", not "/debug/pprof" */

#define ngx_http_pprof_is_trace(root)  ((root)[sizeof("/debug/") - 1] == 't')


static ngx_http_pprof_route_t  ngx_http_pprof_routes[] = {

    { ngx_string(""),
      NGX_HTTP_GET|NGX_HTTP_HEAD, "GET, HEAD",
      ngx_http_pprof_redirect_handler },

    { ngx_string("/"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, "GET, HEAD",
      ngx_http_pprof_index_handler },

    { ngx_string("/cmdline"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, "GET, HEAD",
      ngx_http_pprof_cmdline_handler },

    { ngx_string("/symbol"),
      NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_POST, "GET, HEAD, POST",
      ngx_http_pprof_symbol_handler },

    { ngx_null_string, 0, NULL, NULL }
};


/* below "/debug/trace" */

static ngx_http_pprof_route_t  ngx_http_pprof_trace_routes[] = {

    { ngx_string("/recorder"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, "GET, HEAD",
      ngx_http_pprof_recorder_handler },

    { ngx_string("/recorder/run"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, "GET, HEAD",
      ngx_http_pprof_recorder_run_handler },

    { ngx_string("/recorder/stop"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, "GET, HEAD",
      ngx_http_pprof_recorder_stop_handler },

    { ngx_string("/recorder/snapshot"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, "GET, HEAD",
      ngx_http_pprof_recorder_snapshot_handler },

    { ngx_string("/recorder/trace.out"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, "GET, HEAD",
      ngx_http_pprof_recorder_file_handler },

    { ngx_string("/recorder/trace.out.crash"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, "GET, HEAD",
      ngx_http_pprof_recorder_file_handler },

    { ngx_string("/recorder/trace.out.stall"),
      NGX_HTTP_GET|NGX_HTTP_HEAD, "GET, HEAD",
      ngx_http_pprof_recorder_file_handler },

    { ngx_null_string, 0, NULL, NULL }
};


/* "/NAME" of any profile that the runtime has */

static ngx_http_pprof_route_t  ngx_http_pprof_profile_route = {
    ngx_null_string,
    NGX_HTTP_GET|NGX_HTTP_HEAD, "GET, HEAD",
    ngx_http_pprof_profile_handler
};


ngx_int_t
ngx_http_pprof_handler(ngx_http_request_t *r)
{
    u_char                     *path;
    ngx_int_t                   rc;
    ngx_http_pprof_route_t     *route;
    ngx_http_pprof_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_pprof_module);

    /* subrequests pass no access phase: they would get around the token */

    if (!plcf->served || r != r->main) {
        return NGX_HTTP_NOT_FOUND;
    }

    if (ngx_http_pprof_cross_site(r)) {
        return ngx_http_pprof_error(r, NGX_HTTP_FORBIDDEN,
                                    "request from another site refused: open "
                                    "the profiler's own address");
    }

    path = ngx_http_pprof_root(r);
    route = NULL;

    if (path) {
        route = ngx_http_pprof_route(r, path, r->uri.data + r->uri.len);
    }

    if (route == NULL) {
        return ngx_http_pprof_error(r, NGX_HTTP_NOT_FOUND, "%s",
                                    ngx_http_pprof_unknown(path));
    }

    if (!(r->method & route->methods)) {

        if (ngx_http_pprof_add_header(r, "Allow", route->allow) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return ngx_http_pprof_error(r, NGX_HTTP_NOT_ALLOWED,
                                    "method not allowed here: use %s",
                                    route->allow);
    }

    /* a handler whose route takes POST reads the body itself */

    if (r->method != NGX_HTTP_POST) {
        rc = ngx_http_discard_request_body(r);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return route->handler(r);
}


/*
 * The prefix is free, and may even contain "/debug/pprof" itself: the last
 * one counts.
 */

u_char *
ngx_http_pprof_root(ngx_http_request_t *r)
{
    u_char  *pprof, *trace, *end;

    end = r->uri.data + r->uri.len;

    pprof = ngx_http_pprof_last(r->uri.data, end, "/debug/pprof",
                                sizeof("/debug/pprof") - 1);
    trace = ngx_http_pprof_last(r->uri.data, end, "/debug/trace",
                                sizeof("/debug/trace") - 1);

    return trace > pprof ? trace : pprof;
}


static u_char *
ngx_http_pprof_last(u_char *start, u_char *end, const char *text, size_t len)
{
    u_char  *p;

    if ((size_t) (end - start) < len) {
        return NULL;
    }

    for (p = end - len; p >= start; p--) {

        if (ngx_memcmp(p, text, len) == 0
            && (p + len == end || p[len] == '/'))
        {
            return p;
        }
    }

    return NULL;
}


static ngx_http_pprof_route_t *
ngx_http_pprof_route(ngx_http_request_t *r, u_char *path, u_char *last)
{
    size_t                     len;
    ngx_uint_t                 trace;
    ngx_http_pprof_ctx_t      *ctx;
    ngx_http_pprof_route_t    *route;
    const prt_profile_info_t  *profile;

    trace = ngx_http_pprof_is_trace(path);

    /* both roots are of one length */

    path += sizeof("/debug/pprof") - 1;
    len = last - path;

    if (trace) {
        return ngx_http_pprof_find(ngx_http_pprof_trace_routes, path, len);
    }

    route = ngx_http_pprof_find(ngx_http_pprof_routes, path, len);
    if (route) {
        return route;
    }

    profile = prt_profile_find((char *) path + 1, len - 1);
    if (profile == NULL) {
        return NULL;
    }

    ctx = ngx_http_pprof_get_ctx(r);
    if (ctx == NULL) {
        return NULL;
    }

    ctx->profile = profile;

    return &ngx_http_pprof_profile_route;
}


static ngx_http_pprof_route_t *
ngx_http_pprof_find(ngx_http_pprof_route_t *routes, u_char *path, size_t len)
{
    ngx_http_pprof_route_t  *route;

    for (route = routes; route->handler; route++) {

        if (route->path.len == len
            && ngx_memcmp(route->path.data, path, len) == 0)
        {
            return route;
        }
    }

    return NULL;
}


/* Go's text where Go has profiles, too; else what there is, and where. */

static const char *
ngx_http_pprof_unknown(u_char *root)
{
    if (root == NULL) {
        return "Unknown path: profiles are below /debug/pprof/, the flight "
               "recorder is at /debug/trace/recorder";
    }

    if (ngx_http_pprof_is_trace(root)) {
        return "Unknown path: the flight recorder is at /debug/trace/recorder, "
               "with /run, /stop, /snapshot and /trace.out below it; a trace "
               "of the next seconds is at /debug/pprof/trace";
    }

    return "Unknown profile";
}


static ngx_uint_t
ngx_http_pprof_cross_site(ngx_http_request_t *r)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len == sizeof("Sec-Fetch-Site") - 1
                && ngx_strcasecmp(h[i].key.data, (u_char *) "Sec-Fetch-Site")
                   == 0
                && ngx_strcasecmp(h[i].value.data, (u_char *) "cross-site")
                   == 0)
            {
                return 1;
            }
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_pprof_redirect_handler(ngx_http_request_t *r)
{
    u_char     *p;
    size_t      len;
    ngx_str_t   uri;

    len = r->uri.len
          + 2 * ngx_escape_uri(NULL, r->uri.data, r->uri.len, NGX_ESCAPE_URI)
          + sizeof("/?") - 1 + r->args.len;

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_clear_location(r);

    r->headers_out.location = ngx_list_push(&r->headers_out.headers);
    if (r->headers_out.location == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memzero(r->headers_out.location, sizeof(ngx_table_elt_t));

    r->headers_out.location->hash = 1;
    ngx_str_set(&r->headers_out.location->key, "Location");
    r->headers_out.location->value.data = p;

    /* "//" would be another host */

    for (uri = r->uri; uri.len > 1 && uri.data[1] == '/'; uri.len--) {
        uri.data++;
    }

    p = (u_char *) ngx_escape_uri(p, uri.data, uri.len, NGX_ESCAPE_URI);
    *p++ = '/';

    if (r->args.len) {
        *p++ = '?';
        p = ngx_cpymem(p, r->args.data, r->args.len);
    }

    r->headers_out.location->value.len = p
                                        - r->headers_out.location->value.data;

    return NGX_HTTP_MOVED_PERMANENTLY;
}


static ngx_int_t
ngx_http_pprof_cmdline_handler(ngx_http_request_t *r)
{
    int      i;
    u_char  *p, *last;
    size_t   len;

    len = 0;

    for (i = 0; i < ngx_argc; i++) {
        len += ngx_strlen(ngx_argv[i]) + 1;
    }

    p = ngx_pnalloc(r->pool, len + 1);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    last = p;

    for (i = 0; i < ngx_argc; i++) {
        last = ngx_cpymem(last, ngx_argv[i], ngx_strlen(ngx_argv[i]) + 1);
    }

    /* NULs stand between the arguments only */

    return ngx_http_pprof_answer(r, &ngx_http_pprof_text, p,
                                 len ? len - 1 : 0);
}
