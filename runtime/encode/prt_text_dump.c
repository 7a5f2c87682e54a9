
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Go's dump of goroutines, as runtime/traceback.go writes it:
 *
 *     goroutine 12 [IO wait, 3 minutes]:
 *     NAME(...)
 *     <TAB>FILE:LINE +0xOFFSET
 *     created by NAME in goroutine 1
 *     <TAB>FILE:LINE +0xOFFSET
 *
 * Its readers are strict.  A file has to end in .c, .go or .s, or is "??"; a state
 * has no "]"; in a name "%" begins an escape, and "/" ends a package.  What comes
 * after the minutes they pass over, so there is room for labels.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encode/prt_buffer.h"
#include "encode/prt_text.h"
#include "platform/prt_clock.h"


#define PRT_DUMP_CANCEL   256              /* samples between looks at the flag */
#define PRT_DUMP_NAME     1024             /* bytes; longer names are cut */
#define PRT_DUMP_SLASH    "\xe2\x88\x95"   /* U+2215, in place of one in a name */


typedef struct {
    const prt_report_t  *report;
    prt_symbols_t       *symbols;
    prt_buffer_t         buffer;
    uint64_t            *ids;
} prt_text_dump_t;


static int prt_text_dump_ids(prt_text_dump_t *dump);
static int prt_text_dump_samples(prt_text_dump_t *dump,
    const atomic_int *cancel);
static void prt_text_dump_missing(prt_text_dump_t *dump);
static void prt_text_dump_head(prt_text_dump_t *dump, size_t i);
static void prt_text_dump_state(prt_text_dump_t *dump, const char *text);
static void prt_text_dump_frame(prt_text_dump_t *dump, uint64_t frame);
static void prt_text_dump_creator(prt_text_dump_t *dump, size_t i);
static unsigned prt_text_dump_lookup(prt_text_dump_t *dump, uint64_t frame,
    prt_symbol_t *symbols, uint64_t *vaddr);
static void prt_text_dump_place(prt_text_dump_t *dump,
    const prt_symbol_t *symbol, uint64_t vaddr);
static const char *prt_text_dump_name(const char *name,
    char text[PRT_DUMP_NAME]);
static int prt_text_dump_source(const char *file);


int
prt_text_dump(const prt_report_t *report, prt_symbols_t *symbols,
    uint8_t **data, size_t *size, char error[PRT_ERROR_LEN],
    const atomic_int *cancel)
{
    int              rc;
    prt_text_dump_t  dump;

    memset(&dump, 0, sizeof(prt_text_dump_t));

    dump.report = report;
    dump.symbols = symbols;

    rc = prt_text_dump_ids(&dump);

    if (rc == 0) {
        prt_text_dump_missing(&dump);
        rc = prt_text_dump_samples(&dump, cancel);
    }

    free(dump.ids);

    if (rc != 0 || dump.buffer.failed) {
        free(dump.buffer.data);

        (void) snprintf(error, PRT_ERROR_LEN, "%s",
                        rc > 0 ? "cancelled" : "not enough memory");
        return -1;
    }

    *data = dump.buffer.data;
    *size = dump.buffer.size;

    return 0;
}


/* Those without a number of their own get one behind all others. */

static int
prt_text_dump_ids(prt_text_dump_t *dump)
{
    size_t                      i;
    uint64_t                    last;
    const prt_report_moment_t  *moment;

    dump->ids = calloc(dump->report->nsamples + 1, sizeof(uint64_t));
    if (dump->ids == NULL) {
        return -1;
    }

    last = 0;

    for (i = 0; i < dump->report->nsamples; i++) {
        moment = dump->report->samples[i].moment;

        dump->ids[i] = moment ? moment->id : 0;
        last = dump->ids[i] > last ? dump->ids[i] : last;
    }

    for (i = 0; i < dump->report->nsamples; i++) {
        if (dump->ids[i] == 0) {
            dump->ids[i] = ++last;
        }
    }

    return 0;
}


/* What the reader has to know comes before the first goroutine. */

static void
prt_text_dump_missing(prt_text_dump_t *dump)
{
    size_t  i;

    for (i = 0; i < dump->report->ncomments; i++) {

        if (strncmp(dump->report->comments[i], PRT_REPORT_MISSING,
                    sizeof(PRT_REPORT_MISSING) - 1)
            == 0)
        {
            prt_buffer_printf(&dump->buffer, "# %s\n",
                              dump->report->comments[i]);
        }
    }
}


static int
prt_text_dump_samples(prt_text_dump_t *dump, const atomic_int *cancel)
{
    size_t                      i;
    uint32_t                    k;
    const prt_report_sample_t  *sample;

    for (i = 0; i < dump->report->nsamples; i++) {

        if (i % PRT_DUMP_CANCEL == 0 && cancel
            && atomic_load_explicit(cancel, memory_order_relaxed))
        {
            return 1;
        }

        sample = &dump->report->samples[i];

        if (sample->moment == NULL) {
            continue;
        }

        if (dump->buffer.size) {
            prt_buffer_add(&dump->buffer, "\n", 1);
        }

        prt_text_dump_head(dump, i);

        for (k = 0; k < sample->nframes; k++) {
            prt_text_dump_frame(dump, sample->frames[k]);
        }

        prt_text_dump_creator(dump, i);
    }

    return 0;
}


