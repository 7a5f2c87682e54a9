
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The library brings an HTTP client and its TLS with it, so it is loaded only
 * where somebody has configured servers.
 */


#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "encode/prt_debugfile.h"


#define PRT_DEBUGINFOD_LIBRARY   "libdebuginfod.so.1"


struct prt_debuginfod_s {
    void              *handle;           /* the library's for this use */
    uint64_t           deadline;
    const atomic_int  *cancel;
    void               (*end)(void *handle);
    int                (*find)(void *handle, const unsigned char *build_id,
                               int len, char **path);
};


static int prt_debuginfod_progress(void *handle, long a, long b);


/* The library's own way to hand data to the callback. */
static void *(*prt_debuginfod_user_data)(void *handle);


prt_debuginfod_t *
prt_debuginfod_create(uint64_t deadline, const atomic_int *cancel)
{
    void              *library;
    const char        *urls;
    prt_debuginfod_t  *client;

    void            *(*begin)(void);
    void             (*set_user_data)(void *handle, void *data);
    void             (*set_progressfn)(void *handle,
                                       int (*fn)(void *, long, long));

    urls = getenv("DEBUGINFOD_URLS");
    if (urls == NULL || urls[0] == '\0') {
        return NULL;
    }

    /* Never closed: what it loads has exit handlers. */

    library = dlopen(PRT_DEBUGINFOD_LIBRARY, RTLD_NOW|RTLD_LOCAL|RTLD_NODELETE);
    if (library == NULL) {
        return NULL;
    }

    client = calloc(1, sizeof(prt_debuginfod_t));
    if (client == NULL) {
        return NULL;
    }

    client->deadline = deadline;
    client->cancel = cancel;

    *(void **) &begin = dlsym(library, "debuginfod_begin");
    *(void **) &set_user_data = dlsym(library, "debuginfod_set_user_data");
    *(void **) &set_progressfn = dlsym(library, "debuginfod_set_progressfn");
    *(void **) &prt_debuginfod_user_data = dlsym(library,
                                                 "debuginfod_get_user_data");
    *(void **) &client->find = dlsym(library, "debuginfod_find_debuginfo");
    *(void **) &client->end = dlsym(library, "debuginfod_end");

    if (begin == NULL || set_user_data == NULL || set_progressfn == NULL
        || prt_debuginfod_user_data == NULL || client->find == NULL
        || client->end == NULL
        || (client->handle = begin()) == NULL)
    {
        free(client);
        return NULL;
    }

    set_user_data(client->handle, client);
    set_progressfn(client->handle, prt_debuginfod_progress);

    return client;
}


void
prt_debuginfod_destroy(prt_debuginfod_t *client)
{
    client->end(client->handle);
    free(client);
}


char *
prt_debuginfod_fetch(prt_debuginfod_t *client, const uint8_t *build_id,
    unsigned len)
{
    int    fd;
    char  *path;

    path = NULL;

    fd = client->find(client->handle, build_id, (int) len, &path);
    if (fd < 0) {
        return NULL;
    }

    (void) close(fd);

    return path;
}


int
prt_debuginfod_ended(prt_debuginfod_t *client)
{
    struct timespec  ts;

    if (client->cancel
        && atomic_load_explicit(client->cancel, memory_order_relaxed))
    {
        return 1;
    }

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec
           >= client->deadline;
}


/* Non-zero gives the transfer up. */

static int
prt_debuginfod_progress(void *handle, long a, long b)
{
    (void) a;
    (void) b;

    return prt_debuginfod_ended(prt_debuginfod_user_data(handle));
}
