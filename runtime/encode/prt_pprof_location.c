
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Locations, and what they lie in: functions and mappings.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encode/prt_pprof_build.h"


#define PRT_PPROF_PAGE        4096
#define PRT_PPROF_CANCEL      256      /* look-ups between looks at the flag */

/* Stands for a frame that lies nowhere; after it is lessened by 1, as all. */
#define PRT_PPROF_UNKNOWN     1
#define PRT_PPROF_NO_NAME     "[unknown]"


static int prt_pprof_segments(prt_pprof_t *pprof);
static void prt_pprof_segment(prt_pprof_t *pprof, const prt_image_t *image,
    unsigned i);
static int prt_pprof_places(prt_pprof_t *pprof);
static prt_pb_location_t *prt_pprof_location(prt_pprof_t *pprof,
    uint64_t frame, uint64_t id);
static prt_pprof_segment_t *prt_pprof_find(prt_pprof_t *pprof,
    const prt_image_t *image, uint64_t address);
static int prt_pprof_lines(prt_pprof_t *pprof, prt_pb_location_t *location,
    const prt_symbol_t *symbols, unsigned n);
static uint64_t prt_pprof_function(prt_pprof_t *pprof,
    const prt_symbol_t *symbol);
static int prt_pprof_mappings(prt_pprof_t *pprof);
static int prt_pprof_mapping(prt_pprof_t *pprof,
    prt_pprof_segment_t *segment);
static const prt_image_t *prt_pprof_main(const prt_report_t *report);
static int prt_pprof_is_library(const char *path);
static int prt_pprof_number_cmp(const void *one, const void *two);
static int prt_pprof_segment_cmp(const void *one, const void *two);


int
prt_pprof_locations(prt_pprof_t *pprof)
{
    if (prt_pprof_segments(pprof) != 0
        || prt_pprof_places(pprof) != 0
        || prt_pprof_mappings(pprof) != 0)
    {
        return -1;
    }

    return 0;
}


uint64_t
prt_pprof_location_id(prt_pprof_t *pprof, uint64_t frame)
{
    /* All frames are there, so that nothing is added. */

    return *prt_idmap_add(&pprof->locations, frame ? frame
                                                 : PRT_PPROF_UNKNOWN);
}


static int
prt_pprof_segments(prt_pprof_t *pprof)
{
    size_t               i, n;
    unsigned             k;
    const prt_image_t   *image;
    const prt_report_t  *report;

    report = pprof->report;

    for (i = 0, n = 0; i < report->nimages; i++) {
        n += report->images[i].nsegments ? report->images[i].nsegments : 1;
    }

    pprof->segments = prt_arena_alloc(pprof->arena,
                                      (n + 1) * sizeof(prt_pprof_segment_t));
    if (pprof->segments == NULL) {
        return -1;
    }

    for (i = 0; i < report->nimages; i++) {
        image = &report->images[i];

        for (k = 0; k < image->nsegments; k++) {
            prt_pprof_segment(pprof, image, k);
        }

        if (image->nsegments == 0) {
            prt_pprof_segment(pprof, image, 0);
        }
    }

    if (n) {
        qsort(pprof->segments, n, sizeof(prt_pprof_segment_t),
              prt_pprof_segment_cmp);
    }

    return 0;
}


/* In whole pages, as /proc/PID/maps has them; a synthetic image as it is. */

static void
prt_pprof_segment(prt_pprof_t *pprof, const prt_image_t *image, unsigned i)
{
    uint64_t                    mask;
    prt_pprof_segment_t        *segment;
    const prt_image_segment_t  *part;

    segment = &pprof->segments[pprof->nsegments++];

    segment->image = image;
    segment->start = image->base;
    segment->limit = image->limit;
    segment->offset = 0;

    if (image->nsegments == 0) {
        return;
    }

    part = &image->segments[i];
    mask = PRT_PPROF_PAGE - 1;

    segment->start = image->base + (part->vaddr & ~mask);
    segment->limit = image->base + ((part->vaddr + part->size + mask) & ~mask);
    segment->offset = part->offset & ~mask;
}


