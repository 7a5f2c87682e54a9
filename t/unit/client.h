
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * For tests that are plain programs with the public header: profiles are asked
 * for, waited for and read.
 */


#ifndef _CLIENT_H_INCLUDED_
#define _CLIENT_H_INCLUDED_


#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "pprofrt.h"
#include "profile.pb-c.h"


#define MSEC   1000000ull
#define SEC    1000000000ull
#define BOUND  60000                       /* ms, for what must come */

typedef Perftools__Profiles__Profile  profile_t;


static inline void
start_with(prt_region_t *region, const prt_options_t *options)
{
    char  error[PRT_ERROR_LEN] = "";

    if (prt_start(region, options, error) != 0) {
        print_error("%s\n", error);
        fail();
    }
}


static inline prt_job_t *
open_profile(const char *name, uint64_t window, unsigned rate, int debug)
{
    prt_job_t              *job;
    prt_profile_request_t   request;

    memset(&request, 0, sizeof(request));
    request.profile = prt_profile_find(name, strlen(name));
    request.window = window;
    request.rate = rate;
    request.debug = debug;
    request.worker = PRT_ANY;
    request.pid = PRT_ANY;

    assert_non_null(request.profile);

    job = prt_job_profile(&request, (void *) name);
    assert_non_null(job);

    return job;
}


static inline prt_job_t *
wait_job(void)
{
    prt_job_t      *job;
    struct pollfd   fd;

    for ( ;; ) {
        job = prt_job_finished();
        if (job) {
            return job;
        }

        fd.fd = prt_eventfd();
        fd.events = POLLIN;

        while (poll(&fd, 1, BOUND) == -1) { /* void */ }

        assert_true(fd.revents & POLLIN);
    }
}


static inline profile_t *
unpack(prt_job_t *job)
{
    uint8_t             *raw;
    z_stream             z;
    profile_t           *profile;
    const prt_answer_t  *answer;

    answer = prt_job_answer(job);

    if (answer->status != PRT_OK) {
        print_error("%s\n", answer->error);
    }

    assert_int_equal(answer->status, PRT_OK);

    raw = malloc(16 * 1024 * 1024);
    assert_non_null(raw);

    memset(&z, 0, sizeof(z));
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);

    z.next_in = (Bytef *) answer->data;
    z.avail_in = (uInt) answer->size;
    z.next_out = raw;
    z.avail_out = 16 * 1024 * 1024;

    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);

    profile = perftools__profiles__profile__unpack(NULL, z.total_out, raw);
    assert_non_null(profile);

    inflateEnd(&z);
    free(raw);

    return profile;
}


/* The sum of value "v" over the samples with this function on their stack. */

static inline int64_t
value_of(const profile_t *p, const char *function, unsigned v)
{
    int      hit;
    size_t   i, k, l, f, line;
    int64_t  sum;

    sum = 0;

    for (i = 0; i < p->n_sample; i++) {
        hit = function == NULL;

        for (k = 0; k < p->sample[i]->n_location_id; k++) {
            for (l = 0; l < p->n_location; l++) {

                if (function == NULL
                    || p->location[l]->id != p->sample[i]->location_id[k])
                {
                    continue;
                }

                /* inlined functions are lines of their own */

                for (line = 0; line < p->location[l]->n_line; line++) {
                    for (f = 0; f < p->n_function; f++) {
                        hit |= p->function[f]->id
                               == p->location[l]->line[line]->function_id
                               && strcmp(p->string_table[p->function[f]->name],
                                         function) == 0;
                    }
                }
            }
        }

        sum += hit ? p->sample[i]->value[v] : 0;
    }

    return sum;
}


#endif /* _CLIENT_H_INCLUDED_ */
