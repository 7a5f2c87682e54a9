
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <string.h>

#include <dwarf.h>

#include "platform/prt_reader.h"


#define PRT_PE_ALIGNED         0x50


static inline uint64_t prt_read_leb(prt_reader_t *in, uint64_t *sign);


void
prt_reader_init(prt_reader_t *in, const prt_bytes_t *bytes, size_t pos,
    size_t end)
{
    in->bytes = bytes;
    in->pos = pos;
    in->end = end < bytes->size ? end : bytes->size;
    in->failed = pos > in->end;
}


uint64_t
prt_read(prt_reader_t *in, unsigned size)
{
    uint8_t         one;
    uint16_t        two;
    uint32_t        four;
    uint64_t        eight;
    const uint8_t  *p;

    if (in->failed || in->end - in->pos < size) {
        in->failed = 1;
        return 0;
    }

    p = in->bytes->data + in->pos;
    in->pos += size;

    switch (size) {

    case 1:
        memcpy(&one, p, 1);
        return one;

    case 2:
        memcpy(&two, p, 2);
        return two;

    case 4:
        memcpy(&four, p, 4);
        return four;

    default:
        memcpy(&eight, p, 8);
        return eight;
    }
}


void
prt_skip(prt_reader_t *in, uint64_t size)
{
    if (in->failed || in->end - in->pos < size) {
        in->failed = 1;
        return;
    }

    in->pos += (size_t) size;
}


uint64_t
prt_read_uleb(prt_reader_t *in)
{
    uint64_t  sign;

    return prt_read_leb(in, &sign);
}


int64_t
prt_read_sleb(prt_reader_t *in)
{
    uint64_t  value, sign;

    value = prt_read_leb(in, &sign);

    return (int64_t) (value | sign);
}


/* "sign": the bits that a negative number has beside those that were read. */

static inline uint64_t
prt_read_leb(prt_reader_t *in, uint64_t *sign)
{
    uint8_t   byte;
    uint64_t  value;
    unsigned  shift;

    value = 0;
    shift = 0;

    do {
        byte = (uint8_t) prt_read(in, 1);

        if (shift < 64) {
            value |= (uint64_t) (byte & 0x7f) << shift;
        }

        shift += 7;

    } while ((byte & 0x80) && shift < 140);

    *sign = shift < 64 && (byte & 0x40) ? ~(uint64_t) 0 << shift : 0;

    return value;
}


int
prt_read_pointer(prt_reader_t *in, uint8_t encoding, uint64_t data_base,
    uint64_t *value)
{
    uint64_t  base, place;

    *value = 0;

    if (encoding == DW_EH_PE_omit) {
        return -1;
    }

    place = in->bytes->vaddr + in->pos;

    if (encoding == PRT_PE_ALIGNED) {
        prt_skip(in, -place & 7);
        *value = prt_read(in, 8);
        return in->failed ? -1 : 0;
    }

    switch (encoding & 0xf0) {

    case DW_EH_PE_absptr:
        base = 0;
        break;

    case DW_EH_PE_pcrel:
        base = place;
        break;

    case DW_EH_PE_datarel:
        base = data_base;
        break;

    default:
        return -1;
    }

    switch (encoding & 0x0f) {

    case DW_EH_PE_absptr:
    case DW_EH_PE_udata8:
    case DW_EH_PE_sdata8:
        *value = prt_read(in, 8);
        break;

    case DW_EH_PE_uleb128:
        *value = prt_read_uleb(in);
        break;

    case DW_EH_PE_sleb128:
        *value = (uint64_t) prt_read_sleb(in);
        break;

    case DW_EH_PE_udata2:
        *value = prt_read(in, 2);
        break;

    case DW_EH_PE_sdata2:
        *value = (uint64_t) (int16_t) prt_read(in, 2);
        break;

    case DW_EH_PE_udata4:
        *value = prt_read(in, 4);
        break;

    case DW_EH_PE_sdata4:
        *value = (uint64_t) (int32_t) prt_read(in, 4);
        break;

    default:
        return -1;
    }

    *value += base;

    return in->failed ? -1 : 0;
}
