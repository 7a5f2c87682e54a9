
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The execution trace: what the event loop works on, and what that waits for.
 *
 * A connection is a goroutine, which serves its requests one by one; a stream of
 * HTTP/2 and a subrequest are goroutines of their own.  A request is a task.
 * While nothing is recorded nothing of this is called: the functions here stand
 * in the places of others only while it is.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include <ngx_pprof_module.h>
#include <ngx_http_pprof_goroutine.h>


#define NGX_HTTP_PPROF_TRACE_CLIENTS    64   /* of one event */
#define NGX_HTTP_PPROF_TRACE_ROOTS      32   /* listening sockets */
#define NGX_HTTP_PPROF_TRACE_TEXT       256  /* of a root's name */

/* marks a number that is an address: what has no number of its own */
#define NGX_HTTP_PPROF_TRACE_ADDRESS    ((uint64_t) 1 << 47)


/* A client's connection that the event works for: it may be gone at its end. */

typedef struct {
    ngx_connection_t    *c;
    ngx_atomic_uint_t    number;
    ngx_uint_t           waits;        /* its request does, and has said so */
} ngx_http_pprof_trace_client_t;


typedef struct {
    ngx_listening_t     *listening;
    uint64_t             frame;
} ngx_http_pprof_trace_root_t;


static void ngx_http_pprof_trace_start(void);
static void ngx_http_pprof_trace_stop(void);
static unsigned ngx_http_pprof_trace_class(ngx_uint_t name);
static void ngx_http_pprof_trace_begin(ngx_event_t *ev, uint64_t now);
static void ngx_http_pprof_trace_end(uint64_t now);
static void ngx_http_pprof_trace_clients_over(uint64_t now);
static ngx_uint_t ngx_http_pprof_trace_sampled(ngx_connection_t *c);
static ngx_connection_t *ngx_http_pprof_trace_client(ngx_event_t *ev);
static ngx_http_pprof_name_t ngx_http_pprof_trace_idle(ngx_connection_t *c);
static void ngx_http_pprof_trace_add(ngx_connection_t *c);
static void ngx_http_pprof_trace_see(ngx_http_request_t *r);
static void ngx_http_pprof_trace_task(ngx_http_request_t *r, uint64_t now);
static ngx_inline uint64_t ngx_http_pprof_trace_g(ngx_http_request_t *r);
static uint64_t ngx_http_pprof_trace_number(ngx_http_request_t *r);
static ngx_uint_t ngx_http_pprof_trace_own(ngx_http_request_t *r);
static uint64_t ngx_http_pprof_trace_root(ngx_http_request_t *r);
static uint64_t ngx_http_pprof_trace_listening(ngx_listening_t *ls);
static ngx_uint_t ngx_http_pprof_trace_status(ngx_http_request_t *r);


ngx_uint_t                     ngx_http_pprof_tracing;

static ngx_uint_t              ngx_http_pprof_trace_sample;
static uint64_t                ngx_http_pprof_trace_turn;     /* of the loop, ticks */
static uint64_t                ngx_http_pprof_trace_current;  /* goroutine ... */
static ngx_http_request_t     *ngx_http_pprof_trace_whose;    /* ... of this one */
static ngx_http_request_t     *ngx_http_pprof_trace_last;     /* task that began */
static ngx_uint_t              ngx_http_pprof_trace_named;    /* by a phase */
static ngx_uint_t              ngx_http_pprof_trace_first;    /* no task has as yet */
static uint32_t                ngx_http_pprof_trace_labels;   /* of the last phase */
static unsigned                ngx_http_pprof_trace_states
                                   [NGX_HTTP_PPROF_NAMES];

static ngx_http_pprof_trace_client_t
                               ngx_http_pprof_trace_clients
                                   [NGX_HTTP_PPROF_TRACE_CLIENTS];
static ngx_uint_t              ngx_http_pprof_trace_nclients;

static ngx_http_pprof_trace_root_t
                               ngx_http_pprof_trace_roots
                                   [NGX_HTTP_PPROF_TRACE_ROOTS];
