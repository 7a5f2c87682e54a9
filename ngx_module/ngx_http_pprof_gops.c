
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * gops: each worker has an agent, which the runtime runs.  Here is where the
 * files with their ports go, which is decided and made ready while the master
 * has the environment and the rights for it, and what of nginx an agent tells.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <openssl/crypto.h>

#include <ngx_http_pprof_module.h>


#define NGX_HTTP_PPROF_GOPS_ENV   "GOPS_CONFIG_DIR"


/* Who will write there. */

typedef struct {
    ngx_uid_t                   uid;
    ngx_gid_t                   gid;
} ngx_http_pprof_gops_user_t;


static ngx_int_t ngx_http_pprof_gops_config(ngx_cycle_t *cycle,
    ngx_http_pprof_gops_user_t *user, ngx_str_t *dir);
static ngx_int_t ngx_http_pprof_gops_inside(ngx_cycle_t *cycle,
    ngx_http_pprof_gops_user_t *user, ngx_http_pprof_main_conf_t *pmcf);
static ngx_int_t ngx_http_pprof_gops_join(ngx_cycle_t *cycle, ngx_str_t *path,
    const char *dir, size_t len, const char *below);
static ngx_int_t ngx_http_pprof_gops_make(ngx_http_pprof_gops_user_t *user,
    ngx_str_t *dir);
static int ngx_http_pprof_gops_enter(ngx_http_pprof_gops_user_t *user, int at,
    const char *name, ngx_uint_t mine);
static ngx_uint_t ngx_http_pprof_gops_safe(int at);
static void ngx_http_pprof_gops_owner(ngx_cycle_t *cycle,
    ngx_http_pprof_gops_user_t *user, ngx_str_t *dir);
static ngx_uint_t ngx_http_pprof_gops_writable(
    ngx_http_pprof_gops_user_t *user, ngx_str_t *dir);
static ngx_uint_t ngx_http_pprof_gops_allowed(ngx_http_pprof_gops_user_t *user,
    const char *path, ngx_uint_t mode);
static void ngx_http_pprof_gops_keep(ngx_cycle_t *cycle, ngx_str_t *dir);
static size_t ngx_http_pprof_gops_memstats(char *text, size_t size);


/* With the versions of what nginx runs with. */
static u_char  ngx_http_pprof_gops_version[256];


