
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "encode/prt_where.h"


#define PRT_WHERE_NAMES  6


typedef struct {
    char      *text;
    size_t     size;
    size_t     len;
} prt_where_t;


static void prt_where_add(prt_where_t *where, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static const char *prt_where_label(const prt_report_sample_t *sample,
    const char *key);


size_t
prt_where(const prt_report_t *report, prt_symbols_t *symbols, char *text,
    size_t size)
{
    size_t                      i;
    unsigned                    k, n, names;
    const char                 *value;
    prt_where_t                 where;
    prt_symbol_t                found[PRT_SYMBOL_INLINES];
    const prt_image_t          *image;
    const prt_report_sample_t  *sample;

    static const char *const  keys[] = { "server", "location", "upstream" };

    where.text = text;
    where.size = size;
    where.len = 0;

    text[0] = '\0';

    if (report->nsamples == 0) {
        return 0;
    }

    sample = &report->samples[0];

    for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        value = prt_where_label(sample, keys[i]);

        if (value) {
            prt_where_add(&where, "%s%s \"%s\"", where.len ? ", " : "",
                          keys[i], value);
        }
    }

    names = 0;

    for (i = 0; i < sample->nframes && names < PRT_WHERE_NAMES; i++) {

        image = prt_report_image(report->images, report->nimages,
                                 sample->frames[i] - 1);
        if (image == NULL) {
            continue;
        }

        n = prt_symbols_lookup(symbols, image,
                               sample->frames[i] - 1 - image->base, found,
                               PRT_SYMBOL_INLINES);

        for (k = 0; k < n && names < PRT_WHERE_NAMES; k++, names++) {
            prt_where_add(&where, "%s%s", names ? ", " : where.len ? ": " : "",
                          found[k].name);
        }
    }

    if (i < sample->nframes) {
        prt_where_add(&where, ", ...");
    }

    return where.len;
}


static const char *
prt_where_label(const prt_report_sample_t *sample, const char *key)
{
    uint32_t  i;

    for (i = 0; i < sample->nlabels; i++) {
        if (strcmp(sample->labels[i].key, key) == 0) {
            return sample->labels[i].str;
        }
    }

    return NULL;
}


static void
prt_where_add(prt_where_t *where, const char *fmt, ...)
{
    int      n;
    char    *p;
    size_t   room;
    va_list  args;

    static const char  cut[] = "...";

    room = where->size - where->len;

    va_start(args, fmt);
    n = vsnprintf(where->text + where->len, room, fmt, args);
    va_end(args);

    if (n < 0) {
        return;
    }

    /* one line, whatever is in the configuration */

    for (p = where->text + where->len; *p; p++) {
        if ((unsigned char) *p < ' ' || *p == 0x7f) {
            *p = '?';
        }
    }

    if ((size_t) n < room) {
        where->len += (size_t) n;
        return;
    }

    where->len = where->size - 1;

    if (where->size > sizeof(cut)) {
        memcpy(where->text + where->size - sizeof(cut), cut, sizeof(cut));
    }
}
