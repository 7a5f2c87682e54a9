
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * What the encoders write is read back by a reader of the wire format of its
 * own, and by "go tool pprof".
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "encode/prt_pprof.h"
#include "encode/prt_text.h"
#include "elf_build.h"
#include "elf_image.h"


#define BASE       ((uint64_t) 1 << 61)
#define STACKS     10000
#define FRAMES     20
#define PLACES     10000      /* different addresses */

#define MAX        64

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOWER  20
#else
#define SLOWER  3          /* a loaded machine, not the budget */
#endif


/* profile.proto, read by hand */

typedef struct {
    const uint8_t  *p;
    const uint8_t  *end;
} wire_t;


typedef struct {
    unsigned        number;
    unsigned        type;
    uint64_t        value;
    wire_t          bytes;
} field_t;


typedef struct {
    uint64_t        locations[MAX];
    unsigned        nlocations;
    int64_t         values[MAX];
    unsigned        nvalues;
    int64_t         labels[MAX][5];        /* by field number */
    unsigned        nlabels;
} sample_t;


typedef struct {
    char          **strings;
    size_t          nstrings;
    int64_t         types[MAX][3];
    unsigned        ntypes;
    int64_t         period_type[3];
    sample_t       *samples;
    size_t          nsamples;
    uint64_t        mappings[MAX][11];     /* by field number */
    unsigned        nmappings;
    uint64_t      (*locations)[4];
    uint64_t      (*lines)[16][3];
    unsigned       *nlines;
    size_t          nlocations;
    uint64_t      (*functions)[6];
    size_t          nfunctions;
    int64_t         comments[MAX];
    unsigned        ncomments;
    int64_t         numbers[16];           /* by field number */
} profile_t;


static uint64_t
varint(wire_t *wire)
{
    uint64_t  value;
    unsigned  shift;

    value = 0;

    for (shift = 0; ; shift += 7) {
        assert_true(wire->p < wire->end && shift < 70);
        value |= (uint64_t) (*wire->p & 0x7f) << shift;

        if (!(*wire->p++ & 0x80)) {
            return value;
        }
    }
}


static int
next(wire_t *wire, field_t *field)
{
    uint64_t  key, len;

    if (wire->p == wire->end) {
        return 0;
    }

    key = varint(wire);
    field->number = (unsigned) (key >> 3);
    field->type = key & 7;

    switch (field->type) {

    case 0:
        field->value = varint(wire);
        break;

    case 2:
        len = varint(wire);
        assert_true(len <= (uint64_t) (wire->end - wire->p));
        field->bytes.p = wire->p;
        field->bytes.end = wire->p + len;
        wire->p += len;
        break;

    default:
        fail();
    }

    return 1;
}


static void
numbers(wire_t wire, uint64_t *list, unsigned n)
{
    field_t  field;

    while (next(&wire, &field)) {
        assert_true(field.number < n);

        if (field.type == 0) {
            list[field.number] = field.value;
        }
    }
}


static void
read_sample(wire_t wire, sample_t *sample)
{
    field_t  field;

    while (next(&wire, &field)) {

        switch (field.number) {

        case 1:
            while (field.bytes.p < field.bytes.end) {
                assert_true(sample->nlocations < MAX);
                sample->locations[sample->nlocations++]
                    = varint(&field.bytes);
            }
            break;

        case 2:
            while (field.bytes.p < field.bytes.end) {
                assert_true(sample->nvalues < MAX);
                sample->values[sample->nvalues++]
                    = (int64_t) varint(&field.bytes);
            }
            break;

        case 3:
            assert_true(sample->nlabels < MAX);
            numbers(field.bytes,
                    (uint64_t *) sample->labels[sample->nlabels++], 5);
            break;

        default:
            fail();
        }
    }
}


static void
read_location(wire_t wire, profile_t *profile)
{
    wire_t   copy;
    field_t  field;

    copy = wire;

    numbers(wire, profile->locations[profile->nlocations], 6);

    while (next(&copy, &field)) {
        if (field.number == 4) {
            numbers(field.bytes, profile->lines[profile->nlocations]
                    [profile->nlines[profile->nlocations]++], 4);
        }
    }

    profile->nlocations++;
}


