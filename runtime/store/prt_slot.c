
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <string.h>

#include "store/prt_slot.h"


/* shares of what is left after the head, in 1/64 */
#define PRT_SHARE_STRINGS    2
#define PRT_SHARE_LABELS     4
#define PRT_SHARE_STACKS     13
#define PRT_SHARE_TRANSIENT  13
#define PRT_SHARE_LIVE       4
#define PRT_SHARE_THREADS    1
#define PRT_SHARE_WORK       2             /* and at most 25 for the tables */


static size_t prt_slot_part(size_t size, unsigned share);


void
prt_slot_attach(prt_slot_t *slot, void *memory, size_t size,
    const prt_table_spec_t *specs, unsigned n)
{
    uint8_t    *p;
    size_t     rest, part;
    unsigned   i;

    slot->head = memory;
    slot->ntables = n;

    p = (uint8_t *) memory + ((sizeof(prt_slot_head_t) + 63) & ~63ul);
    rest = size - (size_t) (p - (uint8_t *) memory);

    part = prt_slot_part(rest, PRT_SHARE_STRINGS);
    prt_intern_attach(&slot->strings, p, part, 24);
    p += part;

    part = prt_slot_part(rest, PRT_SHARE_LABELS);
    prt_intern_attach(&slot->labels, p, part, 48);
    p += part;

    part = prt_slot_part(rest, PRT_SHARE_STACKS);
    prt_intern_attach(&slot->stacks, p, part, 160);
    p += part;

    part = prt_slot_part(rest, PRT_SHARE_TRANSIENT);
    prt_intern_attach(&slot->transient, p, part, 160);
    p += part;

    part = prt_slot_part(rest, PRT_SHARE_LIVE);
    prt_live_attach(&slot->live, p, part);
    p += part;

    part = prt_slot_part(rest, PRT_SHARE_THREADS);
    prt_dump_attach(&slot->threads, p, part);
    p += part;

    part = prt_slot_part(rest, PRT_SHARE_WORK);
    prt_dump_attach(&slot->work, p, part);
    p += part;

    for (i = 0; i < n; i++) {
        if (specs[i].ncounters == 0) {
            continue;
        }

        part = prt_slot_part(rest, specs[i].share);
        prt_table_attach(&slot->tables[i], p, part, specs[i].ncounters);
        p += part;
    }

    for (i = 0; i < n; i++) {
        if (specs[i].ncounters == 0) {
            slot->tables[i] = slot->tables[specs[i].same];
        }
    }
}


static size_t
prt_slot_part(size_t size, unsigned share)
{
    return (size / 64 * share) & ~63ul;
}


void
prt_slot_forget(prt_slot_t *slot, const prt_table_spec_t *specs)
{
    unsigned  i;

    for (i = 0; i < slot->ntables; i++) {
        if (specs[i].transient) {
            prt_table_reset(&slot->tables[i]);
        }
    }

    prt_intern_reset(&slot->transient);

    atomic_fetch_add(&slot->head->epoch, 1);
}


unsigned
prt_slot_used(const prt_slot_t *slot)
{
    return (unsigned) (atomic_load(&slot->transient.head->used) * 100ull
                       / slot->transient.words);
}


uint32_t
prt_slot_string(prt_slot_t *slot, const char *s, size_t len)
{
    uint64_t  text[PRT_STRING_MAX / 8];

    if (len >= PRT_STRING_MAX) {
        len = PRT_STRING_MAX - 1;
    }

    text[len / 8] = 0;
    memcpy(text, s, len);

    return prt_intern_put(&slot->strings, text, (uint32_t) len);
}


uint32_t
prt_slot_labels(prt_slot_t *slot, const prt_label_t *labels, unsigned n)
{
    unsigned     i, k;
    prt_label_t  label;
    _Alignas(8) prt_label_t  set[PRT_LABELS_MAX];

    if (n == 0 || n > PRT_LABELS_MAX) {
        return 0;
    }

    /* one order, so that equal sets are one */

    for (i = 0; i < n; i++) {
        label = labels[i];

        for (k = i; k > 0 && set[k - 1].key > label.key; k--) {
            set[k] = set[k - 1];
        }

        set[k] = label;
    }

    return prt_intern_put(&slot->labels, set,
                          (uint32_t) (n * sizeof(prt_label_t)));
}


const char *
prt_slot_text(const prt_slot_t *slot, uint32_t id, char text[PRT_STRING_MAX])
{
    uint32_t     len;
    const char  *s;

    s = prt_intern_get(&slot->strings, id, &len);

    if (s == NULL || len >= PRT_STRING_MAX) {
        len = 0;

    } else {
        memcpy(text, s, len);
    }

    text[len] = '\0';

    return text;
}


const char *
prt_slot_label(const prt_slot_t *slot, uint32_t labels, const char *key,
    char text[PRT_STRING_MAX])
{
    uint32_t            i, n, len;
    const prt_label_t  *set;

    set = prt_intern_get(&slot->labels, labels, &len);
    n = set ? len / (uint32_t) sizeof(prt_label_t) : 0;

    for (i = 0; i < n && i < PRT_LABELS_MAX; i++) {
        if (strcmp(prt_slot_text(slot, set[i].key, text), key) == 0) {
            return prt_slot_text(slot, set[i].value, text);
        }
    }

    text[0] = '\0';

    return text;
}


void
prt_slot_stall(prt_slot_t *slot, uint64_t begin, const char *text)
{
    unsigned          i;
    prt_slot_head_t  *head;

    head = slot->head;

    atomic_store(&head->stall_begin, 0);

    for (i = 0; i < PRT_STALL_TEXT - 1 && text[i]; i++) {
        atomic_store_explicit(&head->stall_text[i], text[i],
                              memory_order_relaxed);
    }

    atomic_store_explicit(&head->stall_text[i], 0, memory_order_relaxed);
    atomic_store(&head->stall_begin, begin);
}


int
prt_slot_stall_text(const prt_slot_t *slot, uint64_t begin,
    char text[PRT_STALL_TEXT])
{
    unsigned                i;
    const prt_slot_head_t  *head;

    head = slot->head;

    if (begin == 0 || atomic_load(&head->stall_begin) != begin) {
        return 0;
    }

    for (i = 0; i < PRT_STALL_TEXT; i++) {
        text[i] = atomic_load(&head->stall_text[i]);
    }

    text[PRT_STALL_TEXT - 1] = '\0';

    /* it may have become another's meanwhile */

    return atomic_load(&head->stall_begin) == begin;
}
