
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Where the flight recorder writes, and how what it wrote is fetched.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <ngx_http_pprof_module.h>


#define NGX_HTTP_PPROF_DIR         "pprof"
#define NGX_HTTP_PPROF_TRACE_FILE  "trace.out"

/* what the runtime makes of the name meanwhile: ".crash.4194304.tmp" */
#define NGX_HTTP_PPROF_SUFFIX_LEN  32


static ngx_int_t ngx_http_pprof_file_dir(ngx_conf_t *cf,
    ngx_http_pprof_main_conf_t *pmcf, ngx_str_t *dir);
static ngx_fd_t ngx_http_pprof_file_open(ngx_http_request_t *r,
    ngx_file_t *file, ngx_file_info_t *fi);
static ngx_uint_t ngx_http_pprof_file_ours(ngx_file_info_t *fi);
static ngx_int_t ngx_http_pprof_file_failed(ngx_http_request_t *r,
    ngx_err_t err);


/* nginx makes it its workers' own, so it has to be one that we may have. */

char *
ngx_http_pprof_dir(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    size_t      i;
    ngx_str_t  *value;

    value = cf->args->elts;

    for (i = 0; i < value[1].len && value[1].data[i] == '/'; i++) {
        /* void */
    }

    if (i == value[1].len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\" directive, it must "
                           "be the path of a directory for the profiler alone",
                           &value[1], &cmd->name);
        return NGX_CONF_ERROR;
    }

    return ngx_conf_set_path_slot(cf, cmd, conf);
}


char *
ngx_http_pprof_trace_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_pprof_main_conf_t *pmcf = conf;

    ngx_str_t  *value;

    if (pmcf->trace_file.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].data[value[1].len - 1] == '/') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\" directive, it must "
                           "be the name of a file", &value[1], &cmd->name);
        return NGX_CONF_ERROR;
    }

    pmcf->trace_file = value[1];

    return NGX_CONF_OK;
}


/* After the whole http{} block was read. */

ngx_int_t
ngx_http_pprof_file_init(ngx_conf_t *cf, ngx_http_pprof_main_conf_t *pmcf)
{
    size_t      len;
    ngx_str_t   dir;
    ngx_uint_t  absolute;

    if (ngx_http_pprof_file_dir(cf, pmcf, &dir) != NGX_OK) {
        return NGX_ERROR;
    }

    if (pmcf->trace_file.data == NULL) {
        ngx_str_set(&pmcf->trace_file, NGX_HTTP_PPROF_TRACE_FILE);
    }

    absolute = pmcf->trace_file.data[0] == '/';
    len = absolute ? pmcf->trace_file.len
                   : dir.len + 1 + pmcf->trace_file.len;

    if (len + NGX_HTTP_PPROF_SUFFIX_LEN >= NGX_MAX_PATH) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "the path of \"pprof_trace_file\" must be shorter than "
                      "%d characters",
                      NGX_MAX_PATH - NGX_HTTP_PPROF_SUFFIX_LEN);
        return NGX_ERROR;
    }

    pmcf->trace_path.len = len;
    pmcf->trace_path.data = ngx_pnalloc(cf->pool, len + 1);
    if (pmcf->trace_path.data == NULL) {
        return NGX_ERROR;
    }

    if (absolute) {
        (void) ngx_sprintf(pmcf->trace_path.data, "%V%Z", &pmcf->trace_file);

    } else {
        (void) ngx_sprintf(pmcf->trace_path.data, "%V/%V%Z", &dir,
                           &pmcf->trace_file);
    }

    return NGX_OK;
}


/* Beside the directory of request bodies, where none is given. */

