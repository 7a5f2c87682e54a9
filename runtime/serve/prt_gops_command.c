
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The commands, with the bytes that the clients send for them
 * (github.com/google/gops/signal).
 */


#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "serve/prt_allocator.h"
#include "serve/prt_gops.h"


/* as long as clients tell their users */
#define PRT_GOPS_CPU    (30 * PRT_SEC)
#define PRT_GOPS_TRACE  (5 * PRT_SEC)


static void prt_gops_start_stack(prt_gops_connection_t *c);
static void prt_gops_start_gc(prt_gops_connection_t *c);
static void prt_gops_start_memstats(prt_gops_connection_t *c);
static void prt_gops_start_version(prt_gops_connection_t *c);
static void prt_gops_start_heap(prt_gops_connection_t *c);
static void prt_gops_start_cpu(prt_gops_connection_t *c);
static void prt_gops_start_stats(prt_gops_connection_t *c);
static void prt_gops_start_trace(prt_gops_connection_t *c);
static void prt_gops_start_binary(prt_gops_connection_t *c);
static void prt_gops_start_setgc(prt_gops_connection_t *c);
static void prt_gops_text_stats(prt_gops_connection_t *c, prt_job_t *job);
static void prt_gops_profile(prt_gops_connection_t *c, const char *name,
    int debug, uint64_t window);
static unsigned prt_gops_windows(void);


static const prt_gops_command_t  prt_gops_commands[] = {
    { 0x01, 0, prt_gops_start_stack, NULL },
    { 0x02, 0, prt_gops_start_gc, NULL },
    { 0x03, 0, prt_gops_start_memstats, NULL },
    { 0x04, 0, prt_gops_start_version, NULL },
    { 0x05, 0, prt_gops_start_heap, NULL },
    { 0x06, 0, prt_gops_start_cpu, NULL },
    { 0x07, 0, prt_gops_start_stats, prt_gops_text_stats },
    { 0x08, 0, prt_gops_start_trace, NULL },
    { 0x09, 0, prt_gops_start_binary, NULL },
    { 0x10, 1, prt_gops_start_setgc, NULL }
};


int
prt_gops_parse(const uint8_t *input, size_t n,
    const prt_gops_command_t **command)
{
    size_t  i;

    *command = NULL;

    if (n == 0) {
        return 0;
    }

    for (i = 0; i < sizeof(prt_gops_commands) / sizeof(prt_gops_command_t);
         i++)
    {
        if (prt_gops_commands[i].code == input[0]) {
            *command = &prt_gops_commands[i];
        }
    }

    if (*command == NULL) {
        return -1;
    }

    if (!(*command)->argument) {
        return 1;
    }

    /* seven bits a byte, until one without the eighth */

    for (i = 1; i < n && i <= PRT_GOPS_ARGUMENT; i++) {
        if (!(input[i] & 0x80)) {
            return 1;
        }
    }

    return i <= PRT_GOPS_ARGUMENT ? 0 : -1;
}


static void
prt_gops_start_stack(prt_gops_connection_t *c)
{
    prt_gops_profile(c, "goroutine", 2, 0);
}


static void
prt_gops_start_gc(prt_gops_connection_t *c)
{
    prt_buffer_printf(&c->text, prt_allocator_trim() == 0 ? "ok"
                      : "malloc() is locked: nothing was given back.\n");
}


static void
prt_gops_start_memstats(prt_gops_connection_t *c)
{
    prt_gops_memstats(&c->text);
}


static void
prt_gops_start_version(prt_gops_connection_t *c)
{
    prt_gops_version(&c->text);
}


static void
prt_gops_start_heap(prt_gops_connection_t *c)
{
    prt_gops_profile(c, "heap", 0, 0);
}


static void
prt_gops_start_cpu(prt_gops_connection_t *c)
{
    prt_gops_profile(c, "profile", 0, PRT_GOPS_CPU);
}


static void
prt_gops_start_stats(prt_gops_connection_t *c)
{
    c->job = prt_gops_job(PRT_JOB_STATE, c);
}


static void
prt_gops_text_stats(prt_gops_connection_t *c, prt_job_t *job)
{
    prt_gops_stats(&c->text, job);
}


static void
prt_gops_start_trace(prt_gops_connection_t *c)
{
    prt_gops_profile(c, "trace", 0, PRT_GOPS_TRACE);
}


/* The program, as it is mapped: its file may be another one by now. */

static void
prt_gops_start_binary(prt_gops_connection_t *c)
{
    c->file = open("/proc/self/exe", O_RDONLY|O_CLOEXEC);

    if (c->file == -1) {
        prt_buffer_printf(&c->text, "The program cannot be read.\n");
    }
}


static void
prt_gops_start_setgc(prt_gops_connection_t *c)
{
    prt_buffer_printf(&c->text, "Nothing is collected here, so there is no "
                      "percentage to set; \"gc\" gives free memory back to "
                      "the system.\n");
}


static void
prt_gops_profile(prt_gops_connection_t *c, const char *name, int debug,
    uint64_t window)
{
    prt_profile_request_t      request;
    const prt_profile_info_t  *profile;

    profile = prt_profile_find(name, strlen(name));

    if (profile == NULL) {
        prt_buffer_printf(&c->text, "There is no profile \"%s\" here.\n", name);
        return;
    }

    if (window && prt_gops_windows() >= PRT_GOPS_WINDOWS) {
        prt_buffer_printf(&c->text, "Too many others wait for a profile; "
                          "please come back later.\n");
        return;
    }

    c->windowed = window != 0;
    c->job = prt_gops_job(PRT_JOB_PROFILE, c);

    if (c->job == NULL) {
        return;
    }

    memset(&request, 0, sizeof(prt_profile_request_t));

    request.profile = profile;
    request.window = window;
    request.worker = PRT_ANY;
    request.pid = getpid();
    request.debug = debug;

    prt_job_request(c->job, &request);
}


/* Those who wait that long leave places to others. */

static unsigned
prt_gops_windows(void)
{
    unsigned  i, n;

    n = 0;

    for (i = 0; i < PRT_GOPS_CONNECTIONS; i++) {
        n += prt_gops.connections[i].state == PRT_GOPS_WORKING
             && prt_gops.connections[i].windowed;
    }

    return n;
}