char *
ngx_http_pprof_gops(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_pprof_main_conf_t *pmcf = conf;

    ngx_str_t  *value;

    if (pmcf->gops != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "auto") == 0) {
        pmcf->gops = NGX_HTTP_PPROF_AUTO;

    } else if (ngx_strcmp(value[1].data, "on") == 0) {
        pmcf->gops = NGX_HTTP_PPROF_ON;

    } else if (ngx_strcmp(value[1].data, "off") == 0) {
        pmcf->gops = NGX_HTTP_PPROF_OFF;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\" directive, it must "
                           "be \"auto\", \"on\" or \"off\"",
                           &value[1], &cmd->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_pprof_gops_dir(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_pprof_main_conf_t *pmcf = conf;

    ngx_str_t  *value;

    if (pmcf->gops_dir.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"\" in \"%V\" directive, it must "
                           "be a path", &cmd->name);
        return NGX_CONF_ERROR;
    }

    pmcf->gops_dir = value[1];

    if (ngx_conf_full_name(cf->cycle, &pmcf->gops_dir, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* Where there is something of the profiler in the configuration. */

ngx_uint_t
ngx_http_pprof_gops_wanted(ngx_http_pprof_main_conf_t *pmcf)
{
    return pmcf->gops == NGX_HTTP_PPROF_ON
           || (pmcf->gops == NGX_HTTP_PPROF_AUTO && pmcf->placed);
}


void
ngx_http_pprof_gops_init(ngx_cycle_t *cycle)
{
    ngx_int_t                    rc;
    const char                  *env;
    ngx_core_conf_t             *ccf;
    ngx_http_pprof_main_conf_t  *pmcf;
    ngx_http_pprof_gops_user_t   user;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_pprof_module);

    if (!ngx_http_pprof_gops_wanted(pmcf)) {
        return;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    user.uid = geteuid();
    user.gid = getegid();

    if (user.uid == 0 && ccf->master) {
        user.uid = ccf->user;
        user.gid = ccf->group;
    }

    env = getenv(NGX_HTTP_PPROF_GOPS_ENV);

    if (pmcf->gops_dir.len) {
        rc = ngx_http_pprof_gops_make(&user, &pmcf->gops_dir);

    } else if (env && env[0] == '/') {
        rc = ngx_http_pprof_gops_join(cycle, &pmcf->gops_dir, env,
                                      ngx_strlen(env), "");

        if (rc == NGX_OK) {
            ngx_http_pprof_gops_keep(cycle, &pmcf->gops_dir);
            rc = ngx_http_pprof_gops_make(&user, &pmcf->gops_dir);
        }

    } else if (ngx_http_pprof_gops_config(cycle, &user, &pmcf->gops_dir)
               == NGX_OK)
    {
        ngx_http_pprof_gops_keep(cycle, &pmcf->gops_dir);
        rc = NGX_OK;

    } else {
        rc = ngx_http_pprof_gops_inside(cycle, &user, pmcf);
    }

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_WARN, cycle->log, ngx_errno,
                      "pprof: \"%V\" for the port files of gops cannot be "
                      "made; set \"pprof_gops_dir\" to another directory",
                      &pmcf->gops_dir);
        return;
    }

    ngx_http_pprof_gops_owner(cycle, &user, &pmcf->gops_dir);

    ngx_log_error(NGX_LOG_NOTICE, cycle->log, 0,
                  "pprof: the workers' port files are in \"%V\": "
                  NGX_HTTP_PPROF_GOPS_ENV "=%V gops stack PID",
                  &pmcf->gops_dir, &pmcf->gops_dir);
}


/* The starting user's own, where gops looks. */

static ngx_int_t
ngx_http_pprof_gops_config(ngx_cycle_t *cycle,
    ngx_http_pprof_gops_user_t *user, ngx_str_t *dir)
{
    const char     *below, *home;
    ngx_str_t       path;
    struct passwd  *pw;

    below = "/gops";
    home = getenv("XDG_CONFIG_HOME");

    if (home == NULL || home[0] != '/') {
        below = "/.config/gops";
        home = getenv("HOME");
    }

    if (home == NULL || home[0] != '/') {
        pw = getpwuid(geteuid());
        home = pw ? pw->pw_dir : NULL;
    }

    if (home == NULL || home[0] != '/') {
        return NGX_DECLINED;
    }

    if (ngx_http_pprof_gops_join(cycle, &path, home, ngx_strlen(home), below)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    /* nothing is made for others in somebody's home */

    if (user->uid == geteuid()
        && ngx_http_pprof_gops_make(user, &path) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    if (!ngx_http_pprof_gops_writable(user, &path)) {
        return NGX_DECLINED;
    }

    *dir = path;

    return NGX_OK;
}


/* In the profiler's directory, which was made before. */

static ngx_int_t
ngx_http_pprof_gops_inside(ngx_cycle_t *cycle,
    ngx_http_pprof_gops_user_t *user, ngx_http_pprof_main_conf_t *pmcf)
{
    ngx_str_t  *dir;

    dir = pmcf->dir ? &pmcf->dir->name : &pmcf->default_dir;

    if (ngx_http_pprof_gops_join(cycle, &pmcf->gops_dir, (char *) dir->data,
                                 dir->len, "/gops")
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_pprof_gops_make(user, &pmcf->gops_dir);
}


static ngx_int_t
ngx_http_pprof_gops_join(ngx_cycle_t *cycle, ngx_str_t *path, const char *dir,
    size_t len, const char *below)
{
    u_char  *p;

    path->len = len + ngx_strlen(below);
    path->data = ngx_pnalloc(cycle->pool, path->len + 1);

    if (path->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(path->data, dir, len);
    (void) ngx_cpystrn(p, (u_char *) below, path->len - len + 1);

    return NGX_OK;
}


/*
 * What is missing is made, the last of it for the workers' user alone.  What is
 * there is somebody's, and stays as it is.
 *
 * A path may lead through directories that the workers' user can write: only
 * what was opened is given away, never a name, and no link that such a user
 * may have put there is followed.
 */

static ngx_int_t
ngx_http_pprof_gops_make(ngx_http_pprof_gops_user_t *user, ngx_str_t *dir)
{
    int     at, fd;
    char    name[NGX_MAX_PATH + 1];
    size_t  i, start;

    if (dir->len > NGX_MAX_PATH) {
        ngx_set_errno(ENAMETOOLONG);
        return NGX_ERROR;
    }

    at = open("/", O_PATH|O_DIRECTORY|O_CLOEXEC);

    for (i = 1, start = 1; at != -1 && i <= dir->len; i++) {

        if (i < dir->len && dir->data[i] != '/') {
            continue;
        }

        if (i > start) {
            ngx_memcpy(name, dir->data + start, i - start);
            name[i - start] = '\0';

            fd = ngx_http_pprof_gops_enter(user, at, name, i == dir->len);

            (void) close(at);
            at = fd;
        }

        start = i + 1;
    }

    if (at == -1) {
        return NGX_ERROR;
    }

    (void) close(at);

    return NGX_OK;
}


static int
ngx_http_pprof_gops_enter(ngx_http_pprof_gops_user_t *user, int at,
    const char *name, ngx_uint_t mine)
{
    int        fd, flags;
    ngx_err_t  err;

    if (mkdirat(at, name, mine ? 0700 : 0755) == -1) {
        err = ngx_errno;

        flags = ngx_http_pprof_gops_safe(at) ? 0 : O_NOFOLLOW;
        fd = openat(at, name, O_PATH|O_DIRECTORY|O_CLOEXEC|flags);

        if (fd == -1 && ngx_errno == NGX_ENOENT) {
            ngx_set_errno(err);
        }

        return fd;
    }

    fd = openat(at, name, O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);

    if (fd != -1 && mine && user->uid != geteuid()
        && fchown(fd, user->uid, (gid_t) -1) == -1)
    {
        (void) close(fd);
        return -1;
    }

    return fd;
}


/* Nobody but root and the starting user puts anything there. */

static ngx_uint_t
ngx_http_pprof_gops_safe(int at)
{
    struct stat  st;

    return fstat(at, &st) == 0
           && (st.st_uid == 0 || st.st_uid == geteuid())
           && (st.st_mode & (S_IWGRP|S_IWOTH)) == 0;
}


/* Whose the directory is can put other ports into it. */

static void
ngx_http_pprof_gops_owner(ngx_cycle_t *cycle, ngx_http_pprof_gops_user_t *user,
    ngx_str_t *dir)
{
    struct stat  st;

    if (stat((char *) dir->data, &st) == -1
        || st.st_uid == 0
        || st.st_uid == geteuid()
        || st.st_uid == user->uid)
    {
        return;
    }

    ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                  "pprof: \"%V\" for the port files of gops belongs to "
                  "another user (%ud), who can put other ports there", dir,
                  (uint32_t) st.st_uid);
}


/* By the bits of the modes; who may more is asked no more. */

static ngx_uint_t
ngx_http_pprof_gops_writable(ngx_http_pprof_gops_user_t *user, ngx_str_t *dir)
{
    char    path[NGX_MAX_PATH + 1];
    size_t  i;

    if (dir->len > NGX_MAX_PATH) {
        return 0;
    }

    if (user->uid == geteuid()) {
        return access((char *) dir->data, W_OK|X_OK) == 0;
    }

    for (i = 1; i < dir->len; i++) {

        if (dir->data[i] != '/') {
            continue;
        }

        ngx_memcpy(path, dir->data, i);
        path[i] = '\0';

        if (!ngx_http_pprof_gops_allowed(user, path, X_OK)) {
            return 0;
        }
    }

    return ngx_http_pprof_gops_allowed(user, (char *) dir->data, W_OK|X_OK);
}


static ngx_uint_t
ngx_http_pprof_gops_allowed(ngx_http_pprof_gops_user_t *user, const char *path,
    ngx_uint_t mode)
{
    ngx_uint_t   shift;
    struct stat  st;

    if (stat(path, &st) == -1 || !S_ISDIR(st.st_mode)) {
        return 0;
    }

    shift = st.st_uid == user->uid ? 6 : st.st_gid == user->gid ? 3 : 0;

    return (st.st_mode >> shift & mode) == mode;
}


/*
 * A new binary gets no environment but what the configuration says, and would
 * look elsewhere.
 */

static void
ngx_http_pprof_gops_keep(ngx_cycle_t *cycle, ngx_str_t *dir)
{
    size_t            len;
    ngx_str_t        *var;
    ngx_uint_t        i;
    ngx_core_conf_t  *ccf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    len = sizeof(NGX_HTTP_PPROF_GOPS_ENV) - 1;
    var = ccf->env.elts;

    for (i = 0; i < ccf->env.nelts; i++) {
        if (var[i].len == len
            && ngx_strncmp(var[i].data, NGX_HTTP_PPROF_GOPS_ENV, len) == 0)
        {
            return;
        }
    }

    var = ngx_array_push(&ccf->env);
    if (var == NULL) {
        return;
    }

    /* the name's length, its value behind it */

    if (ngx_http_pprof_gops_join(cycle, var, NGX_HTTP_PPROF_GOPS_ENV "=",
                                 len + 1, (char *) dir->data)
        != NGX_OK)
    {
        ccf->env.nelts--;
        return;
    }

    var->len = len;
}


void
ngx_http_pprof_gops_options(ngx_cycle_t *cycle, prt_options_t *options)
{
    ngx_str_t                    compiler;
    ngx_http_pprof_main_conf_t  *pmcf;

    pmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_pprof_module);

    if (!ngx_http_pprof_gops_wanted(pmcf)) {
        return;
    }

    /* the compiler's text may end in a space */

    ngx_str_set(&compiler, NGX_COMPILER);

    while (compiler.len && compiler.data[compiler.len - 1] == ' ') {
        compiler.len--;
    }

    *ngx_snprintf(ngx_http_pprof_gops_version,
                  sizeof(ngx_http_pprof_gops_version) - 1,
                  "%s (built by %V), %s, ngx_http_pprof_module/%s",
                  NGINX_VER, &compiler, OpenSSL_version(OPENSSL_VERSION),
                  PRT_VERSION) = '\0';

    options->gops = 1;
    options->gops_dir = (char *) pmcf->gops_dir.data;
    options->version = (char *) ngx_http_pprof_gops_version;
    options->memstats = ngx_http_pprof_gops_memstats;

    /* this process has its own rights by now */

    if (options->gops_dir == NULL) {
        options->gops_dir = "";

    } else if (access(options->gops_dir, W_OK|X_OK) == -1) {
        ngx_log_error(NGX_LOG_WARN, cycle->log, ngx_errno,
                      "pprof: no port file of this worker for gops in \"%V\"; "
                      "set \"pprof_gops_dir\" to a directory that the "
                      "workers' user can write", &pmcf->gops_dir);

        options->gops_dir = "";
    }
}


/* The list of zones stays as it is as long as the process. */

static size_t
ngx_http_pprof_gops_memstats(char *text, size_t size)
{
    u_char                  *p, *last;
    ngx_uint_t               i, pages, used, fails;
    ngx_list_part_t         *part;
    ngx_shm_zone_t          *zone;
    ngx_http_pprof_pools_t   pools;

    last = (u_char *) text + size;

    ngx_http_pprof_pools(&pools);

    p = ngx_slprintf((u_char *) text, last,
                     "pools: %uz bytes in %ui of connections and requests, "
                     "%uz bytes of the configuration\n",
                     pools.size, pools.n, pools.cycle);

    for (part = (ngx_list_part_t *) &ngx_cycle->shared_memory.part;
         part;
         part = part->next)
    {
        zone = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (ngx_http_pprof_zone_usage(&zone[i], &pages, &used, &fails)
                == NGX_OK)
            {
                p = ngx_slprintf(p, last, "zone %V: %uz bytes, %ui in use\n",
                                 &zone[i].shm.name, zone[i].shm.size,
                                 used * ngx_pagesize);
            }
        }
    }

    return p - (u_char *) text;
}
