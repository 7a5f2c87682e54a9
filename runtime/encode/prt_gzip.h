
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Packs a message of protobuf-c and deflates it on the way.
 */


#ifndef _PRT_GZIP_H_INCLUDED_
#define _PRT_GZIP_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>


/* 0 with *data, the caller's to free(), or -1 when memory is short. */
int prt_gzip_message(const ProtobufCMessage *message, uint8_t **data,
    size_t *size);


#endif /* _PRT_GZIP_H_INCLUDED_ */
