
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Locks.  One that can be had at once costs a try, no clock: whatever else a
 * try says than that the lock is taken (that its owner died, that it can be
 * taken no more often) the lock's call would have said as well.
 */


#include <errno.h>
#include <pthread.h>
#include <semaphore.h>

#include "sources/prt_block.h"


static int prt_block_hook_mutex_lock(pthread_mutex_t *mutex);
static int prt_block_hook_rwlock_rdlock(pthread_rwlock_t *rwlock);
static int prt_block_hook_rwlock_wrlock(pthread_rwlock_t *rwlock);
static int prt_block_hook_sem_wait(sem_t *sem);


typedef int (*prt_block_lock_pt)(void *lock);

static prt_block_lock_pt  prt_block_mutex_lock;
static prt_block_lock_pt  prt_block_rwlock_rdlock;
static prt_block_lock_pt  prt_block_rwlock_wrlock;
static prt_block_lock_pt  prt_block_sem_wait;


const prt_block_lock_t  prt_block_locks[PRT_BLOCK_LOCKS] = {
    { { "pthread_mutex_lock", (void *) prt_block_hook_mutex_lock,
        (void **) &prt_block_mutex_lock }, "pthread_mutex_trylock" },
    { { "pthread_rwlock_rdlock", (void *) prt_block_hook_rwlock_rdlock,
        (void **) &prt_block_rwlock_rdlock }, "pthread_rwlock_tryrdlock" },
    { { "pthread_rwlock_wrlock", (void *) prt_block_hook_rwlock_wrlock,
        (void **) &prt_block_rwlock_wrlock }, "pthread_rwlock_trywrlock" },
    { { "sem_wait", (void *) prt_block_hook_sem_wait,
        (void **) &prt_block_sem_wait }, "sem_trywait" }
};


/* Taken: waits for it. */

static __attribute__((noinline)) PRT_BLOCK_HOOK int
prt_block_wait(prt_block_lock_pt lock, void *p, unsigned what)
{
    int       rc;
    uint64_t  start;

    start = prt_ticks();
    rc = lock(p);

    /* EDEADLK: it is the caller's own, and nobody waited */

    if (rc != EDEADLK) {
        prt_block_locked(start, what, (uintptr_t) lock);
    }

    return rc;
}


PRT_BLOCK_HOOK static int
prt_block_hook_mutex_lock(pthread_mutex_t *mutex)
{
    int  rc;

    rc = pthread_mutex_trylock(mutex);

    if (__builtin_expect(rc != EBUSY, 1)) {
        return rc;
    }

    return prt_block_wait(prt_block_mutex_lock, mutex, PRT_BLOCK_LOCK);
}


PRT_BLOCK_HOOK static int
prt_block_hook_rwlock_rdlock(pthread_rwlock_t *rwlock)
{
    int  rc;

    rc = pthread_rwlock_tryrdlock(rwlock);

    if (__builtin_expect(rc != EBUSY, 1)) {
        return rc;
    }

    return prt_block_wait(prt_block_rwlock_rdlock, rwlock, PRT_BLOCK_LOCK);
}


PRT_BLOCK_HOOK static int
prt_block_hook_rwlock_wrlock(pthread_rwlock_t *rwlock)
{
    int  rc;

    rc = pthread_rwlock_trywrlock(rwlock);

    if (__builtin_expect(rc != EBUSY, 1)) {
        return rc;
    }

    return prt_block_wait(prt_block_rwlock_wrlock, rwlock, PRT_BLOCK_LOCK);
}


/* It is a cancellation point even if it need not wait, and a try is none. */

PRT_BLOCK_HOOK static int
prt_block_hook_sem_wait(sem_t *sem)
{
    int  err;

    pthread_testcancel();

    err = errno;

    if (__builtin_expect(sem_trywait(sem) == 0, 1)) {
        return 0;
    }

    errno = err;

    return prt_block_wait(prt_block_sem_wait, sem,
                          PRT_BLOCK_LOCK|PRT_BLOCK_WAIT);
}
