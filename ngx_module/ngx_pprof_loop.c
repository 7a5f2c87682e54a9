
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The event loop's observer: every call of an event handler has a begin and an
 * end that the runtime and the labels know.
 *
 * process_events() is wrapped: events are posted instead of handled at once, and
 * the queues drained one by one in the order in which nginx would have handled
 * them.  What nginx does after it, once it has returned, finds nothing left but
 * timers of 0 ms that posted events have just set.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include <ngx_pprof_module.h>


static ngx_int_t ngx_pprof_loop_process_events(ngx_cycle_t *cycle,
    ngx_msec_t timer, ngx_uint_t flags);
static ngx_int_t ngx_pprof_loop_process_posted(ngx_cycle_t *cycle,
    ngx_msec_t timer, ngx_uint_t flags) __attribute__((noinline));
static ngx_int_t ngx_pprof_loop_wait(ngx_cycle_t *cycle, ngx_msec_t timer,
    ngx_uint_t flags);
static void ngx_pprof_loop_posted(ngx_cycle_t *cycle, ngx_queue_t *posted);
static ngx_inline void ngx_pprof_loop_timers(void);
static void ngx_pprof_loop_expire(ngx_event_t *ev) __attribute__((noinline));
static ngx_inline void ngx_pprof_loop_prepend(ngx_queue_t *posted,
    ngx_queue_t *first);


static ngx_int_t (*ngx_pprof_loop_process)(ngx_cycle_t *cycle,
    ngx_msec_t timer, ngx_uint_t flags);

static void (*ngx_pprof_loop_begin)(ngx_event_t *ev, uint64_t now);
static void (*ngx_pprof_loop_end)(uint64_t now);

static ngx_uint_t  ngx_pprof_loop_begun;   /* an event has, in this turn */


void
ngx_pprof_loop_init(void (*begin)(ngx_event_t *ev, uint64_t now),
    void (*end)(uint64_t now))
{
    ngx_pprof_loop_begin = begin;
    ngx_pprof_loop_end = end;

    /* never around itself */

    if (ngx_event_actions.process_events == ngx_pprof_loop_process_events) {
        return;
    }

    ngx_pprof_loop_process = ngx_event_actions.process_events;
    ngx_event_actions.process_events = ngx_pprof_loop_process_events;
}


/*
 * Events of the network come before the timers: a timeout must not win over data
 * that has arrived.  What is posted already, and what their handlers post, comes
 * after.
 */

static ngx_int_t
ngx_pprof_loop_process_events(ngx_cycle_t *cycle, ngx_msec_t timer,
    ngx_uint_t flags)
{
    ngx_int_t    rc;
    ngx_queue_t  network;

    if ((flags & NGX_POST_EVENTS) || !ngx_queue_empty(&ngx_posted_events)) {
        return ngx_pprof_loop_process_posted(cycle, timer, flags);
    }

    rc = ngx_pprof_loop_wait(cycle, timer, flags|NGX_POST_EVENTS);

    if (!ngx_queue_empty(&ngx_posted_accept_events)) {
        ngx_pprof_loop_posted(cycle, &ngx_posted_accept_events);
    }

    if (!ngx_queue_empty(&ngx_posted_events)) {
        ngx_queue_init(&network);
        ngx_pprof_loop_prepend(&network, &ngx_posted_events);
        ngx_pprof_loop_posted(cycle, &network);
    }

    ngx_pprof_loop_timers();

    if (!ngx_queue_empty(&ngx_posted_events)) {
        ngx_pprof_loop_posted(cycle, &ngx_posted_events);
    }

    return rc;
}


static ngx_int_t
ngx_pprof_loop_process_posted(ngx_cycle_t *cycle, ngx_msec_t timer,
    ngx_uint_t flags)
{
    ngx_int_t    rc;
    ngx_queue_t  later, network;

    /*
     * With the accept mutex nginx asks for posted events itself: those of this
     * turn come after the timers, with whatever was posted before.
     */

    if (flags & NGX_POST_EVENTS) {

        rc = ngx_pprof_loop_wait(cycle, timer, flags);

        ngx_pprof_loop_posted(cycle, &ngx_posted_accept_events);

        /* nginx does it again when we have returned, to no effect */

        if (ngx_accept_mutex_held) {
            ngx_shmtx_unlock(&ngx_accept_mutex);
        }

        ngx_pprof_loop_timers();
        ngx_pprof_loop_posted(cycle, &ngx_posted_events);

        return rc;
    }

    ngx_queue_init(&later);
    ngx_pprof_loop_prepend(&later, &ngx_posted_events);

    rc = ngx_pprof_loop_wait(cycle, timer, flags|NGX_POST_EVENTS);

    ngx_queue_init(&network);
    ngx_pprof_loop_prepend(&network, &ngx_posted_events);

    ngx_pprof_loop_posted(cycle, &ngx_posted_accept_events);
    ngx_pprof_loop_posted(cycle, &network);
    ngx_pprof_loop_timers();

    ngx_pprof_loop_prepend(&ngx_posted_events, &later);
    ngx_pprof_loop_posted(cycle, &ngx_posted_events);

    return rc;
}