static uint64_t                ngx_http_pprof_trace_stream;   /* frames */
static uint64_t                ngx_http_pprof_trace_subrequest;


void
ngx_http_pprof_trace(void)
{
    int  on;

    if (!prt_trace_switched(&on)) {
        return;
    }

    if (on) {
        ngx_http_pprof_trace_start();

    } else {
        ngx_http_pprof_trace_stop();
    }
}


static void
ngx_http_pprof_trace_start(void)
{
    ngx_uint_t                   i;
    ngx_http_pprof_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_pprof_module);

    ngx_http_pprof_trace_sample = pmcf->trace_sample;
    ngx_http_pprof_trace_log_start(pmcf);

    /* numbers of names are of the slot that this process has now */

    for (i = 0; i < NGX_HTTP_PPROF_NAMES; i++) {
        ngx_http_pprof_trace_states[i] =
                   prt_trace_state(ngx_http_pprof_name(i),
                                   ngx_http_pprof_trace_class(i));
    }

    ngx_memzero(ngx_http_pprof_trace_roots,
                sizeof(ngx_http_pprof_trace_roots));

    ngx_http_pprof_trace_stream = prt_frame("http2 stream",
                                            sizeof("http2 stream") - 1);
    ngx_http_pprof_trace_subrequest = prt_frame("subrequest",
                                                sizeof("subrequest") - 1);

    ngx_http_pprof_trace_turn = 0;
    ngx_http_pprof_trace_current = 0;
    ngx_http_pprof_trace_whose = NULL;
    ngx_http_pprof_trace_last = NULL;
    ngx_http_pprof_trace_labels = 0;
    ngx_http_pprof_trace_nclients = 0;
    ngx_http_pprof_tracing = 1;

    ngx_http_pprof_labels_trace(1);
    ngx_pprof_loop_init(ngx_http_pprof_trace_begin, ngx_http_pprof_trace_end);
}


static void
ngx_http_pprof_trace_stop(void)
{
    ngx_http_pprof_tracing = 0;

    prt_trace_off(prt_trace_now());

    ngx_http_pprof_labels_trace(0);
    ngx_pprof_loop_init(ngx_http_pprof_labels_begin, ngx_http_pprof_wait_end);
}


/* How go tool trace shows a wait: in its network, sync or other profiles. */

static unsigned
ngx_http_pprof_trace_class(ngx_uint_t name)
{
    switch (name) {

    case NGX_HTTP_PPROF_DISK:
    case NGX_HTTP_PPROF_CACHE_LOCK:
    case NGX_HTTP_PPROF_SUBREQUEST:
    case NGX_HTTP_PPROF_POSTPONED:
    case NGX_HTTP_PPROF_PROFILING:
        return PRT_TRACE_SYNC;

    case NGX_HTTP_PPROF_LIMIT_REQ:
    case NGX_HTTP_PPROF_AUTH_DELAY:
    case NGX_HTTP_PPROF_LIMIT_RATE:
        return PRT_TRACE_SLEEP;

    case NGX_HTTP_PPROF_WAITING:
        return PRT_TRACE_OTHER;

    default:
        return PRT_TRACE_NETWORK;
    }
}


/* In place of ngx_http_pprof_labels_begin(). */

static void
ngx_http_pprof_trace_begin(ngx_event_t *ev, uint64_t now)
{
    uint64_t             g, root;
    unsigned             flags;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ngx_http_pprof_labels_request(ev);

    if (ngx_http_pprof_labels_goes_on(r)) {
        ngx_http_pprof_labels_work(r, now);
        return;
    }

    ngx_http_pprof_wait_end(now);
    ngx_http_pprof_trace_clients_over(now);

    if (ngx_http_pprof_trace_turn != prt_loop_turn()) {
        ngx_http_pprof_trace_turn = prt_loop_turn();

        prt_trace_woken(ngx_http_pprof_trace_turn);
    }

    g = 0;
    root = 0;
    flags = PRT_TRACE_READY;

    if (r) {
        g = ngx_http_pprof_trace_number(r);

        if (g) {
            root = ngx_http_pprof_trace_root(r);

            if (!ngx_http_pprof_trace_own(r)) {
                ngx_http_pprof_trace_add(r->connection);
            }
        }

    } else {
        c = ngx_http_pprof_trace_client(ev);

        if (c) {
            g = c->number;
            root = ngx_http_pprof_trace_listening(c->listening);
            flags |= c->requests == 0 ? PRT_TRACE_NEW : 0;

            ngx_http_pprof_trace_add(c);
        }
    }

    prt_trace_run(now, g, flags, root);

    ngx_http_pprof_trace_current = g;
    ngx_http_pprof_trace_whose = r;
    ngx_http_pprof_trace_labels = 0;
    ngx_http_pprof_trace_first = 1;

    ngx_http_pprof_labels_work(r, now);
}


