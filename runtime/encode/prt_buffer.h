
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Bytes that become more.  Memory that is short is noticed once, at the end.
 */


#ifndef _PRT_BUFFER_H_INCLUDED_
#define _PRT_BUFFER_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


typedef struct {
    uint8_t  *data;                      /* from malloc() */
    size_t    size;
    size_t    capacity;
    int       failed;
} prt_buffer_t;


/* Of zeroed memory: an empty one. */

/* Room for "size" more bytes at data + size; NULL when memory is short. */
uint8_t *prt_buffer_room(prt_buffer_t *buffer, size_t size);

void prt_buffer_add(prt_buffer_t *buffer, const void *data, size_t size);
void prt_buffer_printf(prt_buffer_t *buffer, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));


#endif /* _PRT_BUFFER_H_INCLUDED_ */
