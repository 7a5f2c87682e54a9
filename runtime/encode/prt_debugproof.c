
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <string.h>

#include "encode/prt_debugproof.h"


static Elf_Scn *prt_debugproof_next(const prt_elf_t *file, Elf_Scn *scn,
    GElf_Shdr *shdr, const char **name);
static int64_t prt_debugproof_differ(Elf_Scn *a, Elf_Scn *b);


int
prt_debugproof(const prt_elf_t *object, const prt_elf_t *file)
{
    int          unwind;
    int64_t      n, differ, code;
    Elf_Scn     *a, *b;
    GElf_Shdr    sa, sb;
    const char  *na, *nb;

    a = NULL;
    b = NULL;
    code = 0;
    unwind = 0;
    differ = 0;

    /* both stand in the order of their addresses */

    for ( ;; ) {
        a = prt_debugproof_next(object, a, &sa, &na);
        b = prt_debugproof_next(file, b, &sb, &nb);

        if (a == NULL || b == NULL) {
            break;
        }

        if (strcmp(na, nb) != 0
            || sa.sh_type != sb.sh_type
            || sa.sh_flags != sb.sh_flags
            || sa.sh_addr != sb.sh_addr
            || sa.sh_size != sb.sh_size)
        {
            return 0;
        }

        if (sa.sh_type == SHT_NOBITS) {

            if (sa.sh_flags & SHF_EXECINSTR) {
                return 0;
            }

            continue;
        }

        if (sa.sh_flags & SHF_EXECINSTR) {
            code += (int64_t) sa.sh_size;

        } else if (strncmp(na, ".eh_frame", sizeof(".eh_frame") - 1) == 0) {
            unwind = 1;

        } else {
            continue;
        }

        n = prt_debugproof_differ(a, b);

        if (n < 0 || (n && !(sa.sh_flags & SHF_EXECINSTR))) {
            return 0;
        }

        differ += n;
    }

    return a == NULL && b == NULL && code && unwind
           && (differ <= PRT_DEBUGPROOF_BYTES
               || differ <= code / PRT_DEBUGPROOF_PART);
}


/* The next section that is in memory. */

static Elf_Scn *
prt_debugproof_next(const prt_elf_t *file, Elf_Scn *scn, GElf_Shdr *shdr,
    const char **name)
{
    size_t  strings;

    if (elf_getshdrstrndx(file->elf, &strings) != 0) {
        return NULL;
    }

    while ((scn = elf_nextscn(file->elf, scn)) != NULL) {

        if (gelf_getshdr(scn, shdr) == NULL
            || !(shdr->sh_flags & SHF_ALLOC))
        {
            continue;
        }

        *name = elf_strptr(file->elf, strings, shdr->sh_name);

        return *name ? scn : NULL;
    }

    return NULL;
}


/* The number of bytes that differ; -1: they could not be read. */

static int64_t
prt_debugproof_differ(Elf_Scn *a, Elf_Scn *b)
{
    size_t          i;
    int64_t         n;
    Elf_Data       *da, *db;
    const uint8_t  *pa, *pb;

    da = elf_rawdata(a, NULL);
    db = elf_rawdata(b, NULL);

    if (da == NULL || db == NULL || da->d_size != db->d_size
        || da->d_buf == NULL || db->d_buf == NULL)
    {
        return -1;
    }

    pa = da->d_buf;
    pb = db->d_buf;
    n = 0;

    for (i = 0; i < da->d_size; i++) {
        n += pa[i] != pb[i];
    }

    return n;
}


int
prt_debugproof_known(const prt_debugproofs_t *proofs, uint64_t object,
    uint64_t file)
{
    unsigned  i, n;

    n = proofs->n < PRT_DEBUGPROOFS ? proofs->n : PRT_DEBUGPROOFS;

    for (i = 0; i < n; i++) {
        if (proofs->list[i].object == object && proofs->list[i].file == file) {
            return proofs->list[i].fits;
        }
    }

    return -1;
}


void
prt_debugproof_remember(prt_debugproofs_t *proofs, uint64_t object,
    uint64_t file, int fits)
{
    unsigned  i;

    i = proofs->n++ % PRT_DEBUGPROOFS;

    proofs->list[i].object = object;
    proofs->list[i].file = file;
    proofs->list[i].fits = fits;
}