/* In place of ngx_http_pprof_wait_end(): the loop is about to wait. */

static void
ngx_http_pprof_trace_end(uint64_t now)
{
    ngx_http_pprof_wait_end(now);
    ngx_http_pprof_trace_clients_over(now);

    prt_trace_wait(now);
}


/* The event is over.  Connections without a request that waits are idle. */

static void
ngx_http_pprof_trace_clients_over(uint64_t now)
{
    ngx_uint_t                      i;
    ngx_http_pprof_trace_client_t  *client;

    for (i = 0; i < ngx_http_pprof_trace_nclients; i++) {
        client = &ngx_http_pprof_trace_clients[i];

        if (client->c->fd == (ngx_socket_t) -1
            || client->c->number != client->number)
        {
            prt_trace_end(now, client->number);

        } else if (!client->waits) {
            prt_trace_block(now, client->number,
                            ngx_http_pprof_trace_states
                                [ngx_http_pprof_trace_idle(client->c)],
                            0);
        }
    }

    ngx_http_pprof_trace_nclients = 0;
}


static ngx_http_pprof_name_t
ngx_http_pprof_trace_idle(ngx_connection_t *c)
{
#if (NGX_HTTP_SSL)
    if (c->ssl && !c->ssl->handshaked) {
        return NGX_HTTP_PPROF_HANDSHAKE;
    }
#endif

    return c->requests ? NGX_HTTP_PPROF_KEEPALIVE
                       : NGX_HTTP_PPROF_FIRST_REQUEST;
}


/*
 * Upstreams' connections take numbers as well, so those of clients may all be
 * even: what is taken is a part of their hashes (Knuth's, by the golden ratio).
 */

static ngx_inline ngx_uint_t
ngx_http_pprof_trace_sampled(ngx_connection_t *c)
{
    uint64_t  hash;

    if (ngx_http_pprof_trace_sample == 1) {
        return 1;
    }

    hash = (uint64_t) c->number * 0x9e3779b97f4a7c15ull >> 32;

    return hash % ngx_http_pprof_trace_sample == 0;
}


/* The client's connection that the event is of, if it is of one of http{}. */

static ngx_connection_t *
ngx_http_pprof_trace_client(ngx_event_t *ev)
{
    ngx_connection_t  *c;

    c = ev->data;

    if ((uintptr_t) c - (uintptr_t) ngx_http_pprof_connections
        >= ngx_http_pprof_connection_n * sizeof(ngx_connection_t))
    {
        return NULL;
    }

    if (ev->accept || c->fd == (ngx_socket_t) -1 || c->listening == NULL
        || c->listening->handler != ngx_http_init_connection
        || c->type != SOCK_STREAM
        || !ngx_http_pprof_trace_sampled(c))
    {
        return NULL;
    }

    return c;
}


static void
ngx_http_pprof_trace_add(ngx_connection_t *c)
{
    ngx_uint_t                      i;
    ngx_http_pprof_trace_client_t  *client;

    for (i = 0; i < ngx_http_pprof_trace_nclients; i++) {
        if (ngx_http_pprof_trace_clients[i].c == c) {
            return;
        }
    }

    if (i == NGX_HTTP_PPROF_TRACE_CLIENTS) {
        return;
    }

    client = &ngx_http_pprof_trace_clients[ngx_http_pprof_trace_nclients++];
    client->c = c;
    client->number = c->number;
    client->waits = 0;
}


