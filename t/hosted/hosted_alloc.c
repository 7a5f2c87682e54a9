
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Memory of the example module: known numbers of blocks of known sizes, each
 * kind allocated by a function of its own.
 */


#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hosted_work.h"


#define HOSTED_CHAIN_FROM  16              /* bytes, doubled up to the size */
#define HOSTED_ALIGNMENT   128


typedef struct hosted_block_s  hosted_block_t;

struct hosted_block_s {
    hosted_block_t        *next;
    size_t                 size;
};


typedef struct {
    size_t                 size;
    size_t                 count;
} hosted_amount_t;


static int hosted_block_keep(void *p, size_t size);


static pthread_mutex_t  hosted_blocks_mutex = PTHREAD_MUTEX_INITIALIZER;
static hosted_block_t  *hosted_blocks;
static size_t           hosted_blocks_count;
static size_t           hosted_blocks_bytes;

static void          *(*hosted_later)(size_t size);


/* Returns 0 when there was no memory. */

static int
hosted_block_keep(void *p, size_t size)
{
    hosted_block_t  *b;

    b = p;

    if (b == NULL) {
        return 0;
    }

    pthread_mutex_lock(&hosted_blocks_mutex);

    b->size = size;
    b->next = hosted_blocks;
    hosted_blocks = b;
    hosted_blocks_count++;
    hosted_blocks_bytes += size;

    pthread_mutex_unlock(&hosted_blocks_mutex);

    return 1;
}


size_t
hosted_alloc_keep(size_t size, size_t count)
{
    size_t  n;

    for (n = 0; n < count; n++) {
        if (!hosted_block_keep(malloc(size), size)) {
            break;
        }
    }

    return n;
}


size_t
hosted_alloc_realloc(size_t size, size_t count)
{
    void    *p, *larger;
    size_t   n, part;

    for (n = 0; n < count; n++) {
        p = NULL;

        for (part = HOSTED_CHAIN_FROM; part <= size; part *= 2) {
            larger = realloc(p, part);

            if (larger == NULL) {
                free(p);
                return n;
            }

            p = larger;
        }

        (void) hosted_block_keep(p, size);
    }

    return n;
}


size_t
hosted_alloc_memalign(size_t size, size_t count)
{
    size_t  n;

    for (n = 0; n < count; n++) {
        if (!hosted_block_keep(memalign(HOSTED_ALIGNMENT, size), size)) {
            break;
        }
    }

    return n;
}


size_t
hosted_alloc_strdup(size_t size, size_t count)
{
    char    *text;
    size_t   n;

    text = malloc(size);
    if (text == NULL) {
        return 0;
    }

    memset(text, 'x', size - 1);
    text[size - 1] = '\0';

    for (n = 0; n < count; n++) {
        if (!hosted_block_keep(strdup(text), size)) {
            break;
        }
    }

    free(text);

    return n;
}


/* In a thread that ends at once; who drops them is another one. */

size_t
hosted_alloc_thread(size_t size, size_t count)
{
    pthread_t        thread;
    hosted_amount_t  amount;

    amount.size = size;
    amount.count = count;

    if (pthread_create(&thread, NULL, hosted_alloc_threaded, &amount) != 0) {
        return 0;
    }

    pthread_join(thread, NULL);

    return amount.count;
}


void *
hosted_alloc_threaded(void *data)
{
    size_t            n;
    hosted_amount_t  *amount;

    amount = data;

    for (n = 0; n < amount->count; n++) {
        if (!hosted_block_keep(malloc(amount->size), amount->size)) {
            break;
        }
    }

    amount->count = n;

    return NULL;
}


int
hosted_alloc_load(const char *path)
{
    void  *handle;

    if (hosted_later) {
        return 0;
    }

    handle = dlopen(path, RTLD_NOW);

    if (handle) {
        *(void **) &hosted_later = dlsym(handle, "heap_later");
    }

    return hosted_later ? 0 : -1;
}


size_t
hosted_alloc_later(size_t size, size_t count)
{
    size_t  n;

    for (n = 0; n < count; n++) {
        if (!hosted_block_keep(hosted_later(size), size)) {
            break;
        }
    }

    return n;
}


int
hosted_child(int run)
{
    int       status, ok;
    pid_t     pid;
    sigset_t  set, old;

    if (run) {
        return system("exit 7") == 7 << 8 ? 0 : -1;
    }

    /* nginx waits for any child as soon as there is the signal */

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &set, &old);

    pid = fork();

    if (pid == 0) {
        (void) hosted_alloc_drop();
        (void) hosted_alloc_keep(4096, 1000);
        _exit(7);
    }

    ok = pid > 0 && waitpid(pid, &status, 0) == pid && status == 7 << 8;

    pthread_sigmask(SIG_SETMASK, &old, NULL);

    return ok ? 0 : -1;
}


size_t
hosted_alloc_free(size_t size, size_t count)
{
    void    *p;
    size_t   n;

    for (n = 0; n < count; n++) {
        p = malloc(size);
        if (p == NULL) {
            break;
        }

        /* the pair must not be optimised away */

        __asm__ volatile ("" :: "r" (p) : "memory");

        free(p);
    }

    return n;
}


size_t
hosted_alloc_drop(void)
{
    size_t           n;
    hosted_block_t  *b, *next;

    pthread_mutex_lock(&hosted_blocks_mutex);

    b = hosted_blocks;
    hosted_blocks = NULL;
    hosted_blocks_count = 0;
    hosted_blocks_bytes = 0;

    pthread_mutex_unlock(&hosted_blocks_mutex);

    for (n = 0; b; b = next, n++) {
        next = b->next;
        free(b);
    }

    return n;
}


size_t
hosted_alloc_kept(size_t *bytes)
{
    size_t  count;

    pthread_mutex_lock(&hosted_blocks_mutex);

    count = hosted_blocks_count;
    *bytes = hosted_blocks_bytes;

    pthread_mutex_unlock(&hosted_blocks_mutex);

    return count;
}
