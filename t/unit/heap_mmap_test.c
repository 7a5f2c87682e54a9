
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Anonymous memory that a program maps itself: to the byte.
 */


#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "known.h"


#define PAGE     4096u
#define THREADS  4


KNOWN void *known_map(void *where, size_t size, int prot, int flags, int fd);
KNOWN void *known_remap(void *p, size_t old, size_t size, int flags,
    void *where);


KNOWN void *
known_map(void *where, size_t size, int prot, int flags, int fd)
{
    void  *p;

    p = mmap(where, size, prot, flags, fd, 0);
    assert_ptr_not_equal(p, MAP_FAILED);

    return keep(p);
}


KNOWN void *
known_remap(void *p, size_t old, size_t size, int flags, void *where)
{
    p = mremap(p, old, size, flags, where);
    assert_ptr_not_equal(p, MAP_FAILED);

    return keep(p);
}


static char *
anonymous(void *where, size_t size, int flags)
{
    return known_map(where, size, PROT_READ|PROT_WRITE,
                     MAP_PRIVATE|MAP_ANONYMOUS|flags, -1);
}


static void
exactly(const char *function, int64_t alloc_objects, int64_t alloc_bytes,
    int64_t objects, int64_t bytes)
{
    profile_t  *p;

    p = heap("heap");

    assert_int_equal(value_of(p, function, ALLOC_OBJECTS), alloc_objects);
    assert_int_equal(value_of(p, function, ALLOC_SPACE), alloc_bytes);
    assert_int_equal(value_of(p, function, INUSE_OBJECTS), objects);
    assert_int_equal(value_of(p, function, INUSE_SPACE), bytes);

    perftools__profiles__profile__free_unpacked(p, NULL);
}


static void
test_map(void **state)
{
    int         fd;
    char       *p, *q, *file;
    size_t      i;
    unsigned    said;
    profile_t  *profile;

    (void) state;

    start_heap(RATE, 1024 * 1024, 1);

    /* no whole pages: the kernel's are */

    p = anonymous(NULL, 100 * PAGE - 17, 0);
    q = anonymous(NULL, 1, 0);
    exactly("known_map", 2, 101 * PAGE, 2, 101 * PAGE);

    /* its end, its middle, its start */

    assert_int_equal(munmap(p + 90 * PAGE, 10 * PAGE), 0);
    assert_int_equal(munmap(p + 40 * PAGE, 1), 0);
    assert_int_equal(munmap(p, 10 * PAGE), 0);
    exactly("known_map", 2, 101 * PAGE, 2, 80 * PAGE);

    /* what fails changes nothing */

    errno = 0;
    assert_int_equal(munmap(p + 20 * PAGE + 1, PAGE), -1);
    assert_int_equal(errno, EINVAL);
    assert_ptr_equal(mmap(NULL, 0, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0),
                     MAP_FAILED);
    assert_int_equal(errno, EINVAL);
    exactly("known_map", 2, 101 * PAGE, 2, 80 * PAGE);

    /* others take its place: one that counts, and some that do not */

    (void) anonymous(p + 50 * PAGE, 5 * PAGE, MAP_FIXED);
    exactly("known_map", 3, 106 * PAGE, 3, 80 * PAGE);

    (void) known_map(p + 60 * PAGE, 5 * PAGE, PROT_NONE,
                     MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1);

    fd = open("/proc/self/exe", O_RDONLY);
    assert_true(fd != -1);
    (void) known_map(p + 70 * PAGE, PAGE, PROT_READ, MAP_PRIVATE|MAP_FIXED, fd);
    file = known_map(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd);
    (void) close(fd);
    exactly("known_map", 3, 106 * PAGE, 3, 74 * PAGE);

    /* no errno of ours */

    errno = EXDEV;
    assert_int_equal(munmap(q, PAGE), 0);
    assert_int_equal(munmap(file, PAGE), 0);

    /* others may be in the holes by now */

    assert_int_equal(munmap(p + 10 * PAGE, 30 * PAGE), 0);
    assert_int_equal(munmap(p + 41 * PAGE, 49 * PAGE), 0);
    assert_int_equal(errno, EXDEV);
    exactly("known_map", 3, 106 * PAGE, 0, 0);

    profile = heap("allocs");
    said = 0;

    for (i = 0; i < profile->n_comment; i++) {
        said += strcmp(profile->string_table[profile->comment[i]],
                       "memory: anonymous mappings are counted, each of them")
                == 0;
    }

    assert_int_equal(said, 1);
    perftools__profiles__profile__free_unpacked(profile, NULL);
}


