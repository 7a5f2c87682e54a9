
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Directives, and what follows from them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <ngx_pprof_module.h>
#include <ngx_http_pprof_module.h>


#define NGX_HTTP_PPROF_NUMBER       0
#define NGX_HTTP_PPROF_SIZE         1
#define NGX_HTTP_PPROF_TIME         2
#define NGX_HTTP_PPROF_NSEC         3

#define NGX_HTTP_PPROF_MAX_DURATION_MIN      1000          /* ms */
#define NGX_HTTP_PPROF_MAX_DURATION_DEFAULT  1800000
#define NGX_HTTP_PPROF_MAX_DURATION_MAX      86400000


/* of connections, one in so many */
#define NGX_HTTP_PPROF_SAMPLE_MAX            1000000

#define NGX_HTTP_PPROF_STALL_OFF             NGX_MAX_INT_T_VALUE
#define NGX_HTTP_PPROF_TRACE_STALL_OFF       NGX_MAX_INT_T_VALUE

/* most likely written without its unit */
#define NGX_HTTP_PPROF_STALL_DOUBTFUL        10000         /* ms */


#define NGX_HTTP_PPROF_DEBUG_PATH  "/usr/lib/debug"


/* What a directive with a number may be set to. */

typedef struct {
    ngx_uint_t   unit;
    ngx_uint_t   min;
    ngx_uint_t   max;
    const char  *text;
    ngx_uint_t   off;             /* what "off" stands for; 0: not allowed */
    ngx_uint_t   doubtful;        /* from here on a mistake; 0: nothing is */
} ngx_http_pprof_range_t;


static void *ngx_http_pprof_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_pprof_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_pprof_create_loc_conf(ngx_conf_t *cf);
static ngx_int_t ngx_http_pprof_location_name(ngx_conf_t *cf,
    ngx_str_t *name);
