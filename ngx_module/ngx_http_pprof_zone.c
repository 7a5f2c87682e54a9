
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The shared memory zones, for the index and for gops.  Nothing is locked:
 * another process may hold a zone's lock for long, or have died with it.  What
 * is read are pointers that the master set before it forked, and words that
 * count: each is right by itself, and may be a moment older than its neighbour.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <ngx_http_pprof_module.h>


static void ngx_http_pprof_zone(ngx_http_pprof_page_t *page,
    ngx_shm_zone_t *zone);


void
ngx_http_pprof_zones(ngx_http_pprof_page_t *page)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_shm_zone_t   *zone;

    part = (ngx_list_part_t *) &ngx_cycle->shared_memory.part;

    if (part->nelts == 0) {
        return;
    }

    ngx_http_pprof_print(page,
        "<h2>Shared memory</h2>\n"
        "<div class=\"wide\">\n"
        "<table>\n"
        "<tr><th>Zone</th><th class=\"n\">Size</th>"
        "<th class=\"n\">In use</th><th class=\"n\">Part</th>"
        "<th class=\"n\">Failed allocations</th></tr>\n");

    for ( /* void */ ; part; part = part->next) {
        zone = part->elts;

        for (i = 0; i < part->nelts; i++) {
            ngx_http_pprof_zone(page, &zone[i]);
        }
    }

    ngx_http_pprof_print(page, "</table>\n"
        "</div>\n"
        "<p><small>In use are pages of the zone that are not free.</small></p>"
        "\n");
}


ngx_int_t
ngx_http_pprof_zone_usage(ngx_shm_zone_t *zone, ngx_uint_t *pages,
    ngx_uint_t *used, ngx_uint_t *fails)
{
    ngx_uint_t        i, n;
    ngx_slab_pool_t  *pool;

    pool = (ngx_slab_pool_t *) zone->shm.addr;

    n = ngx_pagesize_shift - pool->min_shift;

    /* a module may have laid its zone out in its own way */

    if ((u_char *) pool != pool->addr
        || pool->end != zone->shm.addr + zone->shm.size
        || (u_char *) pool->stats < zone->shm.addr
        || (u_char *) (pool->stats + n) > pool->end
        || pool->last < pool->pages)
    {
        return NGX_DECLINED;
    }

    *pages = pool->last - pool->pages;
    *used = *pages - ngx_min(*(volatile ngx_uint_t *) &pool->pfree, *pages);

    *fails = 0;

    for (i = 0; i < n; i++) {
        *fails += *(volatile ngx_uint_t *) &pool->stats[i].fails;
    }

    return NGX_OK;
}


static void
ngx_http_pprof_zone(ngx_http_pprof_page_t *page, ngx_shm_zone_t *zone)
{
    ngx_uint_t  pages, used, fails;

    if (ngx_http_pprof_zone_usage(zone, &pages, &used, &fails) != NGX_OK) {
        return;
    }

    ngx_http_pprof_print(page,
        "<tr><td>%V</td><td class=\"n\">%uz&nbsp;KiB</td>"
        "<td class=\"n\">%uz&nbsp;KiB</td><td class=\"n\">%ui&nbsp;%%</td>"
        "<td class=\"n\">%ui</td></tr>\n",
        ngx_http_pprof_page_escape(page, &zone->shm.name),
        zone->shm.size / 1024, used * ngx_pagesize / 1024,
        pages ? used * 100 / pages : 0, fails);
}