static profile_t *
decode(const uint8_t *data, size_t size)
{
    wire_t      wire;
    size_t      n;
    field_t     field;
    uint8_t    *raw;
    z_stream    stream;
    profile_t  *profile;

    n = 64 * 1024 * 1024;
    raw = malloc(n);
    assert_non_null(raw);

    memset(&stream, 0, sizeof(z_stream));
    assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);

    stream.next_in = (uint8_t *) (uintptr_t) data;
    stream.avail_in = (uInt) size;
    stream.next_out = raw;
    stream.avail_out = (uInt) n;

    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.avail_in, 0);

    wire.p = raw;
    wire.end = raw + stream.total_out;
    (void) inflateEnd(&stream);

    n = stream.total_out;

    profile = calloc(1, sizeof(profile_t));
    profile->strings = calloc(n, sizeof(char *));
    profile->samples = calloc(20001, sizeof(sample_t));
    profile->locations = calloc(300000, sizeof(profile->locations[0]));
    profile->lines = calloc(300000, sizeof(profile->lines[0]));
    profile->nlines = calloc(300000, sizeof(unsigned));
    profile->functions = calloc(300000, sizeof(profile->functions[0]));

    while (next(&wire, &field)) {

        switch (field.number) {

        case 1:
            numbers(field.bytes,
                    (uint64_t *) profile->types[profile->ntypes++], 3);
            break;

        case 2:
            assert_true(profile->nsamples < 20000);
            read_sample(field.bytes, &profile->samples[profile->nsamples++]);
            break;

        case 3:
            numbers(field.bytes, profile->mappings[profile->nmappings++], 11);
            break;

        case 4:
            read_location(field.bytes, profile);
            break;

        case 5:
            numbers(field.bytes, profile->functions[profile->nfunctions++],
                    6);
            break;

        case 6:
            profile->strings[profile->nstrings++]
                = strndup((const char *) field.bytes.p,
                          (size_t) (field.bytes.end - field.bytes.p));
            break;

        case 11:
            numbers(field.bytes, (uint64_t *) profile->period_type, 3);
            break;

        case 13:
            while (field.bytes.p < field.bytes.end) {
                profile->comments[profile->ncomments++]
                    = (int64_t) varint(&field.bytes);
            }
            break;

        default:
            assert_true(field.number < 16 && field.type == 0);
            profile->numbers[field.number] = (int64_t) field.value;
        }
    }

    free(raw);

    return profile;
}


static void
profile_free(profile_t *profile)
{
    size_t  i;

    for (i = 0; i < profile->nstrings; i++) {
        free(profile->strings[i]);
    }

    free(profile->strings);
    free(profile->samples);
    free(profile->locations);
    free(profile->lines);
    free(profile->nlines);
    free(profile->functions);
    free(profile);
}


static const char *
string(const profile_t *profile, int64_t i)
{
    assert_true(i >= 0 && (size_t) i < profile->nstrings);

    return profile->strings[i];
}


/* what CheckValid() of pprof demands, and a little more */

static void
check_valid(const profile_t *profile)
{
    size_t    i, k;
    uint64_t  id;

    assert_true(profile->nstrings > 0);
    assert_string_equal(profile->strings[0], "");

    for (i = 0; i < profile->nsamples; i++) {
        assert_int_equal(profile->samples[i].nvalues, profile->ntypes);

        for (k = 0; k < profile->samples[i].nlocations; k++) {
            id = profile->samples[i].locations[k];
            assert_true(id >= 1 && id <= profile->nlocations);
        }
    }

    for (i = 0; i < profile->nmappings; i++) {
        assert_int_equal(profile->mappings[i][1], i + 1);
        (void) string(profile, (int64_t) profile->mappings[i][5]);
        (void) string(profile, (int64_t) profile->mappings[i][6]);
    }

    for (i = 0; i < profile->nlocations; i++) {
        assert_int_equal(profile->locations[i][1], i + 1);
        assert_true(profile->locations[i][2] <= profile->nmappings);

        if (profile->locations[i][2]) {
            id = profile->locations[i][2] - 1;

            assert_true(profile->locations[i][3]
                        >= profile->mappings[id][2]);
            assert_true(profile->locations[i][3]
                        < profile->mappings[id][3]);
        }

        for (k = 0; k < profile->nlines[i]; k++) {
            id = profile->lines[i][k][1];
            assert_true(id >= 1 && id <= profile->nfunctions);
        }
    }

    for (i = 0; i < profile->nfunctions; i++) {
        assert_int_equal(profile->functions[i][1], i + 1);
        assert_string_not_equal(string(profile, (int64_t)
                                       profile->functions[i][2]), "");
    }
}


