
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdlib.h>
#include <string.h>

#include "encode/prt_gofile.h"
#include "platform/prt_clock.h"
#include "store/prt_intern.h"


#define PRT_GOFILE_HEADER   "go 1.22 trace"    /* and zeros, 16 bytes in all */
#define PRT_GOFILE_BATCH    60000              /* bytes of data; the format allows 65536 */
#define PRT_GOFILE_STRING   1024               /* bytes; the format allows no more */
#define PRT_GOFILE_VARINT   10                 /* bytes, at most */
#define PRT_GOFILE_SIZE     3                  /* bytes of a batch's size, padded */
#define PRT_GOFILE_PC       16                 /* from frame to frame */

/* a batch's first byte; tables have their kind as the first of their data */
#define PRT_GO_BATCH        1
#define PRT_GO_STACKS       2
#define PRT_GO_STACK        3
#define PRT_GO_STRINGS      4
#define PRT_GO_STRING       5
#define PRT_GO_SAMPLES      6
#define PRT_GO_SAMPLE       7
#define PRT_GO_FREQUENCY    8

#define PRT_GO_GENERATION   1


/* a frame: its pc is made of its number, so that inlined ones differ as well */

typedef struct {
    uint64_t  function;                        /* strings */
    uint64_t  source;
    uint64_t  line;
} prt_gofile_frame_t;


static void prt_gofile_open(prt_buffer_t *buffer, uint64_t m, uint64_t time,
    size_t *batch);
static void prt_gofile_close(prt_buffer_t *buffer, size_t *batch);
static void prt_gofile_varint(prt_buffer_t *buffer, uint64_t value);
static void prt_gofile_byte(prt_buffer_t *buffer, unsigned byte);
static void prt_gofile_tables(prt_gofile_t *file, prt_buffer_t *out);
static void prt_gofile_strings(prt_gofile_t *file, prt_buffer_t *out);
static void prt_gofile_pieces(prt_gofile_t *file, prt_buffer_t *out,
    unsigned kind, const prt_buffer_t *pieces, const prt_buffer_t *ends);
static void prt_gofile_ends(prt_buffer_t *ends, const prt_buffer_t *pieces);


void
prt_gofile_init(prt_gofile_t *file)
{
    memset(file, 0, sizeof(prt_gofile_t));

    prt_strings_init(&file->strings);

    file->first = UINT64_MAX;

    /* number 0 is the empty one, by itself */

    if (prt_strings_add(&file->strings, "") != 0) {
        file->failed = 1;
    }
}


void
prt_gofile_free(prt_gofile_t *file)
{
    prt_strings_free(&file->strings);

    free(file->stacks.pairs);
    free(file->places.pairs);
    free(file->frames.data);
    free(file->table.data);
    free(file->ends.data);
    free(file->samples.data);
    free(file->sample_ends.data);
    free(file->events.data);
}


uint64_t
prt_gofile_string(prt_gofile_t *file, const char *text)
{
    char     cut[PRT_GOFILE_STRING + 1];
    int64_t  n;

    if (strlen(text) > PRT_GOFILE_STRING) {
        memcpy(cut, text, PRT_GOFILE_STRING);
        cut[PRT_GOFILE_STRING] = '\0';
        text = cut;
    }

    n = prt_strings_add(&file->strings, text);

    if (n < 0) {
        file->failed = 1;
        return 0;
    }

    return (uint64_t) n;
}


uint32_t
prt_gofile_frame(prt_gofile_t *file, const char *function, const char *source,
    uint32_t line)
{
    uint64_t            *place;
    prt_gofile_frame_t   frame;

    frame.function = prt_gofile_string(file, function);
    frame.source = prt_gofile_string(file, source);
    frame.line = line;

    place = prt_idmap_add(&file->places,
                          prt_hash((const uint64_t *) &frame, 3) | 1);

    if (place == NULL) {
        file->failed = 1;
        return 0;
    }

    if (*place == 0) {
        prt_buffer_add(&file->frames, &frame, sizeof(prt_gofile_frame_t));
        *place = file->frames.size / sizeof(prt_gofile_frame_t);
    }

    return (uint32_t) *place;
}


