
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * An example of C code that nginx hosts, and the ground truth of the tests:
 * it does a known amount of work in functions of known names and answers with
 * what it measured itself.  It knows nothing of the profiler, but for "lease" and
 * "trace".
 *
 *     location /burn { hosted burn ms=100; }
 *
 * The directive is "hosted WORK [key=value ...]"; the request's arguments
 * override the directive's ("/burn?ms=200").  The works and their keys:
 *
 *     burn     CPU on the event loop, hosted_heavy() to hosted_light() 3:1,
 *              of ms (thread CPU time), by turns of round=N ms, or 2.6;
 *              slice=N gives the loop back every N ms, so that it serves
 *              others meanwhile
 *     deep     ms of CPU at the bottom of depth calls of hosted_deep_a() and
 *              hosted_deep_b() by turns
 *     pool     burn in tasks=N thread pool tasks, each of ms; pool=NAME (of
 *              the directive only) is a pool of "thread_pool"
 *     thread   burn in a new thread that the event loop joins; with detach=1
 *              it is detached and the loop goes on meanwhile
 *     block    the event loop blocks for ms: how=sleep|cond; how=fifo|socket:
 *              reads from a pipe or a socket; how=name: looks a name up for a
 *              second; how=lock: a pool thread holds a mutex for ms, and another
 *              one waits for it; how=task: a pool thread waits on a condition
 *     shm      how=hold: the event loop sleeps for ms with the mutex of a
 *              shared memory zone; how=lock: waits for it in another worker
 *     files    the event loop opens, stats and reads a file for ms
 *     alloc    count blocks of size bytes: how=free frees them at once,
 *              how=keep keeps them, how=drop frees what was kept; how=realloc
 *              (chains that end at size, a power of 2), how=memalign,
 *              how=strdup, how=thread (in another thread) and how=later (in
 *              library=PATH, of the directive only) keep them as well
 *     lease    what a profiler may be told: count leases are put into the
 *              profile "leases" (how=keep), or taken out again (how=drop)
 *     trace    what a trace may be told: a task with a region of ms, spinning,
 *              and a message in its midst
 *     child    a child process: how=fork goes on in the same program and
 *              allocates, how=system is a shell
 *     hang     the event loop does not come back for ms (wall time):
 *              how=spin in a loop, how=sleep in a raw system call
 *     crash    abort()
 *     text     kb kilobytes of text that compresses well
 *     oracle   from the first such request on, each CPU sample of this worker
 *              is compared with libunwind; answers how many were identical
 *
 * The answer of all but crash, text and oracle is one JSON object: heavy_ns, light_ns
 * and deep_ns of CPU, delay_ns blocked or hung, count and bytes allocated now,
 * kept and kept_bytes in all, worker, pid, and tids of the threads that worked.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "hosted_work.h"


#define NGX_HTTP_HOSTED_TASKS     16
#define NGX_HTTP_HOSTED_POLL      1         /* ms */
#define NGX_HTTP_HOSTED_PATIENCE  60000     /* ms */
#define NGX_HTTP_HOSTED_TEXT_BUF  65536
#define NGX_HTTP_HOSTED_MS        1000000   /* ns */


typedef enum {
    NGX_HTTP_HOSTED_SLEEP = 0,
    NGX_HTTP_HOSTED_COND,
    NGX_HTTP_HOSTED_LOCK,
    NGX_HTTP_HOSTED_FIFO,
    NGX_HTTP_HOSTED_SOCKET,
    NGX_HTTP_HOSTED_NAME,
    NGX_HTTP_HOSTED_TASK,
    NGX_HTTP_HOSTED_HOLD,
    NGX_HTTP_HOSTED_SPIN,
    NGX_HTTP_HOSTED_FREE,
    NGX_HTTP_HOSTED_KEEP,
    NGX_HTTP_HOSTED_REALLOC,
    NGX_HTTP_HOSTED_MEMALIGN,
    NGX_HTTP_HOSTED_STRDUP,
    NGX_HTTP_HOSTED_THREAD,
    NGX_HTTP_HOSTED_LATER,
    NGX_HTTP_HOSTED_DROP,
    NGX_HTTP_HOSTED_FORK,
    NGX_HTTP_HOSTED_SYSTEM
} ngx_http_hosted_how_e;


typedef struct {
    ngx_uint_t                     ms;
    ngx_uint_t                     slice;
    ngx_uint_t                     round;
    ngx_uint_t                     depth;
    ngx_uint_t                     tasks;
    ngx_uint_t                     detach;
    ngx_uint_t                     size;
    ngx_uint_t                     count;
    ngx_uint_t                     kb;
    ngx_uint_t                     how;
} ngx_http_hosted_args_t;


typedef struct {
    ngx_str_t                      name;
    ngx_uint_t                     max;
    size_t                         offset;
} ngx_http_hosted_arg_t;


typedef struct ngx_http_hosted_ctx_s  ngx_http_hosted_ctx_t;

