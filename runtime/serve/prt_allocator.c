
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/prt_futex.h"
#include "serve/prt_allocator.h"
#include "serve/prt_job.h"
#include "sources/prt_block.h"
#include "sources/prt_heap.h"
#include "sources/prt_record.h"
#include "sources/prt_thread.h"


#define PRT_ALLOCATOR_STACK  (128 * 1024)      /* bytes */
#define PRT_ALLOCATOR_WAIT   (2 * PRT_SEC)     /* for a call */
#define PRT_ALLOCATOR_LOOK   (50 * PRT_MSEC)   /* whether the process ends */


typedef enum {
    PRT_ALLOCATOR_FREE = 0,
    PRT_ALLOCATOR_BUSY,
    PRT_ALLOCATOR_DONE,                        /* who waits has not seen it yet */
    PRT_ALLOCATOR_LEFT                         /* busy, and nobody waits any more */
} prt_allocator_state_t;

typedef void (*prt_allocator_pt)(void);


static int prt_allocator_begin(prt_allocator_pt call, uint64_t until);
static int prt_allocator_wait(uint64_t until);
static void prt_allocator_end(void);
static void prt_allocator_sleep(uint32_t word, uint64_t until);
static int prt_allocator_move(unsigned from, unsigned to);
static void *prt_allocator_main(void *data);
static void prt_allocator_call_trim(void);
static void prt_allocator_call_look(void);
static void prt_allocator_read(char *text);
static uint64_t prt_allocator_size(const char *text, const char *tag);


/* Each is right by itself: a child of fork() may not find a lock taken. */

static _Atomic uint64_t  prt_trim_times;
static _Atomic uint64_t  prt_trim_total;
static _Atomic uint64_t  prt_trim_last;
static _Atomic uint64_t  prt_trim_end;

static atomic_uint       prt_allocator_state;
static _Atomic uint32_t  prt_allocator_wake;
static prt_allocator_pt  prt_allocator_call;
static prt_allocator_t   prt_allocator_seen;   /* the call's until it is done */


int
prt_allocator_trim(void)
{
    uint64_t  until;

    until = prt_now() + PRT_ALLOCATOR_WAIT;

    if (prt_allocator_begin(prt_allocator_call_trim, until) != 0
        || prt_allocator_wait(until) != 0)
    {
        return -1;
    }

    prt_allocator_end();

    return 0;
}


int
prt_allocator_look(prt_allocator_t *allocator)
{
    uint64_t  until;

    until = prt_now() + PRT_ALLOCATOR_WAIT;

    if (prt_allocator_begin(prt_allocator_call_look, until) != 0
        || prt_allocator_wait(until) != 0)
    {
        memset(allocator, 0, sizeof(prt_allocator_t));
        return -1;
    }

    *allocator = prt_allocator_seen;

    prt_allocator_end();

    return 0;
}


/* Waits for the call of another thread; but not for one that hangs. */

static int
prt_allocator_begin(prt_allocator_pt call, uint64_t until)
{
    int             rc;
    uint32_t        word;
    pthread_t       thread;
    pthread_attr_t  attr;

    for ( ;; ) {
        word = atomic_load(&prt_allocator_wake);

        if (prt_allocator_move(PRT_ALLOCATOR_FREE, PRT_ALLOCATOR_BUSY)) {
            break;
        }

        if (atomic_load(&prt_allocator_state) == PRT_ALLOCATOR_LEFT
            || atomic_load(&prt_process.stopping)
            || prt_now() >= until)
        {
            return -1;
        }

        prt_allocator_sleep(word, until);
    }

    prt_allocator_call = call;

    (void) pthread_attr_init(&attr);
    (void) pthread_attr_setstacksize(&attr, PRT_ALLOCATOR_STACK);
    (void) pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);

    /* all signals are blocked in whoever calls, so there as well */

    rc = pthread_create(&thread, &attr, prt_allocator_main, NULL);

    (void) pthread_attr_destroy(&attr);

    if (rc != 0) {
        prt_allocator_end();
        return -1;
    }

    return 0;
}