/* The event works on another request than before, maybe for the first time. */

void
ngx_http_pprof_trace_switch(ngx_http_request_t *r, ngx_uint_t new)
{
    uint64_t  g, now;

    g = ngx_http_pprof_trace_number(r);
    ngx_http_pprof_trace_whose = r;

    if (g == 0) {

        if (ngx_http_pprof_trace_current != 0) {
            prt_trace_run(prt_trace_now(), 0, 0, 0);
            ngx_http_pprof_trace_current = 0;
        }

        return;
    }

    now = 0;

    if (!ngx_http_pprof_trace_own(r)) {
        ngx_http_pprof_trace_add(r->connection);
    }

    if (g != ngx_http_pprof_trace_current) {
        now = prt_trace_now();

        prt_trace_run(now, g,
                      new && ngx_http_pprof_trace_own(r) ? PRT_TRACE_NEW : 0,
                      ngx_http_pprof_trace_root(r));

        ngx_http_pprof_trace_current = g;
        ngx_http_pprof_trace_labels = 0;

        if (new && r != r->main) {
            prt_trace_owner(now, ngx_http_pprof_trace_g(r->main));
        }
    }

    if (new && r == r->main) {
        ngx_http_pprof_trace_task(r, now);
    }
}


/* Its header was read by this event, unless another request came before. */

static void
ngx_http_pprof_trace_task(ngx_http_request_t *r, uint64_t now)
{
    if (now == 0) {
        now = ngx_http_pprof_trace_first ? ngx_http_pprof_hot.begun
                                         : prt_trace_now();
    }

    prt_trace_begin(now, ngx_http_pprof_trace_g(r));

    ngx_http_pprof_trace_first = 0;
    ngx_http_pprof_trace_last = r;
    ngx_http_pprof_trace_named = 0;
    ngx_http_pprof_trace_labels = 0;
}


/*
 * One that was not there before is known by the waits' source, which does not
 * tell: that would cost each request something while nothing is recorded.
 */

static void
ngx_http_pprof_trace_see(ngx_http_request_t *r)
{
    if (ngx_http_pprof_hot.request == r) {
        return;
    }

    ngx_http_pprof_wait_see(r);

    if (ngx_http_pprof_trace_last != r && !ngx_http_pprof_wait_known(r)
        && r == r->main)
    {
        ngx_http_pprof_trace_switch(r, 1);
    }
}


void
ngx_http_pprof_trace_phase(ngx_http_request_t *r, uint32_t labels)
{
    uint64_t  g;

    ngx_http_pprof_trace_see(r);

    g = ngx_http_pprof_trace_g(r);

    if (g == 0 || labels == ngx_http_pprof_trace_labels) {
        return;
    }

    ngx_http_pprof_trace_labels = labels;
    ngx_http_pprof_trace_named |= ngx_http_pprof_trace_last == r;

    prt_trace_phase(prt_trace_now(), g, labels);
}


void
ngx_http_pprof_trace_done(ngx_http_request_t *r, uint32_t labels)
{
    uint64_t  g, now;

    /* a subrequest is over when its waits are looked at */

    if (r != r->main) {
        return;
    }

    ngx_http_pprof_trace_see(r);

    g = ngx_http_pprof_trace_g(r);

    if (g == 0) {
        return;
    }

    /* one that had an error before its first phase */

    if (ngx_http_pprof_trace_last != r && !ngx_http_pprof_wait_known(r)) {
        ngx_http_pprof_trace_switch(r, 1);
    }

    now = prt_trace_now();

    if (ngx_http_pprof_trace_last == r && !ngx_http_pprof_trace_named) {
        prt_trace_phase(now, g, labels);
    }

    prt_trace_done(now, g, (unsigned) ngx_http_pprof_trace_status(r),
                   (uint64_t) r->connection->sent);

    ngx_http_pprof_trace_labels = 0;
    ngx_http_pprof_trace_last = NULL;
    ngx_http_pprof_trace_whose = NULL;

    if (ngx_http_pprof_trace_own(r)) {
        prt_trace_end(now, g);

        ngx_http_pprof_trace_current = 0;
    }
}


