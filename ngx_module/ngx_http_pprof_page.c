
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The index's page as it grows: what is printed, and texts made ready for HTML.
 * A lack of memory is found at the end: until then nothing more is printed.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <ngx_http_pprof_module.h>


#define NGX_HTTP_PPROF_PAGE_SIZE    16384       /* bytes, at first */


static ngx_str_t  ngx_http_pprof_page_empty = ngx_null_string;


void
ngx_http_pprof_print(ngx_http_pprof_page_t *page, const char *fmt, ...)
{
    u_char   *p;
    size_t    size;
    va_list   args;

    for ( ;; ) {

        if (page->failed) {
            return;
        }

        if (page->start) {
            va_start(args, fmt);
            p = ngx_vslprintf(page->last, page->end, fmt, args);
            va_end(args);

            /* full may mean cut off */

            if (p < page->end) {
                page->last = p;
                return;
            }
        }

        size = page->start ? 2 * (page->end - page->start)
                           : NGX_HTTP_PPROF_PAGE_SIZE;

        p = ngx_pnalloc(page->pool, size);
        if (p == NULL) {
            page->failed = 1;
            return;
        }

        if (page->start) {
            page->last = ngx_cpymem(p, page->start, page->last - page->start);

        } else {
            page->last = p;
        }

        page->start = p;
        page->end = p + size;
    }
}


ngx_str_t *
ngx_http_pprof_page_escape(ngx_http_pprof_page_t *page, ngx_str_t *text)
{
    ngx_str_t  *escaped;

    if (page->failed) {
        return &ngx_http_pprof_page_empty;
    }

    escaped = ngx_palloc(page->pool, sizeof(ngx_str_t));
    if (escaped == NULL) {
        page->failed = 1;
        return &ngx_http_pprof_page_empty;
    }

    escaped->len = text->len + ngx_escape_html(NULL, text->data, text->len);

    escaped->data = ngx_pnalloc(page->pool, escaped->len);
    if (escaped->data == NULL) {
        page->failed = 1;
        return &ngx_http_pprof_page_empty;
    }

    (void) ngx_escape_html(escaped->data, text->data, text->len);

    return escaped;
}


ngx_str_t *
ngx_http_pprof_page_text(ngx_http_pprof_page_t *page, const char *text)
{
    ngx_str_t  s;

    s.data = (u_char *) text;
    s.len = ngx_strlen(text);

    return ngx_http_pprof_page_escape(page, &s);
}


void
ngx_http_pprof_page_age(ngx_http_pprof_page_t *page, uint64_t ns)
{
    uint64_t  age;

    age = ns / 1000000000;

    if (age >= 86400) {
        ngx_http_pprof_print(page, "<td class=\"n\">%uLd&nbsp;%uLh</td>",
                             age / 86400, age % 86400 / 3600);

    } else if (age >= 3600) {
        ngx_http_pprof_print(page, "<td class=\"n\">%uLh&nbsp;%uLm</td>",
                             age / 3600, age % 3600 / 60);

    } else if (age >= 60) {
        ngx_http_pprof_print(page, "<td class=\"n\">%uLm&nbsp;%uLs</td>",
                             age / 60, age % 60);

    } else {
        ngx_http_pprof_print(page, "<td class=\"n\">%uLs</td>", age);
    }
}
