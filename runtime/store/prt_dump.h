
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * A dump: what a process has at one moment, as a list of records with their
 * stacks.  Where a profile's table only grows, a dump is written anew each time;
 * who reads it finds out afterwards whether it was whole.
 *
 * Records grow from the start of the memory, stacks from its end; each stack is
 * there once, mostly.
 */


#ifndef _PRT_DUMP_H_INCLUDED_
#define _PRT_DUMP_H_INCLUDED_


#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>


#define PRT_DUMP_KNOWN  1024               /* stacks that the writer remembers */
#define PRT_DUMP_WORDS  4                  /* of a record */
#define PRT_DUMP_AGE    UINT32_MAX         /* ms; more is as much */


typedef struct {
    _Atomic uint32_t     version;          /* odd: it is being written */
    _Atomic uint32_t     count;            /* records */
    _Atomic uint32_t     low;              /* the word that the stacks begin at */
    _Atomic uint32_t     parts;            /* it was taken in so many */
    _Atomic uint64_t     number;           /* of the question that it answers */
    _Atomic uint64_t     lost;             /* records without room, or their stacks */
    _Atomic uint64_t     took;             /* ns, of the thread that took it ... */
    _Atomic uint64_t     longest;          /* ... and of its longest part */
} prt_dump_head_t;


typedef struct {
    prt_dump_head_t     *head;
    _Atomic uint64_t    *words;
    uint32_t             size;             /* words */
} prt_dump_t;


typedef struct {
    uint64_t             id;               /* 0: none of its own */
    uint32_t             lasts;            /* ms in this state ... */
    uint32_t             age;              /* ... and since its begin */
    uint32_t             stack;            /* the writer fills it in; 0: lost */
    uint32_t             labels;
    uint32_t             state;            /* string */
    uint32_t             parent:31;        /* number of the record; 0: none */
    uint32_t             work:1;           /* as prt_goroutine_t has it */
} prt_dump_record_t;


/* of one thread at a time */

typedef struct {
    prt_dump_t          *dump;
    uint32_t             count;
    uint32_t             low;
    uint64_t             lost;
    uint32_t             known[PRT_DUMP_KNOWN];
} prt_dump_writer_t;


/* A dump as it was read. */

typedef struct {
    uint32_t             count;
    uint32_t             size;
    uint32_t             parts;
    uint64_t             lost;
    uint64_t             took;
    uint64_t             longest;
    uint64_t             words[];
} prt_dump_copy_t;


/* Lays it out in "size" bytes at "memory". */
void prt_dump_attach(prt_dump_t *dump, void *memory, size_t size);

/*
 * Between begin and end the dump has no reader.  add() returns the number of the
 * record, from 1 on, or 0: there is no room.  The first frame stands for who
 * created it, 0 if nobody is known.  These do not allocate.
 */
void prt_dump_begin(prt_dump_writer_t *writer, prt_dump_t *dump);
uint32_t prt_dump_add(prt_dump_writer_t *writer, prt_dump_record_t *record,
    const uint64_t *frames, uint32_t n);
void prt_dump_end(prt_dump_writer_t *writer, uint64_t number, uint32_t parts,
    uint64_t took, uint64_t longest);

/* Whether it answers this question or a later one. */
int prt_dump_answers(const prt_dump_t *dump, uint64_t number);

/*
 * The dump, if it answers, by malloc(); NULL: it does not, it is being written,
 * or there is no memory.
 */
prt_dump_copy_t *prt_dump_read(const prt_dump_t *dump, uint64_t number);

/* Record i < count, and its stack; NULL: lost. */
void prt_dump_record(const prt_dump_copy_t *copy, uint32_t i,
    prt_dump_record_t *record);
const uint64_t *prt_dump_stack(const prt_dump_copy_t *copy, uint32_t stack,
    uint32_t *n);


#endif /* _PRT_DUMP_H_INCLUDED_ */
