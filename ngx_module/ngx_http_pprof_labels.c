
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Labels: which request the event loop works for.
 *
 * They are found at known points and not when a sample is taken: where an event
 * begins, if its handler tells the request; where a request enters a phase; and
 * in the filters.  All values come from the configuration.
 *
 * A set is made once and found again by the request's configuration.  All this
 * happens some ten times in every request and has to be cheap, so phases have no
 * handlers of ours: what the engine calls for the first handler of a phase is
 * replaced, by one function for all.  Between two requests the kernel's code has
 * filled the caches: the cost is in how many lines of code and data all this
 * touches.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <ngx_pprof_module.h>
#include <ngx_http_pprof_module.h>


#define NGX_HTTP_PPROF_LABELS        5          /* of a set, at most */
#define NGX_HTTP_PPROF_TEXT_LEN      256        /* of a value that is put together */


/*
 * Sets that differ in their phase only, and what tells them from others: a
 * location's configuration is of one server.  Those of a location are a list.
 */

struct ngx_http_pprof_set_s {
    void                         **loc_conf;
    ngx_http_upstream_srv_conf_t  *uscf;        /* NULL: none */
    uint32_t                       method;
    uint32_t                       labels[NGX_HTTP_PPROF_PHASES];
    ngx_http_pprof_set_t          *next;
    ngx_uint_t                     full;        /* there was no room for one */
};


/* the last set of each kind */

typedef enum {
    NGX_HTTP_PPROF_SERVER = 0,                  /* no location yet */
    NGX_HTTP_PPROF_LOCATION,
    NGX_HTTP_PPROF_UPSTREAM,
    NGX_HTTP_PPROF_KINDS
} ngx_http_pprof_kind_t;


static uint32_t ngx_http_pprof_labels_find(ngx_http_request_t *r,
    ngx_uint_t phase) __attribute__((noinline));
static ngx_http_pprof_set_t *ngx_http_pprof_labels_set(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *uscf);
static uint32_t ngx_http_pprof_labels_make(ngx_http_request_t *r,
    ngx_http_pprof_set_t *set, ngx_uint_t phase);
static ngx_str_t *ngx_http_pprof_labels_method(ngx_uint_t method);
static void ngx_http_pprof_labels_server(ngx_http_request_t *r,
    ngx_str_t *value, u_char *text);
static void ngx_http_pprof_labels_upstream(ngx_http_upstream_srv_conf_t *uscf,
    ngx_str_t *value, u_char *text);