static char *ngx_http_pprof_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_pprof(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_pprof_number(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_pprof_trace_stall(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ssize_t ngx_http_pprof_nsec(ngx_str_t *value);
static char *ngx_http_pprof_debug_path(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_http_pprof_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_pprof_init_process(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_pprof_hidden_handler(ngx_http_request_t *r);
static void ngx_http_pprof_gauges(prt_gauges_t *gauges);


static ngx_http_pprof_range_t  ngx_http_pprof_memory_range = {
    NGX_HTTP_PPROF_SIZE, PRT_MEMORY_MIN, PRT_MEMORY_MAX, "1m to 1g", 0, 0
};


static ngx_http_pprof_range_t  ngx_http_pprof_cpu_rate_range = {
    NGX_HTTP_PPROF_NUMBER, PRT_CPU_RATE_MIN, PRT_CPU_RATE_MAX, "1 to 1000",
    0, 0
};


static ngx_http_pprof_range_t  ngx_http_pprof_heap_rate_range = {
    NGX_HTTP_PPROF_SIZE, PRT_HEAP_RATE_MIN, PRT_HEAP_RATE_MAX,
    "1 to 1g, or \"off\"", PRT_HEAP_OFF, 0
};


static ngx_http_pprof_range_t  ngx_http_pprof_stall_threshold_range = {
    NGX_HTTP_PPROF_TIME, PRT_STALL_MIN / 1000000, PRT_STALL_MAX / 1000000,
    "1ms to 1h, or \"off\"", NGX_HTTP_PPROF_STALL_OFF,
    NGX_HTTP_PPROF_STALL_DOUBTFUL
};


static ngx_http_pprof_range_t  ngx_http_pprof_block_rate_range = {
    NGX_HTTP_PPROF_NSEC, PRT_BLOCK_RATE_MIN, PRT_BLOCK_RATE_MAX,
    "1ns to 1s, with a unit (ns, us, ms, s), or \"off\"", PRT_BLOCK_OFF, 0
};


static ngx_http_pprof_range_t  ngx_http_pprof_trace_buffer_range = {
    NGX_HTTP_PPROF_SIZE, PRT_TRACE_MIN, PRT_TRACE_MAX, "1m to 1g", 0, 0
};


static ngx_http_pprof_range_t  ngx_http_pprof_trace_stall_range = {
    NGX_HTTP_PPROF_TIME, PRT_STALL_MIN / 1000000, PRT_STALL_MAX / 1000000,
    "1ms to 1h, or \"off\"", NGX_HTTP_PPROF_TRACE_STALL_OFF,
    NGX_HTTP_PPROF_STALL_DOUBTFUL
};


static ngx_http_pprof_range_t  ngx_http_pprof_trace_sample_range = {
    NGX_HTTP_PPROF_NUMBER, 1, NGX_HTTP_PPROF_SAMPLE_MAX, "1 to 1000000",
    0, 0
};


static ngx_http_pprof_range_t  ngx_http_pprof_max_duration_range = {
    NGX_HTTP_PPROF_TIME, NGX_HTTP_PPROF_MAX_DURATION_MIN,
    NGX_HTTP_PPROF_MAX_DURATION_MAX, "1s to 24h", 0, 0
};


static ngx_command_t  ngx_http_pprof_commands[] = {

    { ngx_string("pprof"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_pprof,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pprof_production"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pprof_main_conf_t, production),
      NULL },

    { ngx_string("pprof_bearer"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_pprof_bearer,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pprof_bearer_file"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_pprof_bearer_file,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pprof_memory"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_pprof_number,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pprof_main_conf_t, memory),
      &ngx_http_pprof_memory_range },

    { ngx_string("pprof_cpu_rate"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_pprof_number,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pprof_main_conf_t, cpu_rate),
      &ngx_http_pprof_cpu_rate_range },

    { ngx_string("pprof_heap_rate"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_pprof_number,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pprof_main_conf_t, heap_rate),
      &ngx_http_pprof_heap_rate_range },

    { ngx_string("pprof_heap_mmap"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pprof_main_conf_t, heap_mmap),
      NULL },

    { ngx_string("pprof_stall_threshold"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_pprof_number,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pprof_main_conf_t, stall_threshold),
      &ngx_http_pprof_stall_threshold_range },

    { ngx_string("pprof_block_rate"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_pprof_number,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pprof_main_conf_t, block_rate),
      &ngx_http_pprof_block_rate_range },

    { ngx_string("pprof_trace_sample"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_pprof_number,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pprof_main_conf_t, trace_sample),
      &ngx_http_pprof_trace_sample_range },

    { ngx_string("pprof_debug_path"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_pprof_debug_path,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pprof_max_duration"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_pprof_number,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pprof_main_conf_t, max_duration),
      &ngx_http_pprof_max_duration_range },

    { ngx_string("pprof_trace_buffer"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_pprof_number,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pprof_main_conf_t, trace_buffer),
      &ngx_http_pprof_trace_buffer_range },

    { ngx_string("pprof_trace_on_crash"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pprof_main_conf_t, trace_on_crash),
      NULL },

    { ngx_string("pprof_trace_on_stall"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_pprof_trace_stall,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pprof_main_conf_t, trace_on_stall),
      &ngx_http_pprof_trace_stall_range },

    { ngx_string("pprof_dir"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_pprof_dir,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_pprof_main_conf_t, dir),
      NULL },

    { ngx_string("pprof_trace_file"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_pprof_trace_file,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pprof_gops"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_pprof_gops,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("pprof_gops_dir"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_pprof_gops_dir,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_pprof_module_ctx = {
    ngx_http_pprof_guard_watch,            /* preconfiguration */
    ngx_http_pprof_init,                   /* postconfiguration */

    ngx_http_pprof_create_main_conf,       /* create main configuration */
    ngx_http_pprof_init_main_conf,         /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_pprof_create_loc_conf,        /* create location configuration */
    ngx_http_pprof_merge_loc_conf          /* merge location configuration */
};


ngx_module_t  ngx_http_pprof_module = {
    NGX_MODULE_V1,
    &ngx_http_pprof_module_ctx,            /* module context */
    ngx_http_pprof_commands,               /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_pprof_init_process,           /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_connection_t     *ngx_http_pprof_connections;
volatile ngx_uint_t   ngx_http_pprof_connection_n;


static void *
ngx_http_pprof_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_pprof_main_conf_t  *pmcf;

    pmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_pprof_main_conf_t));
    if (pmcf == NULL) {
        return NULL;
    }

    pmcf->production = NGX_CONF_UNSET;
    pmcf->memory = NGX_CONF_UNSET_SIZE;
    pmcf->cpu_rate = NGX_CONF_UNSET_UINT;
    pmcf->heap_rate = NGX_CONF_UNSET_UINT;
    pmcf->heap_mmap = NGX_CONF_UNSET;
    pmcf->stall_threshold = NGX_CONF_UNSET_MSEC;
    pmcf->block_rate = NGX_CONF_UNSET_UINT;
    pmcf->max_duration = NGX_CONF_UNSET_MSEC;
    pmcf->trace_buffer = NGX_CONF_UNSET_SIZE;
    pmcf->trace_on_crash = NGX_CONF_UNSET;
    pmcf->trace_on_stall = NGX_CONF_UNSET_MSEC;
    pmcf->trace_sample = NGX_CONF_UNSET_UINT;
    pmcf->gops = NGX_CONF_UNSET_UINT;

    return pmcf;
}


static char *
ngx_http_pprof_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_pprof_main_conf_t  *pmcf = conf;

    ngx_conf_init_value(pmcf->production, 1);
    ngx_conf_init_size_value(pmcf->memory, PRT_MEMORY_DEFAULT);
    ngx_conf_init_uint_value(pmcf->cpu_rate, PRT_CPU_RATE_DEFAULT);
    ngx_conf_init_uint_value(pmcf->heap_rate, PRT_HEAP_RATE_DEFAULT);
    ngx_conf_init_value(pmcf->heap_mmap, 0);
    ngx_conf_init_msec_value(pmcf->stall_threshold,
                             PRT_STALL_DEFAULT / 1000000);
    ngx_conf_init_uint_value(pmcf->block_rate, PRT_BLOCK_RATE_DEFAULT);
    ngx_conf_init_uint_value(pmcf->trace_sample, 1);
    ngx_conf_init_msec_value(pmcf->max_duration,
                             NGX_HTTP_PPROF_MAX_DURATION_DEFAULT);
    ngx_conf_init_size_value(pmcf->trace_buffer, PRT_TRACE_DEFAULT);
    ngx_conf_init_value(pmcf->trace_on_crash, 1);
    ngx_conf_init_msec_value(pmcf->trace_on_stall,
                             NGX_HTTP_PPROF_TRACE_STALL_OFF);
    ngx_conf_init_uint_value(pmcf->gops, NGX_HTTP_PPROF_AUTO);

    if (pmcf->trace_on_stall < pmcf->stall_threshold
        || (pmcf->stall_threshold == NGX_HTTP_PPROF_STALL_OFF
            && pmcf->trace_on_stall != NGX_HTTP_PPROF_TRACE_STALL_OFF))
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"pprof_trace_on_stall\" must not be less than "
                      "\"pprof_stall_threshold\": what is shorter is no stall "
                      "in %s:%ui",
                      pmcf->stall_file, pmcf->stall_line);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_pprof_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_pprof_loc_conf_t  *plcf;

    plcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_pprof_loc_conf_t));
    if (plcf == NULL) {
        return NULL;
    }

    plcf->mode = NGX_CONF_UNSET_UINT;

    if (ngx_http_pprof_location_name(cf, &plcf->name) != NGX_OK) {
        return NULL;
    }

    return plcf;
}


/* At this moment the directive at hand is the one that opens the block. */

static ngx_int_t
ngx_http_pprof_location_name(ngx_conf_t *cf, ngx_str_t *name)
{
    u_char      *p;
    size_t       len;
    ngx_str_t   *value;
    ngx_uint_t   i;

    if (cf->args == NULL || cf->args->nelts < 2) {
        return NGX_OK;
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[0].data, "location") != 0) {
        return NGX_OK;
    }

    len = cf->args->nelts - 2;

    for (i = 1; i < cf->args->nelts; i++) {
        len += value[i].len;
    }

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    name->data = p;
    name->len = len;

    for (i = 1; i < cf->args->nelts; i++) {

        if (i > 1) {
            *p++ = ' ';
        }

        p = ngx_cpymem(p, value[i].data, value[i].len);
    }

    return NGX_OK;
}


static char *
ngx_http_pprof_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_pprof_loc_conf_t *prev = parent;
    ngx_http_pprof_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_pprof_main_conf_t  *pmcf;

    if (conf->digests == NULL) {
        conf->digests = prev->digests;
    }

    /* "if" and "limit_except" have none */

    if (conf->name.len == 0) {
        conf->name = prev->name;
    }

    conf->guards |= prev->guards & ~conf->guards_seen;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_pprof_module);

    if (ngx_http_pprof_trace_log_add(cf, pmcf, clcf->error_log) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (clcf->noname && conf->mode == NGX_CONF_UNSET_UINT) {

        /* "if" and "limit_except" blocks are part of their location */

        conf->mode = prev->mode;
    }

    if (conf->mode == NGX_CONF_UNSET_UINT) {
        return NGX_CONF_OK;
    }

    if (clcf->handler) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"pprof\" in %s:%ui and another directive both want "
                      "to answer the requests of location \"%V\"",
                      conf->conf_file ? conf->conf_file : (u_char *) "?",
                      conf->conf_line, &clcf->name);
        return NGX_CONF_ERROR;
    }

    clcf->handler = ngx_http_pprof_handler;

    pmcf->placed += conf->mode != NGX_HTTP_PPROF_OFF;

    conf->served = conf->mode == NGX_HTTP_PPROF_ON
                   || (conf->mode == NGX_HTTP_PPROF_AUTO && !pmcf->production);

    if (!conf->served) {
        pmcf->hidden++;
        return NGX_CONF_OK;
    }

    /*
     * The core module has merged all its locations before: these are of this
     * location alone.  Go's tools show errors as we word them only, and the
     * body of "symbol" is not kept, so its size is no danger.
     */

    clcf->error_pages = NULL;
    clcf->client_max_body_size = 0;
    clcf->client_body_in_file_only = 0;

    pmcf->served++;

    if (conf->mode == NGX_HTTP_PPROF_ON
        && pmcf->production
        && !clcf->noname
        && conf->digests == NULL
        && conf->guards == 0)
    {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"pprof on\" lets everybody profile this production "
                      "server: location \"%V\" has no \"pprof_bearer\", "
                      "\"auth_request\", \"auth_basic\" or \"deny\" in %s:%ui",
                      &clcf->name, conf->conf_file, conf->conf_line);
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_pprof(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_pprof_loc_conf_t *plcf = conf;

    ngx_str_t  *value;

    if (plcf->mode != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "on") == 0) {
        plcf->mode = NGX_HTTP_PPROF_ON;

    } else if (ngx_strcmp(value[1].data, "off") == 0) {
        plcf->mode = NGX_HTTP_PPROF_OFF;

    } else if (ngx_strcmp(value[1].data, "auto") == 0) {
        plcf->mode = NGX_HTTP_PPROF_AUTO;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"pprof\" directive, it "
                           "must be \"auto\", \"on\" or \"off\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    plcf->conf_file = cf->conf_file->file.name.data;
    plcf->conf_line = cf->conf_file->line;

    return NGX_CONF_OK;
}


