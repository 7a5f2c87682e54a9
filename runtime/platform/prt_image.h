
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * What all layers say of an object's file.
 */


#ifndef _PRT_IMAGE_H_INCLUDED_
#define _PRT_IMAGE_H_INCLUDED_


#include <stdint.h>


#define PRT_BUILD_ID_MAX       64         /* bytes */
#define PRT_IMAGE_SEGMENTS     4


/* an executable segment */

typedef struct {
    uint64_t             vaddr;            /* in the ELF file */
    uint64_t             size;             /* bytes */
    uint64_t             offset;           /* in the file */
} prt_image_segment_t;


#endif /* _PRT_IMAGE_H_INCLUDED_ */
