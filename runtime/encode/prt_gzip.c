
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "encode/prt_buffer.h"
#include "encode/prt_gzip.h"


#define PRT_GZIP_LEVEL   1
#define PRT_GZIP_WINDOW  (15 + 16)         /* 16: with gzip's header */
#define PRT_GZIP_MEMORY  8
#define PRT_GZIP_STAGE   32768             /* bytes; packing gives a few at once */
#define PRT_GZIP_OUTPUT  65536


typedef struct {
    ProtobufCBuffer   base;
    z_stream          stream;
    prt_buffer_t      output;
    size_t            staged;
    uint8_t           stage[PRT_GZIP_STAGE];
} prt_gzip_t;


static void prt_gzip_append(ProtobufCBuffer *buffer, size_t size,
    const uint8_t *data);
static void prt_gzip_deflate(prt_gzip_t *gzip, int flush);


int
prt_gzip_message(const ProtobufCMessage *message, uint8_t **data,
    size_t *size)
{
    prt_gzip_t  *gzip;

    gzip = calloc(1, sizeof(prt_gzip_t));
    if (gzip == NULL) {
        return -1;
    }

    if (deflateInit2(&gzip->stream, PRT_GZIP_LEVEL, Z_DEFLATED,
                     PRT_GZIP_WINDOW, PRT_GZIP_MEMORY, Z_DEFAULT_STRATEGY)
        != Z_OK)
    {
        free(gzip);
        return -1;
    }

    gzip->base.append = prt_gzip_append;

    (void) protobuf_c_message_pack_to_buffer(message, &gzip->base);

    prt_gzip_deflate(gzip, Z_FINISH);

    (void) deflateEnd(&gzip->stream);

    if (gzip->output.failed) {
        free(gzip->output.data);
        free(gzip);
        return -1;
    }

    *data = gzip->output.data;
    *size = gzip->output.size;

    free(gzip);

    return 0;
}


static void
prt_gzip_append(ProtobufCBuffer *buffer, size_t size, const uint8_t *data)
{
    size_t       n;
    prt_gzip_t  *gzip;

    gzip = (prt_gzip_t *) buffer;

    while (size) {
        n = PRT_GZIP_STAGE - gzip->staged;

        if (n > size) {
            n = size;
        }

        memcpy(gzip->stage + gzip->staged, data, n);

        gzip->staged += n;
        data += n;
        size -= n;

        if (gzip->staged == PRT_GZIP_STAGE) {
            prt_gzip_deflate(gzip, Z_NO_FLUSH);
        }
    }
}


static void
prt_gzip_deflate(prt_gzip_t *gzip, int flush)
{
    int        rc;
    z_stream  *stream;

    stream = &gzip->stream;

    stream->next_in = gzip->stage;
    stream->avail_in = (uInt) gzip->staged;

    do {
        stream->next_out = prt_buffer_room(&gzip->output, PRT_GZIP_OUTPUT);

        if (gzip->output.failed) {
            break;
        }

        stream->avail_out = PRT_GZIP_OUTPUT;

        rc = deflate(stream, flush);

        gzip->output.size += PRT_GZIP_OUTPUT - stream->avail_out;

    } while (rc == Z_OK && stream->avail_out == 0);

    gzip->staged = 0;
}
