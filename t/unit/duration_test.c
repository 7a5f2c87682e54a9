
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Durations, against what Go's time.ParseDuration() has said to the same texts.
 * With an argument it reads lines instead, and writes for each what it is in ns,
 * or "error": t/duration.t asks Go the same.
 */


#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pprofrt.h"


#define ERROR  INT64_MIN + 1


static const struct {
    const char  *text;
    int64_t      ns;
} durations[] = {
    { "", ERROR }, { "+", ERROR }, { "-", ERROR }, { ".", ERROR },
    { ".s", ERROR }, { "+.s", ERROR }, { "s", ERROR }, { "3", ERROR },
    { "00", ERROR }, { "0.0", ERROR }, { "1.5", ERROR }, { "1 s", ERROR },
    { " 1s", ERROR }, { "1s ", ERROR }, { "1S", ERROR }, { "1d", ERROR },
    { "--1s", ERROR }, { "+-1s", ERROR }, { "1m-1s", ERROR }, { "1e3s", ERROR },
    { "0x1s", ERROR }, { "1..5s", ERROR }, { "1.5.s", ERROR }, { "1_0s", ERROR },
    { "1\xc2s", ERROR }, { "1\xb5s", ERROR }, { "1\xce\xbc", ERROR },
    { "9223372036854775808ns", ERROR }, { "9223372036854775.808us", ERROR },
    { "9223372036854ms775us808ns", ERROR }, { "2562048h", ERROR },
    { "3000000h", ERROR }, { "99999999999999999999s", ERROR },
    { "-9223372036854775809ns", ERROR },

    { "0", 0 }, { "+0", 0 }, { "-0", 0 }, { "0s", 0 }, { "-0s", 0 },
    { "0.0s", 0 }, { ".0s", 0 }, { "0.s", 0 }, { "0.9ns", 0 },
    { "1ns", 1 }, { "1us", 1000 }, { "1\xc2\xb5s", 1000 },
    { "1\xce\xbcs", 1000 }, { "1ms", 1000000 }, { "1s", 1000000000 },
    { "1m", 60000000000 }, { "1h", 3600000000000 },
    { "5.s", 5000000000 }, { ".5s", 500000000 }, { "+5s", 5000000000 },
    { "-5s", -5000000000 }, { "-.5s", -500000000 },
    { "1m30s", 90000000000 }, { "1h15m30.918273645s", 4530918273645 },
    { "30s1m", 90000000000 }, { "1s1s", 2000000000 },
    { "0.000000001s", 1 }, { "0.0000000001s", 0 },
    { "0.3333333333333333333h", 1200000000000 },
    { "0.100000000000000000000h", 360000000000 },
    { "0.830103483285477580700h", 2988372539827 },
    { "9007199254740993ns", 9007199254740993 },
    { "9223372036854775807ns", INT64_MAX },
    { "-9223372036854775808ns", INT64_MIN },
    { "-9223372036854775.808us", INT64_MIN },
    { "2562047h47m16.854775807s", INT64_MAX },
    { "9223372036854775808ns9223372036854775808ns", 0 }
};


static void
test_durations(void **state)
{
    int      rc;
    char     exact[64];
    size_t   i, len;
    int64_t  ns;

    (void) state;

    for (i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {

        /* what follows is none of it */

        len = strlen(durations[i].text);
        memcpy(exact, durations[i].text, len);
        exact[len] = '1';

        ns = 0;
        rc = prt_duration(exact, len, &ns);

        if (rc != (durations[i].ns == ERROR ? -1 : 0)
            || (rc == 0 && ns != durations[i].ns))
        {
            fail_msg("\"%s\": %d, %" PRId64, durations[i].text, rc, ns);
        }
    }
}


static int
lines(void)
{
    char     *line;
    size_t    room;
    int64_t   ns;
    ssize_t   n;

    line = NULL;
    room = 0;

    /* there may be zeros in it */

    while ((n = getline(&line, &room, stdin)) > 0) {

        if (prt_duration(line, (size_t) n - 1, &ns) != 0) {
            printf("error\n");

        } else {
            printf("%" PRId64 "\n", ns);
        }
    }

    free(line);

    return 0;
}


int
main(int argc, char **argv)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_durations)
    };

    (void) argv;

    return argc > 1 ? lines() : cmocka_run_group_tests(tests, NULL, NULL);
}
