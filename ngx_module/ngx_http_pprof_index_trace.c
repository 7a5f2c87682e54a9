
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The index's parts on the flight recorder, and on workers that died.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <ngx_http_pprof_module.h>


#define NGX_HTTP_PPROF_DEATHS  8


static void ngx_http_pprof_index_file(ngx_http_pprof_page_t *page,
    const prt_recorder_info_t *info, prt_file_kind_t kind, const char *what);


void
ngx_http_pprof_index_recorder(ngx_http_pprof_page_t *page)
{
    prt_recorder_info_t  info;

    if (ngx_http_pprof_file_info(&info) != NGX_OK) {
        return;
    }

    ngx_http_pprof_print(page, "<h2>Flight recorder</h2>\n<p>");

    if (info.running) {
        ngx_http_pprof_print(page,
            "<a href=\"../trace/recorder\">Running</a> for %.1f&nbsp;s, "
            "%.1f&nbsp;s left: "
            "<a href=\"../trace/recorder/snapshot\">snapshot</a>, "
            "<a href=\"../trace/recorder/stop\">stop</a>.",
            (double) info.elapsed / 1e9, (double) info.remaining / 1e9);

    } else {
        ngx_http_pprof_print(page,
            "<a href=\"../trace/recorder\">Not running</a>: "
            "<a href=\"../trace/recorder/run?duration=30s\">run for 30 s</a>, "
            "<a href=\"../trace/recorder/run?duration=30m\">30 min</a>.");
    }

    ngx_http_pprof_index_file(page, &info, PRT_FILE_TRACE, "last");
    ngx_http_pprof_index_file(page, &info, PRT_FILE_CRASH, "at a crash");
    ngx_http_pprof_index_file(page, &info, PRT_FILE_STALL, "at a stall");

    if (info.error[0]) {
        ngx_http_pprof_print(page, "<br>\nThe last writing: %s.", info.error);
    }

    ngx_http_pprof_print(page, "</p>\n");
}


static void
ngx_http_pprof_index_file(ngx_http_pprof_page_t *page,
    const prt_recorder_info_t *info, prt_file_kind_t kind, const char *what)
{
    double       size;
    ngx_tm_t     tm;
    const char  *suffix, *unit;

    if (info->files[kind].time == 0) {
        return;
    }

    size = (double) info->files[kind].size / 1024;
    unit = "KiB";

    if (size >= 1024) {
        size /= 1024;
        unit = "MiB";
    }

    suffix = prt_file_suffix(kind);

    ngx_gmtime((time_t) (info->files[kind].time / 1000000000), &tm);

    ngx_http_pprof_print(page,
        "<br>\nWritten %s: <a href=\"../trace/recorder/trace.out%s\">"
        "trace.out%s</a>, %.1f&nbsp;%s, "
        "%4d-%02d-%02d&nbsp;%02d:%02d:%02d&nbsp;UTC.",
        what, suffix, suffix, size, unit,
        tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
        tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec);
}


void
ngx_http_pprof_index_deaths(ngx_http_pprof_page_t *page)
{
    unsigned           i, n;
    prt_death_info_t   deaths[NGX_HTTP_PPROF_DEATHS];

    n = prt_deaths(deaths, NGX_HTTP_PPROF_DEATHS);

    if (n == 0) {
        return;
    }

    ngx_http_pprof_print(page,
        "<h2>Died</h2>\n"
        "<div class=\"wide\">\n"
        "<table>\n"
        "<tr><th class=\"n\">Worker</th><th class=\"n\">PID</th>"
        "<th class=\"n\">Ago</th><th>By</th><th>Where</th></tr>\n");

    for (i = 0; i < n; i++) {

        if (deaths[i].worker >= 0) {
            ngx_http_pprof_print(page, "<tr><td class=\"n\">%d</td>",
                                 deaths[i].worker);

        } else {
            ngx_http_pprof_print(page, "<tr><td class=\"n\">-</td>");
        }

        ngx_http_pprof_print(page, "<td class=\"n\">%P</td>", deaths[i].pid);

        ngx_http_pprof_page_age(page, deaths[i].age);

        ngx_http_pprof_print(page, "<td>%s</td><td>%V</td></tr>\n",
                             deaths[i].signal,
                             ngx_http_pprof_page_text(page,
                                 deaths[i].where[0] ? deaths[i].where : "-"));
    }

    ngx_http_pprof_print(page, "</table>\n"
                               "</div>\n");
}