static const sample_t *
find(const profile_t *profile, const uint64_t *frames, unsigned n,
    unsigned nlabels)
{
    size_t           i;
    unsigned         k;
    const sample_t  *sample, *found;

    found = NULL;

    for (i = 0; i < profile->nsamples; i++) {
        sample = &profile->samples[i];

        if (sample->nlocations != n || sample->nlabels != nlabels) {
            continue;
        }

        for (k = 0; k < n; k++) {
            if (profile->locations[sample->locations[k] - 1][3]
                != frames[k] - 1)
            {
                break;
            }
        }

        if (k == n) {
            assert_null(found);
            found = sample;
        }
    }

    return found;
}


/* a report of a program, two libraries and a synthetic image */

static const prt_value_type_t  types[] = {
    { "samples", "count" },
    { "cpu", "nanoseconds" }
};

static const char *const  synthetic[] = { "[pprof]", "[stack truncated]" };

static prt_image_t  images[] = {
    {
        .base = 0x1000, .limit = 0x1020, .path = "[pprof]",
        .names = synthetic, .nnames = 2
    },
    {
        .base = BASE + (1ull << 32), .limit = BASE + (1ull << 32) + 0x9000,
        .path = "/nonexistent/libone.so.1", .build_id = { 0xab, 0x01, 0xff },
        .build_id_len = 3, .nsegments = 2,
        .segments = {
            { .vaddr = 0x1230, .size = 0x1000, .offset = 0x230 },
            { .vaddr = 0x5000, .size = 0x800, .offset = 0x4000 }
        }
    },
    {
        .base = BASE + (2ull << 32), .limit = BASE + (2ull << 32) + 0x9000,
        .path = "/nonexistent/program", .nsegments = 1,
        .segments = { { .vaddr = 0x2000, .size = 0x1000, .offset = 0x2000 } }
    },
    {
        .base = BASE + (3ull << 32), .limit = BASE + (3ull << 32) + 0x9000,
        .path = "/nonexistent/libtwo.so", .nsegments = 1,
        .segments = { { .vaddr = 0x2000, .size = 0x1000, .offset = 0x2000 } }
    }
};


#define ONE      (BASE + (1ull << 32))
#define PROGRAM  (BASE + (2ull << 32))

static const uint64_t  frames_a[] = { ONE + 0x1234, PROGRAM + 0x2345,
                                      PROGRAM + 0x2001 };
static const uint64_t  frames_b[] = { ONE + 0x5123, PROGRAM + 0x2345 };
static const uint64_t  frames_c[] = { 0, PROGRAM + 0x2345 };
static const uint64_t  frames_d[] = { 0x1001, 0x1011 };

static const prt_report_label_t  labels_w0[] = {
    { .key = "worker", .str = "0" },
    { .key = "pid", .num = 4711, .unit = "pid" }
};

static const prt_report_label_t  labels_w1[] = {
    { .key = "worker", .str = "1" },
    { .key = "pid", .num = 4712, .unit = "pid" }
};

static const prt_report_sample_t  samples[] = {
    { .frames = frames_a, .nframes = 3, .values = { 1, 10 } },
    { .frames = frames_b, .nframes = 2, .values = { 2, 20 } },
    { .frames = frames_a, .nframes = 3, .values = { 4, 40 } },
    { .frames = frames_a, .nframes = 3, .values = { 8, 80 },
      .labels = labels_w0, .nlabels = 2 },
    { .frames = frames_b, .nframes = 2, .values = { 16, 160 },
      .labels = labels_w0, .nlabels = 2 },
    { .frames = frames_b, .nframes = 2, .values = { 0, 0 },
      .labels = labels_w1, .nlabels = 2 },
    { .frames = frames_c, .nframes = 2, .values = { 32, 320 } },
    { .frames = frames_d, .nframes = 2, .values = { 64, 640 } },
    { .frames = frames_d, .nframes = 1, .values = { 5, -50 } },
    { .frames = frames_d, .nframes = 1, .values = { -5, 50 } }
};

static const char  *comments[] = { "a comment", "another" };

