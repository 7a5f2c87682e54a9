
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "encode/prt_debugfile.h"


#define PRT_DEBUGFILE_HEX        (2 * PRT_BUILD_ID_MAX + 1)

/* The candidates of a directory: by build ID, and by debuglink. */
#define PRT_DEBUGFILE_PER_DIR    2

/* Where links of the distribution's debug files begin. */
#define PRT_DEBUGFILE_ROOT       "/usr/lib/debug"


static int prt_debugfile_candidate(const prt_debugfile_t *debug, unsigned i,
    char *path);
static int prt_debugfile_shared(const prt_debugfile_t *debug, unsigned i,
    char *path);
static int prt_debugfile_beside(const prt_debugfile_t *debug, unsigned i,
    char *path);
static int prt_debugfile_in_dir(const prt_debugfile_t *debug, const char *dir,
    int len, unsigned i, char *path);
static int prt_debugfile_by_id(char *path, const char *dir, int len,
    const uint8_t *id, unsigned id_len);
static int prt_debugfile_refused(const prt_debugfile_t *debug,
    const char *path);
static prt_debugfile_proof_t prt_debugfile_proof(const prt_debugfile_t *debug,
    const prt_elf_t *file, const char *path);
static int prt_debugfile_dirname(const char *path);
static void prt_debugfile_mix(uint64_t *hash, const char *path);


prt_debugfile_proof_t
prt_debugfile_open(const prt_debugfile_t *debug, prt_elf_t *file,
    char path[PATH_MAX])
{
    int                    rc;
    char                   other[PATH_MAX];
    unsigned               i;
    prt_elf_t              rebuilt;
    prt_debugfile_proof_t  proof;

    memset(&rebuilt, 0, sizeof(prt_elf_t));

    for (i = 0; ; i++) {

        rc = prt_debugfile_candidate(debug, i, path);

        if (rc < 0) {
            break;
        }

        if (rc == 0
            || prt_debugfile_refused(debug, path)
            || prt_elf_open(file, path) != 0)
        {
            continue;
        }

        proof = prt_debugfile_proof(debug, file, path);

        if (proof == PRT_DEBUGFILE_SAME) {
            prt_elf_close(&rebuilt);
            return proof;
        }

        /* Another place may have the very one. */

        if (proof == PRT_DEBUGFILE_REBUILT && rebuilt.elf == NULL) {
            rebuilt = *file;
            memcpy(other, path, PATH_MAX);
            continue;
        }

        prt_elf_close(file);
    }

    *file = rebuilt;

    if (rebuilt.elf == NULL) {
        return PRT_DEBUGFILE_NONE;
    }

    memcpy(path, other, PATH_MAX);

    return PRT_DEBUGFILE_REBUILT;
}


int
prt_debugfile_open_shared(const prt_debugfile_t *debug, prt_elf_t *file)
{
    int       rc;
    char      path[PATH_MAX];
    unsigned  i;

    for (i = 0; ; i++) {

        rc = prt_debugfile_shared(debug, i, path);

        if (rc < 0) {
            break;
        }

        if (rc == 0
            || prt_debugfile_refused(debug, path)
            || prt_elf_open_shared(file, path) != 0)
        {
            continue;
        }

        if (prt_elf_is_shared(file, debug->shared_id, debug->shared_id_len)) {
            return 0;
        }

        prt_elf_close(file);
    }

    memset(file, 0, sizeof(prt_elf_t));

    return -1;
}


