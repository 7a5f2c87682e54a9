
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * A file that is there whole or not at all: it is written under another name
 * in the same directory, and renamed when all of it is on the disk.  Neither
 * name is followed where it is a symbolic link.  Any thread but the control
 * thread, with SIGXFSZ blocked.
 */


#ifndef _PRT_FILE_H_INCLUDED_
#define _PRT_FILE_H_INCLUDED_


#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>


#define PRT_FILE_BUFFER  (64 * 1024)       /* bytes of one write() */


/* what failed */

typedef enum {
    PRT_FILE_NONE = 0,                     /* nothing, or not the file */
    PRT_FILE_OPEN,
    PRT_FILE_WRITE,
    PRT_FILE_SYNC,
    PRT_FILE_RENAME
} prt_file_call_t;


typedef struct {
    int                  fd;               /* -1: closed */
    int                  error;            /* errno; 0: nothing failed */
    prt_file_call_t      failed;
    uint64_t             size;             /* bytes, those in the buffer too */
    size_t               used;
    char                 path[PATH_MAX];
    char                 temporary[PATH_MAX];
    uint8_t              buffer[PRT_FILE_BUFFER];
} prt_file_t;


/*
 * Opens the file that will have this name, for the process "pid": one process
 * writes to one name at a time.  These return 0, or -1 with "error" and
 * "failed" set; then the file is gone, and what had the name before is as it
 * was.
 */
int prt_file_open(prt_file_t *file, const char *path, pid_t pid);
int prt_file_write(prt_file_t *file, const void *data, size_t size);
int prt_file_commit(prt_file_t *file);

/* Gives it up; of no effect after one of the others has failed. */
void prt_file_abandon(prt_file_t *file);

/* Removes what a process that died has left there. */
void prt_file_sweep(const char *path, pid_t pid);

/* The name of the call, "" of none. */
const char *prt_file_call(unsigned call);


#endif /* _PRT_FILE_H_INCLUDED_ */