/* The directories that are given, and then the usual one. */

static char *
ngx_http_pprof_debug_path(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_pprof_main_conf_t  *pmcf = conf;

    u_char      *p;
    size_t       size;
    ngx_str_t   *value;
    ngx_uint_t   i;

    if (pmcf->debug_path.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    size = sizeof(NGX_HTTP_PPROF_DEBUG_PATH);

    for (i = 1; i < cf->args->nelts; i++) {

        if (value[i].data[0] != '/'
            || ngx_strlchr(value[i].data, value[i].data + value[i].len, ':'))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid value \"%V\" in \"%V\" directive, it "
                               "must be an absolute path without colons",
                               &value[i], &cmd->name);
            return NGX_CONF_ERROR;
        }

        size += value[i].len + 1;
    }

    p = ngx_pnalloc(cf->pool, size);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    pmcf->debug_path.data = p;

    for (i = 1; i < cf->args->nelts; i++) {
        p = ngx_cpymem(p, value[i].data, value[i].len);
        *p++ = ':';
    }

    ngx_memcpy(p, NGX_HTTP_PPROF_DEBUG_PATH,
               sizeof(NGX_HTTP_PPROF_DEBUG_PATH));

    pmcf->debug_path.len = size - 1;

    return NGX_CONF_OK;
}


