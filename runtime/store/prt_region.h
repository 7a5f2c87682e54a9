
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The shared memory of a family of processes: a directory of slots, and the
 * windows that are open.
 *
 * It is one sparse memfd with room for the most slots there can be, of the
 * largest size; a process maps its own slot, and another's when it reads it.
 * So a reload that wants more or larger slots needs no second region that
 * the workers of the generation before could not see.  Nothing is charged
 * before it is touched.
 *
 * Nothing in it is a pointer, and nothing in it is a lock.  A process may die
 * at any instruction: who finds its entry dead goes on from there.
 */


#ifndef _PRT_REGION_H_INCLUDED_
#define _PRT_REGION_H_INCLUDED_


#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "pprofrt.h"


#define PRT_SLOTS_MAX    1024              /* nginx has no more processes */
#define PRT_WINDOWS_MAX  256

#define PRT_DEATHS_MAX   8
#define PRT_DEATH_TEXT   512               /* bytes, with the zero at its end */


typedef enum {
    PRT_SLOT_FREE = 0,                     /* never used */
    PRT_SLOT_CLAIMED,                      /* being made */
    PRT_SLOT_LIVE,
    PRT_SLOT_ENDED                         /* ended in order, or found dead */
} prt_slot_state_t;


/* a slot in the directory: written by its process, but for "wake" */

typedef struct {
    _Atomic uint64_t     owner;            /* generation << 32 | pid; changes with every claim */
    _Atomic uint64_t     state;            /* generation << 32 | prt_slot_state_t */
    _Atomic uint64_t     birth;            /* start of the process, clock ticks since boot */
    _Atomic uint64_t     size;             /* bytes of the slot */
    _Atomic uint64_t     ring;             /* bytes of its trace's ring; 0: none */
    _Atomic uint64_t     start;            /* prt_now() when it was published */
    _Atomic uint64_t     seen;             /* prt_now() when it last followed a sync */
    _Atomic uint64_t     synced;           /* the last sync that the process followed */
    _Atomic uint32_t     wake;             /* futex of its service thread */
    _Atomic uint32_t     cycle;            /* generation of workers */
    _Atomic int32_t      worker;
    _Atomic uint32_t     waiting;          /* wants to be woken when others have synced */
} prt_entry_t;


/* a window that is open: what it wants is on while it is there */

typedef struct {
    _Atomic uint64_t     owner;            /* slot's generation << 32 | slot + 1; 0: free */
    _Atomic uint32_t     open;             /* the rest is valid */
    _Atomic uint32_t     profile;          /* number in the registry */
    _Atomic uint32_t     rate;             /* Hz */
    _Atomic int32_t      worker;           /* PRT_ANY: all */
    _Atomic int32_t      pid;              /* PRT_ANY: all */
} prt_window_t;


/*
 * The flight recorder.  It belongs to no process: whoever has the claim does
 * what is to be done.
 */

typedef struct {
    _Atomic uint64_t     claim;            /* prt_claim.h */
    _Atomic uint64_t     state;            /* number of the recording << 32 | it runs */

    /* of this recording; written before "state", with the claim */
    _Atomic uint64_t     start;            /* prt_now() */
    _Atomic uint64_t     until;
    _Atomic uint64_t     again;            /* its end was tried, and is then; 0: it was not */
    _Atomic uint64_t     events;           /* of a file, at most; 0: as ever */
    _Atomic uint32_t     failures;         /* of its end */

    _Atomic uint64_t     quit;             /* prt_now() of the last file for an end */

    /* of the last attempt to write; with the claim */
    _Atomic uint32_t     error;            /* errno; 0: it was written */
    _Atomic uint32_t     failed;           /* by which call: prt_file_call_t */

    /* the last file of each kind: prt_recorder_file_t */
    struct {
        _Atomic uint64_t time;             /* ns since 1970; 0: none */
        _Atomic uint64_t size;
        _Atomic uint64_t events;
        _Atomic uint64_t overwritten;      /* records, in the rings ... */
        _Atomic uint64_t left_out;         /* ... and of those there were, too many */
        _Atomic uint64_t asked;            /* prt_now(), of an event; 0: never */
    } files[3];
} prt_recorder_t;


