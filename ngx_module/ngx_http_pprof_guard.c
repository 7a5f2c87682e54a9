
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Which locations are protected by other modules, for the warning about those
 * that are not.  The configurations of these modules are private to them and
 * differ between versions, so their directives are watched instead: while the
 * http{} block is read, the directive's own function is called through ours,
 * which notes in the location at hand that it was there.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <ngx_http_pprof_module.h>


#define NGX_HTTP_PPROF_GUARDS       16


typedef struct {
    ngx_str_t        name;
    ngx_uint_t       bit;         /* directives of one bit are inherited
                                     together */
    ngx_uint_t       protects;
} ngx_http_pprof_guard_t;


typedef struct {
    ngx_command_t              *cmd;
    char                     *(*set)(ngx_conf_t *cf, ngx_command_t *cmd,
                                     void *conf);
    ngx_http_pprof_guard_t     *guard;
} ngx_http_pprof_watched_t;


static void ngx_http_pprof_guard_unwatch(void *data);
static char *ngx_http_pprof_guard_seen(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_http_pprof_guard_t *ngx_http_pprof_guard_find(ngx_str_t *name);


/* "allow" alone lets everybody in: nginx's default is to allow. */

static ngx_http_pprof_guard_t  ngx_http_pprof_guards[] = {
    { ngx_string("allow"), 0x01, 0 },
    { ngx_string("deny"), 0x01, 1 },
    { ngx_string("auth_basic"), 0x02, 1 },
    { ngx_string("auth_request"), 0x04, 1 },
    { ngx_string("auth_jwt"), 0x08, 1 },
    { ngx_string("ssl_verify_client"), 0x10, 1 },
    { ngx_string("access_by_lua_block"), 0x20, 1 },
    { ngx_string("access_by_lua_file"), 0x20, 1 },
    { ngx_null_string, 0, 0 }
};


static ngx_http_pprof_watched_t  ngx_http_pprof_watched[NGX_HTTP_PPROF_GUARDS];
static ngx_uint_t                ngx_http_pprof_nwatched;


ngx_int_t
ngx_http_pprof_guard_watch(ngx_conf_t *cf)
{
    ngx_uint_t                 i;
    ngx_module_t              *module;
    ngx_command_t             *cmd;
    ngx_pool_cleanup_t        *cln;
    ngx_http_pprof_guard_t    *guard;
    ngx_http_pprof_watched_t  *watched;

    /* the pool goes when the configuration was read, well or not */

    cln = ngx_pool_cleanup_add(cf->temp_pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_pprof_guard_unwatch;

    for (i = 0; cf->cycle->modules[i]; i++) {
        module = cf->cycle->modules[i];

        if (module->type != NGX_HTTP_MODULE || module->commands == NULL) {
            continue;
        }

        for (cmd = module->commands; cmd->name.len; cmd++) {

            guard = ngx_http_pprof_guard_find(&cmd->name);

            if (guard == NULL
                || cmd->set == NULL
                || cmd->set == ngx_http_pprof_guard_seen
                || ngx_http_pprof_nwatched == NGX_HTTP_PPROF_GUARDS)
            {
                continue;
            }

            watched = &ngx_http_pprof_watched[ngx_http_pprof_nwatched++];

            watched->cmd = cmd;
            watched->set = cmd->set;
            watched->guard = guard;

            cmd->set = ngx_http_pprof_guard_seen;
        }
    }

    return NGX_OK;
}


static void
ngx_http_pprof_guard_unwatch(void *data)
{
    ngx_http_pprof_watched_t  *watched;

    while (ngx_http_pprof_nwatched) {
        watched = &ngx_http_pprof_watched[--ngx_http_pprof_nwatched];
        watched->cmd->set = watched->set;
    }
}


static char *
ngx_http_pprof_guard_seen(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                       *rv;
    ngx_str_t                  *value;
    ngx_uint_t                  i, off;
    ngx_http_pprof_watched_t   *watched;
    ngx_http_pprof_loc_conf_t  *plcf;

    watched = NULL;

    for (i = 0; i < ngx_http_pprof_nwatched; i++) {
        if (ngx_http_pprof_watched[i].cmd == cmd) {
            watched = &ngx_http_pprof_watched[i];
            break;
        }
    }

    if (watched == NULL) {
        return "is watched by nobody";
    }

    value = cf->args->elts;
    off = cf->args->nelts > 1 && ngx_strcmp(value[1].data, "off") == 0;

    rv = watched->set(cf, cmd, conf);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    plcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_pprof_module);

    plcf->guards_seen |= watched->guard->bit;

    if (watched->guard->protects && !off) {
        plcf->guards |= watched->guard->bit;
    }

    return NGX_CONF_OK;
}


static ngx_http_pprof_guard_t *
ngx_http_pprof_guard_find(ngx_str_t *name)
{
    ngx_http_pprof_guard_t  *guard;

    for (guard = ngx_http_pprof_guards; guard->name.len; guard++) {

        if (guard->name.len == name->len
            && ngx_strncmp(guard->name.data, name->data, name->len) == 0)
        {
            return guard;
        }
    }

    return NULL;
}