static char *
ngx_http_pprof_number(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *p = conf;

    ssize_t                  n;
    ngx_str_t               *value;
    ngx_uint_t              *field;
    ngx_http_pprof_range_t  *range;

    /* size_t, ngx_msec_t and ngx_uint_t are one type and have one "unset" */

    field = (ngx_uint_t *) (p + cmd->offset);
    range = cmd->post;

    if (*field != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (range->off && ngx_strcmp(value[1].data, "off") == 0) {
        *field = range->off;
        return NGX_CONF_OK;
    }

    switch (range->unit) {

    case NGX_HTTP_PPROF_SIZE:
        n = (ssize_t) ngx_parse_offset(&value[1]);
        break;

    case NGX_HTTP_PPROF_TIME:
        n = ngx_parse_time(&value[1], 0);
        break;

    case NGX_HTTP_PPROF_NSEC:
        n = ngx_http_pprof_nsec(&value[1]);
        break;

    default:
        n = ngx_atoi(value[1].data, value[1].len);
        break;
    }

    if (n == NGX_ERROR
        || (ngx_uint_t) n < range->min
        || (ngx_uint_t) n > range->max)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\" directive, it "
                           "must be in the range from %s",
                           &value[1], &cmd->name, range->text);
        return NGX_CONF_ERROR;
    }

    *field = (ngx_uint_t) n;

    if (range->doubtful && *field >= range->doubtful) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"%V\" in \"%V\" directive is %.1f s, in which a "
                           "worker serves nobody: a number without unit is "
                           "of seconds, \"ms\" are milliseconds",
                           &value[1], &cmd->name, (double) *field / 1000);
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_pprof_trace_stall(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_pprof_main_conf_t  *pmcf = conf;

    pmcf->stall_file = cf->conf_file->file.name.data;
    pmcf->stall_line = cf->conf_file->line;

    return ngx_http_pprof_number(cf, cmd, conf);
}