static ngx_http_upstream_srv_conf_t *ngx_http_pprof_labels_peer(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_pprof_labels_engine(ngx_cycle_t *cycle);

static ngx_int_t ngx_http_pprof_enter(ngx_http_request_t *r,
    ngx_http_phase_handler_t *ph);
static ngx_int_t ngx_http_pprof_enter_anew(ngx_http_request_t *r,
    ngx_http_phase_handler_t *ph) __attribute__((noinline));
static void ngx_http_pprof_labels_meet(ngx_http_request_t *r);
static void ngx_http_pprof_labels_client(ngx_http_request_t *r)
    __attribute__((noinline));
static ngx_int_t ngx_http_pprof_log_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_pprof_traced(ngx_http_request_t *r,
    ngx_http_phase_handler_t *ph);
static ngx_int_t ngx_http_pprof_traced_log_handler(ngx_http_request_t *r);


static ngx_str_t  ngx_http_pprof_phase_names[] = {
    ngx_string("post_read"),
    ngx_string("server_rewrite"),
    ngx_string("find_config"),
    ngx_string("rewrite"),
    ngx_string("post_rewrite"),
    ngx_string("preaccess"),
    ngx_string("access"),
    ngx_string("post_access"),
    ngx_string("precontent"),
    ngx_string("content"),
    ngx_string("log")
};


static struct {
    ngx_uint_t   method;
    ngx_str_t    name;
} ngx_http_pprof_methods[] = {
    { NGX_HTTP_GET, ngx_string("GET") },
    { NGX_HTTP_HEAD, ngx_string("HEAD") },
    { NGX_HTTP_POST, ngx_string("POST") },
    { NGX_HTTP_PUT, ngx_string("PUT") },
    { NGX_HTTP_DELETE, ngx_string("DELETE") },
    { NGX_HTTP_PATCH, ngx_string("PATCH") },
    { NGX_HTTP_OPTIONS, ngx_string("OPTIONS") }
};

#define NGX_HTTP_PPROF_METHODS                                                \
    (sizeof(ngx_http_pprof_methods) / sizeof(ngx_http_pprof_methods[0]))

static ngx_str_t  ngx_http_pprof_other_method = ngx_string("other");


/* for a name that is made of variables, which could hold anything */

static ngx_http_upstream_srv_conf_t      ngx_http_pprof_variable = {
    .host = ngx_string("variable")
};


static ngx_http_pprof_set_t              ngx_http_pprof_no_set;

ngx_http_pprof_hot_t                     ngx_http_pprof_hot
    __attribute__((aligned(64))) =
{
    .sets = { &ngx_http_pprof_no_set, &ngx_http_pprof_no_set,
              &ngx_http_pprof_no_set }
};


/*
 * The set that was used last, if it is the request's: nearly always, and then
 * this is all that there is to do.
 */

static inline ngx_http_pprof_set_t *
ngx_http_pprof_labels_last(ngx_http_request_t *r, ngx_uint_t phase)
{
    ngx_http_pprof_set_t  *set;

    set = ngx_http_pprof_hot.sets[phase > NGX_HTTP_FIND_CONFIG_PHASE];

    if (set->loc_conf != r->loc_conf
        || set->method != r->method
        || set->labels[phase] == 0
        || r->upstream)
    {
        return NULL;
    }

    return set;
}


static inline uint32_t
ngx_http_pprof_labels_in(ngx_http_request_t *r, ngx_uint_t phase)
{
    ngx_http_pprof_set_t  *set;

    if (r->upstream == NULL) {
        set = ngx_http_pprof_labels_last(r, phase);

        return set ? set->labels[phase] : ngx_http_pprof_labels_find(r, phase);
    }

    set = ngx_http_pprof_hot.sets[NGX_HTTP_PPROF_UPSTREAM];

    if (set->loc_conf == r->loc_conf
        && set->method == r->method
        && set->uscf == r->upstream->upstream
        && set->uscf
        && set->labels[phase])
    {
        return set->labels[phase];
    }

    return ngx_http_pprof_labels_find(r, phase);
}


static inline ngx_uint_t
ngx_http_pprof_labels_where(ngx_http_request_t *r)
{
    return (ngx_uint_t) r->phase_handler < ngx_http_pprof_hot.nphases
           ? ngx_http_pprof_hot.phases[r->phase_handler]
           : NGX_HTTP_CONTENT_PHASE;
}


static inline uint32_t
ngx_http_pprof_labels_of(ngx_http_request_t *r)
{
    return ngx_http_pprof_labels_in(r, ngx_http_pprof_labels_where(r));
}


ngx_int_t
ngx_http_pprof_labels_init(ngx_conf_t *cf)
{
    ngx_array_t                *handlers;
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    /* in this phase the first one is called first */

    handlers = &cmcf->phases[NGX_HTTP_LOG_PHASE].handlers;

    if (ngx_array_push(handlers) == NULL) {
        return NGX_ERROR;
    }

    h = handlers->elts;
    ngx_memmove(h + 1, h, (handlers->nelts - 1) * sizeof(*h));
    *h = ngx_http_pprof_log_handler;

    return NGX_OK;
}


ngx_int_t
ngx_http_pprof_labels_start(ngx_cycle_t *cycle)
{
    ngx_uint_t  i;

    /* what was kept belongs to another configuration */

    for (i = 0; i < NGX_HTTP_PPROF_KINDS; i++) {
        ngx_http_pprof_hot.sets[i] = &ngx_http_pprof_no_set;
    }

    ngx_http_pprof_hot.pool = cycle->pool;

    if (ngx_http_pprof_labels_engine(cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_pprof_hot.on = 1;

    ngx_http_pprof_wait_start();

    ngx_pprof_loop_init(ngx_http_pprof_labels_begin, ngx_http_pprof_wait_end);

    return NGX_OK;
}


/* The engine as ngx_http_init_phase_handlers() has laid it out. */

static ngx_int_t
ngx_http_pprof_labels_engine(ngx_cycle_t *cycle)
{
    u_char                     *p;
    ngx_uint_t                  i, n, lua, counts[NGX_HTTP_LOG_PHASE];
    ngx_http_phase_handler_t   *ph;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_core_module);
    n = 0;

    for (i = 0; i < NGX_HTTP_LOG_PHASE; i++) {

        switch (i) {

        case NGX_HTTP_FIND_CONFIG_PHASE:
            counts[i] = 1;
            break;

        case NGX_HTTP_POST_REWRITE_PHASE:
            counts[i] = cmcf->phases[NGX_HTTP_REWRITE_PHASE].handlers.nelts
                        != 0;
            break;

        case NGX_HTTP_POST_ACCESS_PHASE:
            counts[i] = cmcf->phases[NGX_HTTP_ACCESS_PHASE].handlers.nelts
                        != 0;
            break;

        default:
            counts[i] = cmcf->phases[i].handlers.nelts;
        }

        n += counts[i];
    }

    p = ngx_pnalloc(cycle->pool, n);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ph = cmcf->phase_engine.handlers;

    ngx_http_pprof_hot.engine = ph;
    ngx_http_pprof_hot.phases = p;
    ngx_http_pprof_hot.nphases = n;

    lua = 0;

    for (i = 0; cycle->modules[i]; i++) {
        if (ngx_strcmp(cycle->modules[i]->name, "ngx_http_lua_module") == 0) {
            lua = 1;
        }
    }

    for (i = 0; i < NGX_HTTP_LOG_PHASE; i++) {

        if (counts[i] != 0
            && i != NGX_HTTP_FIND_CONFIG_PHASE
            && i != NGX_HTTP_POST_REWRITE_PHASE
            && i != NGX_HTTP_POST_ACCESS_PHASE)
        {
            ngx_http_pprof_hot.checkers[i] = ph->checker;
            ph->checker = ngx_http_pprof_enter;

            /*
             * Lua moves its handler from the first place of its phase to the
             * last, with the first request.
             */

            if (lua && counts[i] > 1 && i != NGX_HTTP_CONTENT_PHASE) {
                ph[1].checker = ngx_http_pprof_enter;
            }
        }

        ngx_memset(p, (int) i, counts[i]);

        p += counts[i];
        ph += counts[i];
    }

    return NGX_OK;
}


void
ngx_http_pprof_labels_begin(ngx_event_t *ev, uint64_t now)
{
    ngx_http_request_t  *r;

    /* of a client's connection, which has no request yet or any more */

    r = ev->handler == ngx_http_pprof_hot.idle
        ? NULL : ngx_http_pprof_labels_request(ev);

    ngx_http_pprof_labels_work(r, now);
}


void
ngx_http_pprof_labels_work(ngx_http_request_t *r, uint64_t now)
{
    /* for the one that it goes on with, it began where that was met */

    if (!ngx_http_pprof_labels_goes_on(r)) {
        ngx_http_pprof_wait_end(now);
        ngx_http_pprof_hot.begun = now;
    }

    if (r == NULL) {
        prt_labels = 0;
        return;
    }

    prt_labels = ngx_http_pprof_labels_of(r);

    ngx_http_pprof_wait_see(r);
    ngx_http_pprof_hot.upstreamed = r->upstream;
}


/*
 * The request that an event's handler will work on, if that is known.  The
 * log's current request is not asked: it can be one that was freed.
 */

ngx_http_request_t *
ngx_http_pprof_labels_request(ngx_event_t *ev)
{
    ngx_connection_t    *c;
    ngx_http_log_ctx_t  *ctx;

    c = ev->data;

    if (ev->handler == ngx_http_pprof_hot.client
        || ev->handler == ngx_http_pprof_hot.upstream)
    {
        return c->data;
    }

    /* the data of other events is whatever they want */

    if ((uintptr_t) c - (uintptr_t) ngx_http_pprof_connections
        >= ngx_http_pprof_connection_n * sizeof(ngx_connection_t))
    {
        return ev->handler == ngx_http_pprof_hot.lock ? ev->data : NULL;
    }

    if (c->fd == (ngx_socket_t) -1
        || c->log == NULL
        || c->log->handler != ngx_http_pprof_hot.log_error
        || ngx_http_pprof_hot.log_error == NULL)
    {
        return NULL;
    }

    /* another module's connection that works for a request; else it begins */

    ctx = c->log->data;

    if (ctx->connection != c) {
        return ctx->request;
    }

    /* but for shaking hands, which upstreams do as well */

#if (NGX_HTTP_SSL)
    if (c->ssl) {
        return NULL;
    }
#endif

    ngx_http_pprof_hot.idle = ev->handler;

    return NULL;
}


uint32_t
ngx_http_pprof_labels(ngx_http_request_t *r, ngx_uint_t *phase)
{
    if (phase) {
        *phase = ngx_http_pprof_labels_where(r);
    }

    return ngx_http_pprof_labels_of(r);
}


ngx_str_t *
ngx_http_pprof_labels_phase(ngx_uint_t phase)
{
    return &ngx_http_pprof_phase_names[phase];
}


ngx_http_handler_pt
ngx_http_pprof_labels_handler(ngx_http_request_t *r)
{
    if (ngx_http_pprof_labels_where(r) == NGX_HTTP_CONTENT_PHASE
        && r->content_handler)
    {
        return r->content_handler;
    }

    return (ngx_uint_t) r->phase_handler < ngx_http_pprof_hot.nphases
           ? ngx_http_pprof_hot.engine[r->phase_handler].handler : NULL;
}


ngx_http_request_t *
ngx_http_pprof_labels_upstream_request(ngx_connection_t *c)
{
    if (ngx_http_pprof_hot.upstream == NULL
        || c->read->handler != ngx_http_pprof_hot.upstream)
    {
        return NULL;
    }

    return c->data;
}


/*
 * While it shakes hands by TLS a connection has another handler, whose data
 * can be anything.
 */

void
ngx_http_pprof_labels_learn(ngx_http_request_t *r)
{
    ngx_connection_t  *c;

    if (ngx_http_pprof_hot.upstream || r->upstream == NULL) {
        return;
    }

    c = r->upstream->peer.connection;

    if (c == NULL || c->data != r) {
        return;
    }

#if (NGX_HTTP_SSL)
    if (c->ssl && !c->ssl->handshaked) {
        return;
    }
#endif

    ngx_http_pprof_hot.upstream = c->read->handler;
}


static uint32_t
ngx_http_pprof_labels_find(ngx_http_request_t *r, ngx_uint_t phase)
{
    ngx_http_pprof_set_t          *set;
    ngx_http_pprof_kind_t          kind;
    ngx_http_upstream_srv_conf_t  *uscf;

    if (!ngx_http_pprof_hot.on) {
        return 0;
    }

    if (r->upstream) {
        kind = NGX_HTTP_PPROF_UPSTREAM;
        uscf = ngx_http_pprof_labels_peer(r);

    } else {
        kind = phase > NGX_HTTP_FIND_CONFIG_PHASE;
        uscf = NULL;
    }

    set = ngx_http_pprof_hot.sets[kind];

    if (set->loc_conf != r->loc_conf
        || set->uscf != uscf
        || set->method != r->method)
    {
        set = ngx_http_pprof_labels_set(r, uscf);

        if (set == NULL) {
            return 0;
        }

        ngx_http_pprof_hot.sets[kind] = set;
    }

    if (set->labels[phase] == 0 && !set->full) {
        set->labels[phase] = ngx_http_pprof_labels_make(r, set, phase);

        /* without room for it: what is the same for all that it is asked for */

        if (set->labels[phase] == 0) {
            set->labels[phase] = ngx_http_pprof_labels_make(r, set,
                                                    NGX_HTTP_PPROF_PHASES);
        }

        set->full = set->labels[phase] == 0;
    }

    return set->labels[phase];
}


static ngx_http_pprof_set_t *
ngx_http_pprof_labels_set(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *uscf)
{
    ngx_http_pprof_set_t       *set;
    ngx_http_pprof_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_pprof_module);

    for (set = plcf->sets; set; set = set->next) {
        if (set->loc_conf == r->loc_conf
            && set->uscf == uscf
            && set->method == r->method)
        {
            return set;
        }
    }

    set = ngx_pcalloc(ngx_http_pprof_hot.pool, sizeof(ngx_http_pprof_set_t));
    if (set == NULL) {
        return NULL;
    }

    set->loc_conf = r->loc_conf;
    set->uscf = uscf;
    set->method = (uint32_t) r->method;
    set->next = plcf->sets;

    plcf->sets = set;

    return set;
}


static ngx_http_upstream_srv_conf_t *
ngx_http_pprof_labels_peer(ngx_http_request_t *r)
{
    ngx_http_upstream_t  *u;

    u = r->upstream;

    if (u->upstream) {
        return u->upstream;
    }

    if (u->resolved) {
        return &ngx_http_pprof_variable;
    }

    return u->conf ? u->conf->upstream : NULL;
}


static uint32_t
ngx_http_pprof_labels_make(ngx_http_request_t *r, ngx_http_pprof_set_t *set,
    ngx_uint_t phase)
{
    u_char                      server[NGX_HTTP_PPROF_TEXT_LEN];
    u_char                      upstream[NGX_HTTP_PPROF_TEXT_LEN];
    ngx_str_t                   values[NGX_HTTP_PPROF_LABELS];
    ngx_uint_t                  i, n;
    prt_label_text_t            texts[NGX_HTTP_PPROF_LABELS];
    ngx_http_pprof_loc_conf_t  *plcf;

    static const char *const  keys[NGX_HTTP_PPROF_LABELS] = {
        "server", "location", "upstream", "phase", "method"
    };

    ngx_memzero(values, sizeof(values));

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_pprof_module);

    ngx_http_pprof_labels_server(r, &values[0], server);

    values[1] = plcf->name;

    if (set->uscf) {
        ngx_http_pprof_labels_upstream(set->uscf, &values[2], upstream);
    }

    if (phase < NGX_HTTP_PPROF_PHASES) {
        values[3] = ngx_http_pprof_phase_names[phase];
        values[4] = *ngx_http_pprof_labels_method(set->method);
    }

    n = 0;

    for (i = 0; i < NGX_HTTP_PPROF_LABELS; i++) {

        if (values[i].len == 0) {
            continue;
        }

        texts[n].key = keys[i];
        texts[n].key_len = ngx_strlen(keys[i]);
        texts[n].value = (char *) values[i].data;
        texts[n].value_len = values[i].len;
        n++;
    }

    return prt_labels_make(texts, n);
}