static const prt_report_t  report = {
    .name = "profile",
    .types = types,
    .ntypes = 2,
    .period_type = { "cpu", "nanoseconds" },
    .period = 10000000,
    .default_type = "cpu",
    .time = 1700000000123456789,
    .duration = 5000000000,
    .samples = samples,
    .nsamples = sizeof(samples) / sizeof(samples[0]),
    .images = images,
    .nimages = sizeof(images) / sizeof(images[0]),
    .comments = comments,
    .ncomments = 2
};


static char  dir[64];


static int
setup(void **state)
{
    (void) state;

    (void) snprintf(dir, sizeof(dir), "/tmp/prt_encode_test.XXXXXX");

    return mkdtemp(dir) ? 0 : -1;
}


static int
teardown(void **state)
{
    (void) state;

    return shell("rm -rf %s", dir);
}


/* The output of "go tool pprof" for what was encoded. */

static char *
go_pprof(const uint8_t *data, size_t size, const char *options)
{
    char    *out, path[128];
    FILE    *f;
    size_t   n;

    if (getenv("CI") == NULL && shell("command -v go >/dev/null") != 0) {
        print_message("go is missing\n");
        skip();
    }

    (void) snprintf(path, sizeof(path), "%s/profile", dir);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);

    if (shell("go tool pprof %s %s > %s/out 2> %s/err", options, path, dir,
              dir) != 0)
    {
        (void) shell("cat %s/err >&2", dir);
        fail();
    }

    out = calloc(1, 1 << 20);
    (void) snprintf(path, sizeof(path), "%s/out", dir);
    f = fopen(path, "r");
    assert_non_null(f);
    n = fread(out, 1, (1 << 20) - 1, f);
    assert_true(n > 0);
    (void) fclose(f);

    return out;
}


static void
contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        print_message("no \"%s\" in:\n%s\n", part, text);
        fail();
    }
}


static void
encode(const prt_report_t *r, prt_symbols_t *symbols, uint8_t **data,
    size_t *size)
{
    char  error[PRT_ERROR_LEN];

    assert_int_equal(prt_pprof_encode(r, symbols, data, size, error, NULL),
                     0);
}


