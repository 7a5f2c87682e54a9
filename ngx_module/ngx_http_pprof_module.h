
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#ifndef _NGX_HTTP_PPROF_MODULE_H_INCLUDED_
#define _NGX_HTTP_PPROF_MODULE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <pprofrt.h>


/* not behind a table of symbols */

#pragma GCC visibility push(hidden)


#define NGX_HTTP_PPROF_OFF             0
#define NGX_HTTP_PPROF_ON              1
#define NGX_HTTP_PPROF_AUTO            2

#define NGX_HTTP_PPROF_DIGEST_LEN      32    /* SHA-256 */


typedef struct {
    ngx_flag_t                  production;
    size_t                      memory;
    ngx_uint_t                  cpu_rate;
    ngx_uint_t                  heap_rate;
    ngx_flag_t                  heap_mmap;
    ngx_msec_t                  stall_threshold;
    ngx_uint_t                  block_rate;       /* ns */
    ngx_str_t                   debug_path;   /* with its NUL */
    ngx_msec_t                  max_duration;
    ngx_uint_t                  trace_sample;
    ngx_array_t                *logs;        /* of ngx_log_t *: what locations log to */

    size_t                      trace_buffer;
    ngx_flag_t                  trace_on_crash;
    ngx_msec_t                  trace_on_stall;
    u_char                     *stall_file;  /* where that stands */
    ngx_uint_t                  stall_line;
    ngx_path_t                 *dir;         /* NULL: none given, but this: */
    ngx_str_t                   default_dir; /* with its NUL */
    ngx_str_t                   trace_file;  /* as written */
    ngx_str_t                   trace_path;  /* with its NUL */
    ngx_uint_t                  gops;        /* NGX_HTTP_PPROF_* */
    ngx_str_t                   gops_dir;    /* with its NUL */

    ngx_uint_t                  placed;      /* locations with "on" or "auto" */
    ngx_uint_t                  served;      /* number of locations that are */
    ngx_uint_t                  hidden;      /* and of those that are not */
} ngx_http_pprof_main_conf_t;


typedef struct ngx_http_pprof_set_s  ngx_http_pprof_set_t;


typedef struct {
    ngx_uint_t                  mode;
    ngx_uint_t                  served;

    ngx_http_pprof_set_t       *sets;        /* of labels */

    ngx_str_t                   name;        /* of the location, as written */

    ngx_array_t                *digests;     /* of u_char[DIGEST_LEN] */
    unsigned                    tokens:1;    /* pprof_bearer seen here */
    unsigned                    file:1;      /* pprof_bearer_file seen here */

    ngx_uint_t                  guards_seen; /* at this level, by bits */
    ngx_uint_t                  guards;      /* of these, those that protect */

    u_char                     *conf_file;   /* where "pprof" stands */
    ngx_uint_t                  conf_line;
} ngx_http_pprof_loc_conf_t;


typedef ngx_int_t (*ngx_http_pprof_done_pt)(ngx_http_request_t *r,
    prt_job_t *job);


/* What the module knows of a request; made when first needed. */

typedef struct {
    ngx_http_request_t         *request;
    const prt_profile_info_t   *profile;
    void                       *symbols;     /* addresses of "symbol" */

    prt_job_t                  *job;         /* open */
    prt_job_t                  *finished;    /* its answer is being sent */
    ngx_http_pprof_done_pt      done;
    ngx_event_t                 tick;
    ngx_msec_t                  deadline;

    ngx_buf_t                  *rest;        /* of the answer, to be sent */
    ngx_buf_t                  *piece;       /* of it, that is being sent */

    ngx_str_t                   text;        /* in place of nginx's page */
    unsigned                    answered:1;  /* the answer is our own */
    unsigned                    replaced:1;  /* text was sent */
    unsigned                    ending:1;    /* window was closed early */
    unsigned                    debug:1;     /* the answer is text */
    unsigned                    delta:1;     /* the answer is a difference */
} ngx_http_pprof_ctx_t;


/* module: asked by the core module */

ngx_uint_t ngx_http_pprof_wanted(ngx_cycle_t *cycle);
void ngx_http_pprof_options(ngx_cycle_t *cycle, prt_options_t *options);

ngx_http_pprof_ctx_t *ngx_http_pprof_get_ctx(ngx_http_request_t *r);


/* alarm: the runtime's, while the event loop is held */

void ngx_http_pprof_alarm(const char *text);


/* gops: the agent of each worker, and where the files with their ports go */