/* Clients choose the method: those that few use make no sets of their own. */

static ngx_str_t *
ngx_http_pprof_labels_method(ngx_uint_t method)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_PPROF_METHODS; i++) {
        if (ngx_http_pprof_methods[i].method == method) {
            return &ngx_http_pprof_methods[i].name;
        }
    }

    return &ngx_http_pprof_other_method;
}


/* Its first name, or where it stands. */

static void
ngx_http_pprof_labels_server(ngx_http_request_t *r, ngx_str_t *value,
    u_char *text)
{
    u_char                    *name;
    ngx_http_core_srv_conf_t  *cscf;

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    *value = cscf->server_name;

    if (value->len || cscf->file_name == NULL) {
        return;
    }

    name = (u_char *) strrchr((char *) cscf->file_name, '/');
    name = name ? name + 1 : cscf->file_name;

    value->data = text;
    value->len = ngx_snprintf(text, NGX_HTTP_PPROF_TEXT_LEN, "%s:%ui", name,
                              cscf->line)
                 - text;
}


static void
ngx_http_pprof_labels_upstream(ngx_http_upstream_srv_conf_t *uscf,
    ngx_str_t *value, u_char *text)
{
    *value = uscf->host;

    if (uscf->port == 0 || uscf->no_port) {
        return;
    }

    value->data = text;
    value->len = ngx_snprintf(text, NGX_HTTP_PPROF_TEXT_LEN, "%V:%ui",
                              &uscf->host, (ngx_uint_t) uscf->port)
                 - text;
}


