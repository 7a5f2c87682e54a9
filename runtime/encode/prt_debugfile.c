
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "encode/prt_debugfile.h"
#include "encode/prt_debugproof.h"


#define PRT_DEBUGFILE_HEX        (2 * PRT_BUILD_ID_MAX + 1)

/* The candidates of a directory: by build ID, and by debuglink. */
#define PRT_DEBUGFILE_PER_DIR    2


static int prt_debugfile_candidate(const prt_debugfile_t *debug, unsigned i,
    char *path);
static int prt_debugfile_beside(const prt_debugfile_t *debug, unsigned i,
    char *path);
static int prt_debugfile_in_dir(const prt_debugfile_t *debug, const char *dir,
    int len, unsigned i, char *path);
static prt_debugfile_proof_t prt_debugfile_proof(const prt_debugfile_t *debug,
    const prt_elf_t *file, const char *path);
static int prt_debugfile_dirname(const char *path);
static void prt_debugfile_mix(uint64_t *hash, uint64_t value);


prt_debugfile_proof_t
prt_debugfile_open(const prt_debugfile_t *debug, prt_elf_t *file)
{
    int                    rc;
    char                   path[PATH_MAX];
    unsigned               i;
    prt_debugfile_proof_t  proof;

    for (i = 0; ; i++) {

        rc = prt_debugfile_candidate(debug, i, path);

        if (rc < 0) {
            break;
        }

        if (rc == 0 || prt_elf_open(file, path) != 0) {
            continue;
        }

        proof = prt_debugfile_proof(debug, file, path);

        if (proof != PRT_DEBUGFILE_NONE) {
            return proof;
        }

        prt_elf_close(file);
    }

    memset(file, 0, sizeof(prt_elf_t));

    return PRT_DEBUGFILE_NONE;
}


uint64_t
prt_debugfile_stamp(const prt_debugfile_t *debug)
{
    int          rc;
    char         path[PATH_MAX];
    unsigned     i;
    uint64_t     hash;
    struct stat  st;

    hash = 0xcbf29ce484222325;

    for (i = 0; ; i++) {

        if (i == 0) {
            rc = snprintf(path, PATH_MAX, "%s", debug->path) < PATH_MAX;

        } else {
            rc = prt_debugfile_candidate(debug, i - 1, path);
        }

        if (rc < 0) {
            break;
        }

        prt_debugfile_mix(&hash, i);

        if (rc == 0 || stat(path, &st) == -1) {
            continue;
        }

        prt_debugfile_mix(&hash, st.st_dev);
        prt_debugfile_mix(&hash, st.st_ino);
        prt_debugfile_mix(&hash, (uint64_t) st.st_size);
        prt_debugfile_mix(&hash, (uint64_t) st.st_mtim.tv_sec);
        prt_debugfile_mix(&hash, (uint64_t) st.st_mtim.tv_nsec);
    }

    return hash;
}


/* Candidate i: 1 with its path, 0 when there is none here, -1 past the last. */

static int
prt_debugfile_candidate(const prt_debugfile_t *debug, unsigned i, char *path)
{
    const char  *dir, *end;

    if (i == 0) {
        return debug->fetched
               && snprintf(path, PATH_MAX, "%s", debug->fetched) < PATH_MAX;
    }

    i--;

    for (dir = debug->dirs; *dir; dir = *end ? end + 1 : end) {
        end = strchrnul(dir, ':');

        if (i < PRT_DEBUGFILE_PER_DIR) {
            return end != dir
                   && prt_debugfile_in_dir(debug, dir, (int) (end - dir), i,
                                           path);
        }

        i -= PRT_DEBUGFILE_PER_DIR;
    }

    return prt_debugfile_beside(debug, i, path);
}


static int
prt_debugfile_beside(const prt_debugfile_t *debug, unsigned i, char *path)
{
    int  n, len;

    if (i > 1) {
        return -1;
    }

    len = prt_debugfile_dirname(debug->path);

    if (debug->link == NULL || len == 0) {
        return 0;
    }

    n = snprintf(path, PATH_MAX, "%.*s%s%s", len, debug->path,
                 i == 0 ? "" : ".debug/", debug->link);

    /* The link of a file that has its own debug info may be itself. */

    return n < PATH_MAX && strcmp(path, debug->path) != 0;
}


static int
prt_debugfile_in_dir(const prt_debugfile_t *debug, const char *dir, int len,
    unsigned i, char *path)
{
    int       n, dirname;
    char      hex[PRT_DEBUGFILE_HEX];
    unsigned  k;

    if (i == 0) {

        if (debug->build_id_len < 2
            || debug->build_id_len > PRT_BUILD_ID_MAX)
        {
            return 0;
        }

        for (k = 0; k < debug->build_id_len; k++) {
            (void) snprintf(hex + 2 * k, 3, "%02x", debug->build_id[k]);
        }

        n = snprintf(path, PATH_MAX, "%.*s/.build-id/%.2s/%s.debug", len, dir,
                     hex, hex + 2);

        return n < PATH_MAX;
    }

    dirname = prt_debugfile_dirname(debug->path);

    if (debug->link == NULL || dirname == 0) {
        return 0;
    }

    n = snprintf(path, PATH_MAX, "%.*s%.*s%s", len, dir, dirname, debug->path,
                 debug->link);

    return n < PATH_MAX;
}


static prt_debugfile_proof_t
prt_debugfile_proof(const prt_debugfile_t *debug, const prt_elf_t *file,
    const char *path)
{
    uint32_t  crc;

    if (debug->build_id_len) {

        if (prt_elf_is(file, debug->build_id, debug->build_id_len)) {
            return PRT_DEBUGFILE_SAME;
        }

    } else if (debug->link
               && prt_elf_crc(path, &crc) == 0
               && crc == debug->crc)
    {
        return PRT_DEBUGFILE_SAME;
    }

    return debug->own && prt_debugproof(debug->own, file)
           ? PRT_DEBUGFILE_REBUILT : PRT_DEBUGFILE_NONE;
}


/* The length of the directory's part with its slash; 0: not absolute. */

static int
prt_debugfile_dirname(const char *path)
{
    const char  *slash;

    slash = strrchr(path, '/');

    return (path[0] == '/' && slash) ? (int) (slash - path) + 1 : 0;
}


static void
prt_debugfile_mix(uint64_t *hash, uint64_t value)
{
    *hash = (*hash ^ value) * 0x100000001b3;
    *hash ^= *hash >> 29;
}
