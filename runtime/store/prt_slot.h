
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * A slot: what one process records.  The layout is a function of its size and
 * of the tables asked for, so a reader computes it and trusts no offset that
 * it finds there.
 */


#ifndef _PRT_SLOT_H_INCLUDED_
#define _PRT_SLOT_H_INCLUDED_


#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/prt_image.h"
#include "store/prt_dump.h"
#include "store/prt_intern.h"
#include "store/prt_live.h"
#include "store/prt_table.h"


#define PRT_TABLES_MAX   16
#define PRT_CUSTOM_MAX   4                 /* profiles of the program's own */
#define PRT_OBJECTS_MAX  256
#define PRT_NAMINGS_MAX  64
#define PRT_LABELS_MAX   16                /* of one sample */
#define PRT_STRING_MAX   512               /* bytes, longer ones are cut */
#define PRT_STACK_MAX    256               /* frames */
#define PRT_STALL_TEXT   256               /* bytes, with the zero at its end */


/* what a slot counts beside its profiles; all grow only */

typedef enum {
    PRT_COUNT_SIGNALS = 0,                 /* SIGPROFs of our timers */
    PRT_COUNT_SAMPLES,                     /* their weights: 1 + overruns */
    PRT_COUNT_CPU,                         /* ns that they stand for */
    PRT_COUNT_FOREIGN,                     /* SIGPROFs of somebody else */
    PRT_COUNT_STACKS,                      /* stacks taken, of all profiles ... */
    PRT_COUNT_TRUNCATED,                   /* ... longer than PRT_STACK_MAX */
    PRT_COUNT_NO_OBJECT,                   /* ... that ended outside of all objects */
    PRT_COUNT_NO_ROW,                      /* ... where no unwind information is */
    PRT_COUNT_BROKEN,                      /* ... in memory that is no stack */
    PRT_COUNT_HEAP_MISSED,                 /* sampled blocks given back unseen */
    PRT_COUNT_HEAP_LOST,                   /* sampled blocks without room in the list */
    PRT_COUNT_LABELS_LOST,                 /* sets of labels without room */
    PRT_COUNT_STALLS,                      /* events that held the loop too long ... */
    PRT_COUNT_STALLS_LOST,                 /* ... and were not booked: too many at once */
    PRT_COUNT_CUSTOM_LOST,                 /* keys of custom profiles without room */
    PRT_COUNTS
} prt_count_t;


/* an object as it lay in the process's memory */

typedef struct {
    uint64_t             lo, hi;           /* addresses of its executable segments */
    uint64_t             bias;             /* address - vaddr */
    uint64_t             serial;           /* of the object in its process */
    uint64_t             memory_size;      /* of the vDSO's image; else 0 */
    uint32_t             path;             /* string */
    uint8_t              fixed;            /* ET_EXEC */
    uint8_t              own;              /* of the profiler itself */
    uint8_t              build_id_len;
    uint8_t              nsegments;
    uint8_t              build_id[PRT_BUILD_ID_MAX];
    prt_image_segment_t  segments[PRT_IMAGE_SEGMENTS];
} prt_slot_object_t;


/* how addresses of an object were named */

typedef struct {
    _Atomic uint32_t     path;             /* string */
    _Atomic uint32_t     sources;          /* the encoder's flags */
    _Atomic uint32_t     addresses;
    _Atomic uint32_t     unnamed;          /* of these, without a function's name */
} prt_slot_naming_t;


/* how the process came to its end, if a signal told it */

typedef struct {
    _Atomic uint32_t     state;            /* prt_crash_state_t, of who writes it */
    uint32_t             signo;
    uint32_t             labels;           /* of the thread */
    uint32_t             nframes;
    uint64_t             time;             /* prt_now() */
    uint64_t             frames[PRT_STACK_MAX + 2];
} prt_slot_crash_t;


