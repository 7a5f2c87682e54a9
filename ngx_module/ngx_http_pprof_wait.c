
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Where requests wait.
 *
 * A request that an event has worked on and left behind waits: from the end of
 * that event to the begin of the next one that works on it, for what its state
 * says at the end of the first.  So what is booked does not depend on how well
 * the state was understood, only where it is booked does.
 *
 * What it waited for had come when the loop came back; what passed from there
 * to the begin of the event, while other events were handled, was waiting for
 * the loop, and is booked below what the request waits for next: nginx's clock
 * stands still within a turn of the loop, and by that clock the next wait began
 * there.  So the turn in which a request ends is not booked.
 *
 * Which requests an event works on is learned where labels are: where it
 * begins, in the phases, in the filters, in the log phase.  Nearly always it is
 * one, and most requests are over with the event that began them: nothing is
 * kept of those.
 *
 * What is kept of a request that waits is found by the module's context, and,
 * when an internal redirect has cleared that, among the cleanups of the pool.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <ngx_pprof_module.h>
#include <ngx_http_pprof_goroutine.h>


#define NGX_HTTP_PPROF_WAIT_FLUSH    1000000000     /* ns, then it is booked */
#define NGX_HTTP_PPROF_WAIT_FRAMES   4

/* ns of waiting for the loop that are worth a sample of their own */
#define NGX_HTTP_PPROF_WAIT_LOOP     100000


/* of a wait, and of waiting for the loop before it; 0: not yet used */

typedef struct {
    uint32_t              wait;
    uint32_t              loop;
} ngx_http_pprof_wait_stack_t;


typedef struct {
    ngx_pool_cleanup_t    cleanup;
    ngx_queue_t           queue;        /* of those that the event worked on */
    ngx_http_request_t   *request;
    uint64_t              since;        /* ticks; 0: it does not wait */
    uint64_t              delay;        /* ticks, not yet booked */
    uint64_t              turn;         /* for the loop, in this turn ... */
    uint64_t              loop;         /* ... and before; not yet booked */
    uint32_t              labels;

    ngx_http_pprof_wait_stack_t  *stack;   /* NULL: none so far */

    unsigned              counted:1;    /* a part of this wait is booked */
    unsigned              queued:1;
} ngx_http_pprof_wait_t;


static void ngx_http_pprof_wait_arrive(ngx_http_request_t *r)
    __attribute__((noinline));
static void ngx_http_pprof_wait_leave(ngx_http_request_t *r);
static void ngx_http_pprof_wait_unqueue(ngx_http_pprof_wait_t *w);
static void ngx_http_pprof_wait_stop(ngx_http_pprof_wait_t *w);
static void ngx_http_pprof_wait_header(ngx_http_request_t *r);
static void ngx_http_pprof_wait_state(ngx_http_request_t *r,
    ngx_http_pprof_wait_t *w, uint64_t now);
static void ngx_http_pprof_wait_book(ngx_http_pprof_wait_t *w);
static ngx_http_pprof_wait_stack_t *ngx_http_pprof_wait_stack(
    ngx_http_request_t *r, ngx_http_pprof_name_t state);
static void ngx_http_pprof_wait_frames(ngx_http_pprof_wait_stack_t *stack,
    ngx_http_pprof_name_t state, ngx_uint_t upstream, ngx_uint_t sub)
    __attribute__((noinline));
static ngx_http_pprof_wait_t *ngx_http_pprof_wait_get(ngx_http_request_t *r);
static ngx_http_pprof_wait_t *ngx_http_pprof_wait_make(ngx_http_request_t *r);
static void ngx_http_pprof_wait_cleanup(void *data);


static ngx_http_module_t  ngx_http_pprof_wait_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


/* for a context of its own */