typedef struct {
    ngx_str_t                      name;
    ngx_int_t                    (*handler)(ngx_http_request_t *r,
                                            ngx_http_hosted_ctx_t *ctx);
    ngx_uint_t                     how;       /* the default one */
    ngx_uint_t                     threads;   /* needs a pool */
    ngx_uint_t                     zone;      /* needs a shared memory zone */
} ngx_http_hosted_work_t;


typedef struct {
    ngx_http_hosted_work_t        *work;
    ngx_http_hosted_args_t         args;
    ngx_thread_pool_t             *pool;
    char                          *library;
    ngx_shm_zone_t                *zone;
} ngx_http_hosted_loc_conf_t;


typedef struct {
    ngx_http_hosted_ctx_t         *ctx;
    hosted_burn_t                  burn;
    uint64_t                       delay;
    ngx_uint_t                     holder;    /* unsigned  holder:1; */
} ngx_http_hosted_task_t;


struct ngx_http_hosted_ctx_s {
    ngx_http_request_t            *request;
    ngx_http_hosted_loc_conf_t    *conf;
    ngx_http_hosted_args_t         args;

    hosted_burn_t                  burn;
    uint64_t                       deep;
    uint64_t                       delay;
    size_t                         count;
    size_t                         bytes;

    ngx_event_t                    event;
    ngx_connection_t               dummy;
    hosted_thread_t               *thread;

    ngx_http_hosted_task_t        *tasks;
    ngx_uint_t                     ntasks;
    ngx_uint_t                     pending;
    ngx_atomic_t                   held;
};


static ngx_int_t ngx_http_hosted_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_hosted_parse(ngx_http_hosted_args_t *args,
    ngx_str_t *name, ngx_str_t *value);
static ngx_int_t ngx_http_hosted_burn(ngx_http_request_t *r,
    ngx_http_hosted_ctx_t *ctx);
static void ngx_http_hosted_slice(ngx_event_t *ev);
static ngx_int_t ngx_http_hosted_deep(ngx_http_request_t *r,
    ngx_http_hosted_ctx_t *ctx);
static ngx_int_t ngx_http_hosted_thread(ngx_http_request_t *r,
    ngx_http_hosted_ctx_t *ctx);
static void ngx_http_hosted_poll(ngx_event_t *ev);
static ngx_int_t ngx_http_hosted_pool(ngx_http_request_t *r,
    ngx_http_hosted_ctx_t *ctx);
static void ngx_http_hosted_pool_burn(void *data, ngx_log_t *log);
static ngx_int_t ngx_http_hosted_block(ngx_http_request_t *r,
    ngx_http_hosted_ctx_t *ctx);
static void ngx_http_hosted_pool_lock(void *data, ngx_log_t *log);
static void ngx_http_hosted_pool_cond(void *data, ngx_log_t *log);
static ngx_int_t ngx_http_hosted_shm(ngx_http_request_t *r,
    ngx_http_hosted_ctx_t *ctx);
static ngx_int_t ngx_http_hosted_zone(ngx_shm_zone_t *zone, void *data);
static ngx_int_t ngx_http_hosted_files(ngx_http_request_t *r,
    ngx_http_hosted_ctx_t *ctx);
static ngx_int_t ngx_http_hosted_post(ngx_http_request_t *r,
    ngx_http_hosted_ctx_t *ctx, ngx_uint_t n,
    void (*handler)(void *data, ngx_log_t *log));
static void ngx_http_hosted_pool_event(ngx_event_t *ev);
static ngx_int_t ngx_http_hosted_alloc(ngx_http_request_t *r,
    ngx_http_hosted_ctx_t *ctx);
static ngx_int_t ngx_http_hosted_lease(ngx_http_request_t *r,
    ngx_http_hosted_ctx_t *ctx);
static ngx_int_t ngx_http_hosted_trace(ngx_http_request_t *r,
    ngx_http_hosted_ctx_t *ctx);
static ngx_int_t ngx_http_hosted_child(ngx_http_request_t *r,
    ngx_http_hosted_ctx_t *ctx);
static ngx_int_t ngx_http_hosted_hang(ngx_http_request_t *r,
    ngx_http_hosted_ctx_t *ctx);
static ngx_int_t ngx_http_hosted_crash(ngx_http_request_t *r,
    ngx_http_hosted_ctx_t *ctx);
static ngx_int_t ngx_http_hosted_text(ngx_http_request_t *r,
    ngx_http_hosted_ctx_t *ctx);
static ngx_int_t ngx_http_hosted_oracle(ngx_http_request_t *r,
    ngx_http_hosted_ctx_t *ctx);
static ngx_int_t ngx_http_hosted_wait(ngx_http_request_t *r,
    ngx_http_hosted_ctx_t *ctx, ngx_event_handler_pt handler);