/*
 * Each address once, in their order: so that all of an object, and of its
 * compilation unit, are looked up together.
 */

static int
prt_pprof_places(prt_pprof_t *pprof)
{
    size_t                      i, n;
    uint32_t                    k;
    uint64_t                   *frames, *id;
    prt_pb_profile_t           *profile;
    const prt_report_sample_t  *sample;

    for (i = 0; i < pprof->report->nsamples; i++) {
        sample = &pprof->report->samples[i];

        for (k = 0; k < sample->nframes; k++) {
            if (prt_idmap_add(&pprof->locations,
                            sample->frames[k] ? sample->frames[k]
                                              : PRT_PPROF_UNKNOWN)
                == NULL)
            {
                return -1;
            }
        }
    }

    profile = &pprof->profile;
    n = pprof->locations.n;

    frames = prt_arena_alloc(pprof->arena, (n + 1) * sizeof(uint64_t));
    profile->location = prt_arena_alloc(pprof->arena,
                                        (n + 1) * sizeof(void *));

    if (frames == NULL || profile->location == NULL) {
        return -1;
    }

    for (i = 0, n = 0; i < pprof->locations.size; i++) {
        if (pprof->locations.pairs[i].key) {
            frames[n++] = pprof->locations.pairs[i].key;
        }
    }

    if (n) {
        qsort(frames, n, sizeof(uint64_t), prt_pprof_number_cmp);
    }

    for (i = 0; i < n; i++) {

        if (i % PRT_PPROF_CANCEL == 0
            && pprof->cancel
            && atomic_load_explicit(pprof->cancel, memory_order_relaxed))
        {
            pprof->cancelled = 1;
            return -1;
        }

        profile->location[i] = prt_pprof_location(pprof, frames[i], i + 1);
        if (profile->location[i] == NULL) {
            return -1;
        }

        id = prt_idmap_add(&pprof->locations, frames[i]);
        *id = i + 1;
    }

    profile->n_location = n;

    return 0;
}


static prt_pb_location_t *
prt_pprof_location(prt_pprof_t *pprof, uint64_t frame, uint64_t id)
{
    unsigned              n;
    uint64_t              address;
    prt_symbol_t          symbols[PRT_SYMBOL_INLINES];
    prt_naming_t         *naming;
    const prt_image_t    *image;
    prt_pb_location_t    *location;
    prt_pprof_segment_t  *segment;

    location = prt_arena_alloc(pprof->arena, sizeof(prt_pb_location_t));
    if (location == NULL) {
        return NULL;
    }

    perftools__profiles__location__init(location);

    address = frame - 1;

    location->id = id;
    location->address = address;

    image = prt_report_image(pprof->report->images, pprof->report->nimages,
                             address);
    if (image == NULL) {
        memset(symbols, 0, sizeof(prt_symbol_t));
        symbols[0].name = PRT_PPROF_NO_NAME;

        return prt_pprof_lines(pprof, location, symbols, 1) == 0 ? location
                                                                 : NULL;
    }

    segment = prt_pprof_find(pprof, image, address);

    if (segment->mapping == NULL && prt_pprof_mapping(pprof, segment) != 0) {
        return NULL;
    }

    /* Its number is not known yet, but will be by this pointer. */

    location->mapping_id = (uint64_t) (segment - pprof->segments) + 1;

    n = prt_symbols_lookup(pprof->symbols, image, address - image->base,
                           symbols, PRT_SYMBOL_INLINES);

    if (n == 0 || symbols[0].from == PRT_SYMBOL_NONE) {
        segment->unnamed = 1;
    }

    naming = &pprof->namings[image - pprof->report->images];
    naming->addresses++;
    naming->unnamed += n == 0 || !(symbols[n - 1].from & PRT_SYMBOL_NAMED);

    if (prt_pprof_lines(pprof, location, symbols, n) != 0) {
        return NULL;
    }

    return location;
}


