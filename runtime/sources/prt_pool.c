
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "pprofrt.h"
#include "platform/prt_hook.h"
#include "sources/prt_pool.h"


#define PRT_POOLS        8
#define PRT_POOL_TASKS   4096              /* of a pool's that wait; a power of 2 */


typedef struct {
    uint32_t             number;           /* of the task; else it was too much */
    uint32_t             labels;
} prt_pool_task_t;


typedef struct {
    _Atomic(pthread_mutex_t *)  mutex;     /* NULL: unused */

    /* with this mutex held */
    uint32_t             posted;
    uint32_t             taken;
    prt_pool_task_t      tasks[PRT_POOL_TASKS];
} prt_pool_t;


static int prt_pool_hook_signal(pthread_cond_t *cond);
static int prt_pool_hook_unlock(pthread_mutex_t *mutex);
static void prt_pool_post(pthread_mutex_t *mutex);
static void prt_pool_take(pthread_mutex_t *mutex);


static prt_pool_t   prt_pools[PRT_POOLS];
static _Atomic int  prt_pool_active;

/* of the control thread */
static pthread_t    prt_pool_control;
static int          prt_pool_posts;        /* a task, with its next unlock */


void
prt_pool_start(const void *code)
{
    unsigned             i;
    const prt_map_t     *map;
    const prt_object_t  *object;

    for (i = 0; i < PRT_POOLS; i++) {
        atomic_store(&prt_pools[i].mutex, NULL);
        prt_pools[i].posted = 0;
        prt_pools[i].taken = 0;
    }

    prt_pool_control = pthread_self();
    prt_pool_posts = 0;

    if (code == NULL) {
        return;
    }

    map = prt_map_acquire();
    object = prt_map_find(map, (uintptr_t) code);

    /* one without the other would be worse than none */

    if (object
        && prt_hook_object(object, "pthread_mutex_unlock", NULL,
                           (void *) prt_pool_hook_unlock)
           > 0
        && prt_hook_object(object, "pthread_cond_signal", NULL,
                           (void *) prt_pool_hook_signal)
           > 0)
    {
        atomic_store(&prt_pool_active, 1);
    }

    prt_map_release();
}


/* The hooks stay, and do nothing. */

void
prt_pool_stop(void)
{
    atomic_store(&prt_pool_active, 0);
}


static int
prt_pool_hook_signal(pthread_cond_t *cond)
{
    if (atomic_load_explicit(&prt_pool_active, memory_order_relaxed)) {

        if (pthread_equal(pthread_self(), prt_pool_control)) {
            prt_pool_posts = 1;

        } else {
            /* somebody else posts: what is taken is not known any more */
            atomic_store(&prt_pool_active, 0);
        }
    }

    return pthread_cond_signal(cond);
}


static int
prt_pool_hook_unlock(pthread_mutex_t *mutex)
{
    if (atomic_load_explicit(&prt_pool_active, memory_order_relaxed)) {

        if (!pthread_equal(pthread_self(), prt_pool_control)) {
            prt_pool_take(mutex);

        } else if (prt_pool_posts) {
            prt_pool_posts = 0;
            prt_pool_post(mutex);
        }
    }

    return pthread_mutex_unlock(mutex);
}


static void
prt_pool_post(pthread_mutex_t *mutex)
{
    unsigned          i;
    prt_pool_t       *pool;
    prt_pool_task_t  *task;
    pthread_mutex_t  *known;

    for (i = 0; i < PRT_POOLS; i++) {
        pool = &prt_pools[i];
        known = atomic_load_explicit(&pool->mutex, memory_order_relaxed);

        if (known && known != mutex) {
            continue;
        }

        if (pool->posted - pool->taken < PRT_POOL_TASKS) {
            task = &pool->tasks[pool->posted % PRT_POOL_TASKS];
            task->number = pool->posted;
            task->labels = prt_labels;
        }

        pool->posted++;

        atomic_store_explicit(&pool->mutex, mutex, memory_order_release);

        return;
    }
}


static void
prt_pool_take(pthread_mutex_t *mutex)
{
    unsigned          i;
    prt_pool_t       *pool;
    prt_pool_task_t  *task;

    for (i = 0; i < PRT_POOLS; i++) {
        pool = &prt_pools[i];

        if (atomic_load_explicit(&pool->mutex, memory_order_acquire) != mutex
            || pool->taken == pool->posted)
        {
            continue;
        }

        task = &pool->tasks[pool->taken % PRT_POOL_TASKS];

        prt_labels = task->number == pool->taken ? task->labels : 0;

        pool->taken++;

        return;
    }
}
