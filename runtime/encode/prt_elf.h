
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * ELF files, opened with the distrust that files from elsewhere deserve, and
 * the proof that a file belongs to an object in memory.
 */


#ifndef _PRT_ELF_H_INCLUDED_
#define _PRT_ELF_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <libelf.h>
#include <gelf.h>

#include "collect/prt_report.h"


#define PRT_ELF_SIZE_MAX         (1024u * 1024 * 1024)   /* bytes, a file */
#define PRT_ELF_INFLATED_MAX     (512u * 1024 * 1024)    /* bytes, compressed sections of a file */
#define PRT_ELF_SECTIONS_MAX     65536


/*
 * A file is read into memory of its own, with its compressed sections inflated
 * behind: a file that is truncated meanwhile is no SIGBUS, none stays open,
 * and all of it goes back to the system at once.  (Large blocks of malloc()
 * would, when they are freed, move the thresholds of the whole process.)
 */

typedef struct {
    Elf          *elf;                   /* NULL: not open */
    uint8_t      *memory;
    size_t        size;                  /* bytes of it */
    size_t        length;                /* of the image, with what is inflated */
    size_t        given_back;            /* of these */
    uint64_t      stamp;                 /* of the file; 0: it is none */
} prt_elf_t;


/*
 * Open a regular file, or a copy of an image in memory.  Return 0, or -1 when
 * it is not there or not an ELF file of this machine's kind whose tables lie
 * within it.
 */
int prt_elf_open(prt_elf_t *file, const char *path);
int prt_elf_open_memory(prt_elf_t *file, const uint8_t *data, size_t size);

/* The same for a file of debug info that several others share, by dwz. */
int prt_elf_open_shared(prt_elf_t *file, const char *path);

/* Tells files, and states of them, apart; never 0. */
uint64_t prt_elf_stamp(const struct stat *st);

/* Memory for an image that is to be filled, and then opened. */
int prt_elf_reserve(prt_elf_t *file, size_t size);
int prt_elf_start(prt_elf_t *file, size_t size);

void prt_elf_close(prt_elf_t *file);

/*
 * Gives the memory back of what is read, or names nothing: code, data, symbols.
 * It reads as zeros from then on; strings and debug info stay.
 */
void prt_elf_give_back(prt_elf_t *file);

/* True when the file's build ID is this one. */
int prt_elf_is(const prt_elf_t *file, const uint8_t *id, unsigned len);

/*
 * True when this is the file of the image: by its build ID, or, where neither
 * has one, by the place of the executable segments.
 */
int prt_elf_is_image(const prt_elf_t *file, const prt_image_t *image);

/* The debuglink's file name, a plain one, with its checksum; or NULL. */
const char *prt_elf_debuglink(const prt_elf_t *file, uint32_t *crc);

/*
 * The path of the file that this one shares debug info with, and that file's
 * identity, from .gnu_debugaltlink or .debug_sup; or NULL.
 */
const char *prt_elf_sharedlink(const prt_elf_t *file, const uint8_t **id,
    unsigned *len);

/* True when this file of shared debug info has this identity. */
int prt_elf_is_shared(const prt_elf_t *file, const uint8_t *id, unsigned len);

/*
 * Without .gnu_debugaltlink libdw looks for no file itself.  What was read of
 * the file is not valid any more.  0, or -1: the file is closed.
 */
int prt_elf_drop_sharedlink(prt_elf_t *file);

/* The checksum that debuglinks use, of the file as it lies there; 0, or -1. */
int prt_elf_crc(const char *path, uint32_t *crc);

/* The section of this name with contents in the file, or NULL. */
Elf_Scn *prt_elf_section(const prt_elf_t *file, const char *name,
    GElf_Shdr *shdr);


#endif /* _PRT_ELF_H_INCLUDED_ */
