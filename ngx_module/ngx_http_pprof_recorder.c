
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The flight recorder's endpoints.  Its answers are JSON, those of errors too,
 * with the status that an error has.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <ngx_http_pprof_module.h>


#define NGX_HTTP_PPROF_JSON_LEN  2048
#define NGX_HTTP_PPROF_TEXT_LEN  1024


static ngx_int_t ngx_http_pprof_recorder_command(ngx_http_request_t *r,
    prt_recorder_command_t command);
static ngx_int_t ngx_http_pprof_recorder_done(ngx_http_request_t *r,
    prt_job_t *job);
static ngx_int_t ngx_http_pprof_recorder_state(ngx_http_request_t *r);
static u_char *ngx_http_pprof_recorder_file(u_char *p, u_char *last,
    const char *name, const prt_recorder_info_t *info, prt_file_kind_t kind);
static u_char *ngx_http_pprof_recorder_string(u_char *p, u_char *last,
    u_char *text, size_t len);
static ngx_int_t ngx_http_pprof_recorder_duration(ngx_http_request_t *r,
    uint64_t *duration);


ngx_int_t
ngx_http_pprof_recorder_handler(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_http_pprof_ready(r);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    return ngx_http_pprof_recorder_state(r);
}


ngx_int_t
ngx_http_pprof_recorder_run_handler(ngx_http_request_t *r)
{
    return ngx_http_pprof_recorder_command(r, PRT_RECORDER_RUN);
}


ngx_int_t
ngx_http_pprof_recorder_stop_handler(ngx_http_request_t *r)
{
    return ngx_http_pprof_recorder_command(r, PRT_RECORDER_STOP);
}


ngx_int_t
ngx_http_pprof_recorder_snapshot_handler(ngx_http_request_t *r)
{
    return ngx_http_pprof_recorder_command(r, PRT_RECORDER_SNAPSHOT);
}


ngx_int_t
ngx_http_pprof_recorder_file_handler(ngx_http_request_t *r)
{
    const char  *suffix;
    ngx_uint_t   kind;

    /* "trace.out", "trace.out.crash", as the table of routes has them */

    for (kind = PRT_FILES - 1; kind > PRT_FILE_TRACE; kind--) {
        suffix = prt_file_suffix(kind);

        if (ngx_memcmp(r->uri.data + r->uri.len - ngx_strlen(suffix), suffix,
                       ngx_strlen(suffix))
            == 0)
        {
            break;
        }
    }

    return ngx_http_pprof_file_send(r, kind);
}