static void
test_wire(void **state)
{
    size_t           size, i;
    uint8_t         *data;
    profile_t       *profile;
    prt_symbols_t   *symbols;
    const sample_t  *sample;

    (void) state;

    symbols = prt_symbols_create();
    encode(&report, symbols, &data, &size);
    profile = decode(data, size);
    check_valid(profile);

    assert_int_equal(profile->ntypes, 2);
    assert_string_equal(string(profile, profile->types[0][1]), "samples");
    assert_string_equal(string(profile, profile->types[0][2]), "count");
    assert_string_equal(string(profile, profile->types[1][1]), "cpu");
    assert_string_equal(string(profile, profile->types[1][2]), "nanoseconds");
    assert_string_equal(string(profile, profile->period_type[1]), "cpu");
    assert_string_equal(string(profile, profile->period_type[2]),
                        "nanoseconds");

    assert_int_equal(profile->numbers[7], 0);
    assert_int_equal(profile->numbers[8], 0);
    assert_int_equal(profile->numbers[9], 1700000000123456789);
    assert_int_equal(profile->numbers[10], 5000000000);
    assert_int_equal(profile->numbers[12], 10000000);
    assert_string_equal(string(profile, profile->numbers[14]), "cpu");

    assert_true(profile->ncomments > 2);
    assert_string_equal(string(profile, profile->comments[0]), "a comment");
    assert_string_equal(string(profile, profile->comments[1]), "another");

    for (i = 2; i < profile->ncomments; i++) {
        print_message("%s\n", string(profile, profile->comments[i]));
        assert_memory_equal(string(profile, profile->comments[i]), "names: ",
                            7);
    }

    /* merged, and nothing that is zero */

    assert_int_equal(profile->nsamples, 6);

    sample = find(profile, frames_a, 3, 0);
    assert_non_null(sample);
    assert_int_equal(sample->values[0], 5);
    assert_int_equal(sample->values[1], 50);

    sample = find(profile, frames_b, 2, 0);
    assert_non_null(sample);
    assert_int_equal(sample->values[0], 2);

    sample = find(profile, frames_b, 2, 2);
    assert_non_null(sample);
    assert_int_equal(sample->values[0], 16);
    assert_string_equal(string(profile, sample->labels[0][1]), "worker");
    assert_string_equal(string(profile, sample->labels[0][2]), "0");
    assert_int_equal(sample->labels[0][3], 0);
    assert_string_equal(string(profile, sample->labels[1][1]), "pid");
    assert_int_equal(sample->labels[1][2], 0);
    assert_int_equal(sample->labels[1][3], 4711);
    assert_string_equal(string(profile, sample->labels[1][4]), "pid");

    /* the program first, then by address; libtwo has no samples */

    assert_int_equal(profile->nmappings, 4);

    assert_string_equal(string(profile, (int64_t) profile->mappings[0][5]),
                        "/nonexistent/program");
    assert_int_equal(profile->mappings[0][2], PROGRAM + 0x2000);
    assert_int_equal(profile->mappings[0][3], PROGRAM + 0x3000);
    assert_int_equal(profile->mappings[0][4], 0x2000);
    assert_int_equal(profile->mappings[0][6], 0);

    assert_string_equal(string(profile, (int64_t) profile->mappings[1][5]),
                        "[pprof]");
    assert_int_equal(profile->mappings[1][7], 1);

    assert_int_equal(profile->mappings[2][2], ONE + 0x1000);
    assert_int_equal(profile->mappings[2][3], ONE + 0x3000);
    assert_int_equal(profile->mappings[2][4], 0);
    assert_string_equal(string(profile, (int64_t) profile->mappings[2][6]),
                        "ab01ff");
    assert_int_equal(profile->mappings[3][2], ONE + 0x5000);
    assert_int_equal(profile->mappings[3][4], 0x4000);

    for (i = 0; i < profile->nmappings; i++) {
        assert_int_equal(profile->mappings[i][7], i == 1);
        assert_int_equal(profile->mappings[i][8], 0);
        assert_int_equal(profile->mappings[i][9], 0);
        assert_int_equal(profile->mappings[i][10], 0);
    }

    /* the synthetic frames, and the one that lies nowhere */

    sample = find(profile, frames_d, 2, 0);
    assert_non_null(sample);

    for (i = 0; i < 2; i++) {
        assert_int_equal(profile->nlines[sample->locations[i] - 1], 1);
        assert_string_equal(string(profile, (int64_t) profile->functions
            [profile->lines[sample->locations[i] - 1][0][1] - 1][2]),
                            synthetic[i]);
    }

    for (i = 0; i < profile->nlocations; i++) {
        if (profile->locations[i][2] == 0) {
            assert_string_equal(string(profile, (int64_t) profile->functions
                [profile->lines[i][0][1] - 1][2]), "[unknown]");
            break;
        }
    }

    assert_true(i < profile->nlocations);

    profile_free(profile);
    free(data);
    prt_symbols_destroy(symbols);
}


static void
test_go(void **state)
{
    char           *out;
    size_t          size;
    uint8_t        *data;
    prt_symbols_t  *symbols;

    (void) state;

    if (!have("go")) {
        SKIP("no go");
    }

    symbols = prt_symbols_create();
    encode(&report, symbols, &data, &size);
    out = go_pprof(data, size, "-symbolize=none -raw");

    contains(out, "PeriodType: cpu nanoseconds\n");
    contains(out, "Period: 10000000\n");
    contains(out, "Duration: 5s\n");
    contains(out, "a comment\n");
    contains(out, "samples/count cpu/nanoseconds[dflt]\n");
    contains(out, "          5         50: ");
    contains(out, "         16        160: ");
    contains(out, "worker:[0]");
    contains(out, "pid:[4711 pid]");
    contains(out, "1: 0x2000000200002000/0x2000000200003000/0x2000"
                  " /nonexistent/program");
    contains(out, "0x2000000100001000/0x2000000100003000/0x0"
                  " /nonexistent/libone.so.1 ab01ff");
    contains(out, "0x2000000100001233 M=3 ");
    contains(out, "0x1000 M=2 [pprof] ");
    contains(out, "0x1010 M=2 [stack truncated] ");
    contains(out, "[unknown]");
    contains(out, "[pprof]  [FN]");

    free(out);
    free(data);
    prt_symbols_destroy(symbols);
}


/* a program with debug info, its stripped copy, and a wrong file of it */