/*
 * The event has left it for the first time.  If its task has not begun it has
 * come to no phase: its header made no sense.
 */

void
ngx_http_pprof_trace_left(ngx_http_request_t *r)
{
    uint64_t  g;

    g = ngx_http_pprof_trace_g(r);

    if (r != r->main || g == 0 || ngx_http_pprof_trace_last == r) {
        return;
    }

    ngx_http_pprof_trace_switch(r, 1);

    prt_trace_phase(prt_trace_now(), g, ngx_http_pprof_labels(r, NULL));
}


static ngx_uint_t
ngx_http_pprof_trace_status(ngx_http_request_t *r)
{
    return r->err_status ? r->err_status : r->headers_out.status;
}


/* The event is over, and leaves the request to wait. */

void
ngx_http_pprof_trace_wait(ngx_http_request_t *r, uint64_t now,
    ngx_uint_t state, uint32_t labels)
{
    uint64_t    g;
    ngx_uint_t  i;

    g = ngx_http_pprof_trace_g(r);

    if (g == 0) {
        return;
    }

    for (i = 0; i < ngx_http_pprof_trace_nclients; i++) {
        if (ngx_http_pprof_trace_clients[i].number == g) {
            ngx_http_pprof_trace_clients[i].waits = 1;
        }
    }

    prt_trace_block(now, g, ngx_http_pprof_trace_states[state], labels);
}


/* A subrequest is. */

void
ngx_http_pprof_trace_over(ngx_http_request_t *r, uint64_t now)
{
    uint64_t  g;

    g = ngx_http_pprof_trace_g(r);

    if (g) {
        prt_trace_end(now, g);
    }
}


/* The number of its goroutine; 0: it is not among the sampled ones. */

static ngx_inline uint64_t
ngx_http_pprof_trace_g(ngx_http_request_t *r)
{
    return ngx_http_pprof_trace_whose == r ? ngx_http_pprof_trace_current
                                           : ngx_http_pprof_trace_number(r);
}


static uint64_t
ngx_http_pprof_trace_number(ngx_http_request_t *r)
{
    ngx_connection_t  *c;

    c = r->connection;

    /* a stream has the number of its connection there */

    if (!ngx_http_pprof_trace_sampled(c)) {
        return 0;
    }

    if (ngx_http_pprof_trace_own(r)) {
        return (uint64_t) (uintptr_t) r | NGX_HTTP_PPROF_TRACE_ADDRESS;
    }

    return c->number;
}


/* Whether it has a goroutine that is not its connection's. */

static ngx_uint_t
ngx_http_pprof_trace_own(ngx_http_request_t *r)
{
#if (NGX_HTTP_V2)
    if (r->stream) {
        return 1;
    }
#endif

    return r != r->main;
}


static uint64_t
ngx_http_pprof_trace_root(ngx_http_request_t *r)
{
    if (r != r->main) {
        return ngx_http_pprof_trace_subrequest;
    }

    if (ngx_http_pprof_trace_own(r)) {
        return ngx_http_pprof_trace_stream;
    }

    return ngx_http_pprof_trace_listening(r->connection->listening);
}


static uint64_t
ngx_http_pprof_trace_listening(ngx_listening_t *ls)
{
    u_char                        text[NGX_HTTP_PPROF_TRACE_TEXT], *p;
    ngx_uint_t                    i;
    ngx_http_pprof_trace_root_t  *root;

    for (i = 0; i < NGX_HTTP_PPROF_TRACE_ROOTS; i++) {
        root = &ngx_http_pprof_trace_roots[i];

        if (root->listening == ls) {
            return root->frame;
        }

        if (root->listening == NULL) {
            break;
        }
    }

    p = ngx_snprintf(text, sizeof(text), "http connection %V",
                     &ls->addr_text);

    if (i == NGX_HTTP_PPROF_TRACE_ROOTS) {
        return prt_frame((char *) text, p - text);
    }

    root->listening = ls;
    root->frame = prt_frame((char *) text, p - text);

    return root->frame;
}