static ngx_int_t
ngx_http_pprof_recorder_command(ngx_http_request_t *r,
    prt_recorder_command_t command)
{
    uint64_t               events, duration;
    ngx_int_t              rc;
    ngx_http_pprof_ctx_t  *ctx;

    duration = 0;

    if (command == PRT_RECORDER_RUN) {
        rc = ngx_http_pprof_recorder_duration(r, &duration);
        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    if (ngx_http_pprof_events(r, &events) != NGX_OK) {
        return ngx_http_pprof_recorder_error(r, NGX_HTTP_BAD_REQUEST,
                   "invalid value for \"events\" - must be a positive integer, "
                   "%d at most", PRT_TRACE_EVENTS_MAX);
    }

    /* who asks for the headers alone does not want anything to happen */

    if (r->method == NGX_HTTP_HEAD) {
        return ngx_http_pprof_answer_head(r, &ngx_http_pprof_json);
    }

    rc = ngx_http_pprof_ready(r);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    ctx = ngx_http_pprof_get_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_pprof_wait(r, prt_job_recorder(command, duration, events,
                                                   ctx),
                               0, ngx_http_pprof_recorder_done);
}


static ngx_int_t
ngx_http_pprof_recorder_done(ngx_http_request_t *r, prt_job_t *job)
{
    const prt_answer_t  *answer;

    answer = prt_job_answer(job);

    switch (answer->status) {

    case PRT_OK:
        return ngx_http_pprof_recorder_state(r);

    case PRT_CONFLICT:
        return ngx_http_pprof_recorder_error(r, NGX_HTTP_CONFLICT, "%s",
                                             answer->error);

    default:
        return ngx_http_pprof_recorder_error(r, NGX_HTTP_INTERNAL_SERVER_ERROR,
                                             "%s", answer->error);
    }
}


static ngx_int_t
ngx_http_pprof_recorder_state(ngx_http_request_t *r)
{
    u_char               *p, *last, *start;
    prt_recorder_info_t   info;

    if (ngx_http_pprof_file_info(&info) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    start = ngx_pnalloc(r->pool, NGX_HTTP_PPROF_JSON_LEN);
    if (start == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    last = start + NGX_HTTP_PPROF_JSON_LEN;

    p = ngx_slprintf(start, last, "{\"state\":\"%s\"",
                     info.running ? "running" : "stopped");

    if (info.running) {
        p = ngx_slprintf(p, last, ",\"elapsed_seconds\":%.3f"
                                  ",\"remaining_seconds\":%.3f",
                         (double) info.elapsed / 1e9,
                         (double) info.remaining / 1e9);
    }

    p = ngx_http_pprof_recorder_file(p, last, "trace", &info, PRT_FILE_TRACE);
    p = ngx_http_pprof_recorder_file(p, last, "crash", &info, PRT_FILE_CRASH);
    p = ngx_http_pprof_recorder_file(p, last, "stall", &info, PRT_FILE_STALL);

    if (info.error[0]) {
        p = ngx_slprintf(p, last, ",\"last_error\":");
        p = ngx_http_pprof_recorder_string(p, last, (u_char *) info.error,
                                           ngx_strlen(info.error));
    }

    p = ngx_slprintf(p, last, "}\n");

    return ngx_http_pprof_answer(r, &ngx_http_pprof_json, start, p - start);
}


/* What was written last, by any of the workers that there have been. */

static u_char *
ngx_http_pprof_recorder_file(u_char *p, u_char *last, const char *name,
    const prt_recorder_info_t *info, prt_file_kind_t kind)
{
    ngx_tm_t  tm;

    if (info->files[kind].time == 0) {
        return ngx_slprintf(p, last, ",\"%s\":null", name);
    }

    ngx_gmtime((time_t) (info->files[kind].time / 1000000000), &tm);

    p = ngx_slprintf(p, last,
                     ",\"%s\":{\"name\":\"trace.out%s\",\"bytes\":%uL",
                     name, prt_file_suffix(kind), info->files[kind].size);

    if (info->files[kind].events) {
        p = ngx_slprintf(p, last, ",\"events\":%uL,\"overwritten\":%uL,"
                                  "\"left_out\":%uL",
                         info->files[kind].events,
                         info->files[kind].overwritten,
                         info->files[kind].left_out);
    }

    return ngx_slprintf(p, last,
        ",\"written\":\"%4d-%02d-%02dT%02d:%02d:%02dZ\"}",
        tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
        tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec);
}


/* In quotes, or nothing of it if there is no room. */

static u_char *
ngx_http_pprof_recorder_string(u_char *p, u_char *last, u_char *text,
    size_t len)
{
    size_t  size;

    size = len + ngx_escape_json(NULL, text, len);

    if ((size_t) (last - p) < size + 2) {
        return ngx_slprintf(p, last, "\"\"");
    }

    *p++ = '"';
    p = (u_char *) ngx_escape_json(p, text, len);
    *p++ = '"';

    return p;
}


ngx_int_t
ngx_http_pprof_recorder_error(ngx_http_request_t *r, ngx_uint_t status,
    const char *fmt, ...)
{
    u_char   *p, *last, *start, *end, text[NGX_HTTP_PPROF_TEXT_LEN];
    va_list   args;

    va_start(args, fmt);
    end = ngx_vslprintf(text, text + NGX_HTTP_PPROF_TEXT_LEN, fmt, args);
    va_end(args);

    start = ngx_pnalloc(r->pool, NGX_HTTP_PPROF_JSON_LEN);
    if (start == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    last = start + NGX_HTTP_PPROF_JSON_LEN;

    p = ngx_slprintf(start, last, "{\"error\":");
    p = ngx_http_pprof_recorder_string(p, last - 2, text, end - text);
    p = ngx_slprintf(p, last, "}\n");

    return ngx_http_pprof_answer_status(r, status, &ngx_http_pprof_json, start,
                                        p - start);
}


/* NGX_DECLINED, or what sending the complaint has returned. */

static ngx_int_t
ngx_http_pprof_recorder_duration(ngx_http_request_t *r, uint64_t *duration)
{
    int64_t                      ns;
    uint64_t                     max;
    ngx_str_t                    value;
    ngx_http_pprof_main_conf_t  *pmcf;

    if (ngx_http_pprof_arg(r, "duration", &value) != NGX_OK
        || value.len == 0)
    {
        return ngx_http_pprof_recorder_error(r, NGX_HTTP_BAD_REQUEST,
                   "\"duration\" is required, for instance duration=30s");
    }

    if (prt_duration((char *) value.data, value.len, &ns) != 0) {
        return ngx_http_pprof_recorder_error(r, NGX_HTTP_BAD_REQUEST,
                   "invalid value for \"duration\" - must be a duration as in "
                   "Go: 30s, 1m30s, 500ms");
    }

    if (ns <= 0) {
        return ngx_http_pprof_recorder_error(r, NGX_HTTP_BAD_REQUEST,
                   "invalid value for \"duration\" - must be more than 0");
    }

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_pprof_module);

    max = ngx_min((uint64_t) pmcf->max_duration * 1000000, PRT_RECORDER_MAX);

    if ((uint64_t) ns > max) {
        return ngx_http_pprof_recorder_error(r, NGX_HTTP_BAD_REQUEST,
                   "invalid value for \"duration\" - must be %uLs at most",
                   max / 1000000000);
    }

    *duration = (uint64_t) ns;

    return NGX_DECLINED;
}
