
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Goroutines: every request and connection of this worker, with what it waits
 * for and a logical stack, from the handlers that will be called down to what
 * it is.
 *
 * The list is made on the event loop, in slices of some hundred connections,
 * between which the loop goes on; what comes and goes meanwhile may be in it or
 * not.  A pointer is followed only where nginx itself would: from a client's
 * connection to its log's request, from there to upstream and subrequests.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#if (NGX_HTTP_V2)
#include <ngx_http_v2_module.h>
#endif

#include <ngx_pprof_module.h>
#include <ngx_http_pprof_goroutine.h>


/* of a slice: what one connection costs that is not open, or that is */
#define NGX_HTTP_PPROF_SLICE        4096
#define NGX_HTTP_PPROF_CLOSED       1
#define NGX_HTTP_PPROF_OPEN         8

#define NGX_HTTP_PPROF_NAME_LEN     512


/* The walk through all connections, of which there is one at a time. */

typedef struct {
    ngx_event_t                 event;
    ngx_uint_t                  others;      /* clients have been listed */
    ngx_uint_t                  next;        /* connection */
    ngx_int_t                   left;        /* of this slice */
    u_char                     *peers;       /* a bit for each connection */
    size_t                      size;        /* of these, in bytes */
} ngx_http_pprof_walk_t;


static void ngx_http_pprof_goroutines_handler(ngx_event_t *ev);
static void ngx_http_pprof_goroutines_client(ngx_connection_t *c);
static void ngx_http_pprof_goroutines_other(ngx_connection_t *c);
#if (NGX_HTTP_SSL)
static void ngx_http_pprof_goroutines_closing(ngx_connection_t *c);
#endif
static void ngx_http_pprof_goroutines_idle(ngx_connection_t *c);
static void ngx_http_pprof_goroutines_request(ngx_http_request_t *r,
    ngx_uint_t parent);
static void ngx_http_pprof_goroutines_peer(ngx_connection_t *c);

static ngx_msec_int_t ngx_http_pprof_keepalive_time(ngx_connection_t *c,
    ngx_http_connection_t *hc);
static void ngx_http_pprof_places(ngx_http_request_t *r,
    ngx_http_pprof_goroutine_t *g);

static void ngx_http_pprof_goroutine_init(ngx_http_pprof_goroutine_t *g,
    ngx_http_pprof_name_t state);
static void ngx_http_pprof_goroutine_named(ngx_http_pprof_goroutine_t *g,
    const char *prefix, ngx_str_t *name);
static void ngx_http_pprof_goroutine_frame(ngx_http_pprof_goroutine_t *g,
    uint64_t frame);


static ngx_str_t  ngx_http_pprof_names[] = {
    ngx_string("waiting"),
    ngx_string("keepalive"),
    ngx_string("waiting for request"),
    ngx_string("SSL handshaking"),
    ngx_string("SSL shutdown"),
    ngx_string("HTTP/2 streams"),
    ngx_string("client header"),
    ngx_string("client body"),
    ngx_string("discarding body"),
    ngx_string("lingering close"),
    ngx_string("writing to client"),
    ngx_string("delayed by limit_req"),
    ngx_string("delayed by auth_delay"),
    ngx_string("delayed by limit_rate"),
    ngx_string("resolver"),
    ngx_string("upstream connect"),
    ngx_string("upstream SSL handshaking"),
    ngx_string("upstream send"),
    ngx_string("upstream header"),
    ngx_string("upstream body"),
    ngx_string("upgraded connection"),
    ngx_string("cache lock"),
    ngx_string("disk"),
    ngx_string("subrequest"),
    ngx_string("postponed"),
    ngx_string("profiling"),
    ngx_string("IO wait"),
    ngx_string("accept"),

    ngx_string("http request"),
    ngx_string("connection"),
    ngx_string("upstream connection"),
    ngx_string("listening socket"),
    ngx_string("channel")
};


/* these names as frames, once they were used */
static uint64_t               ngx_http_pprof_frames[NGX_HTTP_PPROF_NAMES];

static ngx_http_pprof_walk_t  ngx_http_pprof_walk;

/* The debug log of events wants a connection: this one stands for none. */
static ngx_connection_t       ngx_http_pprof_no_connection = {
    .fd = (ngx_socket_t) -1
};