static ngx_int_t
ngx_http_pprof_enter(ngx_http_request_t *r, ngx_http_phase_handler_t *ph)
{
    ngx_uint_t             phase;
    ngx_http_pprof_set_t  *set;

    phase = ngx_http_pprof_hot.phases[r->phase_handler];
    set = ngx_http_pprof_labels_last(r, phase);

    if (set == NULL || ngx_http_pprof_hot.request != r) {
        return ngx_http_pprof_enter_anew(r, ph);
    }

    prt_labels = set->labels[phase];

    return ngx_http_pprof_hot.checkers[phase](r, ph);
}


static ngx_int_t
ngx_http_pprof_enter_anew(ngx_http_request_t *r, ngx_http_phase_handler_t *ph)
{
    ngx_uint_t  phase;

    phase = ngx_http_pprof_hot.phases[r->phase_handler];

    prt_labels = ngx_http_pprof_labels_in(r, phase);

    if (ngx_http_pprof_hot.request != r) {
        ngx_http_pprof_labels_meet(r);
    }

    ngx_http_pprof_hot.upstreamed = r->upstream;

    return ngx_http_pprof_hot.checkers[phase](r, ph);
}


/* The event comes to another request than before. */

static void
ngx_http_pprof_labels_meet(ngx_http_request_t *r)
{
    if (ngx_http_pprof_hot.client == NULL) {
        ngx_http_pprof_labels_client(r);
    }

    ngx_http_pprof_wait_switch(r);
}


