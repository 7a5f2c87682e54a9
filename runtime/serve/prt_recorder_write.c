
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Files of the flight recorder.
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "encode/prt_gotrace.h"
#include "platform/prt_clock.h"
#include "serve/prt_file.h"
#include "serve/prt_recorder.h"


static int prt_recorder_dump(prt_job_t *job, prt_symbols_t *symbols,
    prt_file_t *file);
static int prt_recorder_sink(void *data, const void *bytes, size_t size);
static void prt_recorder_failed(prt_job_t *job, prt_file_t *file);
static int prt_recorder_path(prt_file_kind_t kind, char path[PATH_MAX]);


static const char *const  prt_recorder_suffixes[] = { "", ".crash", ".stall" };

static char               prt_recorder_name[PATH_MAX];   /* "": none */


void
prt_recorder_set(const char *path)
{
    size_t  len;

    len = path ? strlen(path) : 0;
    len = len < PATH_MAX ? len : 0;

    memcpy(prt_recorder_name, path ? path : "", len);
    prt_recorder_name[len] = '\0';
}


int
prt_recorder_writes(void)
{
    return prt_recorder_name[0] != '\0';
}


int
prt_recorder_write(prt_job_t *job, prt_symbols_t *symbols)
{
    int          rc;
    prt_file_t  *file;

    file = malloc(sizeof(prt_file_t));

    if (file == NULL) {
        (void) snprintf(job->error, sizeof(job->error), "no memory");
        return -1;
    }

    rc = prt_recorder_dump(job, symbols, file);

    free(file);

    return rc;
}



static int
prt_recorder_dump(prt_job_t *job, prt_symbols_t *symbols, prt_file_t *file)
{
    char                  path[PATH_MAX];
    prt_file_kind_t       kind;
    prt_recorder_t       *recorder;
    prt_gotrace_window_t  window;
    prt_gotrace_result_t  result;

    recorder = prt_recorder_shared();
    kind = prt_recorder_kind(job->command);

    if (prt_recorder_path(kind, path) != 0) {
        (void) snprintf(job->error, sizeof(job->error),
                        "no file is configured to write to");
        return -1;
    }

    if (prt_file_open(file, path, getpid()) != 0) {
        prt_recorder_failed(job, file);
        return -1;
    }

    memset(&window, 0, sizeof(prt_gotrace_window_t));

    window.from = atomic_load(&recorder->start);
    window.target = job->target;
    window.events = job->request.events ? job->request.events
                                        : atomic_load(&recorder->events);

    if (prt_gotrace_dump(prt_process.region, &window, symbols,
                         prt_recorder_sink, file, &result, job->error,
                         &prt_process.stopping)
        != 0
        || prt_file_commit(file) != 0)
    {
        prt_recorder_failed(job, file);
        return -1;
    }

    atomic_store(&recorder->error, 0);
    atomic_store(&recorder->files[kind].size, file->size);
    atomic_store(&recorder->files[kind].events, result.events);
    atomic_store(&recorder->files[kind].overwritten, result.overwritten);
    atomic_store(&recorder->files[kind].left_out, result.left_out);
    atomic_store(&recorder->files[kind].time, prt_clock(CLOCK_REALTIME));

    return 0;
}



static int
prt_recorder_sink(void *data, const void *bytes, size_t size)
{
    return prt_file_write(data, bytes, size);
}



static void
prt_recorder_failed(prt_job_t *job, prt_file_t *file)
{
    prt_recorder_t  *recorder;

    recorder = prt_recorder_shared();

    if (file->error) {
        (void) snprintf(job->error, sizeof(job->error),
                        "cannot write the trace: %s failed (%d: %s)",
                        prt_file_call(file->failed), file->error,
                        strerror(file->error));

        atomic_store(&recorder->failed, file->failed);
        atomic_store(&recorder->error, (uint32_t) file->error);

    } else if (job->error[0] == '\0') {
        (void) snprintf(job->error, sizeof(job->error), "the process ends");
    }

    prt_file_abandon(file);
}



prt_file_kind_t
prt_recorder_kind(unsigned command)
{
    switch (command) {

    case PRT_RECORDER_CRASH:
        return PRT_FILE_CRASH;

    case PRT_RECORDER_STALL:
        return PRT_FILE_STALL;

    default:
        return PRT_FILE_TRACE;
    }
}



static int
prt_recorder_path(prt_file_kind_t kind, char path[PATH_MAX])
{
    int  n;

    if (!prt_recorder_writes()) {
        return -1;
    }

    n = snprintf(path, PATH_MAX, "%s%s", prt_recorder_name,
                 prt_file_suffix(kind));

    return n < PATH_MAX ? 0 : -1;
}



void
prt_recorder_sweep(pid_t pid)
{
    char      path[PATH_MAX];
    unsigned  kind;

    for (kind = 0; kind < PRT_FILES; kind++) {
        if (prt_recorder_path(kind, path) == 0) {
            prt_file_sweep(path, pid);
        }
    }
}



const char *
prt_file_suffix(prt_file_kind_t kind)
{
    return prt_recorder_suffixes[kind];
}
