
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * A profile's message while it is built.
 */


#ifndef _PRT_PPROF_BUILD_H_INCLUDED_
#define _PRT_PPROF_BUILD_H_INCLUDED_


#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "collect/prt_arena.h"
#include "encode/prt_idmap.h"
#include "collect/prt_report.h"
#include "encode/prt_strings.h"
#include "encode/prt_symbol.h"
#include "profile.pb-c.h"


typedef Perftools__Profiles__Profile    prt_pb_profile_t;
typedef Perftools__Profiles__ValueType  prt_pb_type_t;
typedef Perftools__Profiles__Sample     prt_pb_sample_t;
typedef Perftools__Profiles__Label      prt_pb_label_t;
typedef Perftools__Profiles__Mapping    prt_pb_mapping_t;
typedef Perftools__Profiles__Location   prt_pb_location_t;
typedef Perftools__Profiles__Line       prt_pb_line_t;
typedef Perftools__Profiles__Function   prt_pb_function_t;


/* an executable segment and its mapping */

typedef struct {
    const prt_image_t    *image;
    uint64_t              start;
    uint64_t              limit;
    uint64_t              offset;
    prt_pb_mapping_t     *mapping;         /* NULL: not used */
    unsigned              unnamed:1;       /* a location without a name */
} prt_pprof_segment_t;


typedef struct {
    const prt_report_t   *report;
    prt_symbols_t        *symbols;
    const atomic_int     *cancel;
    prt_arena_t          *arena;
    prt_pb_profile_t      profile;
    prt_strings_t         strings;

    prt_naming_t         *namings;         /* of each image */

    prt_pprof_segment_t  *segments;        /* sorted by start */
    size_t                nsegments;

    prt_idmap_t             locations;       /* frames to ids */
    prt_idmap_t             functions;       /* name and file to ids */
    size_t                afunctions;
    uint32_t             *samples;         /* hash table of indexes + 1 */
    size_t                asamples;        /* a power of two */

    unsigned              cancelled:1;
} prt_pprof_t;


/* The string's index; -1 when memory is short. */
int64_t prt_pprof_string(prt_pprof_t *pprof, const char *s);

/*
 * Make the locations of all frames, with their functions, and the mappings
 * that these lie in.  0, or -1 when memory is short or it was cancelled.
 */
int prt_pprof_locations(prt_pprof_t *pprof);

/* The id of the frame's location. */
uint64_t prt_pprof_location_id(prt_pprof_t *pprof, uint64_t frame);


#endif /* _PRT_PPROF_BUILD_H_INCLUDED_ */
