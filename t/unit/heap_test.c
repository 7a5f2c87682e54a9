
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The memory profiles against allocations that are known.
 */


#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "known.h"


KNOWN_FUNCTION(known_small, malloc(size))
KNOWN_FUNCTION(known_page, malloc(size))
KNOWN_FUNCTION(known_large, malloc(size))
KNOWN_FUNCTION(known_churn, malloc(size))
KNOWN_FUNCTION(known_calloc, calloc(size / 16, 16))
KNOWN_FUNCTION(known_memalign, memalign(64, size))
KNOWN_FUNCTION(known_aligned, aligned_alloc(64, size))
KNOWN_FUNCTION(known_valloc, valloc(size))
KNOWN_FUNCTION(known_array, reallocarray(NULL, size / 16, 16))
KNOWN_FUNCTION(known_thread, malloc(size))
KNOWN_FUNCTION(known_signal, malloc(size))
KNOWN_FUNCTION(known_child, malloc(size))


KNOWN void *known_posix(size_t size);
KNOWN void *known_realloc(size_t size);


KNOWN void *
known_posix(size_t size)
{
    void  *p;

    p = NULL;

    assert_int_equal(posix_memalign(&p, 256, size), 0);

    return keep(p);
}


#if !SANITIZED

KNOWN void *known_strdup(size_t size);


KNOWN void *
known_strdup(size_t size)
{
    char  text[4096];

    memset(text, 'x', size - 1);
    text[size - 1] = '\0';

    return keep(strdup(text));
}

#endif


/* 16 bytes, doubled until it is "size" */

KNOWN void *
known_realloc(size_t size)
{
    void    *p;
    size_t   n;

    p = NULL;

    for (n = 16; n <= size; n *= 2) {
        p = keep(realloc(p, n));
    }

    return p;
}


static void
test_known(void **state)
{
    unsigned    i;
    profile_t  *p;

    static const struct {
        const char  *name;
        void      *(*function)(size_t size);
        size_t       size;
        unsigned     n;
    } blocks[] = {
        { "known_small", known_small, 64, 500000 },
        { "known_page", known_page, 4096, 10000 },
        { "known_large", known_large, 1024 * 1024, 20 },
        { "known_calloc", known_calloc, 1024, 30000 },
        { "known_memalign", known_memalign, 1024, 30000 },
        { "known_aligned", known_aligned, 1024, 30000 },
        { "known_valloc", known_valloc, 4096, 10000 },
        { "known_array", known_array, 1024, 30000 },
        { "known_posix", known_posix, 1024, 30000 },

        /* a sanitizer's own allocates in the sanitizer */
#if !SANITIZED
        { "known_strdup", known_strdup, 1024, 30000 }
#endif
    };

    (void) state;

    start(RATE, 256 * 1024 * 1024);

    for (i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        allocate(blocks[i].function, blocks[i].size, blocks[i].n);
    }

    for (i = 0; i < 1000000; i++) {
        free(known_churn(128));
    }

    /* 16 + 32 + ... + 65536 bytes in 13 steps; the last one stays */

    for (i = 0; i < 500; i++) {
        kept[nkept++] = known_realloc(65536);
    }

    p = heap("heap");

    for (i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        check(p, blocks[i].name, blocks[i].n,
              (double) blocks[i].n * (double) blocks[i].size,
              blocks[i].n, (double) blocks[i].n * (double) blocks[i].size);
    }

    check(p, "known_churn", 1e6, 128e6, 0, 0);
    near(p, "known_realloc", ALLOC_SPACE, 500.0 * (2 * 65536 - 16));
    near(p, "known_realloc", INUSE_OBJECTS, 500);
    near(p, "known_realloc", INUSE_SPACE, 500.0 * 65536);

    perftools__profiles__profile__free_unpacked(p, NULL);

    release();

    p = heap("allocs");

    assert_string_equal(p->string_table[p->default_sample_type],
                        "alloc_space");
    assert_int_equal(p->period, RATE);

    for (i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        near(p, blocks[i].name, ALLOC_OBJECTS, blocks[i].n);
        near(p, blocks[i].name, INUSE_OBJECTS, 0);
        near(p, blocks[i].name, INUSE_SPACE, 0);
    }

    near(p, "known_realloc", INUSE_SPACE, 0);

    perftools__profiles__profile__free_unpacked(p, NULL);
}


