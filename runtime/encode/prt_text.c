
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The legacy forms: a first line, then a row for each stack, whose addresses
 * are return addresses, and lines of comment that name them.  See Go's
 * runtime/pprof/pprof.go for the writer, and pprof's
 * profile/legacy_profile.go for the reader.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encode/prt_buffer.h"
#include "encode/prt_text.h"


#define PRT_TEXT_TAB          8
#define PRT_TEXT_CANCEL       256      /* look-ups between looks at the flag */

/* Stands for a frame that lies nowhere. */
#define PRT_TEXT_UNKNOWN      1


typedef struct prt_text_s  prt_text_t;


/* a form: how a profile with so many sample types is written */

typedef struct {
    unsigned                     ntypes;
    void                       (*head)(prt_text_t *text);
    void                       (*row)(prt_text_t *text,
                                      const prt_report_sample_t *sample);
} prt_text_form_t;


typedef struct {
    uint64_t                     address;
    const char                  *name;
    const char                  *file;
    uint64_t                     offset;   /* in the function */
    uint32_t                     line;     /* 0: "file" is the object's */
    unsigned                     len;      /* of name+0xOFF */
} prt_text_line_t;


struct prt_text_s {
    const prt_report_t          *report;
    prt_symbols_t               *symbols;
    const atomic_int            *cancel;
    const prt_text_form_t       *form;
    prt_buffer_t                 buffer;
    prt_report_sample_t         *samples;  /* each stack and labels once */
    size_t                       nsamples;
    prt_text_line_t             *lines;    /* of a stack */
    size_t                       nlines;
    size_t                       alines;
};


static int prt_text_rows(prt_text_t *text);
static void prt_text_merge(prt_text_t *text);
static int prt_text_sample_cmp(const void *one, const void *two);
static int prt_text_label_cmp(const prt_report_label_t *a,
    const prt_report_label_t *b);
static int prt_text_count_cmp(const void *one, const void *two, void *data);
static void prt_text_count_head(prt_text_t *text);
static void prt_text_count_row(prt_text_t *text,
    const prt_report_sample_t *sample);
static void prt_text_delay_head(prt_text_t *text);
static void prt_text_delay_row(prt_text_t *text,
    const prt_report_sample_t *sample);
static void prt_text_heap_head(prt_text_t *text);
static void prt_text_heap_row(prt_text_t *text,
    const prt_report_sample_t *sample);
static void prt_text_addresses(prt_text_t *text,
    const prt_report_sample_t *sample);
static void prt_text_labels(prt_text_t *text,
    const prt_report_sample_t *sample);
static void prt_text_quoted(prt_text_t *text, const char *s);
static void prt_text_stack(prt_text_t *text,
    const prt_report_sample_t *sample);
static int prt_text_frame(prt_text_t *text, uint64_t frame);
static void prt_text_columns(prt_text_t *text);
static void prt_text_pad(prt_text_t *text, unsigned len, unsigned width);
static unsigned prt_text_hex_len(uint64_t n);
static int prt_text_cancelled(const atomic_int *cancel);
static int prt_text_end(prt_buffer_t *buffer, int cancelled, uint8_t **data,
    size_t *size, char *error);


static const prt_text_form_t  prt_text_forms[] = {
    { 1, prt_text_count_head, prt_text_count_row },
    { 2, prt_text_delay_head, prt_text_delay_row },
    { 4, prt_text_heap_head, prt_text_heap_row }
};


int
prt_text_encode(const prt_report_t *report, prt_symbols_t *symbols,
    uint8_t **data, size_t *size, char error[PRT_ERROR_LEN],
    const atomic_int *cancel)
{
    int         cancelled;
    size_t      i;
    prt_text_t  text;

    memset(&text, 0, sizeof(prt_text_t));

    text.report = report;
    text.symbols = symbols;
    text.cancel = cancel;
    text.form = &prt_text_forms[0];

    for (i = 1; i < sizeof(prt_text_forms) / sizeof(prt_text_forms[0]); i++) {
        if (prt_text_forms[i].ntypes == report->ntypes) {
            text.form = &prt_text_forms[i];
        }
    }

    text.samples = malloc(report->nsamples * sizeof(prt_report_sample_t) + 1);

    if (text.samples == NULL) {
        (void) snprintf(error, PRT_ERROR_LEN, "not enough memory");
        return -1;
    }

    prt_text_merge(&text);

    cancelled = prt_text_rows(&text);

    free(text.samples);
    free(text.lines);

    return prt_text_end(&text.buffer, cancelled, data, size, error);
}