static void
test_remap(void **state)
{
    char  *p, *q, *room;

    (void) state;

    start_heap(RATE, 1024 * 1024, 1);

    /* nobody else's, whatever is unmapped in it */

    room = known_map(NULL, 200 * PAGE, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS,
                     -1);

    p = anonymous(room, 100 * PAGE, MAP_FIXED);
    exactly("known_map", 1, 100 * PAGE, 1, 100 * PAGE);

    /* smaller, larger, elsewhere; then it is another's: mremap()'s caller's */

    p = known_remap(p, 100 * PAGE, 60 * PAGE, 0, NULL);
    exactly("known_map", 1, 100 * PAGE, 0, 0);
    exactly("known_remap", 1, 60 * PAGE, 1, 60 * PAGE);

    p = known_remap(p, 60 * PAGE, 150 * PAGE, MREMAP_MAYMOVE, NULL);
    exactly("known_remap", 2, 210 * PAGE, 1, 150 * PAGE);

    q = anonymous(NULL, 150 * PAGE, 0);
    p = known_remap(p, 150 * PAGE, 10 * PAGE, MREMAP_MAYMOVE|MREMAP_FIXED, q);
    assert_ptr_equal(p, q);
    exactly("known_map", 2, 250 * PAGE, 1, 140 * PAGE);
    exactly("known_remap", 3, 220 * PAGE, 1, 10 * PAGE);

    /* what fails changes nothing */

    errno = 0;
    assert_ptr_equal(mremap(p, 10 * PAGE, 0, 0), MAP_FAILED);
    assert_int_equal(errno, EINVAL);
    exactly("known_remap", 3, 220 * PAGE, 1, 10 * PAGE);

    assert_int_equal(munmap(p, 10 * PAGE), 0);
    assert_int_equal(munmap(p + 10 * PAGE, 140 * PAGE), 0);
    exactly("known_map", 2, 250 * PAGE, 0, 0);
    exactly("known_remap", 3, 220 * PAGE, 0, 0);
}


/* Any address may come again, to another thread, at any time. */

static void *
mapping(void *data)
{
    char      *p;
    uint64_t   x;
    unsigned   i, n;

    x = (uintptr_t) data * 0x9e3779b97f4a7c15 + 1;

    for (i = 0; i < 20000; i++) {
        x = x * 6364136223846793005 + 1442695040888963407;
        n = 3 + (x >> 50) % 30;

        p = anonymous(NULL, n * PAGE, 0);

        if (x >> 63) {
            p = known_remap(p, n * PAGE, (n + 10) * PAGE, MREMAP_MAYMOVE, NULL);
            n += 10;
        }

        assert_int_equal(munmap(p + PAGE, (n - 2) * PAGE), 0);
        assert_int_equal(munmap(p, PAGE), 0);
        assert_int_equal(munmap(p + (n - 1) * PAGE, PAGE), 0);
    }

    return NULL;
}


static void
test_threads(void **state)
{
    unsigned    i;
    profile_t  *p;
    pthread_t   threads[THREADS];

    (void) state;

    start_heap(RATE, 1024 * 1024, 1);

    for (i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, mapping,
                                        (void *) (uintptr_t) i), 0);
    }

    for (i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }

    p = heap("heap");
    assert_int_equal(value_of(p, "known_map", ALLOC_OBJECTS), THREADS * 20000);
    assert_int_equal(value_of(p, "mapping", INUSE_OBJECTS), 0);
    assert_int_equal(value_of(p, "mapping", INUSE_SPACE), 0);
    perftools__profiles__profile__free_unpacked(p, NULL);
}


/* Only where it is asked for, though the hooks of the tests before stay. */

static void
test_default(void **state)
{
    char       *p;
    profile_t  *profile;

    (void) state;

    start(1, 1024 * 1024);

    p = anonymous(NULL, 100 * PAGE, 0);

    profile = heap("heap");
    assert_int_equal(value_of(profile, "known_map", ALLOC_OBJECTS), 0);
    perftools__profiles__profile__free_unpacked(profile, NULL);

    assert_int_equal(munmap(p, 100 * PAGE), 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_teardown(test_map, stop),
        cmocka_unit_test_teardown(test_remap, stop),
        cmocka_unit_test_teardown(test_threads, stop),
        cmocka_unit_test_teardown(test_default, stop)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