static void *
allocating(void *data)
{
    unsigned  i;

    (void) data;

    for (i = 0; i < 100000; i++) {
        kept[i] = known_thread(512);
    }

    nkept = 100000;

    return NULL;
}


static void
test_threads(void **state)
{
    profile_t  *p;
    pthread_t   thread;

    (void) state;

    start(RATE, 64 * 1024 * 1024);

    assert_int_equal(pthread_create(&thread, NULL, allocating, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);

    p = heap("heap");
    check(p, "known_thread", 100000, 512e5, 100000, 512e5);
    perftools__profiles__profile__free_unpacked(p, NULL);

    release();

    p = heap("heap");
    check(p, "known_thread", 100000, 512e5, 0, 0);
    perftools__profiles__profile__free_unpacked(p, NULL);
}


static void
test_later(void **state)
{
    void       *handle, *(*later)(size_t);
    profile_t  *p;

    (void) state;

    start(RATE, 64 * 1024 * 1024);

    handle = library("heap_later.so");
    *(void **) &later = function(handle, "heap_later");

    /* a look for new objects is taken for each profile */
    perftools__profiles__profile__free_unpacked(heap("heap"), NULL);

    allocate(later, 512, 100000);

    p = heap("heap");
    check(p, "heap_later", 100000, 512e5, 100000, 512e5);
    perftools__profiles__profile__free_unpacked(p, NULL);

    release();
    dlclose(handle);
}


#if !SANITIZED

/* Of libstdc++, or of the allocator: an exception has to pass our hooks. */

static void
test_operators(void **state)
{
    int          i, (*throw)(void);
    void        *handle, *(*new[4])(size_t);
    void       (*delete)(void *, size_t, int);
    unsigned     k;
    profile_t   *p;

    static const char  *names[] = {
        "known_new", "known_new_array", "known_new_nothrow",
        "known_new_aligned"
    };

    (void) state;

    start(RATE, 128 * 1024 * 1024);

    handle = library("heap_operators.so");
    *(void **) &delete = function(handle, "known_delete");
    *(void **) &throw = function(handle, "known_throw");

    perftools__profiles__profile__free_unpacked(heap("heap"), NULL);

    for (i = 0; i < 4; i++) {
        *(void **) &new[i] = function(handle, names[i]);
        allocate(new[i], 1024, 30000);
    }

    for (i = 0; i < 100; i++) {
        assert_int_equal(throw(), 1);
    }

    p = heap("heap");

    for (i = 0; i < 4; i++) {
        check(p, names[i], 30000, 3072e4, 30000, 3072e4);
    }

    perftools__profiles__profile__free_unpacked(p, NULL);

    for (k = 0; k < nkept; k++) {
        delete(kept[k], 1024, (int) k / 30000);
    }

    nkept = 0;

    p = heap("heap");

    for (i = 0; i < 4; i++) {
        check(p, names[i], 30000, 3072e4, 0, 0);
    }

    perftools__profiles__profile__free_unpacked(p, NULL);

    dlclose(handle);
}

#endif


/* A child allocates and frees, and its parent's profile knows nothing of it. */

static void
test_fork(void **state)
{
    int         status;
    pid_t       pid;
    profile_t  *p;

    (void) state;

    start(RATE, 16 * 1024 * 1024);

    allocate(known_page, 4096, 10000);

    pid = fork();
    assert_true(pid != -1);

    if (pid == 0) {
        release();
        allocate(known_child, 4096, 10000);
        _exit(0);
    }

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);

    p = heap("heap");
    check(p, "known_page", 10000, 4096e4, 10000, 4096e4);
    near(p, "known_child", ALLOC_OBJECTS, 0);
    perftools__profiles__profile__free_unpacked(p, NULL);

    release();
}