static int
prt_text_rows(prt_text_t *text)
{
    size_t  i;

    text->form->head(text);

    for (i = 0; i < text->nsamples; i++) {

        if (prt_text_cancelled(text->cancel)) {
            return 1;
        }

        text->form->row(text, &text->samples[i]);
        prt_text_labels(text, &text->samples[i]);
        prt_text_stack(text, &text->samples[i]);

        if (text->buffer.failed) {
            break;
        }
    }

    return 0;
}


static void
prt_text_merge(prt_text_t *text)
{
    size_t                i, n;
    unsigned              k;
    prt_report_sample_t  *samples;

    samples = text->samples;
    n = text->report->nsamples;

    if (n == 0) {
        return;
    }

    memcpy(samples, text->report->samples, n * sizeof(prt_report_sample_t));

    qsort(samples, n, sizeof(prt_report_sample_t), prt_text_sample_cmp);

    for (i = 0; i < n; i++) {

        if (text->nsamples
            && prt_text_sample_cmp(&samples[text->nsamples - 1], &samples[i])
               == 0)
        {
            for (k = 0; k < text->report->ntypes; k++) {
                samples[text->nsamples - 1].values[k] += samples[i].values[k];
            }

            continue;
        }

        samples[text->nsamples++] = samples[i];
    }

    /* nothing counted, no row */

    n = text->nsamples;
    text->nsamples = 0;

    for (i = 0; i < n; i++) {
        for (k = 0; k < text->report->ntypes; k++) {
            if (samples[i].values[k] > 0) {
                samples[text->nsamples++] = samples[i];
                break;
            }
        }
    }

    qsort_r(samples, text->nsamples, sizeof(prt_report_sample_t),
            prt_text_count_cmp, (void *) text->report);
}


static int
prt_text_sample_cmp(const void *one, const void *two)
{
    int                         rc;
    unsigned                    i;
    const prt_report_sample_t  *a, *b;

    a = one;
    b = two;

    for (i = 0; i < a->nframes && i < b->nframes; i++) {
        if (a->frames[i] != b->frames[i]) {
            return a->frames[i] < b->frames[i] ? -1 : 1;
        }
    }

    if (a->nframes != b->nframes) {
        return a->nframes < b->nframes ? -1 : 1;
    }

    for (i = 0; i < a->nlabels && i < b->nlabels; i++) {
        rc = prt_text_label_cmp(&a->labels[i], &b->labels[i]);

        if (rc != 0) {
            return rc;
        }
    }

    return a->nlabels < b->nlabels ? -1 : a->nlabels > b->nlabels;
}


static int
prt_text_label_cmp(const prt_report_label_t *a, const prt_report_label_t *b)
{
    int  rc;

    rc = strcmp(a->key, b->key);
    if (rc != 0) {
        return rc;
    }

    if (a->str == NULL || b->str == NULL) {

        if (a->str || b->str) {
            return a->str ? 1 : -1;
        }

        return a->num < b->num ? -1 : a->num > b->num;
    }

    return strcmp(a->str, b->str);
}


/* The largest first; else as they are sorted. */

static int
prt_text_count_cmp(const void *one, const void *two, void *data)
{
    int64_t                     m, n;
    const prt_report_t         *report;
    const prt_report_sample_t  *a, *b;

    a = one;
    b = two;
    report = data;

    m = a->values[report->ntypes - 1];
    n = b->values[report->ntypes - 1];

    if (m != n) {
        return m > n ? -1 : 1;
    }

    return prt_text_sample_cmp(a, b);
}


static void
prt_text_count_head(prt_text_t *text)
{
    size_t   i;
    int64_t  total;

    total = 0;

    for (i = 0; i < text->nsamples; i++) {
        total += text->samples[i].values[text->report->ntypes - 1];
    }

    prt_buffer_printf(&text->buffer, "%s profile: total %lld\n",
                      text->report->name, (long long) total);
}


static void
prt_text_count_row(prt_text_t *text, const prt_report_sample_t *sample)
{
    prt_buffer_printf(&text->buffer, "%lld @",
                      (long long) sample->values[text->report->ntypes - 1]);

    prt_text_addresses(text, sample);
}


/*
 * Delay and count.  Of the names that readers know "mutex" has its own, with a
 * period; all others are "contention".  A cycle is a nanosecond.
 */

static void
prt_text_delay_head(prt_text_t *text)
{
    int  mutex;

    mutex = strcmp(text->report->name, "mutex") == 0;

    prt_buffer_printf(&text->buffer, "--- %s:\ncycles/second=1000000000\n%s",
                      mutex ? "mutex" : "contention",
                      mutex ? "sampling period=1\n" : "");
}