typedef struct {
    _Atomic uint64_t     counts[PRT_COUNTS];

    /* written at each sync */
    _Atomic uint64_t     cpu;              /* ns, of all threads */
    _Atomic uint64_t     rss;              /* bytes */
    _Atomic uint64_t     connections;
    _Atomic uint64_t     requests;
    _Atomic uint32_t     rate;             /* Hz of the CPU sampler; 0: off */
    _Atomic uint32_t     deaf;             /* threads that block SIGPROF */
    _Atomic uint32_t     untimed;          /* threads without timer: errno below */
    _Atomic uint32_t     untimed_errno;
    _Atomic uint32_t     taken;            /* string: whose handler SIGPROF has; 0: ours */
    _Atomic uint32_t     epoch;            /* of the transient tables */
    _Atomic uint32_t     customs[PRT_CUSTOM_MAX];  /* strings: their names; 0: none */

    /* the event loop; in ticks */
    _Atomic uint64_t     loop_begin;       /* of the event at work; 0: none */
    _Atomic uint64_t     loop_limit;       /* that makes it a stall; 0: nothing does */
    _Atomic uint64_t     stall_begin;      /* of the one that is described; 0: none */
    _Atomic char         stall_text[PRT_STALL_TEXT];

    prt_slot_crash_t     crash;

    _Atomic uint64_t     dump;             /* number of the last that was asked for */

    /* the gops agent */
    _Atomic uint32_t     gops_port;        /* 0: none */
    _Atomic uint32_t     gops_refused;     /* connections of other users */

    _Atomic uint64_t     map;              /* serial + 1 of the map that the list is of */
    _Atomic uint32_t     objects_lost;     /* objects without room in the list */
    _Atomic uint32_t     nobjects;
    prt_slot_object_t    objects[PRT_OBJECTS_MAX];

    /* of the last profile that the process has encoded */
    _Atomic uint64_t     named;            /* prt_now(); 0: none, or not all written */
    _Atomic uint32_t     nnamings;
    prt_slot_naming_t    namings[PRT_NAMINGS_MAX];
} prt_slot_head_t;


typedef struct {
    unsigned             ncounters;        /* up to PRT_COUNTERS_MAX; 0: no table ... */
    unsigned             same;             /* ... of its own, but that of this number */
    unsigned             share;            /* of the slot, in 1/64 */
    unsigned             transient;        /* its stacks may be forgotten between windows */
} prt_table_spec_t;


/*
 * Stacks of transient tables (which exist only while a window is open) are
 * kept apart, so that they can be forgotten: else a scraper that profiles for
 * months would fill the slot with stacks never seen again.
 */

typedef struct {
    prt_slot_head_t     *head;
    prt_intern_t         strings;          /* bytes */
    prt_intern_t         labels;           /* prt_label_t, sorted by key */
    prt_intern_t         stacks;           /* uint64_t frames, leaf first */
    prt_intern_t         transient;        /* the same, of transient tables */
    prt_live_t           live;             /* allocations in use */
    prt_dump_t           threads;          /* dumps: of the threads ... */
    prt_dump_t           work;             /* ... and of what the loop works on */
    prt_table_t          tables[PRT_TABLES_MAX];
    unsigned             ntables;
} prt_slot_t;


typedef struct {
    uint32_t             key;              /* strings */
    uint32_t             value;
} prt_label_t;


/* Computes the handle of a slot of "size" bytes at "memory". */
void prt_slot_attach(prt_slot_t *slot, void *memory, size_t size,
    const prt_table_spec_t *specs, unsigned n);

/* Forgets transient tables and their stacks; no writer may be inside. */
void prt_slot_forget(prt_slot_t *slot, const prt_table_spec_t *specs);

/* Part of the transient stacks' memory in use, in percent. */
unsigned prt_slot_used(const prt_slot_t *slot);

/* Interns a string; 0: no room.  Signal-safe. */
uint32_t prt_slot_string(prt_slot_t *slot, const char *s, size_t len);

/* Interns a set of labels, at most PRT_LABELS_MAX; 0: none, or no room. */
uint32_t prt_slot_labels(prt_slot_t *slot, const prt_label_t *labels,
    unsigned n);

/* The string with this number copied, "" if there is none. */
const char *prt_slot_text(const prt_slot_t *slot, uint32_t id,
    char text[PRT_STRING_MAX]);

/* The value of a key in a set of labels, likewise. */
const char *prt_slot_label(const prt_slot_t *slot, uint32_t labels,
    const char *key, char text[PRT_STRING_MAX]);

/*
 * Describes the event that began at "begin", instead of another one; and the
 * description of that event: 1 with the text copied, 0 if there is none.
 */
void prt_slot_stall(prt_slot_t *slot, uint64_t begin, const char *text);
int prt_slot_stall_text(const prt_slot_t *slot, uint64_t begin,
    char text[PRT_STALL_TEXT]);

/* Signal-safe. */
static inline void
prt_slot_count(prt_slot_t *slot, prt_count_t count, uint64_t n)
{
    atomic_fetch_add_explicit(&slot->head->counts[count], n,
                              memory_order_relaxed);
}


#endif /* _PRT_SLOT_H_INCLUDED_ */