char *ngx_http_pprof_gops(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_pprof_gops_dir(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
ngx_uint_t ngx_http_pprof_gops_wanted(ngx_http_pprof_main_conf_t *pmcf);

/* In the master, with its rights. */
void ngx_http_pprof_gops_init(ngx_cycle_t *cycle);

void ngx_http_pprof_gops_options(ngx_cycle_t *cycle, prt_options_t *options);


/* pools of connections and requests; any thread */

typedef struct {
    ngx_uint_t                  n;
    size_t                      size;        /* bytes, of their blocks */
    size_t                      cycle;       /* those of the configuration's */
} ngx_http_pprof_pools_t;

void ngx_http_pprof_pools(ngx_http_pprof_pools_t *pools);


/* labels */

ngx_int_t ngx_http_pprof_labels_init(ngx_conf_t *cf);
ngx_int_t ngx_http_pprof_labels_start(ngx_cycle_t *cycle);

/* Labels of a request, its phase (may be NULL), and the handler it is in. */
uint32_t ngx_http_pprof_labels(ngx_http_request_t *r, ngx_uint_t *phase);
ngx_str_t *ngx_http_pprof_labels_phase(ngx_uint_t phase);
ngx_http_handler_pt ngx_http_pprof_labels_handler(ngx_http_request_t *r);

/* The request that an upstream's connection works for, NULL: not known. */
ngx_http_request_t *ngx_http_pprof_labels_upstream_request(
    ngx_connection_t *c);

/*
 * Where an event begins; and its second half, for the trace, which is called
 * instead and has found the request (NULL: none) itself.
 */
void ngx_http_pprof_labels_begin(ngx_event_t *ev, uint64_t now);
void ngx_http_pprof_labels_work(ngx_http_request_t *r, uint64_t now);
ngx_http_request_t *ngx_http_pprof_labels_request(ngx_event_t *ev);

/* Whether phases and the end of a request are told to the trace. */
void ngx_http_pprof_labels_trace(ngx_uint_t on);

/* The request's state tells how to know its upstream's events from now on. */
void ngx_http_pprof_labels_learn(ngx_http_request_t *r);


/*
 * What each request needs, together: it has left the caches since the last one.
 * And not behind a table of symbols.
 */

#define NGX_HTTP_PPROF_PHASES          (NGX_HTTP_LOG_PHASE + 1)

typedef struct {
    ngx_http_request_t         *request;     /* the event works on; NULL: none */
    ngx_uint_t                  left;        /* others that it worked on */
    void                       *upstreamed;  /* its upstream, as labels know it */
    uint64_t                    begun;       /* the event, in ticks */

    /*
     * Handlers that take their connection's data for a request, and of client
     * connections that have none; once met.
     */
    ngx_event_handler_pt        idle;
    ngx_event_handler_pt        client;

    ngx_http_pprof_set_t       *sets[3];     /* the last ones, by kind */

    /* of the engine's handlers: the phase of each, and each phase's checker */
    u_char                     *phases;
    ngx_http_phase_handler_pt   checkers[NGX_HTTP_PPROF_PHASES];

    ngx_uint_t                  nphases;
    ngx_event_handler_pt        upstream;
    ngx_log_handler_pt          log_error;
    ngx_event_handler_pt        lock;        /* of a cache */
    ngx_http_phase_handler_t   *engine;

    ngx_uint_t                  on;
    ngx_pool_t                 *pool;
} ngx_http_pprof_hot_t;


extern ngx_http_pprof_hot_t  ngx_http_pprof_hot;


/*
 * waits: the requests that an event works on, and what they wait for then.
 * Nearly every event's request is over with it: that has to cost next to
 * nothing.
 */

extern ngx_module_t  ngx_http_pprof_wait_module;

void ngx_http_pprof_wait_start(void);
void ngx_http_pprof_wait_over(uint64_t now);
void ngx_http_pprof_wait_switch(ngx_http_request_t *r);
void ngx_http_pprof_wait_ended(ngx_http_request_t *r);

void ngx_http_pprof_labels_output(ngx_http_request_t *r);

/* Whether an event has worked on it before, and left it. */
ngx_uint_t ngx_http_pprof_wait_known(ngx_http_request_t *r);

/* whether the trace is recorded, and what it is told then */

extern ngx_uint_t           ngx_http_pprof_tracing;

void ngx_http_pprof_trace_switch(ngx_http_request_t *r, ngx_uint_t new);
void ngx_http_pprof_trace_left(ngx_http_request_t *r);
void ngx_http_pprof_trace_wait(ngx_http_request_t *r, uint64_t now,
    ngx_uint_t state, uint32_t labels);
void ngx_http_pprof_trace_over(ngx_http_request_t *r, uint64_t now);
void ngx_http_pprof_trace_phase(ngx_http_request_t *r, uint32_t labels);
void ngx_http_pprof_trace_done(ngx_http_request_t *r, uint32_t labels);


static ngx_inline void
ngx_http_pprof_wait_end(uint64_t now)
{
    if (ngx_http_pprof_hot.request || ngx_http_pprof_hot.left) {
        ngx_http_pprof_wait_over(now);
    }
}


/*
 * The next event of the same turn is of the same request, mostly as what has
 * come makes two events of its connection: it has not waited.
 */

static ngx_inline ngx_uint_t
ngx_http_pprof_labels_goes_on(ngx_http_request_t *r)
{
    return r != NULL && ngx_http_pprof_hot.request == r
           && ngx_http_pprof_hot.left == 0;
}


static ngx_inline void
ngx_http_pprof_wait_see(ngx_http_request_t *r)
{
    if (ngx_http_pprof_hot.request != r) {
        ngx_http_pprof_wait_switch(r);
    }
}


static ngx_inline void
ngx_http_pprof_wait_log(ngx_http_request_t *r)
{
    if (ngx_http_pprof_hot.request == r
        && ngx_http_get_module_ctx(r, ngx_http_pprof_wait_module) == NULL
        && !r->internal && !r->filter_finalize)
    {
        ngx_http_pprof_hot.request = NULL;
        return;
    }

    ngx_http_pprof_wait_ended(r);
}


/*
 * A response goes on after reads by threads, or by what Lua waited for, too.
 * The labels are right already where the event came to the request before, and
 * no other upstream is there since.
 */

static ngx_inline ngx_uint_t
ngx_http_pprof_labels_seen(ngx_http_request_t *r)
{
    return ngx_http_pprof_hot.request == r
           && ngx_http_pprof_hot.upstreamed == r->upstream;
}


static ngx_inline void
ngx_http_pprof_labels_see(ngx_http_request_t *r)
{
    if (!ngx_http_pprof_labels_seen(r)) {
        ngx_http_pprof_labels_output(r);
    }
}


/* goroutines: requests and connections, listed when the runtime asks */

ngx_int_t ngx_http_pprof_goroutines_init(ngx_cycle_t *cycle);
void ngx_http_pprof_goroutines(void);


/* trace: switches it on or off, if the runtime has been asked to */

void ngx_http_pprof_trace(void);

/* lines of error.log in it */
ngx_int_t ngx_http_pprof_trace_log_add(ngx_conf_t *cf,
    ngx_http_pprof_main_conf_t *pmcf, ngx_log_t *log);
void ngx_http_pprof_trace_log_start(ngx_http_pprof_main_conf_t *pmcf);


/* guard: which protection of other modules a location has */

ngx_int_t ngx_http_pprof_guard_watch(ngx_conf_t *cf);


/* auth */

char *ngx_http_pprof_bearer(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_pprof_bearer_file(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_pprof_access_handler(ngx_http_request_t *r);


/* route */

ngx_int_t ngx_http_pprof_handler(ngx_http_request_t *r);

/* Where the profiler's part of the URI begins: at its "/debug/". */
u_char *ngx_http_pprof_root(ngx_http_request_t *r);


/* flight recorder; "error" is JSON, and as ngx_http_pprof_error() */

ngx_int_t ngx_http_pprof_recorder_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_pprof_recorder_run_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_pprof_recorder_stop_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_pprof_recorder_snapshot_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_pprof_recorder_file_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_pprof_recorder_error(ngx_http_request_t *r,
    ngx_uint_t status, const char *fmt, ...);


/* its file: where it lies, the directory, and sending it */

char *ngx_http_pprof_dir(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_pprof_trace_file(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_pprof_file_init(ngx_conf_t *cf,
    ngx_http_pprof_main_conf_t *pmcf);
void ngx_http_pprof_file_make(ngx_cycle_t *cycle);
ngx_int_t ngx_http_pprof_file_send(ngx_http_request_t *r,
    prt_file_kind_t kind);

/*
 * As prt_recorder_info(), and with files that an nginx before this one has left:
 * of those "events" and what was left out is not known, and 0.
 */
ngx_int_t ngx_http_pprof_file_info(prt_recorder_info_t *info);


/* profile, symbol, index */

/* A parameter, unescaped, which may be empty; NGX_DECLINED: none. */
ngx_int_t ngx_http_pprof_arg(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);

/* "events" of a trace, 0 where there is none; NGX_ERROR: a bad one. */
ngx_int_t ngx_http_pprof_events(ngx_http_request_t *r, uint64_t *events);

ngx_int_t ngx_http_pprof_profile_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_pprof_symbol_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_pprof_index_handler(ngx_http_request_t *r);


/* the index's page, and its parts in files of their own */

typedef struct {
    ngx_pool_t                 *pool;
    u_char                     *start;
    u_char                     *last;
    u_char                     *end;
    ngx_uint_t                  failed;      /* no memory */
} ngx_http_pprof_page_t;

void ngx_http_pprof_print(ngx_http_pprof_page_t *page, const char *fmt, ...);

/* Ready for HTML, to be printed as "%V"; empty if there is no memory. */
ngx_str_t *ngx_http_pprof_page_escape(ngx_http_pprof_page_t *page,
    ngx_str_t *text);
ngx_str_t *ngx_http_pprof_page_text(ngx_http_pprof_page_t *page,
    const char *text);

/* A cell of a table. */
void ngx_http_pprof_page_age(ngx_http_pprof_page_t *page, uint64_t ns);

void ngx_http_pprof_zones(ngx_http_pprof_page_t *page);
void ngx_http_pprof_index_workers(ngx_http_pprof_page_t *page,
    prt_job_t *job);
void ngx_http_pprof_index_recorder(ngx_http_pprof_page_t *page);
void ngx_http_pprof_index_deaths(ngx_http_pprof_page_t *page);

/* Any thread; NGX_DECLINED if the zone is not laid out as nginx does it. */
ngx_int_t ngx_http_pprof_zone_usage(ngx_shm_zone_t *zone, ngx_uint_t *pages,
    ngx_uint_t *used, ngx_uint_t *fails);


/* answer */

typedef struct {
    ngx_str_t                   type;
    ngx_str_t                   charset;
} ngx_http_pprof_type_t;

extern ngx_http_pprof_type_t  ngx_http_pprof_text;
extern ngx_http_pprof_type_t  ngx_http_pprof_html;
extern ngx_http_pprof_type_t  ngx_http_pprof_binary;
extern ngx_http_pprof_type_t  ngx_http_pprof_json;

/*
 * A format of ngx_sprintf(), without newline.  The result is what a content
 * handler returns.
 */
ngx_int_t ngx_http_pprof_error(ngx_http_request_t *r, ngx_uint_t status,
    const char *fmt, ...);

/* Data lives as long as the request; to HEAD only the headers are sent. */
ngx_int_t ngx_http_pprof_answer(ngx_http_request_t *r,
    ngx_http_pprof_type_t *type, const u_char *data, size_t size);
ngx_int_t ngx_http_pprof_answer_status(ngx_http_request_t *r,
    ngx_uint_t status, ngx_http_pprof_type_t *type, const u_char *data,
    size_t size);

/* The body, all of it in one buffer; it and what it refers to stay as they are. */
ngx_int_t ngx_http_pprof_send(ngx_http_request_t *r, ngx_buf_t *b);

/* The headers, for who sends the body himself; size -1: not known. */
ngx_int_t ngx_http_pprof_send_header(ngx_http_request_t *r,
    ngx_uint_t status, ngx_http_pprof_type_t *type, off_t size);

/* The headers alone, where the length of the answer is not known. */
ngx_int_t ngx_http_pprof_answer_head(ngx_http_request_t *r,
    ngx_http_pprof_type_t *type);

/* The answer of a job that failed. */
ngx_int_t ngx_http_pprof_answer_failed(ngx_http_request_t *r,
    const prt_answer_t *answer);

/* Both strings live as long as the request. */
ngx_int_t ngx_http_pprof_add_header(ngx_http_request_t *r, const char *key,
    const char *value);

/* What belongs to an answer of a location that is served, for the filters. */
ngx_int_t ngx_http_pprof_answer_header(ngx_http_request_t *r);
ngx_int_t ngx_http_pprof_answer_body(ngx_http_request_t *r, ngx_chain_t **in);


/* filter */

void ngx_http_pprof_filter_init(void);


/* job */

/* NGX_DECLINED when jobs can be opened, else the error was sent. */
ngx_int_t ngx_http_pprof_ready(ngx_http_request_t *r);

/*
 * The job's data is the request's context.  Returns what a content handler
 * returns: NGX_DONE, and "done" is called later with the finished job; its
 * result finalizes the request.
 */
ngx_int_t ngx_http_pprof_wait(ngx_http_request_t *r, prt_job_t *job,
    uint64_t window, ngx_http_pprof_done_pt done);

ngx_int_t ngx_http_pprof_job_init(ngx_cycle_t *cycle);


extern ngx_module_t  ngx_http_pprof_module;


/*
 * The connections that this process has; the number is 0 until they are there.
 * Those of ngx_cycle are others, and none, when a single process has reloaded.
 */
extern ngx_connection_t     *ngx_http_pprof_connections;
extern volatile ngx_uint_t   ngx_http_pprof_connection_n;


#pragma GCC visibility pop


#endif /* _NGX_HTTP_PPROF_MODULE_H_INCLUDED_ */