/* The segment around the address, or else another one of the image. */

static prt_pprof_segment_t *
prt_pprof_find(prt_pprof_t *pprof, const prt_image_t *image, uint64_t address)
{
    size_t                low, high, mid;
    prt_pprof_segment_t  *segments;

    segments = pprof->segments;
    low = 0;
    high = pprof->nsegments;

    while (low < high) {
        mid = low + (high - low) / 2;

        if (segments[mid].start <= address) {
            low = mid + 1;

        } else {
            high = mid;
        }
    }

    if (low == pprof->nsegments
        || (low > 0 && segments[low - 1].image == image))
    {
        low--;
    }

    return &segments[low];
}


static int
prt_pprof_lines(prt_pprof_t *pprof, prt_pb_location_t *location,
    const prt_symbol_t *symbols, unsigned n)
{
    unsigned        i;
    prt_pb_line_t  *lines;

    if (n == 0) {
        return 0;
    }

    lines = prt_arena_alloc(pprof->arena, n * sizeof(prt_pb_line_t));
    location->line = prt_arena_alloc(pprof->arena, n * sizeof(void *));

    if (lines == NULL || location->line == NULL) {
        return -1;
    }

    for (i = 0; i < n; i++) {
        perftools__profiles__line__init(&lines[i]);

        lines[i].line = symbols[i].line;
        lines[i].function_id = prt_pprof_function(pprof, &symbols[i]);

        if (lines[i].function_id == 0) {
            return -1;
        }

        location->line[i] = &lines[i];
    }

    location->n_line = n;

    return 0;
}


/* Its id; 0 when memory is short. */

static uint64_t
prt_pprof_function(prt_pprof_t *pprof, const prt_symbol_t *symbol)
{
    size_t               size;
    int64_t              name, file;
    uint64_t            *id;
    prt_pb_profile_t    *profile;
    prt_pb_function_t   *function, **functions;

    name = prt_pprof_string(pprof, symbol->name);
    file = prt_pprof_string(pprof, symbol->file);

    if (name < 0 || file < 0) {
        return 0;
    }

    /* A name is never "", so that neither is the key 0. */

    id = prt_idmap_add(&pprof->functions, (uint64_t) name << 32
                                        | (uint64_t) file);
    if (id == NULL) {
        return 0;
    }

    if (*id != 0) {
        return *id;
    }

    profile = &pprof->profile;

    if (profile->n_function == pprof->afunctions) {
        size = pprof->afunctions ? pprof->afunctions * 2 : 256;

        functions = realloc(profile->function, size * sizeof(void *));
        if (functions == NULL) {
            return 0;
        }

        profile->function = functions;
        pprof->afunctions = size;
    }

    function = prt_arena_alloc(pprof->arena, sizeof(prt_pb_function_t));
    if (function == NULL) {
        return 0;
    }

    perftools__profiles__function__init(function);

    profile->function[profile->n_function++] = function;

    function->id = profile->n_function;
    function->name = name;
    function->system_name = name;
    function->filename = file;
    function->start_line = symbol->start_line;

    *id = function->id;

    return function->id;
}


/*
 * Mappings that have locations, and the program's own, first: readers take
 * the first one for the program.
 */