/* nginx's own times have no smaller unit than ms */

static ssize_t
ngx_http_pprof_nsec(ngx_str_t *value)
{
    size_t       len;
    ssize_t      n;
    ngx_uint_t   i;

    static const struct {
        ngx_str_t  name;
        ssize_t    ns;
    } units[] = {
        { ngx_string("ns"), 1 },
        { ngx_string("us"), 1000 },
        { ngx_string("ms"), 1000000 },
        { ngx_string("s"), 1000000000 }
    };

    for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {

        if (value->len <= units[i].name.len) {
            continue;
        }

        len = value->len - units[i].name.len;

        if (ngx_memcmp(value->data + len, units[i].name.data,
                       units[i].name.len)
            != 0)
        {
            continue;
        }

        n = ngx_atoi(value->data, len);

        if (n != NGX_ERROR) {
            return n > NGX_MAX_INT_T_VALUE / units[i].ns ? NGX_ERROR
                                                         : n * units[i].ns;
        }
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_pprof_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt         *h;
    ngx_http_core_main_conf_t   *cmcf;
    ngx_http_pprof_main_conf_t  *pmcf;

    pmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_pprof_module);

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    if (pmcf->hidden) {
        h = ngx_array_push(&cmcf->phases[NGX_HTTP_REWRITE_PHASE].handlers);
        if (h == NULL) {
            return NGX_ERROR;
        }

        *h = ngx_http_pprof_hidden_handler;
    }

    if (!pmcf->served && !ngx_http_pprof_gops_wanted(pmcf)) {
        return NGX_OK;
    }

    if (ngx_http_pprof_file_init(cf, pmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (pmcf->served) {
        h = ngx_array_push(&cmcf->phases[NGX_HTTP_ACCESS_PHASE].handlers);
        if (h == NULL) {
            return NGX_ERROR;
        }

        *h = ngx_http_pprof_access_handler;
    }

    ngx_http_pprof_filter_init();

    return ngx_http_pprof_labels_init(cf);
}


static ngx_int_t
ngx_http_pprof_init_process(ngx_cycle_t *cycle)
{
    if (!ngx_pprof_running(NULL)) {
        return NGX_OK;
    }

    ngx_http_pprof_connections = cycle->connections;
    ngx_memory_barrier();
    ngx_http_pprof_connection_n = cycle->connection_n;

    if (ngx_http_pprof_labels_start(cycle) != NGX_OK
        || ngx_http_pprof_goroutines_init(cycle) != NGX_OK)
    {
        ngx_log_error(NGX_LOG_ERR, cycle->log, 0,
                      "pprof: no memory for labels and requests; going on "
                      "without them");
    }

    return ngx_http_pprof_job_init(cycle);
}


/*
 * A location that is not served answers 404 before anybody asks for a
 * password, as it would if it did not exist.
 */

static ngx_int_t
ngx_http_pprof_hidden_handler(ngx_http_request_t *r)
{
    ngx_http_pprof_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_pprof_module);

    if (plcf->mode != NGX_CONF_UNSET_UINT && !plcf->served) {
        return NGX_HTTP_NOT_FOUND;
    }

    return NGX_DECLINED;
}


/*
 * On the service thread, not synchronised with the event loop: off by one at
 * worst.  The arrays live as long as the cycle, and nothing behind them is
 * followed but the read events, which do as well.  Counting requests where
 * they begin and end would cost each of them more than all the rest of the
 * module.
 */

static void
ngx_http_pprof_gauges(prt_gauges_t *gauges)
{
    ngx_uint_t         i, n;
    ngx_event_t       *rev;
    ngx_connection_t  *c;

    /* the runtime starts before the event module has made them */

    n = ngx_http_pprof_connection_n;
    ngx_memory_barrier();

    for (i = 0; i < n; i++) {
        c = &ngx_http_pprof_connections[i];

        /* one that is being taken into use has none for a moment */

        rev = *(ngx_event_t *volatile *) &c->read;

        if (c->fd == (ngx_socket_t) -1 || rev == NULL || rev->accept
            || rev->channel)
        {
            continue;
        }

        gauges->connections++;

        /* a client's connection that does not wait for its next request */

        if (c->listening && !c->reusable) {
            gauges->requests++;
        }
    }
}


ngx_uint_t
ngx_http_pprof_wanted(ngx_cycle_t *cycle)
{
    ngx_http_pprof_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_pprof_module);

    return pmcf && (pmcf->served || ngx_http_pprof_gops_wanted(pmcf));
}


