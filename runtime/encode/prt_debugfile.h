
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Where the debug file of an object lies: by its build ID, by its debuglink,
 * or where debuginfod put it.
 */


#ifndef _PRT_DEBUGFILE_H_INCLUDED_
#define _PRT_DEBUGFILE_H_INCLUDED_


#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "encode/prt_debugproof.h"
#include "encode/prt_elf.h"


#define PRT_DEBUGFILE_SIZE_MAX   (256u * 1024 * 1024)   /* bytes; larger: not read */


typedef struct {
    const char      *dirs;               /* separated by colons */
    const char      *path;               /* of the object */
    const uint8_t   *build_id;
    unsigned         build_id_len;       /* 0: none */
    const char      *link;               /* debuglink; NULL: none, or not known */
    uint32_t         crc;                /* its checksum */
    const char      *fetched;            /* from debuginfod; NULL: not */
    const prt_elf_t *own;                /* the object's own file, open; NULL: not */
    prt_debugproofs_t  *proofs;
    const char      *shared;             /* path of shared debug info; NULL: none */
    const char      *shared_by;          /* the file that has this link */
    const uint8_t   *shared_id;
    unsigned         shared_id_len;
    const char      *shared_fetched;     /* from debuginfod; NULL: not */
} prt_debugfile_t;


/* how a file was proved to belong to the object */

typedef enum {
    PRT_DEBUGFILE_NONE = 0,              /* there is none */
    PRT_DEBUGFILE_SAME,                  /* by build ID or checksum */
    PRT_DEBUGFILE_REBUILT                /* by prt_debugproof() */
} prt_debugfile_proof_t;


/*
 * Opens the file that is proved to belong to the object: by an equal build ID,
 * or, if the object has none, by the debuglink's checksum; where no directory
 * has that one, by layout and code.
 */
prt_debugfile_proof_t prt_debugfile_open(const prt_debugfile_t *debug,
    prt_elf_t *file, char path[PATH_MAX]);

/* Opens the file of shared debug info that has the link's ID.  0, or -1. */
int prt_debugfile_open_shared(const prt_debugfile_t *debug, prt_elf_t *file);

/*
 * Changes when one of the files, the object's own among them, comes, goes or
 * is replaced.
 */
uint64_t prt_debugfile_stamp(const prt_debugfile_t *debug);


typedef struct prt_debuginfod_s  prt_debuginfod_t;


/*
 * NULL where $DEBUGINFOD_URLS is not set or there is no library.  All waiting
 * together ends at "deadline" (CLOCK_MONOTONIC, ns) or when *cancel is set.
 */
prt_debuginfod_t *prt_debuginfod_create(uint64_t deadline,
    const atomic_int *cancel);
void prt_debuginfod_destroy(prt_debuginfod_t *client);

/* The file's path, the caller's to free(), or NULL. */
char *prt_debuginfod_fetch(prt_debuginfod_t *client, const uint8_t *build_id,
    unsigned len);

/* True when time is up. */
int prt_debuginfod_ended(prt_debuginfod_t *client);


#endif /* _PRT_DEBUGFILE_H_INCLUDED_ */