static const char  source[] =
    "static inline __attribute__((always_inline)) int\n"
    "inner(volatile int *p)\n"
    "{\n"
    "    return *p * *p;\n"
    "}\n"
    "__attribute__((noinline)) int\n"
    "outer(volatile int *p)\n"
    "{\n"
    "    return inner(p) + 1;\n"
    "}\n"
    "int main(int argc, char **argv)\n"
    "{\n"
    "    return outer(&argc) + (argv == 0);\n"
    "}\n";


static void
test_symbolized(void **state)
{
    char                *out, path[128], stripped[128], text[128];
    size_t               size;
    uint8_t             *data;
    uint64_t             frames[2];
    profile_t           *profile;
    prt_image_t          image;
    prt_report_t         r;
    prt_symbols_t       *symbols;
    prt_report_sample_t  sample;

    (void) state;

    put(dir, "program.c", source);

    assert_int_equal(shell("cd %s && cc -O2 -g -o program program.c"
                           " && strip -o stripped program", dir), 0);

    (void) snprintf(path, sizeof(path), "%s/program", dir);
    (void) snprintf(stripped, sizeof(stripped), "%s/stripped", dir);

    assert_int_equal(elf_image(&image, path, BASE), 0);

    frames[0] = BASE + address_of(path, "outer") + 1;
    frames[1] = BASE + address_of(path, "main") + 2;

    memset(&sample, 0, sizeof(sample));
    sample.frames = frames;
    sample.nframes = 2;
    sample.values[0] = 1;
    sample.values[1] = 1;

    r = report;
    r.samples = &sample;
    r.nsamples = 1;
    r.images = &image;
    r.nimages = 1;

    symbols = prt_symbols_create();
    encode(&r, symbols, &data, &size);

    profile = decode(data, size);
    check_valid(profile);

    assert_int_equal(profile->nmappings, 1);
    assert_int_equal(profile->mappings[0][7], 1);
    assert_int_equal(profile->mappings[0][8], 1);
    assert_int_equal(profile->mappings[0][9], 1);
    assert_int_equal(profile->mappings[0][10], 1);

    profile_free(profile);

    if (have("go")) {
        out = go_pprof(data, size, "-raw");
        (void) snprintf(text, sizeof(text), "inner %s/program.c:4", dir);
        contains(out, text);
        (void) snprintf(text, sizeof(text), "outer %s/program.c:9", dir);
        contains(out, text);
        (void) snprintf(text, sizeof(text), "main %s/program.c:1", dir);
        contains(out, text);
        contains(out, "[FN][FL][LN][IN]");
        free(out);
    }

    free(data);

    /* nothing but the unwind table: named, but no lines */

    image.path = stripped;
    encode(&r, symbols, &data, &size);

    profile = decode(data, size);
    check_valid(profile);

    assert_int_equal(profile->mappings[0][7], 1);
    assert_int_equal(profile->mappings[0][8], 0);
    assert_int_equal(profile->mappings[0][9], 0);
    assert_int_equal(profile->mappings[0][10], 0);

    (void) snprintf(text, sizeof(text), "stripped@0x%llx",
                    (unsigned long long) (frames[0] - 1 - BASE));
    assert_string_equal(string(profile, (int64_t) profile->functions
        [profile->lines[profile->samples[0].locations[0] - 1][0][1] - 1][2]),
                        text);

    profile_free(profile);
    free(data);

    /* a wrong file: not named, and said so */

    image.path = "/usr/bin/env";
    encode(&r, symbols, &data, &size);

    profile = decode(data, size);
    check_valid(profile);
    assert_int_equal(profile->mappings[0][7], 0);

    profile_free(profile);
    free(data);

    prt_symbols_destroy(symbols);

    /* no symbols at all */

    encode(&r, NULL, &data, &size);
    profile = decode(data, size);
    check_valid(profile);
    assert_int_equal(profile->nfunctions, 0);
    assert_int_equal(profile->mappings[0][7], 0);

    profile_free(profile);
    free(data);
}


