
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The labels of a thread at an allocation stand on its sample, whatever they
 * are when it is given back.  Calls of this program, which has the library's
 * objects, are not hooked; those of a library are.
 */


#include "known.h"
#include "sources/prt_record.h"


static uint32_t
labels(const char *key, const char *value)
{
    prt_label_t  label;

    label.key = prt_slot_string(&prt_slot, key, strlen(key));
    label.value = prt_slot_string(&prt_slot, value, strlen(value));

    return prt_slot_labels(&prt_slot, &label, 1);
}


/* Value "v" of the samples with this label; NULL: of those without that key. */

static double
labelled(const profile_t *p, const char *key, const char *value, unsigned v)
{
    int                                hit;
    size_t                             i, k;
    int64_t                            sum;
    const Perftools__Profiles__Label  *label;

    sum = 0;

    for (i = 0; i < p->n_sample; i++) {
        hit = value == NULL;

        for (k = 0; k < p->sample[i]->n_label; k++) {
            label = p->sample[i]->label[k];

            if (strcmp(p->string_table[label->key], key) == 0) {
                hit = value
                      && strcmp(p->string_table[label->str], value) == 0;
            }
        }

        sum += hit ? p->sample[i]->value[v] : 0;
    }

    return (double) sum;
}


static void
close_to(double measured, double expected)
{
    print_message("%.0f of %.0f\n", measured, expected);

    assert_true(measured >= 0.95 * expected);
    assert_true(measured <= 1.05 * expected);
}


static void
test_labels(void **state)
{
    void       *handle, *(*later)(size_t), (*later_free)(void *);
    unsigned    i;
    uint32_t    one, two;
    profile_t  *p;

    (void) state;

    /* of 50000 blocks of 512 bytes the deviation is 0.8 % */

    start(RATE, 256 * 1024 * 1024);

    handle = library("heap_later.so");
    *(void **) &later = function(handle, "heap_later");
    *(void **) &later_free = function(handle, "heap_later_free");

    perftools__profiles__profile__free_unpacked(heap("heap"), NULL);

    one = labels("location", "/one");
    two = labels("location", "/two");
    assert_int_not_equal(one, 0);
    assert_int_not_equal(one, two);

    prt_labels = one;
    allocate(later, 512, 100000);

    prt_labels = two;
    allocate(later, 1024, 100000);

    prt_labels = 0;
    allocate(later, 512, 100000);

    p = heap("heap");
    close_to(labelled(p, "location", "/one", INUSE_SPACE), 512e5);
    close_to(labelled(p, "location", "/two", INUSE_SPACE), 1024e5);
    close_to(labelled(p, "location", NULL, INUSE_SPACE), 512e5);
    perftools__profiles__profile__free_unpacked(p, NULL);

    /* the first half of each, while another request is served */

    prt_labels = two;

    for (i = 0; i < nkept; i++) {
        if (i % 100000 < 50000) {
            later_free(kept[i]);
            kept[i] = NULL;
        }
    }

    p = heap("allocs");
    close_to(labelled(p, "location", "/one", INUSE_OBJECTS), 50000);
    close_to(labelled(p, "location", "/two", INUSE_OBJECTS), 50000);
    close_to(labelled(p, "location", NULL, INUSE_OBJECTS), 50000);
    close_to(labelled(p, "location", "/one", ALLOC_OBJECTS), 100000);
    close_to(labelled(p, "location", "/two", ALLOC_OBJECTS), 100000);
    perftools__profiles__profile__free_unpacked(p, NULL);

    release();
    prt_labels = 0;
    dlclose(handle);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_teardown(test_labels, stop)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