static ngx_int_t
ngx_pprof_loop_wait(ngx_cycle_t *cycle, ngx_msec_t timer, ngx_uint_t flags)
{
    ngx_int_t  rc;

    ngx_pprof_loop_end(prt_loop_wait());
    ngx_pprof_loop_begun = 0;
    prt_labels = 0;

    rc = ngx_pprof_loop_process(cycle, timer, flags);

    prt_loop_woken();

    return rc;
}


/*
 * Whether the handler does nothing: with what has come on a socket the kernel
 * tells each time that it can be written to, too, and whoever keeps a connection
 * for later has no use for that.  Such an event counts for the one before.
 */

static ngx_inline ngx_uint_t
ngx_pprof_loop_idle(ngx_event_t *ev)
{
    ngx_connection_t  *c;

    if (!ev->write) {
        return 0;
    }

    if (ev->handler == ngx_http_empty_handler) {
        return 1;
    }

    /* an upstream's, in a cache; were it not so, there is an event to count for */

    c = ev->data;

    return ngx_pprof_loop_begun && c->idle && c->log == ngx_cycle->log;
}


/* The event may be gone when its handler has returned. */

static ngx_inline void
ngx_pprof_loop_handle(ngx_event_t *ev)
{
    if (!ngx_pprof_loop_idle(ev)) {
        ngx_pprof_loop_begun = 1;
        ngx_pprof_loop_begin(ev, prt_loop_event((const void *) ev->handler));
    }

    ev->handler(ev);
}


/* As ngx_event_process_posted() does it. */

static void
ngx_pprof_loop_posted(ngx_cycle_t *cycle, ngx_queue_t *posted)
{
    ngx_queue_t  *q;
    ngx_event_t  *ev;

    while (!ngx_queue_empty(posted)) {

        q = ngx_queue_head(posted);
        ev = ngx_queue_data(q, ngx_event_t, queue);

        ngx_log_debug1(NGX_LOG_DEBUG_EVENT, cycle->log, 0,
                       "posted event %p", ev);

        ngx_delete_posted_event(ev);

        ngx_pprof_loop_handle(ev);
    }
}


/* As ngx_event_expire_timers() does it. */

static ngx_inline void
ngx_pprof_loop_timers(void)
{
    ngx_rbtree_node_t  *node, *root, *sentinel;

    sentinel = ngx_event_timer_rbtree.sentinel;

    for ( ;; ) {
        root = ngx_event_timer_rbtree.root;

        if (root == sentinel) {
            return;
        }

        node = ngx_rbtree_min(root, sentinel);

        if ((ngx_msec_int_t) (node->key - ngx_current_msec) > 0) {
            return;
        }

        ngx_pprof_loop_expire(ngx_rbtree_data(node, ngx_event_t, timer));
    }
}


static void
ngx_pprof_loop_expire(ngx_event_t *ev)
{
    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, ev->log, 0,
                   "event timer del: %d: %M",
                   ngx_event_ident(ev->data), ev->timer.key);

    ngx_rbtree_delete(&ngx_event_timer_rbtree, &ev->timer);

#if (NGX_DEBUG)
    ev->timer.left = NULL;
    ev->timer.right = NULL;
    ev->timer.parent = NULL;
#endif

    ev->timer_set = 0;

    ev->timedout = 1;

    ngx_pprof_loop_handle(ev);
}


/* Moves all of "first" before what is posted; "first" is empty then. */

static ngx_inline void
ngx_pprof_loop_prepend(ngx_queue_t *posted, ngx_queue_t *first)
{
    ngx_queue_t  *head, *tail;

    if (ngx_queue_empty(first)) {
        return;
    }

    head = ngx_queue_head(first);
    tail = ngx_queue_last(first);

    tail->next = posted->next;
    posted->next->prev = tail;
    posted->next = head;
    head->prev = posted;

    ngx_queue_init(first);
}
