
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Memory of nginx's pools, counted by a thread of the runtime while the event
 * loop makes and destroys them.  The kernel reads what they point to: memory
 * that is gone meanwhile costs a pool in the sum, and not the process.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <sys/uio.h>

#include <ngx_http_pprof_module.h>


#define NGX_HTTP_PPROF_POOL_BLOCKS  4096         /* of one pool */
#define NGX_HTTP_PPROF_POOL_BLOCK   (16 * 1024 * 1024)  /* bytes, no more is one */


static void ngx_http_pprof_pool(ngx_http_pprof_pools_t *pools,
    ngx_pool_t *pool);
static ngx_int_t ngx_http_pprof_pool_read(void *to, const void *from,
    size_t size);


void
ngx_http_pprof_pools(ngx_http_pprof_pools_t *pools)
{
    ngx_uint_t           i;
    ngx_pool_t          *pool;
    ngx_connection_t    *c;
    ngx_http_request_t   request;

    ngx_memzero(pools, sizeof(ngx_http_pprof_pools_t));

    ngx_http_pprof_pool(pools, ngx_cycle->pool);

    pools->n = 0;
    pools->cycle = pools->size;
    pools->size = 0;

    for (i = 0; i < ngx_http_pprof_connection_n; i++) {
        c = &ngx_http_pprof_connections[i];

        if (*(volatile ngx_socket_t *) &c->fd == (ngx_socket_t) -1) {
            continue;
        }

        pool = *(ngx_pool_t *volatile *) &c->pool;

        /* the channel to the master has that one as well */

        if (pool != ngx_cycle->pool) {
            ngx_http_pprof_pool(pools, pool);
        }

        if (ngx_http_pprof_pool_read(&request,
                                     *(void *volatile *) &c->data,
                                     sizeof(ngx_http_request_t))
            == NGX_OK
            && request.signature == NGX_HTTP_MODULE)
        {
            ngx_http_pprof_pool(pools, request.pool);
        }
    }
}


/* By its blocks: nobody knows the size of what is larger. */

static void
ngx_http_pprof_pool(ngx_http_pprof_pools_t *pools, ngx_pool_t *pool)
{
    size_t           size;
    ngx_uint_t       i;
    ngx_pool_data_t  d;

    for (i = 0; pool && i < NGX_HTTP_PPROF_POOL_BLOCKS; i++) {

        if (ngx_http_pprof_pool_read(&d, pool, sizeof(ngx_pool_data_t))
            != NGX_OK
            || d.end < (u_char *) pool || d.last < (u_char *) pool
            || d.last > d.end)
        {
            return;
        }

        size = d.end - (u_char *) pool;

        if (size > NGX_HTTP_PPROF_POOL_BLOCK) {
            return;
        }

        pools->n += i == 0;
        pools->size += size;

        pool = d.next;
    }
}


static ngx_int_t
ngx_http_pprof_pool_read(void *to, const void *from, size_t size)
{
    struct iovec  local, remote;

    local.iov_base = to;
    local.iov_len = size;

    remote.iov_base = (void *) from;
    remote.iov_len = size;

    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0)
           == (ssize_t) size ? NGX_OK : NGX_DECLINED;
}