ngx_module_t  ngx_http_pprof_wait_module = {
    NGX_MODULE_V1,
    &ngx_http_pprof_wait_module_ctx,       /* module context */
    NULL,                                  /* module directives */
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


static ngx_queue_t   ngx_http_pprof_wait_others;

/* by state, whether in an upstream, and whether it is a subrequest */
static ngx_http_pprof_wait_stack_t
                     ngx_http_pprof_wait_stacks[NGX_HTTP_PPROF_NAMES][2][2];


void
ngx_http_pprof_wait_start(void)
{
    ngx_queue_init(&ngx_http_pprof_wait_others);
    ngx_memzero(ngx_http_pprof_wait_stacks,
                sizeof(ngx_http_pprof_wait_stacks));

    ngx_http_pprof_hot.request = NULL;
    ngx_http_pprof_hot.left = 0;
}


void
ngx_http_pprof_wait_over(uint64_t now)
{
    ngx_queue_t            *q;
    ngx_http_request_t     *r;
    ngx_http_pprof_wait_t  *w;

    r = ngx_http_pprof_hot.request;

    if (r) {
        ngx_http_pprof_hot.request = NULL;

        w = ngx_http_pprof_wait_get(r);

        if (w == NULL) {
            w = ngx_http_pprof_wait_make(r);
        }

        if (w && !w->queued) {
            ngx_http_pprof_wait_state(r, w, now);
        }
    }

    while (!ngx_queue_empty(&ngx_http_pprof_wait_others)) {

        q = ngx_queue_head(&ngx_http_pprof_wait_others);
        w = ngx_queue_data(q, ngx_http_pprof_wait_t, queue);

        ngx_http_pprof_wait_unqueue(w);
        ngx_http_pprof_wait_state(w->request, w, now);
    }
}


/*
 * The event works on another request than before: nearly always there was none,
 * and it has just come.
 */

void
ngx_http_pprof_wait_switch(ngx_http_request_t *r)
{
    ngx_time_t  *tp;

    if (ngx_http_pprof_hot.request == NULL
        && ngx_http_get_module_ctx(r, ngx_http_pprof_wait_module) == NULL)
    {
        tp = ngx_timeofday();

        if (tp->msec == r->start_msec && tp->sec == r->start_sec
            && !r->internal && !r->filter_finalize)
        {
            ngx_http_pprof_hot.request = r;
            ngx_http_pprof_hot.upstreamed = NULL;
            return;
        }
    }

    ngx_http_pprof_wait_arrive(r);
}


static void
ngx_http_pprof_wait_arrive(ngx_http_request_t *r)
{
    ngx_http_request_t     *last;
    ngx_http_pprof_wait_t  *w;

    if (!ngx_http_pprof_hot.on) {
        return;
    }

    last = ngx_http_pprof_hot.request;

    if (last) {
        ngx_http_pprof_wait_leave(last);
    }

    ngx_http_pprof_hot.request = r;
    ngx_http_pprof_hot.upstreamed = NULL;

    w = ngx_http_pprof_wait_get(r);

    if (ngx_http_pprof_tracing) {
        ngx_http_pprof_trace_switch(r, w == NULL);
    }

    if (w) {
        ngx_http_pprof_wait_stop(w);

    } else {
        ngx_http_pprof_wait_header(r);
    }
}


ngx_uint_t
ngx_http_pprof_wait_known(ngx_http_request_t *r)
{
    return ngx_http_pprof_wait_get(r) != NULL;
}


/* It is looked at when the event is over, if it is still there. */

static void
ngx_http_pprof_wait_leave(ngx_http_request_t *r)
{
    ngx_http_pprof_wait_t  *w;

    w = ngx_http_pprof_wait_get(r);

    if (w == NULL) {
        w = ngx_http_pprof_wait_make(r);
    }

    if (w == NULL || w->queued) {
        return;
    }

    /* a subrequest that is over will not be seen again */

    if (r->done && r != r->main) {
        ngx_http_pprof_wait_state(r, w,
                                  ngx_http_pprof_tracing ? prt_trace_now() : 0);
        return;
    }

    ngx_queue_insert_tail(&ngx_http_pprof_wait_others, &w->queue);
    ngx_http_pprof_hot.left++;
    w->queued = 1;
}


static void
ngx_http_pprof_wait_unqueue(ngx_http_pprof_wait_t *w)
{
    if (w->queued) {
        ngx_queue_remove(&w->queue);
        ngx_http_pprof_hot.left--;
        w->queued = 0;
    }
}


/* It is the one that the event works on. */

void
ngx_http_pprof_wait_ended(ngx_http_request_t *r)
{
    ngx_http_pprof_wait_t  *w;

    ngx_http_pprof_hot.request = NULL;

    if (!ngx_http_pprof_hot.on) {
        return;
    }

    w = ngx_http_pprof_wait_get(r);

    if (w) {
        ngx_http_pprof_wait_stop(w);
        ngx_http_pprof_wait_book(w);
        ngx_http_pprof_wait_unqueue(w);
    }
}


static void
ngx_http_pprof_wait_stop(ngx_http_pprof_wait_t *w)
{
    uint64_t  came;

    if (w->since == 0) {
        return;
    }

    came = prt_loop_turn();

    /* what was posted within this turn did wait for the loop only */

    if ((int64_t) (came - w->since) > 0) {
        w->delay += came - w->since;

    } else {
        came = w->since;
    }

    if ((int64_t) (ngx_http_pprof_hot.begun - came) > 0) {
        w->turn = ngx_http_pprof_hot.begun - came;
    }

    w->since = 0;
}


/*
 * A request that is seen first: what has passed since its first bytes came, by
 * nginx's clock.  If that stood still, it was this event that read them.
 */

static void
ngx_http_pprof_wait_header(ngx_http_request_t *r)
{
    ngx_time_t                   *tp;
    ngx_msec_int_t                ms;
    ngx_http_pprof_wait_stack_t  *stack;

    tp = ngx_timeofday();

    if (tp->msec == r->start_msec && tp->sec == r->start_sec) {
        return;
    }

    if (r != r->main || r->internal) {
        return;
    }

    ms = (ngx_msec_int_t) ((tp->sec - r->start_sec) * 1000
                           + ((ngx_msec_int_t) tp->msec
                              - (ngx_msec_int_t) r->start_msec));

    if (ms > 0) {
        stack = ngx_http_pprof_wait_stack(r, NGX_HTTP_PPROF_CLIENT_HEADER);

        prt_wait_add(stack->wait, ngx_http_pprof_labels(r, NULL), 1,
                     (uint64_t) ms * NGX_HTTP_PPROF_NSEC);
    }
}


static void
ngx_http_pprof_wait_state(ngx_http_request_t *r, ngx_http_pprof_wait_t *w,
    uint64_t now)
{
    uint32_t                      labels;
    ngx_http_pprof_name_t         state;
    ngx_http_pprof_wait_stack_t  *stack;

    /* a subrequest is over, a main request is when it is logged */

    if (r->done && r != r->main) {

        if (ngx_http_pprof_tracing) {
            ngx_http_pprof_trace_over(r, now);
        }

        ngx_http_pprof_wait_book(w);
        return;
    }

    ngx_http_pprof_labels_learn(r);

#if (NGX_HTTP_CACHE)
    if (r->cache && r->cache->waiting) {
        ngx_http_pprof_hot.lock = r->cache->wait_event.handler;
    }
#endif

    state = ngx_http_pprof_state(r);
    stack = ngx_http_pprof_wait_stack(r, state);
    labels = ngx_http_pprof_labels(r, NULL);

    if (ngx_http_pprof_tracing) {
        ngx_http_pprof_trace_wait(r, now, state, labels);
    }

    if (w->stack != stack || w->labels != labels) {
        ngx_http_pprof_wait_book(w);

        w->stack = stack;
        w->labels = labels;
        w->counted = 0;

    } else if (prt_loop_ns(w->delay) >= NGX_HTTP_PPROF_WAIT_FLUSH) {
        ngx_http_pprof_wait_book(w);
    }

    w->loop += w->turn;
    w->turn = 0;

    w->since = now;
}


static void
ngx_http_pprof_wait_book(ngx_http_pprof_wait_t *w)
{
    uint64_t  ns;

    if (w->delay) {
        prt_wait_add(w->stack->wait, w->labels, !w->counted,
                     prt_loop_ns(w->delay));

        w->delay = 0;
        w->counted = 1;
    }

    if (w->loop == 0) {
        return;
    }

    ns = prt_loop_ns(w->loop);

    if (ns >= NGX_HTTP_PPROF_WAIT_LOOP) {
        prt_wait_add(w->stack->loop, w->labels, 1, ns);

        w->loop = 0;
    }
}


/*
 * What it waits for; "upstream" while that is being tried or answers, which is
 * what nginx counts in $upstream_response_time; and what it is.
 */

static ngx_http_pprof_wait_stack_t *
ngx_http_pprof_wait_stack(ngx_http_request_t *r, ngx_http_pprof_name_t state)
{
    ngx_uint_t                    upstream, sub;
    ngx_http_pprof_wait_stack_t  *stack;

    upstream = r->upstream && r->upstream->state
               && r->upstream->state->response_time == (ngx_msec_t) -1;
    sub = r != r->main;

    stack = &ngx_http_pprof_wait_stacks[state][upstream][sub];

    if (stack->wait == 0) {
        ngx_http_pprof_wait_frames(stack, state, upstream, sub);
    }

    return stack;
}


static void
ngx_http_pprof_wait_frames(ngx_http_pprof_wait_stack_t *stack,
    ngx_http_pprof_name_t state, ngx_uint_t upstream, ngx_uint_t sub)
{
    uint64_t    frames[NGX_HTTP_PPROF_WAIT_FRAMES];
    ngx_uint_t  n;

    n = 0;
    frames[n++] = prt_frame("event loop", sizeof("event loop") - 1);
    frames[n++] = ngx_http_pprof_name(state);

    if (upstream) {
        frames[n++] = prt_frame("upstream", sizeof("upstream") - 1);
    }

    frames[n++] = sub ? prt_frame("subrequest", sizeof("subrequest") - 1)
                      : prt_frame("http request", sizeof("http request") - 1);

    stack->wait = prt_wait_stack(frames + 1, n - 1);
    stack->loop = prt_wait_stack(frames, n);
}


static ngx_http_pprof_wait_t *
ngx_http_pprof_wait_get(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t     *cln;
    ngx_http_pprof_wait_t  *w;

    w = ngx_http_get_module_ctx(r, ngx_http_pprof_wait_module);

    if (w || !(r->internal || r->filter_finalize)) {
        return w;
    }

    if (r != r->main && r->uri_changes == NGX_HTTP_MAX_URI_CHANGES + 1
        && !r->filter_finalize)
    {
        return NULL;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_http_pprof_wait_cleanup) {
            continue;
        }

        w = cln->data;

        if (w->request == r) {
            ngx_http_set_ctx(r, w, ngx_http_pprof_wait_module);
            return w;
        }
    }

    return NULL;
}