static void
prt_text_delay_row(prt_text_t *text, const prt_report_sample_t *sample)
{
    prt_buffer_printf(&text->buffer, "%lld %lld @",
                      (long long) sample->values[1],
                      (long long) sample->values[0]);

    prt_text_addresses(text, sample);
}


/*
 * In use, and in brackets allocated.  Go writes what was sampled, with a rate
 * by which the reader scales it; ours is scaled, and "heapprofile" tells so.
 */

static void
prt_text_heap_head(prt_text_t *text)
{
    size_t    i;
    unsigned  k;
    int64_t   total[4];

    memset(total, 0, sizeof(total));

    for (i = 0; i < text->nsamples; i++) {
        for (k = 0; k < 4; k++) {
            total[k] += text->samples[i].values[k];
        }
    }

    prt_buffer_printf(&text->buffer,
                      "heap profile: %lld: %lld [%lld: %lld] @ heapprofile\n",
                      (long long) total[2], (long long) total[3],
                      (long long) total[0], (long long) total[1]);
}


static void
prt_text_heap_row(prt_text_t *text, const prt_report_sample_t *sample)
{
    prt_buffer_printf(&text->buffer, "%lld: %lld [%lld: %lld] @",
                      (long long) sample->values[2],
                      (long long) sample->values[3],
                      (long long) sample->values[0],
                      (long long) sample->values[1]);

    prt_text_addresses(text, sample);
}


static void
prt_text_addresses(prt_text_t *text, const prt_report_sample_t *sample)
{
    uint32_t  i;
    uint64_t  frame;

    for (i = 0; i < sample->nframes; i++) {
        frame = sample->frames[i] ? sample->frames[i] : PRT_TEXT_UNKNOWN;

        prt_buffer_printf(&text->buffer, " 0x%llx",
                          (unsigned long long) frame);
    }

    /* The reader wants one at least. */

    if (sample->nframes == 0) {
        prt_buffer_printf(&text->buffer, " 0x%x", PRT_TEXT_UNKNOWN);
    }

    prt_buffer_printf(&text->buffer, "\n");
}


static void
prt_text_labels(prt_text_t *text, const prt_report_sample_t *sample)
{
    uint32_t                   i;
    const prt_report_label_t  *label;

    if (sample->nlabels == 0) {
        return;
    }

    prt_buffer_printf(&text->buffer, "# labels: {");

    for (i = 0; i < sample->nlabels; i++) {
        label = &sample->labels[i];

        prt_buffer_printf(&text->buffer, i ? ", " : "");
        prt_text_quoted(text, label->key);
        prt_buffer_printf(&text->buffer, ":");

        if (label->str) {
            prt_text_quoted(text, label->str);

        } else {
            prt_buffer_printf(&text->buffer, "%lld", (long long) label->num);
        }
    }

    prt_buffer_printf(&text->buffer, "}\n");
}


static void
prt_text_quoted(prt_text_t *text, const char *s)
{
    const unsigned char  *p;

    prt_buffer_add(&text->buffer, "\"", 1);

    for (p = (const unsigned char *) s; *p; p++) {

        if (*p == '"' || *p == '\\') {
            prt_buffer_printf(&text->buffer, "\\%c", *p);

        } else if (*p < 0x20 || *p == 0x7f) {
            prt_buffer_printf(&text->buffer, "\\x%02x", *p);

        } else {
            prt_buffer_add(&text->buffer, p, 1);
        }
    }

    prt_buffer_add(&text->buffer, "\"", 1);
}


static void
prt_text_stack(prt_text_t *text, const prt_report_sample_t *sample)
{
    uint32_t  i;

    text->nlines = 0;

    for (i = 0; i < sample->nframes; i++) {
        if (prt_text_frame(text, sample->frames[i]) != 0) {
            text->buffer.failed = 1;
            return;
        }
    }

    prt_text_columns(text);

    prt_buffer_add(&text->buffer, "\n", 1);
}


/* A line for each function inlined there. */