static void
test_empty(void **state)
{
    char           *out, error[PRT_ERROR_LEN];
    size_t          size;
    uint8_t        *data;
    profile_t      *profile;
    atomic_int      cancel;
    prt_report_t    r;
    prt_symbols_t  *symbols;

    (void) state;

    symbols = prt_symbols_create();

    r = report;
    r.samples = NULL;
    r.nsamples = 0;
    r.comments = NULL;
    r.ncomments = 0;
    r.default_type = NULL;

    encode(&r, symbols, &data, &size);
    profile = decode(data, size);
    check_valid(profile);
    assert_int_equal(profile->nsamples, 0);
    assert_int_equal(profile->nmappings, 1);
    assert_int_equal(profile->numbers[14], 0);
    profile_free(profile);

    if (have("go")) {
        out = go_pprof(data, size, "-symbolize=none -raw");
        contains(out, "samples/count cpu/nanoseconds\n");
        free(out);
    }

    free(data);

    r.images = NULL;
    r.nimages = 0;
    encode(&r, symbols, &data, &size);
    profile = decode(data, size);
    check_valid(profile);
    profile_free(profile);
    free(data);

    /* cancelled */

    atomic_init(&cancel, 1);
    error[0] = '\0';
    assert_int_equal(prt_pprof_encode(&report, symbols, &data, &size, error,
                                      &cancel), -1);
    assert_string_equal(error, "cancelled");

    error[0] = '\0';
    assert_int_equal(prt_text_encode(&report, symbols, &data, &size, error,
                                     &cancel), -1);
    assert_string_equal(error, "cancelled");

    prt_symbols_destroy(symbols);
}


static const prt_value_type_t  count_type[] = { { "threadcreate", "count" } };

static const prt_report_sample_t  count_samples[] = {
    { .frames = frames_a, .nframes = 3, .values = { 1 } },
    { .frames = frames_b, .nframes = 2, .values = { 7 },
      .labels = labels_w0, .nlabels = 2 },
    { .frames = frames_d, .nframes = 2, .values = { 3 } },
    { .frames = frames_a, .nframes = 3, .values = { 1 } },
    { .frames = frames_b, .nframes = 2, .values = { 0 } }
};


static void
test_text(void **state)
{
    char           *out, error[PRT_ERROR_LEN], text[2048];
    size_t          size;
    uint8_t        *data;
    prt_report_t    r;
    prt_symbols_t  *symbols;

    static const char  expected[] =
        "threadcreate profile: total 12\n"
        "7 @ 0x2000000100005123 0x2000000200002345\n"
        "# labels: {\"worker\":\"0\", \"pid\":4711}\n"
        "#\t0x2000000100005122\tlibone.so.1@?+0x0\t/nonexistent/libone.so.1\n"
        "#\t0x2000000200002344\tprogram@?+0x0\t\t/nonexistent/program\n"
        "\n"
        "3 @ 0x1001 0x1011\n"
        "#\t0x1000\t[pprof]+0x0\t\t[pprof]\n"
        "#\t0x1010\t[stack truncated]+0x0\t[pprof]\n"
        "\n"
        "2 @ 0x2000000100001234 0x2000000200002345 0x2000000200002001\n"
        "#\t0x2000000100001233\tlibone.so.1@?+0x0\t/nonexistent/libone.so.1\n"
        "#\t0x2000000200002344\tprogram@?+0x0\t\t/nonexistent/program\n"
        "#\t0x2000000200002000\tprogram@?+0x0\t\t/nonexistent/program\n"
        "\n";

    (void) state;

    symbols = prt_symbols_create();

    r = report;
    r.name = "threadcreate";
    r.types = count_type;
    r.ntypes = 1;
    r.samples = count_samples;
    r.nsamples = sizeof(count_samples) / sizeof(count_samples[0]);

    assert_int_equal(prt_text_encode(&r, symbols, &data, &size, error, NULL),
                     0);
    assert_true(size < sizeof(text));
    memcpy(text, data, size);
    text[size] = '\0';

    assert_string_equal(text, expected);

    if (have("go")) {
        out = go_pprof(data, size, "-symbolize=none -raw");
        contains(out, "threadcreate/count");
        contains(out, "          7: ");
        contains(out, "          3: ");
        contains(out, "          2: ");
        contains(out, "0x2000000100005122 ");
        contains(out, "0x2000000200002344 ");
        free(out);
    }

    free(data);

    /* nothing created a thread */

    r.nsamples = 0;
    assert_int_equal(prt_text_encode(&r, symbols, &data, &size, error, NULL),
                     0);
    assert_int_equal(size, strlen("threadcreate profile: total 0\n"));
    assert_memory_equal(data, "threadcreate profile: total 0\n", size);
    free(data);

    prt_symbols_destroy(symbols);
}