static ngx_http_pprof_wait_t *
ngx_http_pprof_wait_make(ngx_http_request_t *r)
{
    ngx_http_pprof_wait_t  *w;

    w = ngx_palloc(r->pool, sizeof(ngx_http_pprof_wait_t));
    if (w == NULL) {
        return NULL;
    }

    w->request = r;
    w->since = 0;
    w->delay = 0;
    w->loop = 0;
    w->labels = 0;
    w->stack = NULL;
    w->counted = 0;
    w->queued = 0;

    w->turn = r == r->main && !r->internal
              ? ngx_http_pprof_hot.begun - prt_loop_turn() : 0;

    w->cleanup.handler = ngx_http_pprof_wait_cleanup;
    w->cleanup.data = w;
    w->cleanup.next = r->pool->cleanup;

    r->pool->cleanup = &w->cleanup;

    ngx_http_set_ctx(r, w, ngx_http_pprof_wait_module);

    if (ngx_http_pprof_tracing) {
        ngx_http_pprof_trace_left(r);
    }

    return w;
}


static void
ngx_http_pprof_wait_cleanup(void *data)
{
    ngx_http_pprof_wait_t  *w = data;

    ngx_http_pprof_wait_stop(w);
    ngx_http_pprof_wait_book(w);
    ngx_http_pprof_wait_unqueue(w);
}
