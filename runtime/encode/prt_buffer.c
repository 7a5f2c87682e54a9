
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encode/prt_buffer.h"


#define PRT_BUFFER_MIN   4096              /* bytes */
#define PRT_BUFFER_TEXT  1024              /* bytes, a usual text */


uint8_t *
prt_buffer_room(prt_buffer_t *buffer, size_t size)
{
    size_t    capacity;
    uint8_t  *data;

    if (buffer->capacity - buffer->size >= size && buffer->data) {
        return buffer->data + buffer->size;
    }

    capacity = buffer->capacity * 2;

    if (capacity < buffer->size + size) {
        capacity = buffer->size + size;
    }

    if (capacity < PRT_BUFFER_MIN) {
        capacity = PRT_BUFFER_MIN;
    }

    data = realloc(buffer->data, capacity);
    if (data == NULL) {
        buffer->failed = 1;
        return NULL;
    }

    buffer->data = data;
    buffer->capacity = capacity;

    return data + buffer->size;
}


void
prt_buffer_add(prt_buffer_t *buffer, const void *data, size_t size)
{
    uint8_t  *room;

    room = prt_buffer_room(buffer, size);

    if (room) {
        memcpy(room, data, size);
        buffer->size += size;
    }
}


void
prt_buffer_printf(prt_buffer_t *buffer, const char *fmt, ...)
{
    int       n;
    size_t    size;
    uint8_t  *room;
    va_list   args;

    for (size = PRT_BUFFER_TEXT; ; size = (size_t) n + 1) {

        room = prt_buffer_room(buffer, size);
        if (room == NULL) {
            return;
        }

        va_start(args, fmt);
        n = vsnprintf((char *) room, size, fmt, args);
        va_end(args);

        if (n < 0) {
            buffer->failed = 1;
            return;
        }

        if ((size_t) n < size) {
            buffer->size += (size_t) n;
            return;
        }
    }
}
