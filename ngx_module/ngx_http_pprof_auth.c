
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Bearer tokens.  Only their SHA-256 is kept.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <ngx_http_pprof_module.h>


#define NGX_HTTP_PPROF_BEARER_FILE_MAX  65536       /* bytes */


static ngx_int_t ngx_http_pprof_bearer_add(ngx_conf_t *cf,
    ngx_http_pprof_loc_conf_t *plcf, u_char *token, size_t len);
static ngx_int_t ngx_http_pprof_bearer_parse(ngx_conf_t *cf,
    ngx_http_pprof_loc_conf_t *plcf, ngx_str_t *name, u_char *p, u_char *end);
static ngx_int_t ngx_http_pprof_admit(ngx_http_request_t *r,
    ngx_http_pprof_loc_conf_t *plcf) __attribute__((noinline));
static void ngx_http_pprof_bearer_forget(ngx_conf_t *cf, ngx_str_t *token);
static void ngx_http_pprof_bearer_wipe(u_char *p, u_char *last,
    ngx_str_t *token);
static ngx_int_t ngx_http_pprof_presented(ngx_http_request_t *r,
    ngx_str_t *token);
static ngx_int_t ngx_http_pprof_scheme(ngx_str_t *value, const char *scheme,
    size_t len, ngx_str_t *rest);


char *
ngx_http_pprof_bearer(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_pprof_loc_conf_t *plcf = conf;

    ngx_str_t   *value;
    ngx_int_t    rc;
    ngx_uint_t   i;

    if (plcf->tokens) {
        return "is duplicate";
    }

    plcf->tokens = 1;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        /* who writes these does not mean a password that reads so */

        if (value[i].data[0] == '$' || ngx_strcmp(value[i].data, "off") == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid token %ui in \"pprof_bearer\" "
                               "directive, it takes neither variables nor "
                               "\"off\"; inherited tokens are replaced by "
                               "others, or not served with \"pprof off\"", i);
            return NGX_CONF_ERROR;
        }

        rc = ngx_http_pprof_bearer_add(cf, plcf, value[i].data, value[i].len);

        if (rc == NGX_ERROR) {
            return NGX_CONF_ERROR;
        }

        if (rc == NGX_DECLINED) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid token %ui in \"pprof_bearer\" "
                               "directive, it must be one or more printable "
                               "ASCII characters without spaces", i);
            return NGX_CONF_ERROR;
        }
    }

    for (i = 1; i < cf->args->nelts; i++) {
        ngx_http_pprof_bearer_forget(cf, &value[i]);
    }

    return NGX_CONF_OK;
}


char *
ngx_http_pprof_bearer_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_pprof_loc_conf_t *plcf = conf;

    off_t             size;
    u_char           *buf;
    ssize_t           n;
    ngx_int_t         rc;
    ngx_fd_t          fd;
    ngx_str_t        *value, name;
    ngx_file_info_t   fi;

    if (plcf->file) {
        return "is duplicate";
    }

    plcf->file = 1;

    value = cf->args->elts;
    name = value[1];

    if (ngx_conf_full_name(cf->cycle, &name, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    /* nonblocking: the open of a FIFO would wait for ever */

    fd = ngx_open_file(name.data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" of \"pprof_bearer_file\" "
                           "failed", &name);
        return NGX_CONF_ERROR;
    }

    buf = NULL;
    rc = NGX_ERROR;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" of \"pprof_bearer_file\" "
                           "failed", &name);
        goto done;
    }

    if (!ngx_is_file(&fi)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"pprof_bearer_file\" \"%V\" is not a regular "
                           "file", &name);
        goto done;
    }

    if (fi.st_mode & (S_IWGRP|S_IWOTH)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"pprof_bearer_file\" \"%V\" can be written by "
                           "others than its owner: use \"chmod go-w\"", &name);
        goto done;
    }

    size = ngx_file_size(&fi);

    if (size > NGX_HTTP_PPROF_BEARER_FILE_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"pprof_bearer_file\" \"%V\" is too large, it "
                           "must be at most %d bytes", &name,
                           NGX_HTTP_PPROF_BEARER_FILE_MAX);
        goto done;
    }

    buf = ngx_alloc((size_t) size + 1, cf->log);
    if (buf == NULL) {
        goto done;
    }

    n = ngx_read_fd(fd, buf, (size_t) size);

    if (n == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_read_fd_n " \"%V\" of \"pprof_bearer_file\" "
                           "failed", &name);

    } else {
        rc = ngx_http_pprof_bearer_parse(cf, plcf, &name, buf, buf + n);
    }

    ngx_explicit_memzero(buf, (size_t) size + 1);