ngx_int_t
ngx_http_pprof_goroutines_init(ngx_cycle_t *cycle)
{
    ngx_http_pprof_walk_t  *walk;

    walk = &ngx_http_pprof_walk;

    /* a single process comes here again with its next cycle */

    if (walk->event.posted) {
        ngx_delete_posted_event(&walk->event);
    }

    /* numbers of names are of the slot that this process has now */

    ngx_memzero(ngx_http_pprof_frames, sizeof(ngx_http_pprof_frames));
    ngx_memzero(walk, sizeof(ngx_http_pprof_walk_t));

    walk->event.handler = ngx_http_pprof_goroutines_handler;
    walk->event.data = &ngx_http_pprof_no_connection;
    walk->event.log = cycle->log;

    walk->size = (cycle->connection_n + 7) / 8;

    walk->peers = ngx_palloc(cycle->pool, walk->size);
    if (walk->peers == NULL) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_http_pprof_goroutines(void)
{
    ngx_http_pprof_walk_t  *walk;

    walk = &ngx_http_pprof_walk;

    if (!walk->event.posted && prt_goroutines_wanted()) {
        walk->others = 0;
        walk->next = 0;

        ngx_memzero(walk->peers, walk->size);

        ngx_post_event(&walk->event, &ngx_posted_next_events);
    }
}


static void
ngx_http_pprof_goroutines_handler(ngx_event_t *ev)
{
    ngx_connection_t       *c;
    ngx_http_pprof_walk_t  *walk;

    walk = &ngx_http_pprof_walk;
    walk->left = NGX_HTTP_PPROF_SLICE;

    prt_goroutines_begin();

    while (walk->left > 0) {

        if (walk->next == ngx_http_pprof_connection_n) {

            if (walk->others) {
                prt_goroutines_end(1);

                /* others may have asked meanwhile */

                ngx_http_pprof_goroutines();
                return;
            }

            walk->others = 1;
            walk->next = 0;
        }

        c = &ngx_http_pprof_connections[walk->next++];

        if (c->fd == (ngx_socket_t) -1) {
            walk->left -= NGX_HTTP_PPROF_CLOSED;
            continue;
        }

        walk->left -= NGX_HTTP_PPROF_OPEN;

        if (c->listening
            && c->listening->handler == ngx_http_init_connection
            && c->type == SOCK_STREAM && !c->read->accept)
        {
            if (!walk->others) {
                ngx_http_pprof_goroutines_client(c);
            }

        } else if (walk->others) {
            ngx_http_pprof_goroutines_other(c);
        }
    }

    prt_goroutines_end(0);

    ngx_post_event(&walk->event, &ngx_posted_next_events);
}


/* A client of http{}: its log has the request, if there is one. */

static void
ngx_http_pprof_goroutines_client(ngx_connection_t *c)
{
    ngx_http_log_ctx_t  *ctx;

    ctx = c->log->data;

    if (ctx && ctx->request) {
        ngx_http_pprof_goroutines_request(ctx->request, 0);
        return;
    }

#if (NGX_HTTP_SSL)

    /* its request is gone, and its data still that */

    if (c->ssl && c->ssl->handler == ngx_http_close_connection) {
        ngx_http_pprof_goroutines_closing(c);
        return;
    }

#endif

    ngx_http_pprof_goroutines_idle(c);
}


#if (NGX_HTTP_SSL)

static void
ngx_http_pprof_goroutines_closing(ngx_connection_t *c)
{
    ngx_http_pprof_goroutine_t  g;

    ngx_http_pprof_goroutine_init(&g, NGX_HTTP_PPROF_SHUTDOWN);

    g.entry.id = c->number;
    g.entry.creator = (const void *) ngx_event_accept;

    ngx_http_pprof_goroutine_function(&g, (const void *) c->write->handler);
    ngx_http_pprof_goroutine_frame(&g,
        ngx_http_pprof_name(NGX_HTTP_PPROF_CONNECTION_ROOT));

    (void) prt_goroutines_add(&g.entry);
}

#endif


/* Between requests, before the first one, or with those of HTTP/2. */

static void
ngx_http_pprof_goroutines_idle(ngx_connection_t *c)
{
    ngx_msec_int_t              ms;
    ngx_http_connection_t      *hc;
    ngx_http_pprof_name_t       state;
    ngx_http_pprof_goroutine_t  g;

#if (NGX_HTTP_V2)

    ngx_uint_t                  i, size, number;
    ngx_http_v2_node_t         *node;
    ngx_http_v2_srv_conf_t     *h2scf;
    ngx_http_v2_connection_t   *h2c;

    /* a connection of HTTP/2 begins with a pointer to where it comes from */

    h2c = *(ngx_connection_t **) c->data == c ? c->data : NULL;
    hc = h2c ? h2c->http_connection : c->data;

#else

    hc = c->data;

#endif

    ms = (ngx_msec_int_t) (ngx_current_msec - c->start_time);

#if (NGX_HTTP_V2)

    /* it remains idle by name, once it was */

    if (h2c && h2c->processing) {
        state = NGX_HTTP_PPROF_STREAMS;

    } else

#endif

    if (c->idle) {
        state = NGX_HTTP_PPROF_KEEPALIVE;
        ms = ngx_http_pprof_keepalive_time(c, hc);

#if (NGX_HTTP_SSL)

    } else if (c->ssl && !c->ssl->handshaked) {
        state = NGX_HTTP_PPROF_HANDSHAKE;

#endif

    } else {
        state = NGX_HTTP_PPROF_FIRST_REQUEST;
    }

    ngx_http_pprof_goroutine_init(&g, state);

    g.entry.id = c->number;
    g.entry.lasts = (uint64_t) (ms > 0 ? ms : 0) * NGX_HTTP_PPROF_NSEC;
    g.entry.creator = (const void *) ngx_event_accept;

    ngx_http_pprof_goroutine_function(&g, (const void *) c->read->handler);
    ngx_http_pprof_goroutine_frame(&g,
        ngx_http_pprof_name(NGX_HTTP_PPROF_CONNECTION_ROOT));

#if (NGX_HTTP_V2)

    number = prt_goroutines_add(&g.entry);

    if (h2c == NULL || h2c->processing == 0) {
        return;
    }

    h2scf = ngx_http_get_module_srv_conf(hc->conf_ctx, ngx_http_v2_module);
    size = h2scf->streams_index_mask + 1;

    for (i = 0; i < size; i++) {
        for (node = h2c->streams_index[i]; node; node = node->index) {

            if (node->stream && node->stream->request) {
                ngx_http_pprof_goroutines_request(node->stream->request,
                                                  number);
            }
        }
    }

#else

    (void) prt_goroutines_add(&g.entry);

#endif
}


/*
 * The timer tells when the connection became idle, if the server's timeout is
 * that of the last request's location, too.
 */

static ngx_msec_int_t
ngx_http_pprof_keepalive_time(ngx_connection_t *c, ngx_http_connection_t *hc)
{
    ngx_msec_int_t             ms;
    ngx_http_core_loc_conf_t  *clcf;

    if (!c->read->timer_set) {
        return 0;
    }

    clcf = ngx_http_get_module_loc_conf(hc->conf_ctx, ngx_http_core_module);

    ms = (ngx_msec_int_t) (clcf->keepalive_timeout
                           - (c->read->timer.key - ngx_current_msec));

    return ms <= (ngx_msec_int_t) (ngx_current_msec - c->start_time) ? ms : 0;
}


static void
ngx_http_pprof_goroutines_request(ngx_http_request_t *r, ngx_uint_t parent)
{
    ngx_uint_t                     number;
    ngx_http_request_t            *sr;
    ngx_http_pprof_name_t          state;
    ngx_http_pprof_goroutine_t     g;
    ngx_http_postponed_request_t  *pr;

    ngx_http_pprof_walk.left -= NGX_HTTP_PPROF_OPEN;

    state = ngx_http_pprof_state(r);

    ngx_http_pprof_goroutine_init(&g, state);

    g.entry.parent = (unsigned) parent;
    g.entry.work = state != NGX_HTTP_PPROF_PROFILING;

    if (r != r->main) {
        g.entry.creator = (const void *) ngx_http_subrequest;

    } else {
        g.entry.creator = (const void *) ngx_http_create_request;

        /* streams share their connection's number */

        if (r->stream == NULL) {
            g.entry.id = r->connection->number;
        }
    }

    ngx_http_pprof_state_time(r, state, &g);

    /* before its header is read it is nobody's in particular */

    ngx_http_pprof_state_handlers(r, state, &g);

    if (state != NGX_HTTP_PPROF_CLIENT_HEADER) {
        g.entry.labels = ngx_http_pprof_labels(r, NULL);
        ngx_http_pprof_places(r, &g);
    }

    ngx_http_pprof_goroutine_frame(&g,
        ngx_http_pprof_name(NGX_HTTP_PPROF_REQUEST_ROOT));

    number = prt_goroutines_add(&g.entry);

    if (r->upstream && r->upstream->peer.connection) {
        ngx_http_pprof_goroutines_peer(r->upstream->peer.connection);
    }

    for (pr = r->postponed; pr; pr = pr->next) {
        sr = pr->request;

        if (sr && !sr->done) {
            ngx_http_pprof_goroutines_request(sr, number);
        }
    }
}


/* The request stands for its upstream's connection. */

static void
ngx_http_pprof_goroutines_peer(ngx_connection_t *c)
{
    uintptr_t  i;

    i = (uintptr_t) c - (uintptr_t) ngx_http_pprof_connections;
    i /= sizeof(ngx_connection_t);

    if (i < ngx_http_pprof_connection_n) {
        ngx_http_pprof_walk.peers[i / 8] |= 1 << i % 8;
    }
}


static void
ngx_http_pprof_goroutines_other(ngx_connection_t *c)
{
    ngx_uint_t                  i;
    ngx_http_request_t         *r;
    ngx_http_pprof_name_t       root;
    ngx_http_pprof_goroutine_t  g;

    i = c - ngx_http_pprof_connections;

    if ((ngx_http_pprof_walk.peers[i / 8] & 1 << i % 8)
        || c->fd == prt_eventfd())
    {
        return;
    }

    r = ngx_http_pprof_labels_upstream_request(c);

    if (r) {
        /* nothing leads from a request to those in its background */

        if (r->background) {
            ngx_http_pprof_goroutines_request(r, 0);
        }

        return;
    }

    ngx_http_pprof_goroutine_init(&g, NGX_HTTP_PPROF_IO);
    root = NGX_HTTP_PPROF_CONNECTION_ROOT;

    g.entry.id = c->number;

    if (c->read->accept) {
        ngx_http_pprof_goroutine_init(&g, NGX_HTTP_PPROF_ACCEPT);
        root = NGX_HTTP_PPROF_LISTENING_ROOT;

    } else if (c->read->channel) {
        root = NGX_HTTP_PPROF_CHANNEL_ROOT;

    } else if (c->listening) {
        g.entry.creator = (const void *) ngx_event_accept;

        /* of stream{} or mail{}, which say what they do */

        if (c->log->action) {
            g.entry.state = prt_frame(c->log->action,
                                      ngx_strlen(c->log->action));
        }

    } else if (c->idle) {
        ngx_http_pprof_goroutine_init(&g, NGX_HTTP_PPROF_KEEPALIVE);
        g.entry.id = c->number;
        g.entry.creator = (const void *) ngx_event_connect_peer;
        root = NGX_HTTP_PPROF_UPSTREAM_ROOT;
    }

    ngx_http_pprof_goroutine_function(&g, (const void *) c->read->handler);
    ngx_http_pprof_goroutine_frame(&g, ngx_http_pprof_name(root));

    (void) prt_goroutines_add(&g.entry);
}


/* Where it is: content handler, phase and location; then those of its parents. */

static void
ngx_http_pprof_places(ngx_http_request_t *r, ngx_http_pprof_goroutine_t *g)
{
    ngx_uint_t                  phase;
    ngx_http_handler_pt         handler;
    ngx_http_pprof_loc_conf_t  *plcf;

    for ( ;; ) {
        (void) ngx_http_pprof_labels(r, &phase);

        handler = ngx_http_pprof_labels_handler(r);

        ngx_http_pprof_goroutine_function(g, (const void *) handler);
        ngx_http_pprof_goroutine_named(g, "phase ",
                                       ngx_http_pprof_labels_phase(phase));

        plcf = ngx_http_get_module_loc_conf(r, ngx_http_pprof_module);

        if (plcf->name.len) {
            ngx_http_pprof_goroutine_named(g, "location ", &plcf->name);
        }

        if (r->parent == NULL) {
            return;
        }

        ngx_http_pprof_goroutine_frame(g,
            ngx_http_pprof_name(NGX_HTTP_PPROF_SUBREQUEST));

        r = r->parent;
    }
}


static void
ngx_http_pprof_goroutine_init(ngx_http_pprof_goroutine_t *g,
    ngx_http_pprof_name_t state)
{
    ngx_memzero(&g->entry, sizeof(prt_goroutine_t));

    g->entry.state = ngx_http_pprof_name(state);
    g->entry.frames = g->frames;
}


void
ngx_http_pprof_goroutine_function(ngx_http_pprof_goroutine_t *g,
    const void *function)
{
    if (function == NULL
        || function == (const void *) ngx_http_empty_handler
        || function == (const void *) ngx_http_request_empty_handler)
    {
        return;
    }

    ngx_http_pprof_goroutine_frame(g, prt_frame_of(function));
}


static void
ngx_http_pprof_goroutine_named(ngx_http_pprof_goroutine_t *g,
    const char *prefix, ngx_str_t *name)
{
    u_char  *p, text[NGX_HTTP_PPROF_NAME_LEN];

    p = ngx_snprintf(text, NGX_HTTP_PPROF_NAME_LEN, "%s%V", prefix, name);

    ngx_http_pprof_goroutine_frame(g, prt_frame((char *) text, p - text));
}


/* The last place is the root's: of a deep one the middle is left out. */

static void
ngx_http_pprof_goroutine_frame(ngx_http_pprof_goroutine_t *g, uint64_t frame)
{
    if (g->entry.nframes == PRT_GOROUTINE_MAX) {
        g->entry.nframes--;
    }

    g->frames[g->entry.nframes++] = frame;
}


uint64_t
ngx_http_pprof_name(ngx_http_pprof_name_t name)
{
    if (ngx_http_pprof_frames[name] == 0) {
        ngx_http_pprof_frames[name] =
                             prt_frame((char *) ngx_http_pprof_names[name].data,
                                       ngx_http_pprof_names[name].len);
    }

    return ngx_http_pprof_frames[name];
}
