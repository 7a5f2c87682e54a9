
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Lines of error.log in the trace: their level, and what nginx did for the
 * request then.  Their text is not taken: it has URIs and addresses.
 *
 * One more log, of a level of its own, stands at the end of each chain of logs,
 * and so gets what the chain logs.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <pthread.h>

#include <ngx_http_pprof_module.h>


#define NGX_HTTP_PPROF_TRACE_LINE  128


static void ngx_http_pprof_trace_writer(ngx_log_t *log, ngx_uint_t level,
    u_char *buf, size_t len);


static ngx_log_t  ngx_http_pprof_trace_end_log = {
    .log_level = NGX_LOG_WARN,
    .writer = ngx_http_pprof_trace_writer
};


static ngx_str_t  ngx_http_pprof_trace_levels[] = {
    ngx_null_string,
    ngx_string("emerg"),
    ngx_string("alert"),
    ngx_string("crit"),
    ngx_string("error"),
    ngx_string("warn")
};


static pthread_t  ngx_http_pprof_trace_thread;


/* What a location logs to, once for each such log. */

ngx_int_t
ngx_http_pprof_trace_log_add(ngx_conf_t *cf, ngx_http_pprof_main_conf_t *pmcf,
    ngx_log_t *log)
{
    ngx_log_t   **logs;
    ngx_uint_t    i;

    if (log == NULL) {
        return NGX_OK;
    }

    if (pmcf->logs == NULL) {
        pmcf->logs = ngx_array_create(cf->pool, 4, sizeof(ngx_log_t *));
        if (pmcf->logs == NULL) {
            return NGX_ERROR;
        }
    }

    logs = pmcf->logs->elts;

    for (i = 0; i < pmcf->logs->nelts; i++) {
        if (logs[i] == log) {
            return NGX_OK;
        }
    }

    logs = ngx_array_push(pmcf->logs);
    if (logs == NULL) {
        return NGX_ERROR;
    }

    *logs = log;

    return NGX_OK;
}


/*
 * When recording begins; it stays there, and does nothing at other times.
 * Requests that are under way have copies of the chain before.
 */

void
ngx_http_pprof_trace_log_start(ngx_http_pprof_main_conf_t *pmcf)
{
    ngx_log_t   *log, **logs;
    ngx_uint_t   i;

    ngx_http_pprof_trace_thread = pthread_self();

    if (pmcf->logs == NULL) {
        return;
    }

    logs = pmcf->logs->elts;

    for (i = 0; i < pmcf->logs->nelts; i++) {

        for (log = logs[i]; log->next; log = log->next) { /* void */ }

        if (log != &ngx_http_pprof_trace_end_log) {
            log->next = &ngx_http_pprof_trace_end_log;
        }
    }
}


static void
ngx_http_pprof_trace_writer(ngx_log_t *log, ngx_uint_t level, u_char *buf,
    size_t len)
{
    char                *action;
    u_char               text[NGX_HTTP_PPROF_TRACE_LINE], *p;
    ngx_str_t           *name;
    ngx_http_request_t  *r;

    if (!ngx_http_pprof_tracing || level == 0 || level > NGX_LOG_WARN
        || !pthread_equal(pthread_self(), ngx_http_pprof_trace_thread))
    {
        return;
    }

    name = &ngx_http_pprof_trace_levels[level];

    /* the names of actions are nginx's own */

    r = ngx_http_pprof_hot.request;
    action = r ? r->connection->log->action : NULL;

    if (action) {
        p = ngx_snprintf(text, sizeof(text), "%V while %s", name, action);

    } else {
        p = ngx_snprintf(text, sizeof(text), "%V", name);
    }

    prt_trace_log(0, (char *) name->data, name->len, (char *) text, p - text);
}
