
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The runtime's life in nginx's processes: the master owns the shared region,
 * every worker runs the runtime.  Nothing is made while no location of an
 * http{} block is served by the profiler, nor gops is: a server that only has
 * the module loaded runs as without it.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <ngx_pprof_module.h>
#include <ngx_http_pprof_module.h>


#define NGX_PPROF_DEBUGINFOD  "DEBUGINFOD_URLS"


static ngx_int_t ngx_pprof_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_pprof_init_process(ngx_cycle_t *cycle);
static void ngx_pprof_exit_process(ngx_cycle_t *cycle);
static void ngx_pprof_exit_master(ngx_cycle_t *cycle);


/*
 * These outlive a cycle: a reload finds the region of the workers that go on,
 * because the module is linked -z nodelete.
 */
static prt_region_t  *ngx_pprof_region;
static ngx_uint_t     ngx_pprof_started;
static char           ngx_pprof_error[PRT_ERROR_LEN];
static char          *ngx_pprof_debuginfod;


static ngx_core_module_t  ngx_pprof_module_ctx = {
    ngx_string("pprof"),
    NULL,                                  /* create configuration */
    NULL                                   /* init configuration */
};


ngx_module_t  ngx_pprof_module = {
    NGX_MODULE_V1,
    &ngx_pprof_module_ctx,                 /* module context */
    NULL,                                  /* module directives */
    NGX_CORE_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_pprof_init_module,                 /* init module */
    ngx_pprof_init_process,                /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_pprof_exit_process,                /* exit process */
    ngx_pprof_exit_master,                 /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_pprof_init_module(ngx_cycle_t *cycle)
{
    char             *urls;
    ngx_uint_t        workers;
    ngx_core_conf_t  *ccf;

    if (ngx_test_config || ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_OK;
    }

    if (!ngx_http_pprof_wanted(cycle)) {
        return NGX_OK;
    }

    ngx_http_pprof_file_make(cycle);
    ngx_http_pprof_gops_init(cycle);

    /* workers lose the environment before they start the runtime */

    urls = getenv(NGX_PPROF_DEBUGINFOD);

    if (ngx_pprof_debuginfod == NULL && urls) {
        ngx_pprof_debuginfod = strdup(urls);
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    workers = ccf->master ? (ngx_uint_t) ccf->worker_processes : 1;

    /*
     * A single process that reloads goes on with the connections and the
     * runtime that it has: with a new generation it would take itself for one
     * of an old one, whose successors write the recorder's file at the end.
     */

    if (ngx_pprof_started) {
        return NGX_OK;
    }

    if (ngx_pprof_region) {
        prt_region_renew(ngx_pprof_region, workers);
        return NGX_OK;
    }

    /*
     * The very first call comes before nginx becomes a daemon: the region
     * survives that fork as it does those of the workers.
     */

    ngx_pprof_region = prt_region_create(workers, ngx_pprof_error);

    if (ngx_pprof_region == NULL) {
        ngx_log_error(NGX_LOG_ERR, cycle->log, 0,
                      "pprof: %s; going on without the profiler",
                      ngx_pprof_error);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_pprof_init_process(ngx_cycle_t *cycle)
{
    prt_options_t  options;

    /* cache manager and loader come here as well */

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    if (ngx_pprof_region == NULL || !ngx_http_pprof_wanted(cycle)) {
        return NGX_OK;
    }

    if (ngx_pprof_debuginfod) {
        (void) setenv(NGX_PPROF_DEBUGINFOD, ngx_pprof_debuginfod, 0);
    }

    ngx_memzero(&options, sizeof(prt_options_t));

    options.worker = (int) ngx_worker;

    ngx_http_pprof_options(cycle, &options);

    if (prt_start(ngx_pprof_region, &options, ngx_pprof_error) != 0) {
        ngx_log_error(NGX_LOG_ERR, cycle->log, 0,
                      "pprof: %s; this worker goes on without the profiler",
                      ngx_pprof_error);
        return NGX_OK;
    }

    ngx_pprof_started = 1;

    return NGX_OK;
}


static void
ngx_pprof_exit_process(ngx_cycle_t *cycle)
{
    /*
     * A timer that were still armed when nginx unloads its modules would kill
     * the worker.
     */

    if (ngx_pprof_started) {
        ngx_pprof_started = 0;
        prt_stop();
    }
}


static void
ngx_pprof_exit_master(ngx_cycle_t *cycle)
{
    /* a single process is master and worker */

    ngx_pprof_exit_process(cycle);
}


ngx_uint_t
ngx_pprof_running(const char **reason)
{
    if (reason) {
        *reason = ngx_pprof_error[0] ? ngx_pprof_error
                                     : "it was not started in this process";
    }

    return ngx_pprof_started;
}