static void
ngx_http_pprof_labels_client(ngx_http_request_t *r)
{
    ngx_connection_t  *c;

    c = r->connection;

    if (c->data == r) {
        ngx_http_pprof_hot.client = c->read->handler;
        ngx_http_pprof_hot.log_error = c->log->handler;
    }
}


static ngx_int_t
ngx_http_pprof_log_handler(ngx_http_request_t *r)
{
    prt_labels = ngx_http_pprof_labels_in(r, NGX_HTTP_LOG_PHASE);

    ngx_http_pprof_wait_see(r);
    ngx_http_pprof_wait_log(r);

    return NGX_OK;
}


void
ngx_http_pprof_labels_output(ngx_http_request_t *r)
{
    if (r->upstream && ngx_http_pprof_hot.upstream == NULL) {
        ngx_http_pprof_labels_learn(r);
    }

    prt_labels = ngx_http_pprof_labels_of(r);

    ngx_http_pprof_wait_see(r);
    ngx_http_pprof_hot.upstreamed = r->upstream;
}


/*
 * While a trace is recorded other functions stand in the places of ours: it
 * costs nothing else at other times.
 */

void
ngx_http_pprof_labels_trace(ngx_uint_t on)
{
    ngx_uint_t                  i;
    ngx_array_t                *handlers;
    ngx_http_handler_pt        *h;
    ngx_http_phase_handler_t   *ph;
    ngx_http_core_main_conf_t  *cmcf;

    for (i = 0; i < ngx_http_pprof_hot.nphases; i++) {
        ph = &ngx_http_pprof_hot.engine[i];

        if (on && ph->checker == ngx_http_pprof_enter) {
            ph->checker = ngx_http_pprof_traced;

        } else if (!on && ph->checker == ngx_http_pprof_traced) {
            ph->checker = ngx_http_pprof_enter;
        }
    }

    cmcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_core_module);
    if (cmcf == NULL) {
        return;
    }

    handlers = &cmcf->phases[NGX_HTTP_LOG_PHASE].handlers;
    h = handlers->elts;

    for (i = 0; i < handlers->nelts; i++) {

        if (on && h[i] == ngx_http_pprof_log_handler) {
            h[i] = ngx_http_pprof_traced_log_handler;

        } else if (!on && h[i] == ngx_http_pprof_traced_log_handler) {
            h[i] = ngx_http_pprof_log_handler;
        }
    }
}


static ngx_int_t
ngx_http_pprof_traced(ngx_http_request_t *r, ngx_http_phase_handler_t *ph)
{
    uint32_t    labels;
    ngx_uint_t  phase;

    phase = ngx_http_pprof_hot.phases[r->phase_handler];
    labels = ngx_http_pprof_labels_in(r, phase);

    if (ngx_http_pprof_hot.client == NULL) {
        ngx_http_pprof_labels_client(r);
    }

    /* it sees to it that this is the request that the event works on */

    ngx_http_pprof_trace_phase(r, labels);

    prt_labels = labels;
    ngx_http_pprof_hot.upstreamed = r->upstream;

    return ngx_http_pprof_hot.checkers[phase](r, ph);
}


static ngx_int_t
ngx_http_pprof_traced_log_handler(ngx_http_request_t *r)
{
    ngx_http_pprof_trace_done(r,
                              ngx_http_pprof_labels_in(r, NGX_HTTP_LOG_PHASE));

    return ngx_http_pprof_log_handler(r);
}