static void
test_symbol_endpoint(void **state)
{
    char            error[PRT_ERROR_LEN], text[1024], path[128];
    char            expected[256];
    size_t          size;
    uint8_t        *data;
    uint64_t        addresses[5];
    prt_image_t     list[2];
    prt_symbols_t  *symbols;

    (void) state;

    (void) snprintf(path, sizeof(path), "%s/program", dir);

    list[0] = images[0];
    assert_int_equal(elf_image(&list[1], path, BASE), 0);

    addresses[0] = BASE + address_of(path, "outer");
    addresses[1] = 0;
    addresses[2] = BASE + address_of(path, "main") + 1;
    addresses[3] = UINT64_MAX;
    addresses[4] = 0x1010;

    (void) snprintf(expected, sizeof(expected), "num_symbols: 1\n"
                    "0x%llx inner\n0x%llx main\n0x1010 [stack truncated]\n",
                    (unsigned long long) addresses[0],
                    (unsigned long long) addresses[2]);

    symbols = prt_symbols_create();

    assert_int_equal(prt_text_symbols(addresses, 5, list, 2, symbols, &data,
                                      &size, error, NULL), 0);
    assert_true(size < sizeof(text));
    memcpy(text, data, size);
    text[size] = '\0';
    assert_string_equal(text, expected);
    free(data);

    assert_int_equal(prt_text_symbols(NULL, 0, NULL, 0, symbols, &data, &size,
                                      error, NULL), 0);
    assert_int_equal(size, strlen("num_symbols: 1\n"));
    free(data);

    prt_symbols_destroy(symbols);
}


static double
now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec * 1e3 + (double) ts.tv_nsec / 1e6;
}


static void
test_speed(void **state)
{
    char                  error[PRT_ERROR_LEN];
    size_t                i, k, size;
    double                start, first, warm, text;
    uint8_t              *data;
    unsigned              seed;
    uint64_t             *frames;
    profile_t            *profile;
    prt_image_t           image;
    prt_report_t          r;
    prt_symbols_t        *symbols;
    prt_report_sample_t  *list;

    (void) state;

    if (elf_image(&image, "/usr/sbin/nginx", BASE) != 0) {
        SKIP("no nginx");
    }

    frames = calloc(STACKS * FRAMES, sizeof(uint64_t));
    list = calloc(STACKS, sizeof(prt_report_sample_t));
    seed = 1;

    /* frames are shared, the more the nearer to the root; no stack is */

    for (i = 0; i < STACKS; i++) {

        for (k = 0; k < FRAMES; k++) {
            seed = seed * 1103515245 + 12345;
            frames[i * FRAMES + k] = BASE + image.segments[0].vaddr + 1
                                     + (seed >> 8) % (PLACES / (k + 1))
                                       * (image.segments[0].size / PLACES);
        }

        list[i].frames = &frames[i * FRAMES];
        list[i].nframes = FRAMES;
        list[i].values[0] = 1;
        list[i].values[1] = 10000000;
        list[i].labels = labels_w0;
        list[i].nlabels = 2;
    }

    r = report;
    r.samples = list;
    r.nsamples = STACKS;
    r.images = &image;
    r.nimages = 1;

    symbols = prt_symbols_create();

    start = now();
    encode(&r, symbols, &data, &size);
    first = now() - start;
    free(data);

    start = now();
    encode(&r, symbols, &data, &size);
    warm = now() - start;

    profile = decode(data, size);
    check_valid(profile);
    assert_int_equal(profile->nsamples, STACKS);

    print_message("# %d stacks of %d frames, %zu locations, %zu functions:"
                  " %zu KB, %.1f ms, names known %.1f ms\n", STACKS, FRAMES,
                  profile->nlocations, profile->nfunctions, size / 1024,
                  first, warm);

    profile_free(profile);
    free(data);

    r.types = count_type;
    r.ntypes = 1;
    start = now();
    assert_int_equal(prt_text_encode(&r, symbols, &data, &size, error, NULL),
                     0);
    text = now() - start;
    print_message("# text: %zu KB, %.1f ms\n", size / 1024, text);
    free(data);

    assert_true(warm < 100 * SLOWER);

    free(list);
    free(frames);
    prt_symbols_destroy(symbols);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_wire),
        cmocka_unit_test(test_go),
        cmocka_unit_test(test_symbolized),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_symbol_endpoint),
        cmocka_unit_test(test_speed)
    };

    return cmocka_run_group_tests_name("encode", tests, setup, teardown);
}