static ngx_int_t
ngx_http_pprof_file_dir(ngx_conf_t *cf, ngx_http_pprof_main_conf_t *pmcf,
    ngx_str_t *dir)
{
    u_char                    *p;
    ngx_str_t                  body;
    ngx_http_core_loc_conf_t  *clcf;

    if (pmcf->dir) {
        *dir = pmcf->dir->name;
        return NGX_OK;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->client_body_temp_path) {
        body = clcf->client_body_temp_path->name;

    } else {
        ngx_str_set(&body, NGX_HTTP_CLIENT_TEMP_PATH);

        if (ngx_conf_full_name(cf->cycle, &body, 0) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    while (body.len && body.data[body.len - 1] != '/') {
        body.len--;
    }

    p = ngx_pnalloc(cf->pool, body.len + sizeof(NGX_HTTP_PPROF_DIR));
    if (p == NULL) {
        return NGX_ERROR;
    }

    pmcf->default_dir.data = p;
    pmcf->default_dir.len = body.len + sizeof(NGX_HTTP_PPROF_DIR) - 1;

    p = ngx_cpymem(p, body.data, body.len);
    ngx_memcpy(p, NGX_HTTP_PPROF_DIR, sizeof(NGX_HTTP_PPROF_DIR));

    *dir = pmcf->default_dir;

    return NGX_OK;
}


/*
 * A directory that was asked for is one of nginx's paths, which it makes
 * itself, and without which it does not start.  Without one that nobody has
 * asked for it shall: the recorder will say what is missing.
 */

void
ngx_http_pprof_file_make(ngx_cycle_t *cycle)
{
    u_char                      *name;
    ngx_uint_t                   made;
    ngx_file_info_t              fi;
    ngx_core_conf_t             *ccf;
    ngx_http_pprof_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_pprof_module);

    name = pmcf->default_dir.data;

    if (name == NULL) {
        return;
    }

    made = ngx_create_dir(name, 0700) != NGX_FILE_ERROR;

    if (!made && ngx_errno != NGX_EEXIST) {
        goto failed;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    if (ccf->user == (ngx_uid_t) NGX_CONF_UNSET_UINT) {
        return;
    }

    if (made) {

        if (lchown((const char *) name, ccf->user, (gid_t) -1) == -1) {
            goto failed;
        }

        return;
    }

    /* what was there before may be anybody's: it is not given away by root */

    if (lstat((const char *) name, &fi) == -1) {
        goto failed;
    }

    if (!ngx_is_dir(&fi)) {
        ngx_set_errno(NGX_ENOTDIR);
        goto failed;
    }

    if ((fi.st_uid != 0 && fi.st_uid != ccf->user)
        || (fi.st_mode & (S_IWGRP|S_IWOTH)))
    {
        ngx_set_errno(NGX_EPERM);
        goto failed;
    }

    return;

failed:

    ngx_log_error(NGX_LOG_WARN, cycle->log, ngx_errno,
                  "pprof: the directory \"%s\" of the flight recorder cannot "
                  "be made, or is not safe; \"pprof_dir\" tells another one",
                  name);
}


ngx_int_t
ngx_http_pprof_file_info(prt_recorder_info_t *info)
{
    u_char                      *name;
    ngx_uint_t                   kind;
    ngx_file_info_t              fi;
    ngx_http_pprof_main_conf_t  *pmcf;

    if (prt_recorder_info(info) != 0) {
        return NGX_ERROR;
    }

    pmcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_pprof_module);

    name = ngx_alloc(pmcf->trace_path.len + NGX_HTTP_PPROF_SUFFIX_LEN,
                     ngx_cycle->log);
    if (name == NULL) {
        return NGX_ERROR;
    }

    for (kind = 0; kind < PRT_FILES; kind++) {

        if (info->files[kind].time != 0) {
            continue;
        }

        (void) ngx_sprintf(name, "%V%s%Z", &pmcf->trace_path,
                           prt_file_suffix(kind));

        if (ngx_link_info(name, &fi) == NGX_FILE_ERROR
            || !ngx_http_pprof_file_ours(&fi))
        {
            continue;
        }

        info->files[kind].time = (uint64_t) ngx_file_mtime(&fi) * 1000000000;
        info->files[kind].size = (uint64_t) ngx_file_size(&fi);
    }

    ngx_free(name);

    return NGX_OK;
}


/* What it was written as: a file, of this very user. */

static ngx_uint_t
ngx_http_pprof_file_ours(ngx_file_info_t *fi)
{
    return ngx_is_file(fi) && fi->st_uid == geteuid();
}


/*
 * The file is opened here, as nginx itself opens one that it sends: descriptors
 * of the runtime's threads are not the event loop's.
 */

ngx_int_t
ngx_http_pprof_file_send(ngx_http_request_t *r, prt_file_kind_t kind)
{
    u_char                      *p;
    ngx_buf_t                   *b;
    ngx_int_t                    rc;
    ngx_file_t                  *file;
    const char                  *suffix;
    ngx_file_info_t              fi;
    ngx_pool_cleanup_t          *cln;
    ngx_pool_cleanup_file_t     *clnf;
    ngx_http_pprof_main_conf_t  *pmcf;

    pmcf = ngx_http_get_module_main_conf(r, ngx_http_pprof_module);
    suffix = prt_file_suffix(kind);

    file = ngx_pcalloc(r->pool, sizeof(ngx_file_t));
    b = ngx_calloc_buf(r->pool);
    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_pool_cleanup_file_t));
    p = ngx_pnalloc(r->pool, pmcf->trace_path.len + ngx_strlen(suffix) + 1);

    if (file == NULL || b == NULL || cln == NULL || p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    file->name.data = p;
    file->name.len = ngx_sprintf(p, "%V%s%Z", &pmcf->trace_path, suffix)
                     - p - 1;
    file->log = r->connection->log;

    file->fd = ngx_http_pprof_file_open(r, file, &fi);
    if (file->fd == NGX_INVALID_FILE) {
        return ngx_http_pprof_file_failed(r, ngx_errno);
    }

    cln->handler = ngx_pool_cleanup_file;
    clnf = cln->data;

    clnf->fd = file->fd;
    clnf->name = file->name.data;
    clnf->log = r->pool->log;

    p = ngx_pnalloc(r->pool, sizeof("attachment; filename=\"trace.out\"")
                             + NGX_HTTP_PPROF_SUFFIX_LEN);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) ngx_sprintf(p, "attachment; filename=\"trace.out%s\"%Z", suffix);

    if (ngx_http_pprof_add_header(r, "Content-Disposition", (char *) p)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_pprof_send_header(r, NGX_HTTP_OK, &ngx_http_pprof_binary,
                                    ngx_file_size(&fi));

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b->file = file;
    b->file_last = ngx_file_size(&fi);
    b->in_file = b->file_last ? 1 : 0;
    b->last_buf = 1;

    return ngx_http_pprof_send(r, b);
}


