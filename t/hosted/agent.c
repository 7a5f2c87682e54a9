
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * A program without nginx that gops can look into.  It works until its input
 * ends.
 *
 *     cc agent.c -lpprofrt
 */


#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <pprofrt.h>


uint64_t agent_work(uint64_t n);


/* Has a name in profiles. */

__attribute__((noinline)) uint64_t
agent_work(uint64_t n)
{
    unsigned  i;

    for (i = 0; i < 1000000; i++) {
        n = n * 6364136223846793005u + 1442695040888963407u;
    }

    return n;
}


/* What the library has to say: here, that there is no agent, and why. */

static void
notices(void)
{
    prt_job_t  *job;

    while ((job = prt_job_finished()) != NULL) {
        fprintf(stderr, "%s\n", prt_job_notice(job));
        prt_job_free(job);
    }
}


int
main(void)
{
    char           byte, error[PRT_ERROR_LEN];
    uint64_t       n;
    struct pollfd  input;
    prt_options_t  options;

    memset(&options, 0, sizeof(options));

    options.worker = -1;
    options.gops = 1;
    options.version = "agent/1.0";

    if (prt_start(NULL, &options, error) != 0) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }

    input.fd = STDIN_FILENO;
    input.events = POLLIN;
    n = 1;

    do {
        n = agent_work(n);
        notices();
    } while (poll(&input, 1, 0) == 0 || read(STDIN_FILENO, &byte, 1) > 0);

    prt_stop();

    return n == 0;
}
