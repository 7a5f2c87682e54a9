
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * For tests: images of ELF files, and the output of other programs.
 */


#ifndef _ELF_IMAGE_H_INCLUDED_
#define _ELF_IMAGE_H_INCLUDED_


#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <elfutils/libdwelf.h>

#include "encode/prt_elf.h"
#include "collect/prt_report.h"


/* cmocka's own way to skip is a failure to readers of TAP. */
#define SKIP(why)                                                             \
    do {                                                                      \
        print_message("# skipped: %s\n", why);                                \
        return;                                                               \
    } while (0)


/* The image of a file, as one that is loaded looks to the encoders. */

static inline int
elf_image(prt_image_t *image, const char *path, uint64_t base)
{
    size_t       i, n;
    ssize_t      len;
    prt_elf_t    file;
    GElf_Phdr    phdr;
    const void  *id;

    memset(image, 0, sizeof(prt_image_t));

    if (prt_elf_open(&file, path) != 0) {
        return -1;
    }

    image->path = path;
    image->base = base;

    len = dwelf_elf_gnu_build_id(file.elf, &id);

    if (len > 0 && len <= PRT_BUILD_ID_MAX) {
        image->build_id_len = (unsigned) len;
        memcpy(image->build_id, id, (size_t) len);
    }

    if (elf_getphdrnum(file.elf, &n) != 0) {
        n = 0;
    }

    for (i = 0; i < n; i++) {

        if (gelf_getphdr(file.elf, (int) i, &phdr) == NULL
            || phdr.p_type != PT_LOAD)
        {
            continue;
        }

        if (base + phdr.p_vaddr + phdr.p_memsz > image->limit) {
            image->limit = base + phdr.p_vaddr + phdr.p_memsz;
        }

        if ((phdr.p_flags & PF_X) && image->nsegments < PRT_IMAGE_SEGMENTS) {
            image->segments[image->nsegments].vaddr = phdr.p_vaddr;
            image->segments[image->nsegments].size = phdr.p_memsz;
            image->segments[image->nsegments].offset = phdr.p_offset;
            image->nsegments++;
        }
    }

    prt_elf_close(&file);

    return 0;
}


/* The exit status of a shell command, in the manner of printf(). */

static inline int __attribute__((format(printf, 1, 2)))
shell(const char *fmt, ...)
{
    char     command[4096];
    va_list  args;

    va_start(args, fmt);
    (void) vsnprintf(command, sizeof(command), fmt, args);
    va_end(args);

    return system(command);
}


/* A tool that is missing skips a test, but not where all have to be there. */

static inline int
have(const char *tool)
{
    if (shell("command -v %s >/dev/null 2>&1", tool) == 0) {
        return 1;
    }

    if (getenv("CI")) {
        fprintf(stderr, "%s is missing\n", tool);
        abort();
    }

    return 0;
}


#endif /* _ELF_IMAGE_H_INCLUDED_ */
