
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The index's table of workers.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <ngx_http_pprof_module.h>


typedef struct {
    const char  *name;
    const char  *title;
    ngx_uint_t   text;            /* unsigned  text:1;  not a number */
} ngx_http_pprof_index_column_t;


static void ngx_http_pprof_index_worker(ngx_http_pprof_page_t *page,
    const prt_worker_info_t *w);
static void ngx_http_pprof_index_gops(ngx_http_pprof_page_t *page,
    const prt_worker_info_t *w);
static void ngx_http_pprof_index_held(ngx_http_pprof_page_t *page,
    const prt_worker_info_t *w);


static ngx_http_pprof_index_column_t  ngx_http_pprof_index_columns[] = {

    { "Slot", "its place in the profiler's shared memory", 0 },
    { "Worker", "nginx's number of it, as in worker=N", 0 },
    { "PID", "its process, as in pid=N", 0 },
    { "Age", "time since its start", 0 },
    { "CPU", "time that all its threads have used", 0 },
    { "RSS", "memory of the process that is resident", 0 },
    { "Connections", "open ones", 0 },
    { "Requests", "connections that serve one at this moment", 0 },
    { "Oldest", "the oldest of its requests: age, what it waits for, location",
      1 },
    { "Stalls", "events that held its loop over pprof_stall_threshold", 0 },
    { "Samples", "samples of the CPU, since its start", 0 },
    { "Lost", "samples of all profiles without room for their stack: counted "
              "without it", 0 },
    { "gops", "port of its gops agent, on 127.0.0.1", 0 },
    { "State", "what it does, and the rate of the CPU profile that runs", 1 },

    { NULL, NULL, 0 }
};


void
ngx_http_pprof_index_workers(ngx_http_pprof_page_t *page, prt_job_t *job)
{
    size_t                          i, n;
    const prt_worker_info_t        *w;
    ngx_http_pprof_index_column_t  *column;

    w = prt_job_workers(job, &n);

    ngx_http_pprof_print(page, "<h2>Workers</h2>\n"
                               "<div class=\"wide\">\n"
                               "<table>\n"
                               "<tr>");

    for (column = ngx_http_pprof_index_columns; column->name; column++) {
        ngx_http_pprof_print(page, "<th%s title=\"%s\">%s</th>",
                             column->text ? "" : " class=\"n\"",
                             column->title, column->name);
    }

    ngx_http_pprof_print(page, "</tr>\n");

    for (i = 0; i < n; i++) {
        ngx_http_pprof_index_worker(page, &w[i]);
    }

    /* titles alone are not there for who has no mouse */

    ngx_http_pprof_print(page, "</table>\n"
        "</div>\n"
        "<p><small>Slot: the worker's place in the profiler's shared memory. "
        "Worker: nginx's number, as in <code>worker=</code>. "
        "CPU, Stalls, Samples and Lost: since the worker's start. "
        "Connections: open ones. "
        "Requests: connections that serve one at this moment. "
        "Oldest: of these requests, its age, what it waits for, and its "
        "location. "
        "Stalls: events that held the loop over "
        "<code>pprof_stall_threshold</code>. "
        "Samples: of the CPU. "
        "Lost: samples of all profiles without room for their stack; "
        "they are counted without it. "
        "gops: the port of its agent.</small></p>\n");
}


static void
ngx_http_pprof_index_worker(ngx_http_pprof_page_t *page,
    const prt_worker_info_t *w)
{
    const char  *state;

    ngx_http_pprof_print(page, "<tr><td class=\"n\">%ud</td>", w->slot);

    if (w->worker >= 0) {
        ngx_http_pprof_print(page,
            "<td class=\"n\"><a href=\"profile?worker=%d\">%d</a></td>",
            w->worker, w->worker);

    } else {
        ngx_http_pprof_print(page, "<td class=\"n\">-</td>");
    }

    ngx_http_pprof_print(page,
        "<td class=\"n\"><a href=\"profile?pid=%P\">%P</a></td>",
        w->pid, w->pid);

    ngx_http_pprof_page_age(page, w->age);

    if (w->silent) {
        state = "does not answer";

    } else if (w->held) {
        state = "held";

    } else if (w->exiting) {
        state = "exiting";

    } else if (w->rate) {
        state = "sampled";

    } else {
        state = "running";
    }

    ngx_http_pprof_print(page,
        "<td class=\"n\">%.2f&nbsp;s</td><td class=\"n\">%.1f&nbsp;MiB</td>"
        "<td class=\"n\">%uL</td><td class=\"n\">%uL</td>",
        (double) w->cpu / 1e9, (double) w->rss / 1048576,
        w->gauges.connections, w->gauges.requests);

    /* all but those that wait for the profiler; states are words of ours */

    if (w->oldest_state[0]) {
        ngx_http_pprof_print(page, "<td>%.1f&nbsp;s: "
            "<a href=\"goroutine?debug=2&amp;pid=%P\">%s</a>",
            (double) w->oldest / 1e9, w->pid, w->oldest_state);

        if (w->oldest_location[0]) {
            ngx_http_pprof_print(page, " <code>%V</code>",
                ngx_http_pprof_page_text(page, w->oldest_location));
        }

        ngx_http_pprof_print(page, "</td>");

    } else {
        ngx_http_pprof_print(page, "<td>-</td>");
    }

    ngx_http_pprof_print(page,
        "<td class=\"n\">%uL</td><td class=\"n\">%uL</td>"
        "<td class=\"n\">%uL</td>",
        w->stalls, w->samples, w->lost);

    ngx_http_pprof_index_gops(page, w);

    ngx_http_pprof_print(page, "<td>%s", state);

    if (w->rate) {
        ngx_http_pprof_print(page, " <small>%ud&nbsp;Hz</small>", w->rate);
    }

    ngx_http_pprof_print(page, "</td></tr>\n");

    if (w->held) {
        ngx_http_pprof_index_held(page, w);
    }
}


/* The port of its agent, and whom that did not answer. */

static void
ngx_http_pprof_index_gops(ngx_http_pprof_page_t *page,
    const prt_worker_info_t *w)
{
    if (w->gops_port == 0) {
        ngx_http_pprof_print(page, "<td class=\"n\">-</td>");
        return;
    }

    ngx_http_pprof_print(page, "<td class=\"n\">%ud", w->gops_port);

    if (w->gops_refused) {
        ngx_http_pprof_print(page, " <small>%ud&nbsp;refused</small>",
                             w->gops_refused);
    }

    ngx_http_pprof_print(page, "</td>");
}


/* What the event loop does not come back from. */

static void
ngx_http_pprof_index_held(ngx_http_pprof_page_t *page,
    const prt_worker_info_t *w)
{
    ngx_http_pprof_print(page,
        "<tr><td></td><td colspan=\"13\"><div class=\"held\">"
        "<strong>The event loop is held for %.1f&nbsp;s</strong> %V"
        "</div></td></tr>\n",
        (double) w->held / 1e9,
        ngx_http_pprof_page_text(page, w->held_by[0] ? w->held_by
                                                     : "(not seen yet where)"));
}