uint64_t
prt_gofile_stack(prt_gofile_t *file, const uint32_t *frames, unsigned n)
{
    unsigned                   i;
    uint64_t                  *place, words[PRT_GOFILE_FRAMES];
    const prt_gofile_frame_t  *frame;

    n = n < PRT_GOFILE_FRAMES ? n : PRT_GOFILE_FRAMES;

    for (i = 0; i < n; i++) {
        words[i] = frames[i];
    }

    place = prt_idmap_add(&file->stacks, prt_hash(words, n) | 1);

    if (place == NULL || file->frames.failed) {
        file->failed = 1;
        return 0;
    }

    if (*place != 0) {
        return *place;
    }

    *place = file->stacks.n;

    prt_gofile_byte(&file->table, PRT_GO_STACK);
    prt_gofile_varint(&file->table, *place);
    prt_gofile_varint(&file->table, n);

    for (i = 0; i < n; i++) {
        frame = (const prt_gofile_frame_t *) (void *) file->frames.data
                + frames[i] - 1;

        prt_gofile_varint(&file->table, (uint64_t) frames[i]
                                        * PRT_GOFILE_PC);
        prt_gofile_varint(&file->table, frame->function);
        prt_gofile_varint(&file->table, frame->source);
        prt_gofile_varint(&file->table, frame->line);
    }

    prt_gofile_ends(&file->ends, &file->table);

    return *place;
}


void
prt_gofile_thread(prt_gofile_t *file, uint64_t m)
{
    prt_gofile_close(&file->events, &file->batch);

    file->m = m;
    file->last = 0;
}


void
prt_gofile_event(prt_gofile_t *file, uint64_t time, prt_gofile_type_t type,
    const uint64_t *args, unsigned n)
{
    unsigned  i;

    if (time < file->last) {
        time = file->last;
    }

    if (file->batch && file->events.size - file->batch > PRT_GOFILE_BATCH) {
        prt_gofile_close(&file->events, &file->batch);
    }

    if (file->batch == 0) {
        prt_gofile_open(&file->events, file->m, time, &file->batch);
        file->last = time;
    }

    if (time < file->first) {
        file->first = time;
    }

    prt_gofile_byte(&file->events, type);
    prt_gofile_varint(&file->events, time - file->last);

    for (i = 0; i < n; i++) {
        prt_gofile_varint(&file->events, args[i]);
    }

    file->last = time;
    file->count++;
}


void
prt_gofile_sample(prt_gofile_t *file, uint64_t time, uint64_t m, uint64_t p,
    uint64_t g, uint64_t stack)
{
    prt_gofile_byte(&file->samples, PRT_GO_SAMPLE);
    prt_gofile_varint(&file->samples, time);
    prt_gofile_varint(&file->samples, m);
    prt_gofile_varint(&file->samples, p);
    prt_gofile_varint(&file->samples, g);
    prt_gofile_varint(&file->samples, stack);

    prt_gofile_ends(&file->sample_ends, &file->samples);

    file->count++;
}


int
prt_gofile_write(prt_gofile_t *file, prt_gofile_sink_pt sink, void *data,
    uint64_t *bytes)
{
    int           rc;
    prt_buffer_t  tables;

    static const char  header[16] = PRT_GOFILE_HEADER;

    memset(&tables, 0, sizeof(prt_buffer_t));

    prt_gofile_close(&file->events, &file->batch);
    prt_gofile_tables(file, &tables);

    if (file->failed || tables.failed || file->events.failed
        || file->table.failed || file->ends.failed || file->samples.failed
        || file->sample_ends.failed)
    {
        free(tables.data);
        return -1;
    }

    *bytes = sizeof(header) + tables.size + file->events.size;

    rc = sink(data, header, sizeof(header));

    if (rc == 0) {
        rc = sink(data, tables.data, tables.size);
    }

    if (rc == 0 && file->events.size) {
        rc = sink(data, file->events.data, file->events.size);
    }

    free(tables.data);

    return rc;
}