/* a process that died by a signal, and said where, or that is just gone */

typedef struct {
    _Atomic uint32_t     version;          /* odd: it is being written; 0: nothing */
    _Atomic int32_t      worker;
    _Atomic int32_t      pid;
    _Atomic uint32_t     signo;
    _Atomic uint64_t     time;             /* prt_now() */
    _Atomic char         where[PRT_DEATH_TEXT];
} prt_death_t;


typedef struct {
    _Atomic uint32_t     cycle;            /* the newest generation of workers */
    _Atomic uint32_t     nslots;           /* of the directory, in use */
    _Atomic uint64_t     sync;             /* number of the last sync asked for */
    _Atomic uint64_t     dump;             /* number of the last dump asked for */
    _Atomic uint64_t     trim;             /* times that memory was to be given back */
    prt_window_t         windows[PRT_WINDOWS_MAX];
    prt_entry_t          entries[PRT_SLOTS_MAX];

    prt_recorder_t       recorder;

    _Atomic uint64_t     crashes;          /* signals that were caught */
    _Atomic uint32_t     ndeaths;          /* all so far */
    prt_death_t          deaths[PRT_DEATHS_MAX];   /* the last ones */
} prt_region_head_t;


struct prt_region_s {
    prt_region_head_t   *head;
    int                  fd;
    unsigned             limit;            /* slots that the file has room for */
    uint32_t             cycle;            /* the generation that is forked here */

    /* this process's own mappings */
    struct {
        void            *memory;
        size_t           size;
    } maps[PRT_SLOTS_MAX];
};


/*
 * Takes a slot of "size" bytes for this process, and "ring" bytes beside it: one
 * never used, or the one whose process has been gone for the longest time; its
 * memory is zeroed.  The slot is visible after prt_region_publish().  Returns its
 * number, or -1 with "error" filled.
 */
int prt_region_claim(prt_region_t *region, size_t size, size_t ring,
    int worker, char error[PRT_ERROR_LEN]);
void prt_region_publish(prt_region_t *region, unsigned slot);

/* This process ends: the slot stays readable until it is needed. */
void prt_region_release(prt_region_t *region, unsigned slot);

/*
 * The memory of a slot, mapped here if need be; NULL: nothing there, or no
 * memory.  Service thread only.
 */
void *prt_region_map(prt_region_t *region, unsigned slot, size_t *size);

/*
 * A mapping of its own, of a slot or of its ring; NULL: nothing there, or no
 * memory.  Any thread; to be unmapped by munmap().
 */
void *prt_region_view(const prt_region_t *region, unsigned slot,
    size_t *size);
void *prt_region_ring(const prt_region_t *region, unsigned slot,
    size_t *size);

unsigned prt_region_slots(const prt_region_t *region);

/*
 * The state of a slot: PRT_SLOT_LIVE only if its process still runs.  "owner"
 * tells whether what was read since is still of the same process.
 */
prt_slot_state_t prt_region_state(const prt_region_t *region, unsigned slot,
    uint64_t *owner);

/*
 * Whether the slot's process is gone, and has not released it: 1 once, for
 * whoever asks first.
 */
int prt_region_gone(prt_region_t *region, unsigned slot, uint64_t *owner);


/*
 * Windows.  open() returns its number, or -1 when there are too many; the
 * others see it at their next sync.  sweep() frees those of dead processes;
 * "mine" is the caller's own slot.
 */
int prt_region_window_open(prt_region_t *region, unsigned slot,
    const prt_window_t *wanted);
void prt_region_window_close(prt_region_t *region, unsigned window);
void prt_region_window_sweep(prt_region_t *region, unsigned mine);


#endif /* _PRT_REGION_H_INCLUDED_ */
