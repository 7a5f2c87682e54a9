
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The index: profiles, their names, and how to look at them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <ngx_http_pprof_module.h>


#define NGX_HTTP_PPROF_HOST_LEN     256


static ngx_int_t ngx_http_pprof_index_done(ngx_http_request_t *r,
    prt_job_t *job);
static void ngx_http_pprof_index_profiles(ngx_http_pprof_page_t *page,
    prt_job_t *job);
static void ngx_http_pprof_index_naming(ngx_http_pprof_page_t *page,
    prt_job_t *job);
static void ngx_http_pprof_index_hints(ngx_http_pprof_page_t *page,
    ngx_http_request_t *r);
static ngx_str_t *ngx_http_pprof_index_url(ngx_http_pprof_page_t *page,
    ngx_http_request_t *r, const char *user);
static void ngx_http_pprof_index_host(ngx_http_request_t *r, ngx_str_t *host);


static const char  ngx_http_pprof_head[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<title>nginx: /debug/pprof/</title>\n"
    "<style>\n"
    ":root { color-scheme: light dark; }\n"
    "body { font: 15px/1.5 system-ui, sans-serif; max-width: 60em;"
    " margin: 2em auto; padding: 0 1em; }\n"
    "h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }\n"
    "code, pre { font: 13px/1.5 ui-monospace, monospace; }\n"
    "pre { background: #8881; border-left: 3px solid #097; overflow-x: auto;"
    " padding: .6em 1em; }\n"
    "table { border-collapse: collapse; width: 100%; }\n"
    ".wide { overflow-x: auto; width: max-content; min-width: 100%;"
    " max-width: calc(50vw + 50% - 1em); }\n"
    ".wide code { overflow-wrap: anywhere; }\n"
    ".held { position: sticky; left: 0; max-width: min(58em, 100vw - 5em); }\n"
    "th { font-weight: 600; text-align: left;"
    " border-bottom: 2px solid #8886; }\n"
    "td { border-bottom: 1px solid #8883; vertical-align: top; }\n"
    "th, td { padding: .3em .8em .3em 0; }\n"
    ".n { text-align: right; font-variant-numeric: tabular-nums; }\n"
    "a { color: #097; } small { color: #888; }\n"
    "</style>\n"
    "</head>\n"
    "<body>\n"
    "<h1>/debug/pprof/</h1>\n";


/* No script, nothing from elsewhere, in no frame. */

static const char  ngx_http_pprof_csp[] =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";


ngx_int_t
ngx_http_pprof_index_handler(ngx_http_request_t *r)
{
    ngx_int_t              rc;
    ngx_http_pprof_ctx_t  *ctx;

    if (r->method == NGX_HTTP_HEAD) {

        if (ngx_http_pprof_add_header(r, "Content-Security-Policy",
                                      ngx_http_pprof_csp)
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return ngx_http_pprof_answer_head(r, &ngx_http_pprof_html);
    }

    rc = ngx_http_pprof_ready(r);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    ctx = ngx_http_pprof_get_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_pprof_wait(r, prt_job_state(ctx), 0,
                               ngx_http_pprof_index_done);
}


static ngx_int_t
ngx_http_pprof_index_done(ngx_http_request_t *r, prt_job_t *job)
{
    const prt_answer_t     *answer;
    ngx_http_pprof_page_t   page;

    answer = prt_job_answer(job);

    if (answer->status != PRT_OK) {
        return ngx_http_pprof_answer_failed(r, answer);
    }

    ngx_memzero(&page, sizeof(ngx_http_pprof_page_t));

    page.pool = r->pool;

    ngx_http_pprof_print(&page, "%s", ngx_http_pprof_head);

    ngx_http_pprof_index_profiles(&page, job);
    ngx_http_pprof_index_recorder(&page);
    ngx_http_pprof_index_workers(&page, job);
    ngx_http_pprof_index_deaths(&page);
    ngx_http_pprof_zones(&page);
    ngx_http_pprof_index_naming(&page, job);
    ngx_http_pprof_index_hints(&page, r);

    ngx_http_pprof_print(&page, "<p><small>nginx/%s, pprofrt %s</small></p>\n"
                                "</body>\n"
                                "</html>\n",
                         NGINX_VERSION, PRT_VERSION);

    if (page.failed
        || ngx_http_pprof_add_header(r, "Content-Security-Policy",
                                     ngx_http_pprof_csp)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_pprof_answer(r, &ngx_http_pprof_html, page.start,
                                 page.last - page.start);
}


static void
ngx_http_pprof_index_profiles(ngx_http_pprof_page_t *page, prt_job_t *job)
{
    unsigned                   i;
    const prt_profile_info_t  *profile;

    ngx_http_pprof_print(page,
        "<h2>Profiles</h2>\n"
        "<table>\n"
        "<tr><th class=\"n\">Count</th><th>Profile</th><th></th></tr>\n");

    for (i = 0; (profile = prt_profile_info(i)) != NULL; i++) {

        ngx_http_pprof_print(page,
            "<tr><td class=\"n\">%uL</td><td><a href=\"%s%s\">%s</a></td>"
            "<td>%s",
            prt_job_count(job, profile),
            profile->name,
            (profile->flags & PRT_PROFILE_TEXT) ? "?debug=1" : "",
            profile->name, profile->description);

        if (profile->flags & PRT_PROFILE_WINDOW) {
            ngx_http_pprof_print(page,
                " <small><a href=\"%s?seconds=5\">5&nbsp;s</a>, "
                "<a href=\"%s?seconds=30\">30&nbsp;s</a></small>",
                profile->name, profile->name);

        } else {
            ngx_http_pprof_print(page,
                " <small><a href=\"%s\">download</a>",
                profile->name);

            if (profile->flags & PRT_PROFILE_NOW) {
                ngx_http_pprof_print(page,
                    ", <a href=\"%s?debug=2\">each of them</a>",
                    profile->name);
            }

            if (profile->flags & PRT_PROFILE_DELTA) {
                ngx_http_pprof_print(page,
                    ", <a href=\"%s?seconds=30\">of&nbsp;30&nbsp;s</a>",
                    profile->name);
            }

            ngx_http_pprof_print(page, "</small>");
        }

        ngx_http_pprof_print(page, "</td></tr>\n");
    }

    ngx_http_pprof_print(page,
        "<tr><td></td><td><a href=\"cmdline\">cmdline</a></td>"
        "<td>The command line of nginx, its arguments separated by NUL.</td>"
        "</tr>\n"
        "<tr><td></td><td><a href=\"symbol\">symbol</a></td>"
        "<td>Names of addresses, for <code>pprof</code> itself.</td></tr>\n"
        "</table>\n");
}


/* As it was in the last profile, of whichever worker. */

static void
ngx_http_pprof_index_naming(ngx_http_pprof_page_t *page, prt_job_t *job)
{
    size_t                    i, n;
    ngx_str_t                *path;
    const char               *name;
    const prt_naming_info_t  *info;

    info = prt_job_naming(job, &n);

    if (n == 0) {
        return;
    }

    ngx_http_pprof_print(page,
        "<h2>Names</h2>\n"
        "<div class=\"wide\">\n"
        "<table>\n"
        "<tr><th>Object</th><th>Named from</th><th class=\"n\">Addresses</th>"
        "<th class=\"n\">Named</th><th>To have all</th></tr>\n");

    for (i = 0; i < n; i++) {

        path = ngx_http_pprof_page_text(page, info[i].path);

        name = strrchr(info[i].path, '/');
        name = name ? name + 1 : info[i].path;

        ngx_http_pprof_print(page,
            "<tr><td title=\"%V\">%V</td><td>%s</td><td class=\"n\">%uD</td>"
            "<td class=\"n\">%ui %%</td><td>",
            path, ngx_http_pprof_page_text(page, name),
            info[i].source, info[i].addresses,
            (ngx_uint_t) (info[i].addresses - info[i].unnamed) * 100
            / info[i].addresses);

        if (info[i].unnamed && info[i].path[0] == '/') {
            if (info[i].advice) {
                ngx_http_pprof_print(page, "%s it", info[i].advice);

            } else {
                ngx_http_pprof_print(page,
                                     "<code>tools/ngx-debuginfo %V</code>",
                                     path);
            }
        }

        ngx_http_pprof_print(page, "</td></tr>\n");
    }

    ngx_http_pprof_print(page, "</table>\n"
        "</div>\n"
        "<p><small>In the last profile that was made.</small></p>\n");
}


static void
ngx_http_pprof_index_hints(ngx_http_pprof_page_t *page, ngx_http_request_t *r)
{
    const char                 *user;
    ngx_str_t                  *url, *plain;
    ngx_http_pprof_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_pprof_module);

    user = plcf->digests ? ":TOKEN@" : "";

    url = ngx_http_pprof_index_url(page, r, user);
    plain = ngx_http_pprof_index_url(page, r, "");

    ngx_http_pprof_print(page,
        "<h2>How to look at them</h2>\n"
        "<p>CPU of all workers over 30 seconds, in the browser:</p>\n"
        "<pre>go tool pprof -http=: '%V/profile?seconds=30'</pre>\n"
        "<p>The hottest functions of worker 0, in the terminal:</p>\n"
        "<pre>go tool pprof -top '%V/profile?seconds=5&amp;worker=0'</pre>\n"
        "<p>What requests wait for, by location; and each of them at this "
        "moment:</p>\n"
        "<pre>go tool pprof -top -tagroot location '%V/wait?seconds=10'\n",
        url, url, url);

    if (plcf->digests) {
        ngx_http_pprof_print(page,
            "curl -H 'Authorization: Bearer TOKEN' "
            "'%V/goroutine?debug=2'</pre>\n", plain);

    } else {
        ngx_http_pprof_print(page, "curl '%V/goroutine?debug=2'</pre>\n",
                             plain);
    }

    ngx_http_pprof_print(page, "<p>Kept for later:</p>\n");

    if (plcf->digests) {
        ngx_http_pprof_print(page,
            "<pre>curl -H 'Authorization: Bearer TOKEN' -o cpu.pb.gz "
            "'%V/profile?seconds=30'\n",
            plain);

    } else {
        ngx_http_pprof_print(page,
            "<pre>curl -o cpu.pb.gz '%V/profile?seconds=30'\n", plain);
    }

    ngx_http_pprof_print(page, "go tool pprof -http=: cpu.pb.gz</pre>\n"
        "<p>Parameters: <code>seconds</code>, <code>hz</code>, "
        "<code>worker</code>, <code>pid</code>, <code>debug</code>.</p>\n");
}


/* The address of this page as the client knows it, ready for HTML. */

static ngx_str_t *
ngx_http_pprof_index_url(ngx_http_pprof_page_t *page, ngx_http_request_t *r,
    const char *user)
{
    u_char      *p, *last, *root;
    size_t       len, prefix;
    ngx_str_t    host, url;
    const char  *scheme;

    scheme = "http";

#if (NGX_HTTP_SSL)
    if (r->connection->ssl) {
        scheme = "https";
    }
#endif

    ngx_http_pprof_index_host(r, &host);

    root = ngx_http_pprof_root(r);
    prefix = root - r->uri.data;

    len = sizeof("https://") - 1 + ngx_strlen(user) + host.len
          + prefix + 2 * ngx_escape_uri(NULL, r->uri.data, prefix,
                                        NGX_ESCAPE_URI_COMPONENT)
          + sizeof("/debug/pprof") - 1;

    ngx_str_null(&url);

    url.data = ngx_pnalloc(page->pool, len);
    if (url.data == NULL) {
        page->failed = 1;
        return ngx_http_pprof_page_escape(page, &url);
    }

    p = ngx_sprintf(url.data, "%s://%s%V", scheme, user, &host);

    /* between the slashes everything that a shell could read is escaped */

    for (last = r->uri.data; last < root; last++) {

        if (*last == '/') {
            *p++ = '/';
            continue;
        }

        p = (u_char *) ngx_escape_uri(p, last, 1, NGX_ESCAPE_URI_COMPONENT);
    }

    p = ngx_cpymem(p, "/debug/pprof", sizeof("/debug/pprof") - 1);

    url.len = p - url.data;

    return ngx_http_pprof_page_escape(page, &url);
}


/* The Host header is the client's: shown only when it can be nothing else. */

static void
ngx_http_pprof_index_host(ngx_http_request_t *r, ngx_str_t *host)
{
    u_char   ch;
    size_t   i;

    ngx_str_set(host, "HOST");

    if (r->headers_in.host == NULL
        || r->headers_in.host->value.len == 0
        || r->headers_in.host->value.len > NGX_HTTP_PPROF_HOST_LEN)
    {
        return;
    }

    for (i = 0; i < r->headers_in.host->value.len; i++) {
        ch = r->headers_in.host->value.data[i];

        if ((ch >= '0' && ch <= '9')
            || (ch >= 'a' && ch <= 'z')
            || (ch >= 'A' && ch <= 'Z')
            || ch == '.' || ch == '-' || ch == '_' || ch == ':'
            || ch == '[' || ch == ']')
        {
            continue;
        }

        return;
    }

    *host = r->headers_in.host->value;
}