static _Atomic unsigned  signals;


static void
on_signal(int signo)
{
    (void) signo;

    /* nothing in a handler may allocate, but some programs do; here malloc()
     * itself is never interrupted */

    free(known_signal(8192));
    signals++;
}


static void
test_signal(void **state)
{
    unsigned          i;
    profile_t        *p;
    struct sigaction  action;

    (void) state;

    start(RATE, 16 * 1024 * 1024);

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);

    for (i = 0; i < 10000; i++) {
        assert_int_equal(raise(SIGUSR1), 0);
    }

    p = heap("heap");
    check(p, "known_signal", 10000, 8192e4, 0, 0);
    perftools__profiles__profile__free_unpacked(p, NULL);
}


/* Eight threads hand blocks to each other while profiles are taken. */

#define PLACES  4096

static _Atomic(void *)  places[PLACES];
static _Atomic int      hammering;


static void *
hammer(void *data)
{
    void      *p;
    uint64_t   x;

    x = (uintptr_t) data * 0x9e3779b97f4a7c15 + 1;

    while (hammering) {
        x = x * 6364136223846793005 + 1442695040888963407;

        p = (x >> 60) ? malloc(16 + (x >> 50) % 8192) : calloc(3, 1000);
        *(volatile char *) p = 1;

        p = atomic_exchange(&places[(x >> 40) % PLACES], p);

        if ((x >> 58) % 8 == 0) {
            p = realloc(p, 1 + (x >> 33) % 20000);
        }

        free(p);
    }

    return NULL;
}


static void
test_hammer(void **state)
{
    size_t       k;
    int64_t      objects, bytes;
    unsigned     i, seconds;
    profile_t   *p;
    pthread_t    threads[8];
    const char  *s;

    (void) state;

    s = getenv("TEST_HEAP_SECONDS");
    seconds = s ? (unsigned) atoi(s) : 3;

    start(RATE, 16 * 1024 * 1024);

    hammering = 1;
    objects = 0;
    bytes = 0;

    for (i = 0; i < 8; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hammer,
                                        (void *) (uintptr_t) i), 0);
    }

    for (i = 0; i < seconds * 5; i++) {
        p = heap("heap");

        /* allocated grows only, and nothing is given back that was not */

        for (k = 0; k < p->n_sample; k++) {
            assert_true(p->sample[k]->value[INUSE_OBJECTS] >= 0);
            assert_true(p->sample[k]->value[INUSE_SPACE] >= 0);
        }

        assert_true(value_of(p, NULL, ALLOC_OBJECTS) >= objects);
        assert_true(value_of(p, NULL, ALLOC_SPACE) >= bytes);

        objects = value_of(p, NULL, ALLOC_OBJECTS);
        bytes = value_of(p, NULL, ALLOC_SPACE);

        perftools__profiles__profile__free_unpacked(p, NULL);
        usleep(200000);
    }

    hammering = 0;

    for (i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }

    for (i = 0; i < PLACES; i++) {
        free(atomic_exchange(&places[i], NULL));
    }

    p = heap("heap");
    near(p, "hammer", INUSE_OBJECTS, 0);
    near(p, "hammer", INUSE_SPACE, 0);
    perftools__profiles__profile__free_unpacked(p, NULL);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_teardown(test_known, stop),
        cmocka_unit_test_teardown(test_threads, stop),
        cmocka_unit_test_teardown(test_later, stop),

        /* those of a sanitizer allocate in the sanitizer */
#if !SANITIZED
        cmocka_unit_test_teardown(test_operators, stop),
#endif

        cmocka_unit_test_teardown(test_fork, stop),
        cmocka_unit_test_teardown(test_signal, stop),
        cmocka_unit_test_teardown(test_hammer, stop)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
