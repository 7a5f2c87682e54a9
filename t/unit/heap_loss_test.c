
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Memory that is not to be had, blocks that find no room in the profile,
 * ends that are not seen, and no profile at all.
 */


#include <errno.h>

#include "known.h"


KNOWN_FUNCTION(known_page, malloc(size))
KNOWN_FUNCTION(known_full, malloc(size))

#if !SANITIZED
KNOWN_FUNCTION(known_missed, malloc(size))
#endif


/* Pointers that no hook is in, for what the allocator does by itself. */

static void *(*direct_malloc)(size_t);
static void *(*direct_calloc)(size_t, size_t);
static void *(*direct_realloc)(void *, size_t);


/* What failed is not counted, and errno is the allocator's or untouched. */

static void
test_errno(void **state)
{
    int              expected[3];
    void            *q, *volatile p;
    unsigned         i;
    volatile size_t  huge;

    (void) state;

    start(1, 1024 * 1024);

    *(void **) &direct_malloc = function(RTLD_DEFAULT, "malloc");
    *(void **) &direct_calloc = function(RTLD_DEFAULT, "calloc");
    *(void **) &direct_realloc = function(RTLD_DEFAULT, "realloc");

    huge = SIZE_MAX / 2 - 4096;
    p = keep(malloc(100));

    /* not every allocator sets it each time */

    errno = 0;
    assert_null(direct_malloc(huge));
    expected[0] = errno;

    errno = 0;
    assert_null(direct_calloc(huge, 16));
    expected[1] = errno;

    errno = 0;
    assert_null(direct_realloc(p, huge));
    expected[2] = errno;

    assert_true(expected[0] == ENOMEM || expected[1] == ENOMEM);

    for (i = 0; i < 100; i++) {
        errno = 0;
        assert_null(malloc(huge));
        assert_int_equal(errno, expected[0]);
    }

    errno = 0;
    assert_null(calloc(huge, 16));
    assert_int_equal(errno, expected[1]);

    errno = 0;
    assert_null(realloc(p, huge));
    assert_int_equal(errno, expected[2]);

    assert_null(reallocarray(p, huge, 16));
    assert_int_equal(posix_memalign(&q, 3, 16), EINVAL);

    errno = EXDEV;
    q = keep(malloc(1000));
    assert_int_equal(errno, EXDEV);
    free(q);
    free(p);
    free(NULL);
    assert_int_equal(errno, EXDEV);
}


/* The old block is as it was when it could not grow. */

static void
test_realloc_fails(void **state)
{
    unsigned         i;
    profile_t       *p;
    volatile size_t  huge;

    (void) state;

    start(RATE, 16 * 1024 * 1024);

    huge = SIZE_MAX / 2 - 4096;

    allocate(known_page, 4096, 10000);

    /* a sanitizer has a word for each */

    for (i = 0; i < nkept; i += SANITIZED ? 100 : 1) {
        assert_null(realloc(kept[i], huge));
    }

    p = heap("heap");
    check(p, "known_page", 10000, 4096e4, 10000, 4096e4);
    perftools__profiles__profile__free_unpacked(p, NULL);

    release();

    p = heap("heap");
    near(p, "known_page", INUSE_SPACE, 0);
    perftools__profiles__profile__free_unpacked(p, NULL);
}


/* More blocks than the list takes: totals stay, and what is in use is less. */

static void
test_full(void **state)
{
    size_t      i;
    unsigned    said;
    profile_t  *p;

    (void) state;

    start(1, 1024 * 1024);

    /* 1/16 of the memory, 32 bytes each */
    allocate(known_full, 64, 20000);

    p = heap("heap");
    near(p, "known_full", ALLOC_OBJECTS, 20000);
    assert_true(value_of(p, "known_full", INUSE_OBJECTS) < 20000);
    assert_true(value_of(p, "known_full", INUSE_OBJECTS) > 0);

    said = 0;

    for (i = 0; i < p->n_comment; i++) {
        said += strstr(p->string_table[p->comment[i]],
                       "not counted as in use") != NULL;
    }

    assert_int_equal(said, 1);

    perftools__profiles__profile__free_unpacked(p, NULL);

    release();

    p = heap("heap");
    near(p, "known_full", INUSE_OBJECTS, 0);
    perftools__profiles__profile__free_unpacked(p, NULL);
}


#if !SANITIZED

/* Given back in a way that no hook sees: known when the address comes again. */

static void
test_missed(void **state)
{
    int         missed;
    void       *p, (*direct_free)(void *);
    size_t      i;
    unsigned    again;
    profile_t  *profile;

    (void) state;

    start(1, 1024 * 1024);

    *(void **) &direct_free = function(RTLD_DEFAULT, "free");

    again = 0;
    p = NULL;

    for (i = 0; i < 1000; i++) {
        kept[0] = known_missed(1000);
        again += kept[0] == p;
        p = kept[0];
        direct_free(p);
    }

    assert_true(again > 500);

    profile = heap("heap");
    near(profile, "known_missed", ALLOC_OBJECTS, 1000);
    assert_true(value_of(profile, "known_missed", INUSE_OBJECTS)
                <= 1000 - again);

    missed = 0;

    for (i = 0; i < profile->n_comment; i++) {
        (void) sscanf(profile->string_table[profile->comment[i]],
                      "sampled blocks whose end was not seen until their "
                      "address came again: %d", &missed);
    }

    assert_true(missed >= (int) again);

    perftools__profiles__profile__free_unpacked(profile, NULL);
}

#endif


static void
test_off(void **state)
{
    profile_t  *p;

    (void) state;

    /* the hooks of the tests before stay, and pass through */

    start(PRT_HEAP_OFF, 1024 * 1024);

    allocate(known_page, 4096, 1000);
    release();

    p = heap("heap");
    assert_int_equal(p->n_sample, 0);
    perftools__profiles__profile__free_unpacked(p, NULL);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_teardown(test_errno, stop),
        cmocka_unit_test_teardown(test_realloc_fails, stop),
        cmocka_unit_test_teardown(test_full, stop),
#if !SANITIZED
        cmocka_unit_test_teardown(test_missed, stop),
#endif
        cmocka_unit_test_teardown(test_off, stop)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