static void
prt_text_dump_head(prt_text_dump_t *dump, size_t i)
{
    uint32_t                    k;
    uint64_t                    minutes;
    const prt_report_label_t   *label;
    const prt_report_moment_t  *moment;
    const prt_report_sample_t  *sample;

    sample = &dump->report->samples[i];
    moment = sample->moment;

    prt_buffer_printf(&dump->buffer, "goroutine %llu [",
                      (unsigned long long) dump->ids[i]);
    prt_text_dump_state(dump, moment->state);

    minutes = moment->lasts / (60 * PRT_SEC);

    if (minutes) {
        prt_buffer_printf(&dump->buffer, ", %llu minutes",
                          (unsigned long long) minutes);
    }

    for (k = 0; k < sample->nlabels; k++) {
        label = &sample->labels[k];

        if (label->str && (strcmp(label->key, "worker") == 0
                           || strcmp(label->key, "location") == 0
                           || strcmp(label->key, "upstream") == 0))
        {
            prt_buffer_printf(&dump->buffer, ", %s ", label->key);
            prt_text_dump_state(dump, label->str);
        }
    }

    prt_buffer_printf(&dump->buffer, "]:\n");
}


static void
prt_text_dump_state(prt_text_dump_t *dump, const char *text)
{
    char   copy[PRT_DUMP_NAME], *p;

    (void) snprintf(copy, sizeof(copy), "%s", *text ? text : "unknown");

    for (p = copy; *p; p++) {
        if (*p == ']') {
            *p = ')';
        }
    }

    prt_buffer_printf(&dump->buffer, "%s", copy);
}


/* A call for each function that is inlined there. */

static void
prt_text_dump_frame(prt_text_dump_t *dump, uint64_t frame)
{
    char          text[PRT_DUMP_NAME];
    unsigned      i, n;
    uint64_t      vaddr;
    prt_symbol_t  symbols[PRT_SYMBOL_INLINES];

    n = prt_text_dump_lookup(dump, frame, symbols, &vaddr);

    for (i = 0; i < n; i++) {
        prt_buffer_printf(&dump->buffer, "%s(...)\n",
                          prt_text_dump_name(symbols[i].name, text));
        prt_text_dump_place(dump, &symbols[i], vaddr);
    }

    if (n == 0) {
        prt_buffer_printf(&dump->buffer, "0x%llx(...)\n\t??:0 +0x0\n",
                          (unsigned long long) frame);
    }
}


static void
prt_text_dump_creator(prt_text_dump_t *dump, size_t i)
{
    char                        text[PRT_DUMP_NAME];
    unsigned                    n;
    uint64_t                    vaddr;
    prt_symbol_t                symbols[PRT_SYMBOL_INLINES];
    const prt_report_moment_t  *moment;

    moment = dump->report->samples[i].moment;

    if (moment->creator == 0) {
        return;
    }

    n = prt_text_dump_lookup(dump, moment->creator, symbols, &vaddr);

    if (n == 0) {
        return;
    }

    prt_buffer_printf(&dump->buffer, "created by %s",
                      prt_text_dump_name(symbols[n - 1].name, text));

    if (moment->parent && moment->parent <= dump->report->nsamples) {
        prt_buffer_printf(&dump->buffer, " in goroutine %llu",
                          (unsigned long long)
                          dump->ids[moment->parent - 1]);
    }

    prt_buffer_add(&dump->buffer, "\n", 1);
    prt_text_dump_place(dump, &symbols[n - 1], vaddr);
}


static unsigned
prt_text_dump_lookup(prt_text_dump_t *dump, uint64_t frame,
    prt_symbol_t *symbols, uint64_t *vaddr)
{
    const prt_image_t  *image;

    if (frame == 0) {
        return 0;
    }

    image = prt_report_image(dump->report->images, dump->report->nimages,
                             frame - 1);
    if (image == NULL) {
        return 0;
    }

    *vaddr = frame - 1 - image->base;

    return prt_symbols_lookup(dump->symbols, image, *vaddr, symbols,
                              PRT_SYMBOL_INLINES);
}


static void
prt_text_dump_place(prt_text_dump_t *dump, const prt_symbol_t *symbol,
    uint64_t vaddr)
{
    uint64_t  offset;

    offset = symbol->start && symbol->start <= vaddr ? vaddr - symbol->start
                                                     : 0;

    if (symbol->file && prt_text_dump_source(symbol->file)) {
        prt_buffer_printf(&dump->buffer, "\t%s:%u +0x%llx\n", symbol->file,
                          symbol->line, (unsigned long long) offset);
        return;
    }

    prt_buffer_printf(&dump->buffer, "\t??:0 +0x%llx\n",
                      (unsigned long long) offset);
}


static const char *
prt_text_dump_name(const char *name, char text[PRT_DUMP_NAME])
{
    char  *p, *last;

    p = text;
    last = text + PRT_DUMP_NAME - sizeof(PRT_DUMP_SLASH);

    for ( /* void */ ; *name && p < last; name++) {

        if (*name == '/') {
            memcpy(p, PRT_DUMP_SLASH, sizeof(PRT_DUMP_SLASH) - 1);
            p += sizeof(PRT_DUMP_SLASH) - 1;

        } else {
            *p++ = *name == '%' ? '_' : *name;
        }
    }

    *p = '\0';

    return text;
}


static int
prt_text_dump_source(const char *file)
{
    const char  *p;

    p = strrchr(file, '.');

    return p && (strcmp(p, ".c") == 0 || strcmp(p, ".go") == 0
                 || strcmp(p, ".s") == 0);
}
