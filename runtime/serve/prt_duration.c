
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Durations as Go writes them: "1h15m30.918273645s".  What is a duration, and
 * which one, is as Go's time.ParseDuration() has it, overflow included.
 */


#include <string.h>

#include "platform/prt_clock.h"
#include "pprofrt.h"


#define PRT_DURATION_LIMIT  (1ull << 63)   /* ns; that of a signed number */


typedef struct {
    const char   *name;
    uint64_t      ns;
} prt_duration_unit_t;


static const char *prt_duration_number(const char *p, const char *last,
    uint64_t *number);
static const char *prt_duration_fraction(const char *p, const char *last,
    uint64_t *number, double *scale);
static const char *prt_duration_unit(const char *p, const char *last,
    uint64_t *unit);


/* micro is a sign of its own, or the Greek letter */

static const prt_duration_unit_t  prt_duration_units[] = {
    { "ns", 1 },
    { "us", 1000 },
    { "\xc2\xb5s", 1000 },
    { "\xce\xbcs", 1000 },
    { "ms", PRT_MSEC },
    { "s", PRT_SEC },
    { "m", 60 * PRT_SEC },
    { "h", 3600 * PRT_SEC },
    { NULL, 0 }
};


int
prt_duration(const char *text, size_t len, int64_t *ns)
{
    int          negative;
    double       scale;
    uint64_t     sum, value, fraction, unit;
    const char  *p, *last, *start;

    p = text;
    last = text + len;
    negative = 0;

    if (p < last && (*p == '-' || *p == '+')) {
        negative = *p++ == '-';
    }

    if (last - p == 1 && *p == '0') {
        *ns = 0;
        return 0;
    }

    if (p == last) {
        return -1;
    }

    sum = 0;

    while (p < last) {

        start = p;
        fraction = 0;
        scale = 1;

        p = prt_duration_number(p, last, &value);
        if (p == NULL) {
            return -1;
        }

        if (p < last && *p == '.') {
            p = prt_duration_fraction(p + 1, last, &fraction, &scale);

            if (p - start == 1) {
                return -1;
            }

        } else if (p == start) {
            return -1;
        }

        p = prt_duration_unit(p, last, &unit);

        if (p == NULL || value > PRT_DURATION_LIMIT / unit) {
            return -1;
        }

        value *= unit;

        if (fraction > 0) {
            value += (uint64_t) ((double) fraction * ((double) unit / scale));

            if (value > PRT_DURATION_LIMIT) {
                return -1;
            }
        }

        sum += value;

        if (sum > PRT_DURATION_LIMIT) {
            return -1;
        }
    }

    if (negative) {
        *ns = (int64_t) (0 - sum);
        return 0;
    }

    if (sum > PRT_DURATION_LIMIT - 1) {
        return -1;
    }

    *ns = (int64_t) sum;

    return 0;
}


static const char *
prt_duration_number(const char *p, const char *last, uint64_t *number)
{
    uint64_t  n;

    n = 0;

    for ( /* void */ ; p < last && *p >= '0' && *p <= '9'; p++) {

        if (n > PRT_DURATION_LIMIT / 10) {
            return NULL;
        }

        n = n * 10 + (uint64_t) (*p - '0');

        if (n > PRT_DURATION_LIMIT) {
            return NULL;
        }
    }

    *number = n;

    return p;
}


/* Digits that do not fit in are read and do not count. */

static const char *
prt_duration_fraction(const char *p, const char *last, uint64_t *number,
    double *scale)
{
    int       full;
    uint64_t  n, next;

    n = 0;
    full = 0;

    for ( /* void */ ; p < last && *p >= '0' && *p <= '9'; p++) {

        if (full || n > (PRT_DURATION_LIMIT - 1) / 10) {
            full = 1;
            continue;
        }

        next = n * 10 + (uint64_t) (*p - '0');

        if (next > PRT_DURATION_LIMIT) {
            full = 1;
            continue;
        }

        n = next;
        *scale *= 10;
    }

    *number = n;

    return p;
}


static const char *
prt_duration_unit(const char *p, const char *last, uint64_t *unit)
{
    size_t                      len;
    const char                 *start;
    const prt_duration_unit_t  *u;

    start = p;

    while (p < last && *p != '.' && (*p < '0' || *p > '9')) {
        p++;
    }

    len = (size_t) (p - start);

    for (u = prt_duration_units; u->name; u++) {
        if (strlen(u->name) == len && memcmp(u->name, start, len) == 0) {
            *unit = u->ns;
            return p;
        }
    }

    return NULL;
}