static void
prt_gofile_tables(prt_gofile_t *file, prt_buffer_t *out)
{
    size_t  batch;

    /* from Go 1.25 on the trace begins at the first batch's time */

    if (file->first == UINT64_MAX) {
        file->first = 0;
    }

    batch = 0;

    prt_gofile_open(out, 0, file->first, &batch);
    prt_gofile_byte(out, PRT_GO_FREQUENCY);
    prt_gofile_varint(out, PRT_SEC);
    prt_gofile_close(out, &batch);

    prt_gofile_strings(file, out);
    prt_gofile_pieces(file, out, PRT_GO_STACKS, &file->table, &file->ends);
    prt_gofile_pieces(file, out, PRT_GO_SAMPLES, &file->samples,
                      &file->sample_ends);
}


static void
prt_gofile_strings(prt_gofile_t *file, prt_buffer_t *out)
{
    size_t  i, len, batch;

    batch = 0;

    for (i = 1; i < file->strings.n; i++) {
        len = strlen(file->strings.list[i]);

        if (batch && out->size - batch > PRT_GOFILE_BATCH) {
            prt_gofile_close(out, &batch);
        }

        if (batch == 0) {
            prt_gofile_open(out, 0, file->first, &batch);
            prt_gofile_byte(out, PRT_GO_STRINGS);
        }

        prt_gofile_byte(out, PRT_GO_STRING);
        prt_gofile_varint(out, i);
        prt_gofile_varint(out, len);
        prt_buffer_add(out, file->strings.list[i], len);
    }

    prt_gofile_close(out, &batch);
}


/* Those of a table, as many in each batch as there is room for. */

static void
prt_gofile_pieces(prt_gofile_t *file, prt_buffer_t *out, unsigned kind,
    const prt_buffer_t *pieces, const prt_buffer_t *ends)
{
    size_t        i, n, batch, begin;
    const size_t  *end;

    n = ends->size / sizeof(size_t);
    end = (const size_t *) (void *) ends->data;
    batch = 0;
    begin = 0;

    for (i = 0; i < n; i++) {

        if (batch && out->size - batch + end[i] - begin > PRT_GOFILE_BATCH) {
            prt_gofile_close(out, &batch);
        }

        if (batch == 0) {
            prt_gofile_open(out, 0, file->first, &batch);
            prt_gofile_byte(out, kind);
        }

        prt_buffer_add(out, pieces->data + begin, end[i] - begin);
        begin = end[i];
    }

    prt_gofile_close(out, &batch);
}


static void
prt_gofile_ends(prt_buffer_t *ends, const prt_buffer_t *pieces)
{
    prt_buffer_add(ends, &pieces->size, sizeof(size_t));
}


/* Its size is known when it is closed: a padded form has room for any. */

static void
prt_gofile_open(prt_buffer_t *buffer, uint64_t m, uint64_t time,
    size_t *batch)
{
    static const uint8_t  size[PRT_GOFILE_SIZE];

    prt_gofile_byte(buffer, PRT_GO_BATCH);
    prt_gofile_varint(buffer, PRT_GO_GENERATION);
    prt_gofile_varint(buffer, m);
    prt_gofile_varint(buffer, time);
    prt_buffer_add(buffer, size, sizeof(size));

    *batch = buffer->size;
}


static void
prt_gofile_close(prt_buffer_t *buffer, size_t *batch)
{
    size_t    size;
    uint8_t  *p;

    if (*batch == 0 || buffer->failed) {
        return;
    }

    p = buffer->data + *batch - PRT_GOFILE_SIZE;
    size = buffer->size - *batch;

    p[0] = (uint8_t) (size | 0x80);
    p[1] = (uint8_t) (size >> 7 | 0x80);
    p[2] = (uint8_t) (size >> 14);

    *batch = 0;
}


static void
prt_gofile_varint(prt_buffer_t *buffer, uint64_t value)
{
    uint8_t  *p;

    p = prt_buffer_room(buffer, PRT_GOFILE_VARINT);
    if (p == NULL) {
        return;
    }

    for ( /* void */ ; value >= 0x80; value >>= 7) {
        *p++ = (uint8_t) (value | 0x80);
        buffer->size++;
    }

    *p = (uint8_t) value;
    buffer->size++;
}


static void
prt_gofile_byte(prt_buffer_t *buffer, unsigned byte)
{
    uint8_t  *p;

    p = prt_buffer_room(buffer, 1);

    if (p) {
        *p = (uint8_t) byte;
        buffer->size++;
    }
}