done:

    if (buf) {
        ngx_free(buf);
    }

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", &name);
    }

    return rc == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_pprof_bearer_parse(ngx_conf_t *cf, ngx_http_pprof_loc_conf_t *plcf,
    ngx_str_t *name, u_char *p, u_char *end)
{
    u_char      *last, *next;
    ngx_int_t    rc;
    ngx_uint_t   line, found;

    found = 0;

    for (line = 1; p < end; line++, p = next) {

        last = ngx_strlchr(p, end, LF);

        if (last == NULL) {
            last = end;
        }

        next = last + 1;

        while (last > p && (last[-1] == ' ' || last[-1] == '\t'
                            || last[-1] == CR))
        {
            last--;
        }

        while (p < last && (*p == ' ' || *p == '\t')) {
            p++;
        }

        if (p == last || *p == '#') {
            continue;
        }

        rc = ngx_http_pprof_bearer_add(cf, plcf, p, last - p);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_DECLINED) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid token in line %ui of "
                               "\"pprof_bearer_file\" \"%V\", it must be "
                               "printable ASCII characters without spaces "
                               "(a comment has a line of its own)",
                               line, name);
            return NGX_ERROR;
        }

        found = 1;
    }

    if (!found) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"pprof_bearer_file\" \"%V\" holds no token, it "
                           "must hold one a line", name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_pprof_bearer_add(ngx_conf_t *cf, ngx_http_pprof_loc_conf_t *plcf,
    u_char *token, size_t len)
{
    size_t   i;
    u_char  *digest;

    if (len == 0) {
        return NGX_DECLINED;
    }

    for (i = 0; i < len; i++) {
        if (token[i] <= ' ' || token[i] >= 0x7f) {
            return NGX_DECLINED;
        }
    }

    if (plcf->digests == NULL) {
        plcf->digests = ngx_array_create(cf->pool, 2,
                                         NGX_HTTP_PPROF_DIGEST_LEN);
        if (plcf->digests == NULL) {
            return NGX_ERROR;
        }
    }

    digest = ngx_array_push(plcf->digests);
    if (digest == NULL) {
        return NGX_ERROR;
    }

    SHA256(token, len, digest);

    return NGX_OK;
}


/*
 * The token stands in the arguments, in the buffer that the file is read to,
 * and (nginx with debugging keeps it for "nginx -T") in a copy of the file.
 */

static void
ngx_http_pprof_bearer_forget(ngx_conf_t *cf, ngx_str_t *token)
{
    ngx_buf_t  *b;

    b = cf->conf_file->buffer;

    if (b) {
        ngx_http_pprof_bearer_wipe(b->start, b->pos, token);
    }

    b = cf->conf_file->dump;

    if (b && !ngx_dump_config) {
        ngx_http_pprof_bearer_wipe(b->start, b->last, token);
    }

    ngx_explicit_memzero(token->data, token->len);
}


static void
ngx_http_pprof_bearer_wipe(u_char *p, u_char *last, ngx_str_t *token)
{
    while ((size_t) (last - p) >= token->len) {

        if (ngx_memcmp(p, token->data, token->len) == 0) {
            ngx_memset(p, '*', token->len);
            p += token->len;
            continue;
        }

        p++;
    }
}


ngx_int_t
ngx_http_pprof_access_handler(ngx_http_request_t *r)
{
    ngx_http_pprof_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_pprof_module);

    if (!plcf->served || plcf->digests == NULL) {
        return NGX_DECLINED;
    }

    return ngx_http_pprof_admit(r, plcf);
}


static ngx_int_t
ngx_http_pprof_admit(ngx_http_request_t *r, ngx_http_pprof_loc_conf_t *plcf)
{
    int          differ;
    u_char      *digests, digest[NGX_HTTP_PPROF_DIGEST_LEN];
    ngx_str_t    token;
    ngx_uint_t   i, matched;

    switch (ngx_http_pprof_presented(r, &token)) {

    case NGX_OK:
        break;

    case NGX_DECLINED:
        return NGX_HTTP_UNAUTHORIZED;

    default:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    SHA256(token.data, token.len, digest);

    digests = plcf->digests->elts;
    matched = 0;

    for (i = 0; i < plcf->digests->nelts; i++) {
        differ = CRYPTO_memcmp(digests + i * NGX_HTTP_PPROF_DIGEST_LEN,
                               digest, NGX_HTTP_PPROF_DIGEST_LEN);
        matched |= (differ == 0);
    }

    return matched ? NGX_OK : NGX_HTTP_UNAUTHORIZED;
}


/* "Bearer TOKEN", or "Basic" with the token as password of any user */

static ngx_int_t
ngx_http_pprof_presented(ngx_http_request_t *r, ngx_str_t *token)
{
    u_char     *p;
    ngx_str_t   value, encoded, decoded;

    if (r->headers_in.authorization == NULL) {
        return NGX_DECLINED;
    }

    value = r->headers_in.authorization->value;

    if (ngx_http_pprof_scheme(&value, "bearer", sizeof("bearer") - 1, token)
        == NGX_OK)
    {
        return NGX_OK;
    }

    if (ngx_http_pprof_scheme(&value, "basic", sizeof("basic") - 1, &encoded)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    /* ngx_http_auth_basic_user() takes no empty user, as Go's tools send */

    decoded.len = ngx_base64_decoded_length(encoded.len);
    decoded.data = ngx_pnalloc(r->pool, decoded.len + 1);
    if (decoded.data == NULL) {
        return NGX_ERROR;
    }

    if (ngx_decode_base64(&decoded, &encoded) != NGX_OK) {
        return NGX_DECLINED;
    }

    p = ngx_strlchr(decoded.data, decoded.data + decoded.len, ':');
    if (p == NULL) {
        return NGX_DECLINED;
    }

    token->data = p + 1;
    token->len = decoded.data + decoded.len - token->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_pprof_scheme(ngx_str_t *value, const char *scheme, size_t len,
    ngx_str_t *rest)
{
    u_char  *p, *last;

    if (value->len <= len
        || ngx_strncasecmp(value->data, (u_char *) scheme, len) != 0
        || value->data[len] != ' ')
    {
        return NGX_DECLINED;
    }

    p = value->data + len;
    last = value->data + value->len;

    while (p < last && *p == ' ') {
        p++;
    }

    rest->data = p;
    rest->len = last - p;

    return NGX_OK;
}
