
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The flight recorder's two halves: what it does when (prt_recorder.c), and
 * its files (prt_recorder_write.c).
 */


#ifndef _PRT_RECORDER_H_INCLUDED_
#define _PRT_RECORDER_H_INCLUDED_


#include "serve/prt_job.h"


static inline prt_recorder_t *
prt_recorder_shared(void)
{
    return &prt_process.region->head->recorder;
}


/* Where it writes, NULL: nowhere; and whether it does. */
void prt_recorder_set(const char *path);
int prt_recorder_writes(void);

/*
 * Writes the file of this job, with the claim.  Returns 0, or -1 with
 * job->error filled; then what was there before is there.  Encoder thread.
 */
int prt_recorder_write(prt_job_t *job, prt_symbols_t *symbols);

/* The kind of file that a command or an event means. */
prt_file_kind_t prt_recorder_kind(unsigned command);

/* Removes what a process that died while it wrote has left. */
void prt_recorder_sweep(pid_t pid);


#endif /* _PRT_RECORDER_H_INCLUDED_ */