static void ngx_http_hosted_finish(ngx_http_request_t *r);
static ngx_int_t ngx_http_hosted_answer(ngx_http_request_t *r,
    ngx_http_hosted_ctx_t *ctx);
static void ngx_http_hosted_cleanup(void *data);

static void *ngx_http_hosted_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_hosted(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


static ngx_http_hosted_arg_t  ngx_http_hosted_arg_names[] = {

    { ngx_string("ms"), 600000, offsetof(ngx_http_hosted_args_t, ms) },
    { ngx_string("slice"), 600000, offsetof(ngx_http_hosted_args_t, slice) },
    { ngx_string("round"), 600000, offsetof(ngx_http_hosted_args_t, round) },
    { ngx_string("depth"), 10000, offsetof(ngx_http_hosted_args_t, depth) },
    { ngx_string("tasks"), NGX_HTTP_HOSTED_TASKS,
      offsetof(ngx_http_hosted_args_t, tasks) },
    { ngx_string("detach"), 1, offsetof(ngx_http_hosted_args_t, detach) },
    { ngx_string("size"), 1 << 30, offsetof(ngx_http_hosted_args_t, size) },
    { ngx_string("count"), 10000000, offsetof(ngx_http_hosted_args_t, count) },
    { ngx_string("kb"), 1 << 20, offsetof(ngx_http_hosted_args_t, kb) },
    { ngx_null_string, 0, 0 }
};


static ngx_conf_enum_t  ngx_http_hosted_how[] = {
    { ngx_string("sleep"), NGX_HTTP_HOSTED_SLEEP },
    { ngx_string("cond"), NGX_HTTP_HOSTED_COND },
    { ngx_string("lock"), NGX_HTTP_HOSTED_LOCK },
    { ngx_string("fifo"), NGX_HTTP_HOSTED_FIFO },
    { ngx_string("socket"), NGX_HTTP_HOSTED_SOCKET },
    { ngx_string("name"), NGX_HTTP_HOSTED_NAME },
    { ngx_string("task"), NGX_HTTP_HOSTED_TASK },
    { ngx_string("hold"), NGX_HTTP_HOSTED_HOLD },
    { ngx_string("spin"), NGX_HTTP_HOSTED_SPIN },
    { ngx_string("free"), NGX_HTTP_HOSTED_FREE },
    { ngx_string("keep"), NGX_HTTP_HOSTED_KEEP },
    { ngx_string("realloc"), NGX_HTTP_HOSTED_REALLOC },
    { ngx_string("memalign"), NGX_HTTP_HOSTED_MEMALIGN },
    { ngx_string("strdup"), NGX_HTTP_HOSTED_STRDUP },
    { ngx_string("thread"), NGX_HTTP_HOSTED_THREAD },
    { ngx_string("later"), NGX_HTTP_HOSTED_LATER },
    { ngx_string("drop"), NGX_HTTP_HOSTED_DROP },
    { ngx_string("fork"), NGX_HTTP_HOSTED_FORK },
    { ngx_string("system"), NGX_HTTP_HOSTED_SYSTEM },
    { ngx_null_string, 0 }
};


static ngx_http_hosted_work_t  ngx_http_hosted_works[] = {
    { ngx_string("burn"), ngx_http_hosted_burn, 0, 0, 0 },
    { ngx_string("deep"), ngx_http_hosted_deep, 0, 0, 0 },
    { ngx_string("pool"), ngx_http_hosted_pool, 0, 1, 0 },
    { ngx_string("thread"), ngx_http_hosted_thread, 0, 0, 0 },
    { ngx_string("block"), ngx_http_hosted_block, NGX_HTTP_HOSTED_SLEEP, 1, 0 },
    { ngx_string("shm"), ngx_http_hosted_shm, NGX_HTTP_HOSTED_LOCK, 0, 1 },
    { ngx_string("files"), ngx_http_hosted_files, 0, 0, 0 },
    { ngx_string("alloc"), ngx_http_hosted_alloc, NGX_HTTP_HOSTED_FREE, 0, 0 },
    { ngx_string("lease"), ngx_http_hosted_lease, NGX_HTTP_HOSTED_KEEP, 0, 0 },
    { ngx_string("trace"), ngx_http_hosted_trace, 0, 0, 0 },
    { ngx_string("child"), ngx_http_hosted_child, NGX_HTTP_HOSTED_FORK, 0, 0 },
    { ngx_string("hang"), ngx_http_hosted_hang, NGX_HTTP_HOSTED_SPIN, 0, 0 },
    { ngx_string("crash"), ngx_http_hosted_crash, 0, 0, 0 },
    { ngx_string("text"), ngx_http_hosted_text, 0, 0, 0 },
    { ngx_string("oracle"), ngx_http_hosted_oracle, 0, 0, 0 },
    { ngx_null_string, NULL, 0, 0, 0 }
};


static ngx_command_t  ngx_http_hosted_commands[] = {

    { ngx_string("hosted"),
      NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_hosted,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_hosted_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_hosted_create_loc_conf,       /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_hosted_module = {
    NGX_MODULE_V1,
    &ngx_http_hosted_module_ctx,           /* module context */
    ngx_http_hosted_commands,              /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_hosted_handler(ngx_http_request_t *r)
{
    u_char                      *p, *eq, *last;
    ngx_int_t                    rc;
    ngx_str_t                    name, value;
    ngx_http_cleanup_t          *cln;
    ngx_http_hosted_ctx_t       *ctx;
    ngx_http_hosted_loc_conf_t  *hlcf;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    hlcf = ngx_http_get_module_loc_conf(r, ngx_http_hosted_module);

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_hosted_ctx_t));
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->request = r;
    ctx->conf = hlcf;
    ctx->args = hlcf->args;

    last = r->args.data + r->args.len;

    for (name.data = r->args.data; name.data < last; name.data = p + 1) {

        p = ngx_strlchr(name.data, last, '&');
        if (p == NULL) {
            p = last;
        }

        eq = ngx_strlchr(name.data, p, '=');
        if (eq == NULL) {
            continue;
        }

        name.len = eq - name.data;
        value.data = eq + 1;
        value.len = p - value.data;

        if (ngx_http_hosted_parse(&ctx->args, &name, &value) == NGX_ERROR) {
            return NGX_HTTP_BAD_REQUEST;
        }
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_hosted_cleanup;
    cln->data = ctx;

    ngx_http_set_ctx(r, ctx, ngx_http_hosted_module);

    return hlcf->work->handler(r, ctx);
}


/* NGX_DECLINED: no argument of ours */

static ngx_int_t
ngx_http_hosted_parse(ngx_http_hosted_args_t *args, ngx_str_t *name,
    ngx_str_t *value)
{
    ngx_int_t               n;
    ngx_conf_enum_t        *e;
    ngx_http_hosted_arg_t  *arg;

    if (name->len == 3 && ngx_strncmp(name->data, "how", 3) == 0) {

        for (e = ngx_http_hosted_how; e->name.len; e++) {
            if (e->name.len == value->len
                && ngx_strncmp(e->name.data, value->data, value->len) == 0)
            {
                args->how = e->value;
                return NGX_OK;
            }
        }

        return NGX_ERROR;
    }

    for (arg = ngx_http_hosted_arg_names; arg->name.len; arg++) {

        if (arg->name.len != name->len
            || ngx_strncmp(arg->name.data, name->data, name->len) != 0)
        {
            continue;
        }

        n = ngx_atoi(value->data, value->len);
        if (n == NGX_ERROR || (ngx_uint_t) n > arg->max) {
            return NGX_ERROR;
        }

        *(ngx_uint_t *) ((char *) args + arg->offset) = n;

        return NGX_OK;
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_hosted_burn(ngx_http_request_t *r, ngx_http_hosted_ctx_t *ctx)
{
    ngx_int_t  rc;

    ctx->burn.round = ctx->args.round * NGX_HTTP_HOSTED_MS;

    if (ctx->args.slice == 0) {
        hosted_burn(&ctx->burn, ctx->args.ms * NGX_HTTP_HOSTED_MS);
        return ngx_http_hosted_answer(r, ctx);
    }

    rc = ngx_http_hosted_wait(r, ctx, ngx_http_hosted_slice);
    ngx_post_event(&ctx->event, &ngx_posted_next_events);

    return rc;
}


static void
ngx_http_hosted_slice(ngx_event_t *ev)
{
    uint64_t                done, total, ns;
    ngx_connection_t       *c;
    ngx_http_request_t     *r;
    ngx_http_hosted_ctx_t  *ctx;

    c = ev->data;
    ctx = c->data;
    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    total = ctx->args.ms * NGX_HTTP_HOSTED_MS;
    done = ctx->burn.heavy + ctx->burn.light;

    if (done < total) {
        ns = ctx->args.slice * NGX_HTTP_HOSTED_MS;
        hosted_burn(&ctx->burn, ngx_min(ns, total - done));
        ngx_post_event(&ctx->event, &ngx_posted_next_events);
        return;
    }

    ctx->pending = 0;

    ngx_http_hosted_finish(r);
    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_hosted_deep(ngx_http_request_t *r, ngx_http_hosted_ctx_t *ctx)
{
    ctx->burn.tid = hosted_tid();
    ctx->deep = hosted_deep(ctx->args.depth, ctx->args.ms * NGX_HTTP_HOSTED_MS);

    return ngx_http_hosted_answer(r, ctx);
}


static ngx_int_t
ngx_http_hosted_thread(ngx_http_request_t *r, ngx_http_hosted_ctx_t *ctx)
{
    ngx_int_t         rc;
    hosted_thread_t  *t;

    t = hosted_spawn(ctx->args.ms * NGX_HTTP_HOSTED_MS, ctx->args.detach);
    if (t == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (!ctx->args.detach) {
        hosted_join(t, &ctx->burn);
        return ngx_http_hosted_answer(r, ctx);
    }

    ctx->thread = t;

    rc = ngx_http_hosted_wait(r, ctx, ngx_http_hosted_poll);
    ngx_add_timer(&ctx->event, NGX_HTTP_HOSTED_POLL);

    return rc;
}


static void
ngx_http_hosted_poll(ngx_event_t *ev)
{
    ngx_connection_t       *c;
    ngx_http_request_t     *r;
    ngx_http_hosted_ctx_t  *ctx;

    c = ev->data;
    ctx = c->data;
    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    if (!hosted_poll(ctx->thread, &ctx->burn)) {
        ngx_add_timer(&ctx->event, NGX_HTTP_HOSTED_POLL);
        return;
    }

    ctx->pending = 0;

    ngx_http_hosted_finish(r);
    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_hosted_pool(ngx_http_request_t *r, ngx_http_hosted_ctx_t *ctx)
{
    return ngx_http_hosted_post(r, ctx, ctx->args.tasks,
                                ngx_http_hosted_pool_burn);
}


static void
ngx_http_hosted_pool_burn(void *data, ngx_log_t *log)
{
    ngx_http_hosted_task_t *t = data;

    t->burn.round = t->ctx->args.round * NGX_HTTP_HOSTED_MS;
    hosted_burn(&t->burn, t->ctx->args.ms * NGX_HTTP_HOSTED_MS);

    /* no jump instead of the call: this function is to be in the stack */

    ngx_memory_barrier();
}


static ngx_int_t
ngx_http_hosted_block(ngx_http_request_t *r, ngx_http_hosted_ctx_t *ctx)
{
    ctx->burn.tid = hosted_tid();

    switch (ctx->args.how) {

    case NGX_HTTP_HOSTED_SLEEP:
        ctx->delay = hosted_sleep(ctx->args.ms);
        return ngx_http_hosted_answer(r, ctx);

    case NGX_HTTP_HOSTED_COND:
        ctx->delay = hosted_cond(ctx->args.ms);
        return ngx_http_hosted_answer(r, ctx);

    case NGX_HTTP_HOSTED_FIFO:
        ctx->delay = hosted_fifo(ctx->args.ms);
        return ngx_http_hosted_answer(r, ctx);

    case NGX_HTTP_HOSTED_SOCKET:
        ctx->delay = hosted_socket(ctx->args.ms);
        return ngx_http_hosted_answer(r, ctx);

    case NGX_HTTP_HOSTED_NAME:
        ctx->delay = hosted_name();
        return ngx_http_hosted_answer(r, ctx);

    case NGX_HTTP_HOSTED_LOCK:
        return ngx_http_hosted_post(r, ctx, 2, ngx_http_hosted_pool_lock);

    case NGX_HTTP_HOSTED_TASK:
        return ngx_http_hosted_post(r, ctx, 1, ngx_http_hosted_pool_cond);

    default:
        return NGX_HTTP_BAD_REQUEST;
    }
}


static void
ngx_http_hosted_pool_lock(void *data, ngx_log_t *log)
{
    ngx_http_hosted_task_t *t = data;

    ngx_http_hosted_ctx_t  *ctx;

    ctx = t->ctx;
    t->burn.tid = hosted_tid();

    if (t->holder) {
        hosted_lock_hold(ctx->args.ms, &ctx->held);
        return;
    }

    /* the holder's task is the first in the queue: it runs or has run */

    while (ctx->held == 0) {
        ngx_sched_yield();
    }

    t->delay = hosted_lock();
}


static void
ngx_http_hosted_pool_cond(void *data, ngx_log_t *log)
{
    ngx_http_hosted_task_t *t = data;

    t->burn.tid = hosted_tid();
    t->delay = hosted_cond(t->ctx->args.ms);
}


static ngx_int_t
ngx_http_hosted_shm(ngx_http_request_t *r, ngx_http_hosted_ctx_t *ctx)
{
    uint64_t          start;
    ngx_atomic_t     *held;
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) ctx->conf->zone->shm.addr;
    held = shpool->data;

    ctx->burn.tid = hosted_tid();

    switch (ctx->args.how) {

    case NGX_HTTP_HOSTED_HOLD:
        ngx_shmtx_lock(&shpool->mutex);

        *held = 1;
        ctx->delay = hosted_sleep(ctx->args.ms);
        *held = 0;

        ngx_shmtx_unlock(&shpool->mutex);
        break;

    case NGX_HTTP_HOSTED_LOCK:

        if (*held == 0) {
            return NGX_HTTP_CONFLICT;
        }

        start = hosted_wall_clock();

        ngx_shmtx_lock(&shpool->mutex);
        ctx->delay = hosted_wall_clock() - start;
        ngx_shmtx_unlock(&shpool->mutex);
        break;

    default:
        return NGX_HTTP_BAD_REQUEST;
    }

    return ngx_http_hosted_answer(r, ctx);
}


static ngx_int_t
ngx_http_hosted_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t  *shpool;

    if (data) {
        zone->data = data;
        return NGX_OK;
    }

    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    shpool->data = ngx_slab_calloc(shpool, sizeof(ngx_atomic_t));
    if (shpool->data == NULL) {
        return NGX_ERROR;
    }

    zone->data = shpool->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_hosted_files(ngx_http_request_t *r, ngx_http_hosted_ctx_t *ctx)
{
    ctx->burn.tid = hosted_tid();
    ctx->delay = hosted_files(ctx->args.ms);

    return ngx_http_hosted_answer(r, ctx);
}


static ngx_int_t
ngx_http_hosted_post(ngx_http_request_t *r, ngx_http_hosted_ctx_t *ctx,
    ngx_uint_t n, void (*handler)(void *data, ngx_log_t *log))
{
    ngx_uint_t               i;
    ngx_thread_task_t       *task;
    ngx_http_hosted_task_t  *t;

    if (n == 0) {
        return NGX_HTTP_BAD_REQUEST;
    }

    ctx->tasks = ngx_pcalloc(r->pool, n * sizeof(ngx_http_hosted_task_t));
    if (ctx->tasks == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    for (i = 0; i < n; i++) {
        task = ngx_thread_task_alloc(r->pool, 0);
        if (task == NULL) {
            break;
        }

        t = &ctx->tasks[i];
        t->ctx = ctx;
        t->holder = (i == 0);

        task->ctx = t;
        task->handler = handler;
        task->event.data = r;
        task->event.handler = ngx_http_hosted_pool_event;
        task->event.log = r->connection->log;

        if (ngx_thread_task_post(ctx->conf->pool, task) != NGX_OK) {
            break;
        }

        /* a worker that exits gracefully waits for timers, not for tasks */
        ngx_add_timer(&task->event, NGX_HTTP_HOSTED_PATIENCE);

        ctx->ntasks++;
        ctx->pending++;
        r->main->blocked++;
    }

    if (ctx->pending == 0) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->aio = 1;

    r->main->count++;
    r->write_event_handler = ngx_http_hosted_finish;

    return NGX_DONE;
}


static void
ngx_http_hosted_pool_event(ngx_event_t *ev)
{
    ngx_uint_t              i;
    ngx_connection_t       *c;
    ngx_http_request_t     *r;
    ngx_http_hosted_ctx_t  *ctx;

    if (ev->timedout) {
        ev->timedout = 0;
        ngx_add_timer(ev, NGX_HTTP_HOSTED_PATIENCE);
        return;
    }

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    r = ev->data;
    c = r->connection;
    ctx = ngx_http_get_module_ctx(r, ngx_http_hosted_module);

    ngx_http_set_log_request(c->log, r);

    r->main->blocked--;

    if (--ctx->pending) {
        return;
    }

    r->aio = 0;

    for (i = 0; i < ctx->ntasks; i++) {
        ctx->burn.heavy += ctx->tasks[i].burn.heavy;
        ctx->burn.light += ctx->tasks[i].burn.light;
        ctx->delay += ctx->tasks[i].delay;
    }

    /* ours, or the finalizer's of a request that ended meanwhile */

    r->write_event_handler(r);

    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_hosted_alloc(ngx_http_request_t *r, ngx_http_hosted_ctx_t *ctx)
{
    size_t  (*alloc)(size_t size, size_t count);

    static size_t  (*const allocs[])(size_t size, size_t count) = {
        hosted_alloc_free,
        hosted_alloc_keep,
        hosted_alloc_realloc,
        hosted_alloc_memalign,
        hosted_alloc_strdup,
        hosted_alloc_thread,
        hosted_alloc_later
    };

    ctx->burn.tid = hosted_tid();

    if (ctx->args.how == NGX_HTTP_HOSTED_DROP) {
        hosted_alloc_drop();
        return ngx_http_hosted_answer(r, ctx);
    }

    if (ctx->args.how < NGX_HTTP_HOSTED_FREE
        || ctx->args.how > NGX_HTTP_HOSTED_LATER
        || ctx->args.size < HOSTED_BLOCK_MIN)
    {
        return NGX_HTTP_BAD_REQUEST;
    }

    if (ctx->args.how == NGX_HTTP_HOSTED_LATER
        && (ctx->conf->library == NULL
            || hosted_alloc_load(ctx->conf->library) != 0))
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    alloc = allocs[ctx->args.how - NGX_HTTP_HOSTED_FREE];

    ctx->count = alloc(ctx->args.size, ctx->args.count);
    ctx->bytes = ctx->count * ctx->args.size;

    return ngx_http_hosted_answer(r, ctx);
}


static ngx_int_t
ngx_http_hosted_lease(ngx_http_request_t *r, ngx_http_hosted_ctx_t *ctx)
{
    ctx->count = ctx->args.how == NGX_HTTP_HOSTED_DROP
                 ? hosted_lease_drop(ctx->args.count)
                 : hosted_lease_keep(ctx->args.count);

    return ngx_http_hosted_answer(r, ctx);
}


static ngx_int_t
ngx_http_hosted_trace(ngx_http_request_t *r, ngx_http_hosted_ctx_t *ctx)
{
    hosted_trace((unsigned) ctx->args.ms);

    return ngx_http_hosted_answer(r, ctx);
}


static ngx_int_t
ngx_http_hosted_child(ngx_http_request_t *r, ngx_http_hosted_ctx_t *ctx)
{
    if (ctx->args.how != NGX_HTTP_HOSTED_FORK
        && ctx->args.how != NGX_HTTP_HOSTED_SYSTEM)
    {
        return NGX_HTTP_BAD_REQUEST;
    }

    ctx->burn.tid = hosted_tid();

    if (hosted_child(ctx->args.how == NGX_HTTP_HOSTED_SYSTEM) != 0) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_hosted_answer(r, ctx);
}


static ngx_int_t
ngx_http_hosted_hang(ngx_http_request_t *r, ngx_http_hosted_ctx_t *ctx)
{
    if (ctx->args.how != NGX_HTTP_HOSTED_SPIN
        && ctx->args.how != NGX_HTTP_HOSTED_SLEEP)
    {
        return NGX_HTTP_BAD_REQUEST;
    }

    ctx->burn.tid = hosted_tid();
    ctx->delay = hosted_hang(ctx->args.ms,
                             ctx->args.how == NGX_HTTP_HOSTED_SPIN);

    return ngx_http_hosted_answer(r, ctx);
}


static ngx_int_t
ngx_http_hosted_crash(ngx_http_request_t *r, ngx_http_hosted_ctx_t *ctx)
{
    hosted_crash();

    return NGX_HTTP_INTERNAL_SERVER_ERROR;
}


static ngx_int_t
ngx_http_hosted_text(ngx_http_request_t *r, ngx_http_hosted_ctx_t *ctx)
{
    size_t        len, n;
    u_char       *text;
    ngx_buf_t    *b;
    ngx_int_t     rc;
    ngx_chain_t  *out, *cl, **ll;

    len = ctx->args.kb * 1024;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = len;
    ngx_str_set(&r->headers_out.content_type, "text/plain");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    if (len == 0) {
        r->header_only = 1;
    }

    rc = ngx_http_send_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    n = ngx_min(len, NGX_HTTP_HOSTED_TEXT_BUF);

    text = ngx_palloc(r->pool, n);
    if (text == NULL) {
        return NGX_ERROR;
    }

    hosted_text(text, n);

    for (ll = &out, b = NULL; len; len -= n, ll = &cl->next) {

        b = ngx_calloc_buf(r->pool);
        cl = ngx_alloc_chain_link(r->pool);
        if (b == NULL || cl == NULL) {
            return NGX_ERROR;
        }

        n = ngx_min(len, NGX_HTTP_HOSTED_TEXT_BUF);

        b->pos = text;
        b->last = text + n;
        b->memory = 1;

        cl->buf = b;
        *ll = cl;
    }

    *ll = NULL;

    if (b) {
        b->last_buf = (r == r->main);
        b->last_in_chain = 1;
    }

    return ngx_http_output_filter(r, out);
}


static ngx_int_t
ngx_http_hosted_oracle(ngx_http_request_t *r, ngx_http_hosted_ctx_t *ctx)
{
    ngx_str_t                 type;
    ngx_http_complex_value_t  cv;

    if (hosted_oracle_start() != 0) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "the profiler is not loaded");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memzero(&cv, sizeof(ngx_http_complex_value_t));

    cv.value.data = ngx_pnalloc(r->pool, HOSTED_ORACLE_TEXT);
    if (cv.value.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cv.value.len = hosted_oracle_json((char *) cv.value.data,
                                      HOSTED_ORACLE_TEXT);

    ngx_str_set(&type, "application/json");

    return ngx_http_send_response(r, NGX_HTTP_OK, &type, &cv);
}


static ngx_int_t
ngx_http_hosted_wait(ngx_http_request_t *r, ngx_http_hosted_ctx_t *ctx,
    ngx_event_handler_pt handler)
{
    /* the debug log takes an event's data for a connection */

    ctx->dummy.fd = (ngx_socket_t) -1;
    ctx->dummy.data = ctx;

    ctx->event.data = &ctx->dummy;
    ctx->event.handler = handler;
    ctx->event.log = r->connection->log;

    ctx->pending = 1;

    r->main->count++;
    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_hosted_finish;

    return NGX_DONE;
}


static void
ngx_http_hosted_finish(ngx_http_request_t *r)
{
    ngx_http_hosted_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_hosted_module);

    if (ctx->pending) {
        return;
    }

    ngx_http_finalize_request(r, ngx_http_hosted_answer(r, ctx));
}


static ngx_int_t
ngx_http_hosted_answer(ngx_http_request_t *r, ngx_http_hosted_ctx_t *ctx)
{
    size_t        len, kept, bytes;
    ngx_buf_t    *b;
    ngx_int_t     rc;
    ngx_uint_t    i;
    ngx_chain_t   out;

    kept = hosted_alloc_kept(&bytes);

    len = sizeof("{\"heavy_ns\":,\"light_ns\":,\"deep_ns\":,\"delay_ns\":,"
                 "\"count\":,\"bytes\":,\"kept\":,\"kept_bytes\":,"
                 "\"worker\":,\"pid\":,\"tids\":[]}\n")
          + (11 + NGX_HTTP_HOSTED_TASKS) * NGX_INT64_LEN;

    b = ngx_create_temp_buf(r->pool, len);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->last = ngx_sprintf(b->last, "{\"heavy_ns\":%uL,\"light_ns\":%uL,"
                          "\"deep_ns\":%uL,\"delay_ns\":%uL,",
                          ctx->burn.heavy, ctx->burn.light, ctx->deep,
                          ctx->delay);

    b->last = ngx_sprintf(b->last, "\"count\":%uz,\"bytes\":%uz,"
                          "\"kept\":%uz,\"kept_bytes\":%uz,",
                          ctx->count, ctx->bytes, kept, bytes);

    b->last = ngx_sprintf(b->last, "\"worker\":%ui,\"pid\":%P,\"tids\":[",
                          ngx_worker, ngx_pid);

    if (ctx->ntasks == 0) {
        b->last = ngx_sprintf(b->last, "%L", (int64_t) ctx->burn.tid);
    }

    for (i = 0; i < ctx->ntasks; i++) {
        b->last = ngx_sprintf(b->last, i ? ",%L" : "%L",
                              (int64_t) ctx->tasks[i].burn.tid);
    }

    b->last = ngx_cpymem(b->last, "]}\n", 3);

    b->last_buf = (r == r->main);
    b->last_in_chain = 1;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;
    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    rc = ngx_http_send_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static void
ngx_http_hosted_cleanup(void *data)
{
    ngx_http_hosted_ctx_t *ctx = data;

    if (ctx->event.timer_set) {
        ngx_del_timer(&ctx->event);
    }

    if (ctx->event.posted) {
        ngx_delete_posted_event(&ctx->event);
    }

    if (ctx->thread) {
        hosted_drop(ctx->thread);
        ctx->thread = NULL;
    }
}


static void *
ngx_http_hosted_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_hosted_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_hosted_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->args.ms = 10;
    conf->args.depth = 40;
    conf->args.tasks = 1;
    conf->args.size = 1024;
    conf->args.count = 1;
    conf->args.kb = 64;

    return conf;
}


static char *
ngx_http_hosted(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_hosted_loc_conf_t *hlcf = conf;

    u_char                    *eq;
    ngx_str_t                 *value, name, val, pool;
    ngx_uint_t                 i;
    ngx_http_hosted_work_t    *work;
    ngx_http_core_loc_conf_t  *clcf;

    static ngx_str_t           zone = ngx_string("hosted");

    if (hlcf->work) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (work = ngx_http_hosted_works; work->name.len; work++) {
        if (work->name.len == value[1].len
            && ngx_strcmp(work->name.data, value[1].data) == 0)
        {
            break;
        }
    }

    if (work->name.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown work \"%V\" in \"hosted\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    hlcf->work = work;
    hlcf->args.how = work->how;

    ngx_str_null(&pool);

    for (i = 2; i < cf->args->nelts; i++) {

        eq = (u_char *) ngx_strchr(value[i].data, '=');

        if (eq) {
            name.data = value[i].data;
            name.len = eq - name.data;
            val.data = eq + 1;
            val.len = value[i].data + value[i].len - val.data;

            if (name.len == 4 && ngx_strncmp(name.data, "pool", 4) == 0) {
                pool = val;
                continue;
            }

            if (name.len == 7 && ngx_strncmp(name.data, "library", 7) == 0) {
                hlcf->library = (char *) val.data;
                continue;
            }

            if (ngx_http_hosted_parse(&hlcf->args, &name, &val) == NGX_OK) {
                continue;
            }
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" in \"hosted\"", &value[i]);
        return NGX_CONF_ERROR;
    }

    if (work->threads) {
        hlcf->pool = ngx_thread_pool_add(cf, pool.len ? &pool : NULL);
        if (hlcf->pool == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    if (work->zone) {
        hlcf->zone = ngx_shared_memory_add(cf, &zone, 8 * ngx_pagesize,
                                           &ngx_http_hosted_module);
        if (hlcf->zone == NULL) {
            return NGX_CONF_ERROR;
        }

        hlcf->zone->init = ngx_http_hosted_zone;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_hosted_handler;

    return NGX_CONF_OK;
}
