
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#ifndef _NGX_HTTP_PPROF_GOROUTINE_H_INCLUDED_
#define _NGX_HTTP_PPROF_GOROUTINE_H_INCLUDED_


#include <ngx_http_pprof_module.h>


/* not behind a table of symbols */

#pragma GCC visibility push(hidden)


#define NGX_HTTP_PPROF_NSEC         1000000     /* of a millisecond */


/* States, and what has them. */

typedef enum {
    NGX_HTTP_PPROF_WAITING = 0,
    NGX_HTTP_PPROF_KEEPALIVE,
    NGX_HTTP_PPROF_FIRST_REQUEST,
    NGX_HTTP_PPROF_HANDSHAKE,
    NGX_HTTP_PPROF_SHUTDOWN,
    NGX_HTTP_PPROF_STREAMS,
    NGX_HTTP_PPROF_CLIENT_HEADER,
    NGX_HTTP_PPROF_CLIENT_BODY,
    NGX_HTTP_PPROF_DISCARD,
    NGX_HTTP_PPROF_LINGERING,
    NGX_HTTP_PPROF_WRITING,
    NGX_HTTP_PPROF_LIMIT_REQ,
    NGX_HTTP_PPROF_AUTH_DELAY,
    NGX_HTTP_PPROF_LIMIT_RATE,
    NGX_HTTP_PPROF_RESOLVER,
    NGX_HTTP_PPROF_CONNECT,
    NGX_HTTP_PPROF_UPSTREAM_HANDSHAKE,
    NGX_HTTP_PPROF_SEND,
    NGX_HTTP_PPROF_HEADER,
    NGX_HTTP_PPROF_BODY,
    NGX_HTTP_PPROF_UPGRADED,
    NGX_HTTP_PPROF_CACHE_LOCK,
    NGX_HTTP_PPROF_DISK,
    NGX_HTTP_PPROF_SUBREQUEST,
    NGX_HTTP_PPROF_POSTPONED,
    NGX_HTTP_PPROF_PROFILING,
    NGX_HTTP_PPROF_IO,
    NGX_HTTP_PPROF_ACCEPT,

    NGX_HTTP_PPROF_REQUEST_ROOT,
    NGX_HTTP_PPROF_CONNECTION_ROOT,
    NGX_HTTP_PPROF_UPSTREAM_ROOT,
    NGX_HTTP_PPROF_LISTENING_ROOT,
    NGX_HTTP_PPROF_CHANNEL_ROOT,
    NGX_HTTP_PPROF_NAMES
} ngx_http_pprof_name_t;


typedef struct {
    prt_goroutine_t             entry;
    uint64_t                    frames[PRT_GOROUTINE_MAX];
} ngx_http_pprof_goroutine_t;


/* What a request waits for. */
ngx_http_pprof_name_t ngx_http_pprof_state(ngx_http_request_t *r);

/* How old it is, and, for what nginx keeps the time of, since when it waits. */
void ngx_http_pprof_state_time(ngx_http_request_t *r,
    ngx_http_pprof_name_t state, ngx_http_pprof_goroutine_t *g);

/* What is called when the wait is over, as it is called. */
void ngx_http_pprof_state_handlers(ngx_http_request_t *r,
    ngx_http_pprof_name_t state, ngx_http_pprof_goroutine_t *g);

/* The frame that stands for it. */
uint64_t ngx_http_pprof_name(ngx_http_pprof_name_t name);

/* Adds a frame, but for handlers that do nothing. */
void ngx_http_pprof_goroutine_function(ngx_http_pprof_goroutine_t *g,
    const void *function);


#pragma GCC visibility pop


#endif /* _NGX_HTTP_PPROF_GOROUTINE_H_INCLUDED_ */
