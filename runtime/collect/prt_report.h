
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * A report is a profile ready to be written: samples of all workers with
 * canonical addresses, the objects they lie in, and what is to be said about
 * it.  The encoders know stacks and values, not what they mean.
 *
 * Addresses of frames are return addresses: a frame's instruction lies at
 * address - 1.  (The interrupted instruction of a signal stands as pc + 1, so
 * that one rule serves all.)
 */


#ifndef _PRT_REPORT_H_INCLUDED_
#define _PRT_REPORT_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "platform/prt_image.h"
#include "store/prt_value.h"


/* an object (executable, shared library, vDSO) as the answer shows it */

typedef struct {
    uint64_t      base;                  /* canonical: base + vaddr is the address shown */
    uint64_t      limit;                 /* one past the last address shown */
    const char   *path;                  /* "[vdso]" for the vDSO; "(deleted)" is not part of it */
    const uint8_t *memory;               /* the image in memory, where no file has it (vDSO); else NULL */
    size_t        memory_size;
    uint8_t       build_id[PRT_BUILD_ID_MAX];
    unsigned      build_id_len;          /* 0: none */
    unsigned      nsegments;             /* executable ones */
    prt_image_segment_t  segments[PRT_IMAGE_SEGMENTS];

    /*
     * A synthetic image, whose path starts with "[": the address
     * base + i * PRT_IMAGE_NAME_STEP is called names[i].  Else NULL.
     */
    const char *const *names;
    unsigned      nnames;

    /* the numbers that stand for i there, in their order; NULL: i itself */
    const uint32_t *places;
} prt_image_t;


#define PRT_IMAGE_NAME_STEP  16

/* how a comment begins that tells what is not there, although it was asked for */
#define PRT_REPORT_MISSING   "missing: "


typedef struct {
    const char   *key;
    const char   *str;                   /* NULL: a number */
    int64_t       num;
    const char   *unit;                  /* of a number; may be NULL */
} prt_report_label_t;


/* what a sample of one thing at one moment says beside its stack */

typedef struct {
    const char   *state;
    uint64_t      id;                    /* 0: none yet */
    uint64_t      lasts;                 /* ns in this state; 0: not known */
    uint64_t      creator;               /* a frame; 0: not known */
    size_t        parent;                /* index of the sample + 1; 0: none */
} prt_report_moment_t;


typedef struct {
    const uint64_t            *frames;   /* leaf first, canonical; 0 lies in no image */
    const prt_report_label_t  *labels;
    int64_t                    values[PRT_VALUES_MAX];
    uint32_t                   nframes;
    uint32_t                   nlabels;
    const prt_report_moment_t *moment;   /* NULL: none */
} prt_report_sample_t;


typedef struct {
    const char                *name;         /* of the profile: "profile" */
    const prt_value_type_t    *types;
    unsigned                   ntypes;
    prt_value_type_t           period_type;
    int64_t                    period;
    const char                *default_type; /* NULL: the last */

    int64_t                    time;         /* ns since the epoch */
    int64_t                    duration;     /* ns; 0: not a window */

    const prt_report_sample_t *samples;
    size_t                     nsamples;

    const prt_image_t         *images;       /* sorted by base; do not overlap */
    size_t                     nimages;

    const char               **comments;
    size_t                     ncomments;
} prt_report_t;


/* The image that the address lies in, or NULL. */
const prt_image_t *prt_report_image(const prt_image_t *images, size_t nimages,
    uint64_t address);


#endif /* _PRT_REPORT_H_INCLUDED_ */
