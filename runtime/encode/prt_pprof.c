
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The message is built in an arena as protobuf-c wants it, and deflated while
 * it is packed, so that its packed form is never there as a whole.
 */


#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encode/prt_gzip.h"
#include "encode/prt_pprof.h"
#include "encode/prt_pprof_build.h"


#define PRT_PPROF_NAMES  10            /* comments about names */


static int prt_pprof_build(prt_pprof_t *pprof);
static int prt_pprof_head(prt_pprof_t *pprof);
static prt_pb_type_t *prt_pprof_type(prt_pprof_t *pprof,
    const prt_value_type_t *type);
static int prt_pprof_names(prt_pprof_t *pprof);
static int prt_pprof_name_cmp(const void *one, const void *two);
static int prt_pprof_comment(prt_pprof_t *pprof, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static int prt_pprof_samples(prt_pprof_t *pprof);
static prt_pb_sample_t *prt_pprof_sample(prt_pprof_t *pprof,
    const prt_report_sample_t *sample);
static int prt_pprof_labels(prt_pprof_t *pprof, prt_pb_sample_t *sample,
    const prt_report_label_t *labels, uint32_t n);
static prt_pb_sample_t *prt_pprof_merge(prt_pprof_t *pprof,
    prt_pb_sample_t *sample);
static uint64_t prt_pprof_hash(const prt_pb_sample_t *sample);
static int prt_pprof_equal(const prt_pb_sample_t *a,
    const prt_pb_sample_t *b);


int
prt_pprof_encode(const prt_report_t *report, prt_symbols_t *symbols,
    uint8_t **data, size_t *size, char error[PRT_ERROR_LEN],
    const atomic_int *cancel)
{
    int          rc;
    prt_pprof_t  pprof;

    memset(&pprof, 0, sizeof(prt_pprof_t));

    pprof.report = report;
    pprof.symbols = symbols;
    pprof.cancel = cancel;

    perftools__profiles__profile__init(&pprof.profile);
    prt_strings_init(&pprof.strings);

    pprof.arena = prt_arena_create();

    rc = pprof.arena ? prt_pprof_build(&pprof) : -1;

    if (rc == 0) {
        rc = prt_gzip_message(&pprof.profile.base, data, size);
    }

    if (rc != 0) {
        (void) snprintf(error, PRT_ERROR_LEN, "%s",
                        pprof.cancelled ? "cancelled" : "not enough memory");
    }

    free(pprof.locations.pairs);
    free(pprof.functions.pairs);
    free(pprof.profile.function);
    free(pprof.samples);

    prt_strings_free(&pprof.strings);

    if (pprof.arena) {
        prt_arena_destroy(pprof.arena);
    }

    return rc;
}


static int
prt_pprof_build(prt_pprof_t *pprof)
{
    if (prt_pprof_head(pprof) != 0
        || prt_pprof_locations(pprof) != 0
        || prt_pprof_names(pprof) != 0
        || prt_pprof_samples(pprof) != 0)
    {
        return -1;
    }

    pprof->profile.string_table = pprof->strings.list;
    pprof->profile.n_string_table = pprof->strings.n;

    return 0;
}


static int
prt_pprof_head(prt_pprof_t *pprof)
{
    size_t               i;
    prt_pb_profile_t    *profile;
    const prt_report_t  *report;

    report = pprof->report;
    profile = &pprof->profile;

    if (prt_pprof_string(pprof, "") != 0) {
        return -1;
    }

    profile->sample_type = prt_arena_alloc(pprof->arena,
                                           PRT_VALUES_MAX * sizeof(void *));
    profile->comment = prt_arena_alloc(pprof->arena,
                                       (report->ncomments + PRT_PPROF_NAMES)
                                       * sizeof(int64_t));
    pprof->namings = prt_arena_alloc(pprof->arena, (report->nimages + 1)
                                                   * sizeof(prt_naming_t));

    if (profile->sample_type == NULL || profile->comment == NULL
        || pprof->namings == NULL)
    {
        return -1;
    }

    memset(pprof->namings, 0, (report->nimages + 1) * sizeof(prt_naming_t));

    for (i = 0; i < report->ntypes; i++) {
        profile->sample_type[i] = prt_pprof_type(pprof, &report->types[i]);
        if (profile->sample_type[i] == NULL) {
            return -1;
        }
    }

    profile->n_sample_type = report->ntypes;

    for (i = 0; i < report->ncomments; i++) {
        profile->comment[i] = prt_pprof_string(pprof, report->comments[i]);
        if (profile->comment[i] < 0) {
            return -1;
        }
    }

    profile->n_comment = report->ncomments;

    if (report->period_type.type) {
        profile->period_type = prt_pprof_type(pprof, &report->period_type);
        if (profile->period_type == NULL) {
            return -1;
        }
    }

    profile->period = report->period;
    profile->time_nanos = report->time;
    profile->duration_nanos = report->duration;

    profile->default_sample_type = prt_pprof_string(pprof,
                                                    report->default_type);

    return profile->default_sample_type < 0 ? -1 : 0;
}


static prt_pb_type_t *
prt_pprof_type(prt_pprof_t *pprof, const prt_value_type_t *type)
{
    prt_pb_type_t  *message;

    message = prt_arena_alloc(pprof->arena, sizeof(prt_pb_type_t));
    if (message == NULL) {
        return NULL;
    }

    perftools__profiles__value_type__init(message);

    message->type = prt_pprof_string(pprof, type->type);
    message->unit = prt_pprof_string(pprof, type->unit);

    return (message->type < 0 || message->unit < 0) ? NULL : message;
}


/* What has no name, and what would give it one. */

static int
prt_pprof_names(prt_pprof_t *pprof)
{
    int                  file;
    size_t               i, n;
    uint32_t             addresses, unnamed;
    const char          *advice;
    prt_naming_t        *naming;
    const prt_image_t   *image;
    const prt_report_t  *report;

    report = pprof->report;
    addresses = 0;
    unnamed = 0;
    n = 0;

    for (i = 0; i < report->nimages; i++) {
        image = &report->images[i];
        naming = &pprof->namings[i];

        if (image->names) {
            continue;
        }

        addresses += naming->addresses;
        unnamed += naming->unnamed;

        if (naming->addresses) {
            prt_symbols_note(pprof->symbols, image, naming->addresses,
                             naming->unnamed);
        }

        if (naming->unnamed) {
            naming->path = image->path;
            naming->sources = prt_symbols_sources(pprof->symbols, image);
            pprof->namings[n++] = *naming;
        }
    }

    if (unnamed == 0) {
        return 0;
    }

    if (prt_pprof_comment(pprof, "names: %u of %u addresses have a function's "
                          "name", addresses - unnamed, addresses) != 0)
    {
        return -1;
    }

    qsort(pprof->namings, n, sizeof(prt_naming_t), prt_pprof_name_cmp);

    for (i = 0; i < n && i < PRT_PPROF_NAMES - 2; i++) {
        naming = &pprof->namings[i];

        /* there is nothing to be had for the vDSO */

        file = naming->path[0] == '/';
        advice = prt_symbols_advice(naming->sources);
        advice = advice ? advice : "run tools/ngx-debuginfo";

        if (prt_pprof_comment(pprof, "names: %u of %u are missing in %s%s%s%s%s",
                              naming->unnamed, naming->addresses, naming->path,
                              file ? ": " : "", file ? advice : "",
                              file ? " " : "", file ? naming->path : "") != 0)
        {
            return -1;
        }
    }

    if (i < n) {
        return prt_pprof_comment(pprof, "names: some are missing in %zu more "
                                 "objects", n - i);
    }

    return 0;
}


static int
prt_pprof_name_cmp(const void *one, const void *two)
{
    const prt_naming_t  *a = one, *b = two;

    if (a->unnamed != b->unnamed) {
        return a->unnamed < b->unnamed ? 1 : -1;
    }

    return strcmp(a->path, b->path);
}


/* There has to be room for it. */

static int
prt_pprof_comment(prt_pprof_t *pprof, const char *fmt, ...)
{
    char      text[1024];
    int64_t   string;
    va_list   args;

    va_start(args, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    string = prt_pprof_string(pprof, text);
    if (string < 0) {
        return -1;
    }

    pprof->profile.comment[pprof->profile.n_comment++] = string;

    return 0;
}


static int
prt_pprof_samples(prt_pprof_t *pprof)
{
    size_t               i, n, kept;
    unsigned             k;
    prt_pb_sample_t     *sample, *same;
    prt_pb_profile_t    *profile;
    const prt_report_t  *report;

    report = pprof->report;
    profile = &pprof->profile;
    n = report->nsamples;

    for (pprof->asamples = 16; pprof->asamples < 2 * n; ) {
        pprof->asamples *= 2;
    }

    pprof->samples = calloc(pprof->asamples, sizeof(uint32_t));
    profile->sample = prt_arena_alloc(pprof->arena, (n + 1) * sizeof(void *));

    if (pprof->samples == NULL || profile->sample == NULL || n > INT32_MAX) {
        return -1;
    }

    for (i = 0; i < n; i++) {

        sample = prt_pprof_sample(pprof, &report->samples[i]);
        if (sample == NULL) {
            return -1;
        }

        same = prt_pprof_merge(pprof, sample);

        if (same) {
            for (k = 0; k < report->ntypes; k++) {
                same->value[k] += sample->value[k];
            }
        }
    }

    for (i = 0, kept = 0; i < profile->n_sample; i++) {
        sample = profile->sample[i];

        for (k = 0; k < report->ntypes; k++) {
            if (sample->value[k] != 0) {
                profile->sample[kept++] = sample;
                break;
            }
        }
    }

    profile->n_sample = kept;

    return 0;
}


static prt_pb_sample_t *
prt_pprof_sample(prt_pprof_t *pprof, const prt_report_sample_t *sample)
{
    uint32_t          i;
    prt_pb_sample_t  *message;

    message = prt_arena_alloc(pprof->arena, sizeof(prt_pb_sample_t));
    if (message == NULL) {
        return NULL;
    }

    perftools__profiles__sample__init(message);

    message->location_id = prt_arena_alloc(pprof->arena, (sample->nframes + 1)
                                                         * sizeof(uint64_t));
    message->value = prt_arena_alloc(pprof->arena,
                                     PRT_VALUES_MAX * sizeof(int64_t));

    if (message->location_id == NULL || message->value == NULL) {
        return NULL;
    }

    for (i = 0; i < sample->nframes; i++) {
        message->location_id[i] = prt_pprof_location_id(pprof,
                                                        sample->frames[i]);
    }

    memcpy(message->value, sample->values, sizeof(sample->values));

    message->n_location_id = sample->nframes;
    message->n_value = pprof->report->ntypes;

    if (prt_pprof_labels(pprof, message, sample->labels, sample->nlabels)
        != 0)
    {
        return NULL;
    }

    return message;
}


static int
prt_pprof_labels(prt_pprof_t *pprof, prt_pb_sample_t *sample,
    const prt_report_label_t *labels, uint32_t n)
{
    uint32_t         i;
    prt_pb_label_t  *label;

    if (n == 0) {
        return 0;
    }

    label = prt_arena_alloc(pprof->arena, n * sizeof(prt_pb_label_t));
    sample->label = prt_arena_alloc(pprof->arena, n * sizeof(void *));

    if (label == NULL || sample->label == NULL) {
        return -1;
    }

    for (i = 0; i < n; i++, label++) {
        perftools__profiles__label__init(label);

        label->key = prt_pprof_string(pprof, labels[i].key);

        if (labels[i].str) {
            label->str = prt_pprof_string(pprof, labels[i].str);

        } else {
            label->num = labels[i].num;
            label->num_unit = prt_pprof_string(pprof, labels[i].unit);
        }

        if (label->key < 0 || label->str < 0 || label->num_unit < 0) {
            return -1;
        }

        sample->label[i] = label;
    }

    sample->n_label = n;

    return 0;
}


/* Appends the sample, or returns the one of the same stack and labels. */

static prt_pb_sample_t *
prt_pprof_merge(prt_pprof_t *pprof, prt_pb_sample_t *sample)
{
    size_t             i, mask;
    prt_pb_sample_t   *other;
    prt_pb_profile_t  *profile;

    profile = &pprof->profile;
    mask = pprof->asamples - 1;

    for (i = (size_t) prt_pprof_hash(sample) & mask;
         pprof->samples[i];
         i = (i + 1) & mask)
    {
        other = profile->sample[pprof->samples[i] - 1];

        if (prt_pprof_equal(sample, other)) {
            return other;
        }
    }

    profile->sample[profile->n_sample++] = sample;
    pprof->samples[i] = (uint32_t) profile->n_sample;

    return NULL;
}


static uint64_t
prt_pprof_hash(const prt_pb_sample_t *sample)
{
    size_t    i;
    uint64_t  hash;

    hash = 0xcbf29ce484222325;

    for (i = 0; i < sample->n_location_id; i++) {
        hash = (hash ^ sample->location_id[i]) * 0x9e3779b97f4a7c15;
        hash ^= hash >> 32;
    }

    for (i = 0; i < sample->n_label; i++) {
        hash = (hash ^ (uint64_t) sample->label[i]->key
                ^ (uint64_t) sample->label[i]->str << 20
                ^ (uint64_t) sample->label[i]->num) * 0x9e3779b97f4a7c15;
        hash ^= hash >> 32;
    }

    return hash;
}


static int
prt_pprof_equal(const prt_pb_sample_t *a, const prt_pb_sample_t *b)
{
    size_t  i;

    if (a->n_location_id != b->n_location_id
        || a->n_label != b->n_label
        || memcmp(a->location_id, b->location_id,
                  a->n_location_id * sizeof(uint64_t)) != 0)
    {
        return 0;
    }

    for (i = 0; i < a->n_label; i++) {
        if (a->label[i]->key != b->label[i]->key
            || a->label[i]->str != b->label[i]->str
            || a->label[i]->num != b->label[i]->num
            || a->label[i]->num_unit != b->label[i]->num_unit)
        {
            return 0;
        }
    }

    return 1;
}


int64_t
prt_pprof_string(prt_pprof_t *pprof, const char *s)
{
    return prt_strings_add(&pprof->strings, s);
}
