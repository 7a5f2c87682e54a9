
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The module's place among the filters, which every response goes through: the
 * labels of what it costs, and for our own answers what belongs to them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <ngx_http_pprof_module.h>


static ngx_int_t ngx_http_pprof_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_pprof_header(ngx_http_request_t *r)
    __attribute__((noinline));
static ngx_int_t ngx_http_pprof_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_http_pprof_body(ngx_http_request_t *r, ngx_chain_t *in)
    __attribute__((noinline));


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


static ngx_inline ngx_uint_t
ngx_http_pprof_filter_ours(ngx_http_request_t *r)
{
    ngx_http_pprof_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_pprof_module);

    return plcf->served;
}


/* Whether there is nothing to do: to find that is all that most requests cost. */

static ngx_inline ngx_uint_t
ngx_http_pprof_filter_passes(ngx_http_request_t *r)
{
    return ngx_http_pprof_labels_seen(r) && !ngx_http_pprof_filter_ours(r);
}


void
ngx_http_pprof_filter_init(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_pprof_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_pprof_body_filter;
}


static ngx_int_t
ngx_http_pprof_header_filter(ngx_http_request_t *r)
{
    return ngx_http_pprof_filter_passes(r)
           ? ngx_http_next_header_filter(r) : ngx_http_pprof_header(r);
}


static ngx_int_t
ngx_http_pprof_header(ngx_http_request_t *r)
{
    ngx_http_pprof_labels_see(r);

    if (ngx_http_pprof_filter_ours(r)
        && ngx_http_pprof_answer_header(r) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_pprof_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    return ngx_http_pprof_filter_passes(r)
           ? ngx_http_next_body_filter(r, in) : ngx_http_pprof_body(r, in);
}


static ngx_int_t
ngx_http_pprof_body(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_pprof_labels_see(r);

    if (ngx_http_pprof_filter_ours(r)
        && ngx_http_pprof_answer_body(r, &in) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_next_body_filter(r, in);
}