static int
prt_allocator_wait(uint64_t until)
{
    uint32_t  word;

    for ( ;; ) {
        word = atomic_load(&prt_allocator_wake);

        if (atomic_load(&prt_allocator_state) == PRT_ALLOCATOR_DONE) {
            return 0;
        }

        if (atomic_load(&prt_process.stopping) || prt_now() >= until) {
            break;
        }

        prt_allocator_sleep(word, until);
    }

    /* it may have come back just now */

    return prt_allocator_move(PRT_ALLOCATOR_BUSY, PRT_ALLOCATOR_LEFT) ? -1 : 0;
}


static void
prt_allocator_end(void)
{
    atomic_store(&prt_allocator_state, PRT_ALLOCATOR_FREE);
    prt_futex_wake(&prt_allocator_wake);
}


static void
prt_allocator_sleep(uint32_t word, uint64_t until)
{
    uint64_t  look;

    look = prt_now() + PRT_ALLOCATOR_LOOK;

    prt_futex_wait(&prt_allocator_wake, word, look < until ? look : until);
}


static int
prt_allocator_move(unsigned from, unsigned to)
{
    return atomic_compare_exchange_strong(&prt_allocator_state, &from, to);
}


static void *
prt_allocator_main(void *data)
{
    (void) data;

    (void) pthread_setname_np(pthread_self(), "pprof-malloc");

    prt_thread_own();
    prt_heap_own();
    prt_block_own();

    prt_allocator_call();

    prt_thread_unregister();

    if (prt_allocator_move(PRT_ALLOCATOR_BUSY, PRT_ALLOCATOR_DONE)) {
        prt_futex_wake(&prt_allocator_wake);

    } else {
        prt_allocator_end();
    }

    return NULL;
}


static void
prt_allocator_call_trim(void)
{
    uint64_t  start, took;

    start = prt_now();

    (void) malloc_trim(0);

    took = prt_now() - start;

    atomic_fetch_add(&prt_trim_times, 1);
    atomic_fetch_add(&prt_trim_total, took);
    atomic_store(&prt_trim_last, took);
    atomic_store(&prt_trim_end, prt_clock(CLOCK_REALTIME));
}


/* It alone tells of arenas; with mallinfo2() beside it all were walked twice. */

static void
prt_allocator_call_look(void)
{
    char    *text;
    FILE    *stream;
    size_t   size;

    memset(&prt_allocator_seen, 0, sizeof(prt_allocator_t));

    text = NULL;

    stream = open_memstream(&text, &size);
    if (stream == NULL) {
        return;
    }

    (void) malloc_info(0, stream);

    if (fclose(stream) == 0) {
        prt_allocator_read(text);
    }

    free(text);
}


/* The sums stand behind the last arena. */

static void
prt_allocator_read(char *text)
{
    char      *p, *sums;
    uint64_t   mapped;

    static const char  arena[] = "</heap>";

    sums = text;

    for (p = text; (p = strstr(p, arena)) != NULL; /* void */ ) {
        p += sizeof(arena) - 1;
        sums = p;
        prt_allocator_seen.arenas++;
    }

    mapped = prt_allocator_size(sums, "<total type=\"mmap\"");

    prt_allocator_seen.free = prt_allocator_size(sums, "<total type=\"fast\"")
                              + prt_allocator_size(sums,
                                                   "<total type=\"rest\"");
    prt_allocator_seen.system = prt_allocator_size(sums,
                                                 "<system type=\"current\"")
                                + mapped;
}


static uint64_t
prt_allocator_size(const char *text, const char *tag)
{
    const char  *p;

    static const char  size[] = " size=\"";

    p = strstr(text, tag);
    p = p ? strstr(p, size) : NULL;

    return p ? strtoull(p + sizeof(size) - 1, NULL, 10) : 0;
}


void
prt_allocator_trims(prt_trims_t *trims)
{
    trims->times = atomic_load(&prt_trim_times);
    trims->total = atomic_load(&prt_trim_total);
    trims->last = atomic_load(&prt_trim_last);
    trims->end = atomic_load(&prt_trim_end);
}


void
prt_allocator_forked(void)
{
    atomic_store(&prt_allocator_state, PRT_ALLOCATOR_FREE);
}