static int
prt_pprof_mappings(prt_pprof_t *pprof)
{
    size_t                i, pass;
    unsigned              sources;
    prt_pb_profile_t     *profile;
    prt_pb_mapping_t     *mapping;
    const prt_image_t    *program;
    prt_pprof_segment_t  *segment;

    profile = &pprof->profile;
    program = prt_pprof_main(pprof->report);

    profile->mapping = prt_arena_alloc(pprof->arena, (pprof->nsegments + 1)
                                                     * sizeof(void *));
    if (profile->mapping == NULL) {
        return -1;
    }

    for (pass = 0; pass < 2; pass++) {

        for (i = 0; i < pprof->nsegments; i++) {
            segment = &pprof->segments[i];

            if ((pass == 0) != (program && segment->image == program)) {
                continue;
            }

            if (segment->mapping == NULL
                && (pass == 1 || prt_pprof_mapping(pprof, segment) != 0))
            {
                continue;
            }

            mapping = segment->mapping;
            profile->mapping[profile->n_mapping++] = mapping;
            mapping->id = profile->n_mapping;

            /*
             * Told that there are functions, a reader asks nobody else for
             * better ones: neither the nearest lower symbol of a stripped
             * binary of its own.
             */

            sources = prt_symbols_sources(pprof->symbols, segment->image);

            mapping->has_functions = !segment->unnamed
                                     && !(sources & PRT_SYMBOL_NONE);

            if (mapping->has_functions && (sources & PRT_SYMBOL_DEBUG)) {
                mapping->has_filenames = 1;
                mapping->has_line_numbers = 1;
                mapping->has_inline_frames = 1;
            }
        }
    }

    for (i = 0; i < profile->n_location; i++) {

        if (profile->location[i]->mapping_id) {
            segment = &pprof->segments[profile->location[i]->mapping_id - 1];
            profile->location[i]->mapping_id = segment->mapping->id;
        }
    }

    return 0;
}


static int
prt_pprof_mapping(prt_pprof_t *pprof, prt_pprof_segment_t *segment)
{
    char               hex[2 * PRT_BUILD_ID_MAX + 1];
    unsigned           i;
    prt_pb_mapping_t  *mapping;

    mapping = prt_arena_alloc(pprof->arena, sizeof(prt_pb_mapping_t));
    if (mapping == NULL) {
        return -1;
    }

    perftools__profiles__mapping__init(mapping);

    hex[0] = '\0';

    for (i = 0; i < segment->image->build_id_len; i++) {
        (void) snprintf(hex + 2 * i, 3, "%02x", segment->image->build_id[i]);
    }

    mapping->memory_start = segment->start;
    mapping->memory_limit = segment->limit;
    mapping->file_offset = segment->offset;
    mapping->filename = prt_pprof_string(pprof, segment->image->path);
    mapping->build_id = prt_pprof_string(pprof, hex);

    if (mapping->filename < 0 || mapping->build_id < 0) {
        return -1;
    }

    segment->mapping = mapping;

    return 0;
}


/* The image of the program: the one that is neither library nor synthetic. */

static const prt_image_t *
prt_pprof_main(const prt_report_t *report)
{
    size_t       i;
    const char  *path;

    for (i = 0; i < report->nimages; i++) {
        path = report->images[i].path;

        if (path[0] != '[' && !prt_pprof_is_library(path)) {
            return &report->images[i];
        }
    }

    return NULL;
}


/* "libz.so", "libz.so.1", "libz.so_old": as pprof tells them. */

static int
prt_pprof_is_library(const char *path)
{
    const char  *p;

    for (p = strstr(path, ".so"); p; p = strstr(p + 1, ".so")) {

        if (p[3] == '\0'
            || ((p[3] == '.' || p[3] == '_') && p[4] >= '0' && p[4] <= '9'))
        {
            return 1;
        }
    }

    return 0;
}


static int
prt_pprof_number_cmp(const void *one, const void *two)
{
    uint64_t  a, b;

    a = *(const uint64_t *) one;
    b = *(const uint64_t *) two;

    return a < b ? -1 : a > b;
}


static int
prt_pprof_segment_cmp(const void *one, const void *two)
{
    const prt_pprof_segment_t  *a, *b;

    a = one;
    b = two;

    return a->start < b->start ? -1 : a->start > b->start;
}