/* No link is followed: it could lead to another file. */

static ngx_fd_t
ngx_http_pprof_file_open(ngx_http_request_t *r, ngx_file_t *file,
    ngx_file_info_t *fi)
{
    ngx_fd_t   fd;
    ngx_err_t  err;

    fd = ngx_open_file(file->name.data,
                       O_RDONLY|O_NONBLOCK|O_NOFOLLOW|O_CLOEXEC, 0, 0);

    if (fd == NGX_INVALID_FILE) {
        return fd;
    }

    if (ngx_fd_info(fd, fi) == NGX_FILE_ERROR) {
        err = ngx_errno;

    } else if (!ngx_http_pprof_file_ours(fi)) {
        err = EPERM;

    } else {
        return fd;
    }

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, r->connection->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", &file->name);
    }

    ngx_set_errno(err);

    return NGX_INVALID_FILE;
}


static ngx_int_t
ngx_http_pprof_file_failed(ngx_http_request_t *r, ngx_err_t err)
{
    u_char  text[NGX_MAX_ERROR_STR];

    if (err == NGX_ENOENT || err == NGX_ENOTDIR) {
        return ngx_http_pprof_recorder_error(r, NGX_HTTP_NOT_FOUND,
                   "no such trace has been written: run the recorder, and "
                   "stop it or ask for a snapshot; those of crashes and "
                   "stalls are written while it runs");
    }

    *ngx_strerror(err, text, sizeof(text) - 1) = '\0';

    return ngx_http_pprof_recorder_error(r, NGX_HTTP_INTERNAL_SERVER_ERROR,
               "cannot open the trace: " ngx_open_file_n " failed (%d: %s)",
               (int) err, text);
}