void
ngx_http_pprof_options(ngx_cycle_t *cycle, prt_options_t *options)
{
    ngx_http_pprof_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_pprof_module);

    options->memory = pmcf->memory;
    options->cpu_rate = pmcf->cpu_rate;
    options->heap_rate = pmcf->heap_rate;
    options->heap_mmap = (int) pmcf->heap_mmap;
    options->stall_threshold =
        pmcf->stall_threshold == NGX_HTTP_PPROF_STALL_OFF
        ? PRT_STALL_OFF : (uint64_t) pmcf->stall_threshold * 1000000;
    options->nonblocking = 1;
    options->own = (const void *) ngx_http_pprof_options;
    options->alarm = ngx_http_pprof_alarm;
    options->block_rate = pmcf->block_rate;
    options->debug_path = (char *) pmcf->debug_path.data;
    options->gauges = ngx_http_pprof_gauges;
    options->goroutines = 1;
    options->trace_buffer = pmcf->trace_buffer;
    options->trace_path = (char *) pmcf->trace_path.data;
    options->trace_on_crash = (int) pmcf->trace_on_crash;
    options->trace_on_stall =
        pmcf->trace_on_stall == NGX_HTTP_PPROF_TRACE_STALL_OFF
        ? 0 : (uint64_t) pmcf->trace_on_stall * 1000000;

#if (NGX_THREADS)
    options->pools = (const void *) ngx_thread_task_post;
#endif

    ngx_http_pprof_gops_options(cycle, options);
}


ngx_http_pprof_ctx_t *
ngx_http_pprof_get_ctx(ngx_http_request_t *r)
{
    ngx_http_pprof_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_pprof_module);

    if (ctx == NULL) {
        ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_pprof_ctx_t));
        if (ctx == NULL) {
            return NULL;
        }

        ctx->request = r;

        ngx_http_set_ctx(r, ctx, ngx_http_pprof_module);
    }

    return ctx;
}
