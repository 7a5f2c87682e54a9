
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdlib.h>
#include <string.h>

#include "store/prt_dump.h"
#include "store/prt_intern.h"


#define PRT_DUMP_STACK_MAX  1024           /* frames that a reader believes */


_Static_assert(sizeof(prt_dump_record_t) == PRT_DUMP_WORDS * sizeof(uint64_t),
               "a record is whole words");


static uint32_t prt_dump_put(prt_dump_writer_t *writer,
    const uint64_t *frames, uint32_t n);
static int prt_dump_equal(const prt_dump_writer_t *writer, uint32_t stack,
    const uint64_t *frames, uint32_t n);
static void prt_dump_store(prt_dump_t *dump, uint32_t at,
    const uint64_t *words, uint32_t n);
static prt_dump_copy_t *prt_dump_copy(const prt_dump_t *dump);


void
prt_dump_attach(prt_dump_t *dump, void *memory, size_t size)
{
    dump->head = memory;
    dump->words = (_Atomic uint64_t *) (dump->head + 1);
    dump->size = (uint32_t) ((size - sizeof(prt_dump_head_t))
                             / sizeof(uint64_t));
}


void
prt_dump_begin(prt_dump_writer_t *writer, prt_dump_t *dump)
{
    writer->dump = dump;
    writer->count = 0;
    writer->low = dump->size;
    writer->lost = 0;

    memset(writer->known, 0, sizeof(writer->known));

    /* one that died here has left an odd number */

    atomic_store(&dump->head->version, atomic_load(&dump->head->version) | 1);
}


uint32_t
prt_dump_add(prt_dump_writer_t *writer, prt_dump_record_t *record,
    const uint64_t *frames, uint32_t n)
{
    uint32_t  at;
    uint64_t  words[PRT_DUMP_WORDS];

    at = writer->count * PRT_DUMP_WORDS;

    if (writer->low - at < PRT_DUMP_WORDS) {
        writer->lost++;
        return 0;
    }

    /* the record comes first: what there is tells more than what it does */

    record->stack = prt_dump_put(writer, frames, n);

    if (record->stack == 0) {
        writer->lost++;
    }

    memcpy(words, record, sizeof(words));
    prt_dump_store(writer->dump, at, words, PRT_DUMP_WORDS);

    return ++writer->count;
}


/* Its number is the place of the word with its length, and one. */

static uint32_t
prt_dump_put(prt_dump_writer_t *writer, const uint64_t *frames, uint32_t n)
{
    uint32_t  *known, used;
    uint64_t   len;

    known = &writer->known[prt_hash(frames, n) % PRT_DUMP_KNOWN];

    if (*known && prt_dump_equal(writer, *known - 1, frames, n)) {
        return *known;
    }

    used = (writer->count + 1) * PRT_DUMP_WORDS;

    if (n >= PRT_DUMP_STACK_MAX || writer->low - used < n + 1) {
        return 0;
    }

    writer->low -= n + 1;
    len = n;

    prt_dump_store(writer->dump, writer->low, &len, 1);
    prt_dump_store(writer->dump, writer->low + 1, frames, n);

    *known = writer->low + 1;

    return *known;
}


static int
prt_dump_equal(const prt_dump_writer_t *writer, uint32_t stack,
    const uint64_t *frames, uint32_t n)
{
    uint32_t                 i;
    const _Atomic uint64_t  *words;

    words = &writer->dump->words[stack];

    if (atomic_load_explicit(&words[0], memory_order_relaxed) != n) {
        return 0;
    }

    for (i = 0; i < n; i++) {
        if (atomic_load_explicit(&words[1 + i], memory_order_relaxed)
            != frames[i])
        {
            return 0;
        }
    }

    return 1;
}


/* Who reads a word of these sees the odd version as well. */

static void
prt_dump_store(prt_dump_t *dump, uint32_t at, const uint64_t *words,
    uint32_t n)
{
    uint32_t  i;

    for (i = 0; i < n; i++) {
        atomic_store_explicit(&dump->words[at + i], words[i],
                              memory_order_release);
    }
}


void
prt_dump_end(prt_dump_writer_t *writer, uint64_t number, uint32_t parts,
    uint64_t took, uint64_t longest)
{
    prt_dump_head_t  *head;

    head = writer->dump->head;

    atomic_store(&head->count, writer->count);
    atomic_store(&head->low, writer->low);
    atomic_store(&head->lost, writer->lost);
    atomic_store(&head->parts, parts);
    atomic_store(&head->took, took);
    atomic_store(&head->longest, longest);
    atomic_store(&head->number, number);

    atomic_store(&head->version, atomic_load(&head->version) + 1);
}


int
prt_dump_answers(const prt_dump_t *dump, uint64_t number)
{
    return atomic_load(&dump->head->number) >= number
           && (atomic_load(&dump->head->version) & 1) == 0;
}


prt_dump_copy_t *
prt_dump_read(const prt_dump_t *dump, uint64_t number)
{
    uint32_t          version;
    prt_dump_copy_t  *copy;

    version = atomic_load(&dump->head->version);

    if ((version & 1) || atomic_load(&dump->head->number) < number) {
        return NULL;
    }

    copy = prt_dump_copy(dump);

    if (copy && atomic_load(&dump->head->version) != version) {
        free(copy);
        return NULL;
    }

    return copy;
}


static prt_dump_copy_t *
prt_dump_copy(const prt_dump_t *dump)
{
    uint32_t          i, used, low;
    prt_dump_copy_t  *copy;

    /* may be anybody's numbers */

    low = atomic_load(&dump->head->low);
    low = low < dump->size ? low : dump->size;

    used = atomic_load(&dump->head->count);
    used = used < low / PRT_DUMP_WORDS ? used : low / PRT_DUMP_WORDS;

    copy = calloc(1, sizeof(prt_dump_copy_t)
                     + (size_t) dump->size * sizeof(uint64_t));
    if (copy == NULL) {
        return NULL;
    }

    copy->count = used;
    copy->size = dump->size;
    copy->parts = atomic_load(&dump->head->parts);
    copy->lost = atomic_load(&dump->head->lost);
    copy->took = atomic_load(&dump->head->took);
    copy->longest = atomic_load(&dump->head->longest);

    for (i = 0; i < used * PRT_DUMP_WORDS; i++) {
        copy->words[i] = atomic_load_explicit(&dump->words[i],
                                              memory_order_acquire);
    }

    for (i = low; i < dump->size; i++) {
        copy->words[i] = atomic_load_explicit(&dump->words[i],
                                              memory_order_acquire);
    }

    return copy;
}


void
prt_dump_record(const prt_dump_copy_t *copy, uint32_t i,
    prt_dump_record_t *record)
{
    memcpy(record, &copy->words[i * PRT_DUMP_WORDS],
           sizeof(prt_dump_record_t));
}


const uint64_t *
prt_dump_stack(const prt_dump_copy_t *copy, uint32_t stack, uint32_t *n)
{
    uint64_t  len;

    *n = 0;

    if (stack == 0 || stack > copy->size) {
        return NULL;
    }

    len = copy->words[stack - 1];

    if (len == 0 || len > PRT_DUMP_STACK_MAX || len > copy->size - stack) {
        return NULL;
    }

    *n = (uint32_t) len;

    return &copy->words[stack];
}