static int
prt_text_frame(prt_text_t *text, uint64_t frame)
{
    size_t              size;
    unsigned            i, n;
    uint64_t            address;
    prt_symbol_t        symbols[PRT_SYMBOL_INLINES];
    prt_text_line_t    *line, *lines;
    const prt_image_t  *image;

    if (text->alines - text->nlines < PRT_SYMBOL_INLINES) {
        size = text->alines * 2 + PRT_SYMBOL_INLINES;

        lines = realloc(text->lines, size * sizeof(prt_text_line_t));
        if (lines == NULL) {
            return -1;
        }

        text->lines = lines;
        text->alines = size;
    }

    address = (frame ? frame : PRT_TEXT_UNKNOWN) - 1;
    image = prt_report_image(text->report->images, text->report->nimages,
                             address);
    n = 0;

    if (image) {
        n = prt_symbols_lookup(text->symbols, image, address - image->base,
                               symbols, PRT_SYMBOL_INLINES);
    }

    for (i = 0; i < n; i++) {
        line = &text->lines[text->nlines++];

        line->address = address;
        line->name = symbols[i].name;
        line->file = symbols[i].file ? symbols[i].file : image->path;
        line->line = symbols[i].file ? symbols[i].line : 0;

        /* A function's cold part may lie below its start. */

        line->offset = 0;

        if (symbols[i].start && symbols[i].start <= address - image->base) {
            line->offset = address - image->base - symbols[i].start;
        }

        line->len = (unsigned) strlen(line->name) + 1
                    + prt_text_hex_len(line->offset);
    }

    if (n == 0) {
        line = &text->lines[text->nlines++];

        memset(line, 0, sizeof(prt_text_line_t));
        line->address = address;
    }

    return 0;
}


/* Tabs as Go's text/tabwriter sets them: columns of the stack's widest cell. */

static void
prt_text_columns(prt_text_t *text)
{
    size_t            i;
    unsigned          len, addresses, names;
    prt_text_line_t  *line;

    addresses = 0;
    names = 0;

    for (i = 0; i < text->nlines; i++) {
        line = &text->lines[i];
        len = prt_text_hex_len(line->address);

        addresses = len > addresses ? len : addresses;
        names = line->len > names ? line->len : names;
    }

    for (i = 0; i < text->nlines; i++) {
        line = &text->lines[i];

        prt_buffer_printf(&text->buffer, "#\t0x%llx",
                          (unsigned long long) line->address);

        if (line->name) {
            prt_text_pad(text, prt_text_hex_len(line->address), addresses);

            prt_buffer_printf(&text->buffer, "%s+0x%llx", line->name,
                              (unsigned long long) line->offset);

            prt_text_pad(text, line->len, names);

            prt_buffer_printf(&text->buffer, "%s", line->file);

            if (line->line) {
                prt_buffer_printf(&text->buffer, ":%u", line->line);
            }
        }

        prt_buffer_add(&text->buffer, "\n", 1);
    }
}


static void
prt_text_pad(prt_text_t *text, unsigned len, unsigned width)
{
    unsigned  n;

    n = width / PRT_TEXT_TAB + 1 - len / PRT_TEXT_TAB;

    while (n--) {
        prt_buffer_add(&text->buffer, "\t", 1);
    }
}


/* Of "0x..." */

static unsigned
prt_text_hex_len(uint64_t n)
{
    unsigned  len;

    for (len = 3; n >= 16; n /= 16) {
        len++;
    }

    return len;
}


int
prt_text_symbols(const uint64_t *addresses, size_t n,
    const prt_image_t *images, size_t nimages, prt_symbols_t *symbols,
    uint8_t **data, size_t *size, char error[PRT_ERROR_LEN],
    const atomic_int *cancel)
{
    int                 cancelled;
    size_t              i;
    prt_buffer_t        buffer;
    prt_symbol_t        symbol;
    const prt_image_t  *image;

    memset(&buffer, 0, sizeof(prt_buffer_t));
    cancelled = 0;

    /* Readers want to know only whether it is zero. */

    prt_buffer_printf(&buffer, "num_symbols: 1\n");

    for (i = 0; i < n && !buffer.failed; i++) {

        if (i % PRT_TEXT_CANCEL == 0 && prt_text_cancelled(cancel)) {
            cancelled = 1;
            break;
        }

        image = prt_report_image(images, nimages, addresses[i]);

        if (image == NULL
            || prt_symbols_lookup(symbols, image, addresses[i] - image->base,
                                  &symbol, 1) == 0
            || symbol.from == PRT_SYMBOL_NONE)
        {
            continue;
        }

        prt_buffer_printf(&buffer, "0x%llx %s\n",
                          (unsigned long long) addresses[i], symbol.name);
    }

    return prt_text_end(&buffer, cancelled, data, size, error);
}


static int
prt_text_cancelled(const atomic_int *cancel)
{
    return cancel && atomic_load_explicit(cancel, memory_order_relaxed);
}


static int
prt_text_end(prt_buffer_t *buffer, int cancelled, uint8_t **data,
    size_t *size, char *error)
{
    if (cancelled || buffer->failed) {
        free(buffer->data);

        (void) snprintf(error, PRT_ERROR_LEN, "%s",
                        cancelled ? "cancelled" : "not enough memory");

        return -1;
    }

    *data = buffer->data;
    *size = buffer->size;

    return 0;
}
