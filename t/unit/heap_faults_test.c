
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * What hooks have to survive: a signal handler that leaves them for good, the
 * loader at work, memory that has come to its end.
 */


#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <ucontext.h>

#include "known.h"


#define JUMPS    2000
#define LOADS    300
#define THREADS  4


KNOWN_FUNCTION(known_before, malloc(size))
KNOWN_FUNCTION(known_after, malloc(size))
KNOWN_FUNCTION(known_loading, malloc(size))


#if !SANITIZED

/* of the library under test */
static uintptr_t        code_lo, code_hi;

static sigjmp_buf       escape;
static atomic_uint      jumps;
static atomic_int       escaping;
static pthread_t        victim;


/*
 * Leaves, if it has interrupted the profiler itself: the allocator's own lock
 * would never be given back.
 */

static void
on_signal(int signo, siginfo_t *info, void *data)
{
    uintptr_t          pc;
    const ucontext_t  *context;

    (void) signo;
    (void) info;

    context = data;
    pc = (uintptr_t) context->uc_mcontext.gregs[REG_RIP];

    if (escaping && pc >= code_lo && pc < code_hi) {
        jumps++;
        siglongjmp(escape, 1);
    }
}


static void *
shooting(void *data)
{
    (void) data;

    while (jumps < JUMPS) {
        pthread_kill(victim, SIGUSR1);
        usleep(20);
    }

    return NULL;
}


static void
find_code(void)
{
    char   line[512];
    FILE  *maps;

    maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);

    while (fgets(line, sizeof(line), maps)) {
        if (strstr(line, "r-xp") && strstr(line, "libpprofrt")) {
            assert_int_equal(sscanf(line, "%lx-%lx", &code_lo, &code_hi), 2);
        }
    }

    fclose(maps);

    assert_true(code_hi > code_lo);
}


static void
test_longjmp(void **state)
{
    profile_t         *p;
    pthread_t          thread;
    struct sigaction   action;

    (void) state;

    find_code();

    /* each block is a sample: most of the time is ours */

    start(1, 64 * 1024 * 1024);

    memset(&action, 0, sizeof(action));
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO;
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);

    victim = pthread_self();
    assert_int_equal(pthread_create(&thread, NULL, shooting, NULL), 0);

    while (jumps < JUMPS) {

        if (sigsetjmp(escape, 1) == 0) {
            escaping = 1;

            for ( ;; ) {
                if (jumps >= JUMPS) {
                    break;
                }

                free(known_before(64));
            }
        }

        escaping = 0;
    }

    escaping = 0;
    assert_int_equal(pthread_join(thread, NULL), 0);

    /* this thread is sampled as before, and what is left is readable */

    allocate(known_after, 64, 20000);

    p = heap("heap");
    assert_true(value_of(p, "known_before", ALLOC_OBJECTS) >= JUMPS / 100);
    assert_int_equal(value_of(p, "known_after", ALLOC_OBJECTS), 20000);
    assert_true(value_of(p, "known_after", INUSE_OBJECTS) > 19900);
    perftools__profiles__profile__free_unpacked(p, NULL);

    release();
}


/* All that may be had is in use, and the program takes it well. */

static void
test_no_memory(void **state)
{
    FILE           *f;
    unsigned        i, n;
    profile_t      *p;
    void *volatile  block;
    unsigned long   pages;
    struct rlimit   limit, low;

    (void) state;

    start(RATE, 16 * 1024 * 1024);

    f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu", &pages), 1);
    fclose(f);

    assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
    low = limit;
    low.rlim_cur = pages * 4096 + 64 * 1024 * 1024;
    assert_int_equal(setrlimit(RLIMIT_AS, &low), 0);

    for (i = 0; i < KEPT_MAX; i++) {
        errno = 0;
        kept[i] = malloc(8192);

        if (kept[i] == NULL) {
            break;
        }
    }

    n = i;

    /* still none, and errno says so */

    for (i = 0; i < 1000 && errno == ENOMEM; i++) {
        errno = 0;
        block = malloc(1024 * 1024 + i);
    }

    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
    assert_int_equal(errno, ENOMEM);
    assert_null(block);

    assert_true(n > 1000);
    assert_true(n < KEPT_MAX);
    nkept = n;

    p = heap("heap");
    near(p, "test_no_memory", INUSE_SPACE, 8192.0 * n);
    perftools__profiles__profile__free_unpacked(p, NULL);

    release();

    p = heap("heap");
    near(p, "test_no_memory", INUSE_SPACE, 0);
    near(p, "test_no_memory", INUSE_OBJECTS, 0);
    perftools__profiles__profile__free_unpacked(p, NULL);
}

#endif


/*
 * Within dlopen() and dlclose(), while others allocate and the service thread
 * looks for new objects.
 */

static _Atomic int  loading;


static void *
allocating(void *data)
{
    (void) data;

    while (loading) {
        free(known_loading(1000));
    }

    return NULL;
}


static void
test_loader(void **state)
{
    void       *handle, *(*later)(size_t);
    unsigned    i;
    profile_t  *p;
    pthread_t   threads[THREADS];

    (void) state;

    start(16, 64 * 1024 * 1024);

    loading = 1;

    for (i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, allocating, NULL),
                         0);
    }

    for (i = 0; i < LOADS; i++) {
        handle = library("heap_later.so");
        *(void **) &later = function(handle, "heap_later");

        /* a look for new objects, now and then */

        if (i % 30 == 0) {
            perftools__profiles__profile__free_unpacked(heap("heap"), NULL);
        }

        free(later(100));
        assert_int_equal(dlclose(handle), 0);
    }

    loading = 0;

    for (i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }

    p = heap("heap");
    assert_true(value_of(p, "known_loading", ALLOC_OBJECTS) > 0);
    assert_int_equal(value_of(p, "known_loading", INUSE_OBJECTS), 0);
    assert_int_equal(value_of(p, "heap_later", INUSE_OBJECTS), 0);

    /*
     * The constructor calls libc within dlopen().  Its block is given back by
     * a library that has no hooks yet, and is known to be gone when its
     * address comes again.
     */

#if !SANITIZED
    assert_true(value_of(p, "heap_constructor", ALLOC_OBJECTS) > LOADS / 2);
    assert_true(value_of(p, "heap_constructor", INUSE_OBJECTS) < LOADS / 10);
#endif

    perftools__profiles__profile__free_unpacked(p, NULL);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
#if !SANITIZED
        cmocka_unit_test_teardown(test_longjmp, stop),
        cmocka_unit_test_teardown(test_no_memory, stop),
#endif
        cmocka_unit_test_teardown(test_loader, stop)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
