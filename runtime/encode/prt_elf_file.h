
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The inside of prt_elf_t, for prt_elf*.c alone.
 */


#ifndef _PRT_ELF_FILE_H_INCLUDED_
#define _PRT_ELF_FILE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "encode/prt_elf.h"


#define PRT_ELF_PAGE         ((uintptr_t) 4096)
#define PRT_ELF_ALIGN        16          /* bytes, of an inflated section */


/* A regular file of a size that we read; its descriptor, or -1. */
int prt_elf_open_file(const char *path, struct stat *st);

/* What an image of so many bytes takes, with a zero behind it at least. */
size_t prt_elf_pages(size_t size);

/*
 * Reads the image's tables anew: libelf may have read what was changed since.
 * 0, or -1: the file is closed.
 */
int prt_elf_again(prt_elf_t *file, size_t *inflated);

/*
 * Takes sections that no name needs out of the image: they are neither
 * inflated nor take memory.  Returns their number; "again" has to follow.
 */
unsigned prt_elf_drop_unused(prt_elf_t *file);
void prt_elf_drop(prt_elf_t *file, Elf_Scn *scn);

/*
 * Puts inflated sections, of so many bytes together, behind the image, and
 * tells so in their headers.  Returns the image's new size, or 0.  One that
 * cannot be inflated is no section any more.
 */
size_t prt_elf_inflate(prt_elf_t *file, size_t size, size_t inflated);


#endif /* _PRT_ELF_FILE_H_INCLUDED_ */