uint64_t
prt_debugfile_stamp(const prt_debugfile_t *debug)
{
    int       rc;
    char      path[PATH_MAX];
    unsigned  i;
    uint64_t  hash;

    hash = 0xcbf29ce484222325;

    prt_debugfile_mix(&hash, debug->path);

    for (i = 0; (rc = prt_debugfile_candidate(debug, i, path)) >= 0; i++) {
        prt_debugfile_mix(&hash, rc ? path : NULL);
    }

    for (i = 0; (rc = prt_debugfile_shared(debug, i, path)) >= 0; i++) {
        prt_debugfile_mix(&hash, rc ? path : NULL);
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


/* The same for the file of shared debug info: by its ID, and by the link. */

static int
prt_debugfile_shared(const prt_debugfile_t *debug, unsigned i, char *path)
{
    int          n, len;
    const char  *dir, *end, *link;

    static const size_t  root = sizeof(PRT_DEBUGFILE_ROOT) - 1;

    if (debug->shared == NULL) {
        return -1;
    }

    if (i == 0) {
        return debug->shared_fetched
               && snprintf(path, PATH_MAX, "%s", debug->shared_fetched)
                  < PATH_MAX;
    }

    i--;

    for (dir = debug->dirs; *dir; dir = *end ? end + 1 : end) {
        end = strchrnul(dir, ':');
        len = (int) (end - dir);

        if (i == 0) {
            return len
                   && prt_debugfile_by_id(path, dir, len, debug->shared_id,
                                          debug->shared_id_len);
        }

        i--;

        /* An absolute link may be meant for another root, or be in a copy. */

        if (i < 2) {
            link = debug->shared;

            if (i == 1) {
                link = strncmp(link, PRT_DEBUGFILE_ROOT, root) == 0
                       ? link + root : "";
            }

            n = snprintf(path, PATH_MAX, "%.*s%s", len, dir, link);
            return len && link[0] == '/' && n < PATH_MAX;
        }

        i -= 2;
    }

    switch (i) {

    case 0:
        n = (debug->shared[0] == '/')
            ? snprintf(path, PATH_MAX, "%s", debug->shared)
            : snprintf(path, PATH_MAX, "%.*s%s",
                       prt_debugfile_dirname(debug->shared_by),
                       debug->shared_by, debug->shared);

        return n < PATH_MAX;

    case 1:

        /* below .build-id/ there may be a link to the file */

        if (debug->shared[0] == '/' || realpath(debug->shared_by, path) == NULL)
        {
            return 0;
        }

        len = prt_debugfile_dirname(path);
        n = snprintf(path + len, (size_t) (PATH_MAX - len), "%s",
                     debug->shared);

        return n < PATH_MAX - len;

    default:
        return -1;
    }
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
    int  n, dirname;

    if (i == 0) {
        return prt_debugfile_by_id(path, dir, len, debug->build_id,
                                   debug->build_id_len);
    }

    dirname = prt_debugfile_dirname(debug->path);

    if (debug->link == NULL || dirname == 0) {
        return 0;
    }

    n = snprintf(path, PATH_MAX, "%.*s%.*s%s", len, dir, dirname, debug->path,
                 debug->link);

    return n < PATH_MAX;
}


static int
prt_debugfile_by_id(char *path, const char *dir, int len, const uint8_t *id,
    unsigned id_len)
{
    char      hex[PRT_DEBUGFILE_HEX];
    unsigned  i;

    if (id_len < 2 || id_len > PRT_BUILD_ID_MAX) {
        return 0;
    }

    for (i = 0; i < id_len; i++) {
        (void) snprintf(hex + 2 * i, 3, "%02x", id[i]);
    }

    return snprintf(path, PATH_MAX, "%.*s/.build-id/%.2s/%s.debug", len, dir,
                    hex, hex + 2)
           < PATH_MAX;
}


/*
 * True for a file that was read before, and did not belong to the object; and
 * for one that is too large for a worker to take in.
 */

static int
prt_debugfile_refused(const prt_debugfile_t *debug, const char *path)
{
    struct stat  st;

    if (stat(path, &st) != 0) {
        return 1;
    }

    return st.st_size > (off_t) PRT_DEBUGFILE_SIZE_MAX
           || (debug->own
               && prt_debugproof_known(debug->proofs, debug->own->stamp,
                                       prt_elf_stamp(&st))
                  == 0);
}


static prt_debugfile_proof_t
prt_debugfile_proof(const prt_debugfile_t *debug, const prt_elf_t *file,
    const char *path)
{
    int       fits;
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

    if (debug->own == NULL) {
        return PRT_DEBUGFILE_NONE;
    }

    fits = prt_debugproof_known(debug->proofs, debug->own->stamp,
                                file->stamp);

    if (fits < 0) {
        fits = prt_debugproof(debug->own, file);
        prt_debugproof_remember(debug->proofs, debug->own->stamp, file->stamp,
                                fits);
    }

    return fits ? PRT_DEBUGFILE_REBUILT : PRT_DEBUGFILE_NONE;
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
prt_debugfile_mix(uint64_t *hash, const char *path)
{
    uint64_t     stamp;
    struct stat  st;

    stamp = (path && stat(path, &st) == 0) ? prt_elf_stamp(&st) : 0;

    *hash = (*hash ^ stamp) * 0x100000001b3;
    *hash ^= *hash >> 29;
}
