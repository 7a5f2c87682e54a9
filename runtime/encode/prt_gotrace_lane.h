
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * A lane of a trace: what one thread did, as events of Go's format.  Its parts
 * keep to the rules of the format whatever the records say: numbers in their
 * sequence, one goroutine at a time, regions within each other.
 */


#ifndef _PRT_GOTRACE_LANE_H_INCLUDED_
#define _PRT_GOTRACE_LANE_H_INCLUDED_


#include "collect/prt_images.h"
#include "encode/prt_gofile.h"
#include "encode/prt_gotrace.h"
#include "sources/prt_trace.h"


#define PRT_GOTRACE_REGIONS  16            /* of a goroutine, within each other */


/* what all lanes have in common */

typedef struct {
    prt_gofile_t         file;
    prt_symbols_t       *symbols;

    prt_idmap_t          ids;              /* goroutine numbers that are taken */
    uint64_t             last_id;          /* of those that were made up */
    uint64_t             last_task;
    uint64_t             last_p;           /* processors */

    uint64_t             ticks;            /* at the same moment ... */
    uint64_t             now;              /* ... as this, ns */

    int                  failed;           /* memory was short */
} prt_gotrace_t;


/* a record, with its time in ns */

typedef struct {
    uint64_t             time;
    uint64_t             key;
    uint32_t             value;
    uint16_t             detail;
    uint16_t             kind;             /* prt_trace_kind_t */
} prt_gotrace_event_t;


/* a set of labels, as numbers of the file's strings */

typedef struct {
    uint64_t             location;
    uint64_t             phase;
    uint64_t             task;             /* the name of a task there */
} prt_gotrace_labels_t;


/* a process, whose slot is mapped */

typedef struct {
    prt_gotrace_t       *trace;
    prt_slot_t           slot;
    prt_ring_t           ring;
    pid_t                pid;

    prt_arena_t         *arena;
    prt_images_t        *images;           /* NULL: none yet */

    /* numbers of the slot to those of the file */
    prt_idmap_t          stacks;
    prt_idmap_t          places;           /* stacks of a state, labels and root */
    prt_idmap_t          known;            /* labels: index + 1 of the list */
    prt_buffer_t         labels;           /* prt_gotrace_labels_t */

    prt_idmap_t          tasks;            /* those of hosted code */
} prt_gotrace_process_t;


typedef enum {
    PRT_GOTRACE_UNKNOWN = 0,               /* it has to be told where it is */
    PRT_GOTRACE_WAITING,
    PRT_GOTRACE_RUNNABLE,
    PRT_GOTRACE_RUNNING,
    PRT_GOTRACE_DEAD
} prt_gotrace_state_t;


typedef enum {
    PRT_GOTRACE_PHASE,
    PRT_GOTRACE_STAGE,
    PRT_GOTRACE_REGION
} prt_gotrace_level_t;


typedef struct {
    uint64_t             task;
    uint64_t             name;
    prt_gotrace_level_t  level;
} prt_gotrace_region_t;


typedef struct {
    uint64_t             id;
    uint64_t             seq;
    uint64_t             task;
    uint32_t             root;             /* string of the slot; 0: the lane's own */
    uint32_t             labels;
    uint32_t             owner;            /* goroutine whose task it works on; 0: itself */
    uint16_t             wait;             /* state of the ring, 0: none */
    uint16_t             stage;            /* the one that is to be its region */
    prt_gotrace_state_t  state;
    unsigned             nregions;
    prt_gotrace_region_t regions[PRT_GOTRACE_REGIONS];
} prt_gotrace_g_t;


typedef struct {
    prt_gotrace_process_t  *process;
    prt_gofile_t           *file;
    uint64_t                m;
    uint64_t                p;
    uint64_t                p_seq;
    const char             *root;          /* of its own goroutine */
    unsigned                known:1;       /* the processor's state was told */
    unsigned                running:1;     /* ... and it runs */
    unsigned                calling:1;     /* what runs is in a call ... */
    unsigned                alone:1;       /* ... which is all that it does */

    prt_buffer_t            gs;            /* prt_gotrace_g_t; the first is its own */
    prt_idmap_t             keys;          /* key + 1: index + 1 */
    uint32_t                current;       /* index + 1; 0: none runs */
} prt_gotrace_lane_t;


/* the process: prt_gotrace_process.c */

void prt_gotrace_process_free(prt_gotrace_process_t *process);

/* Strings, labels and stacks of the slot, as the file has them. */
uint64_t prt_gotrace_string(prt_gotrace_process_t *process, uint32_t string);
prt_gotrace_labels_t prt_gotrace_labels(prt_gotrace_process_t *process,
    uint32_t labels);
/* A stack of functions, on top of its goroutine's location and root. */
uint64_t prt_gotrace_stack(prt_gotrace_process_t *process, uint32_t stack,
    uint32_t labels, uint32_t root, const char *other);

/* That of a goroutine in this state; its root, by itself, if it is in none. */
uint64_t prt_gotrace_place(prt_gotrace_process_t *process, uint32_t state,
    uint32_t labels, uint32_t root, const char *other);

/* The number of a task of hosted code, 0: its begin was not seen. */
uint64_t prt_gotrace_task(prt_gotrace_process_t *process, uint64_t task);


/* lanes: prt_gotrace_lane.c */

void prt_gotrace_lane_init(prt_gotrace_lane_t *lane,
    prt_gotrace_process_t *process, uint64_t m, const char *root);
void prt_gotrace_lane_free(prt_gotrace_lane_t *lane);

prt_gotrace_g_t *prt_gotrace_g(prt_gotrace_lane_t *lane, uint32_t g);

/* The goroutine of a key, 0 if there is none; and a new one of that key. */
uint32_t prt_gotrace_find(prt_gotrace_lane_t *lane, uint64_t key);
uint32_t prt_gotrace_make(prt_gotrace_lane_t *lane, uint64_t key,
    uint32_t root);

/* The processor begins to run, and stops; a goroutine that runs stops first. */
void prt_gotrace_wake(prt_gotrace_lane_t *lane, uint64_t time);
void prt_gotrace_sleep(prt_gotrace_lane_t *lane, uint64_t time);

/* A goroutine comes into being; can run; runs, instead of another; is over. */
void prt_gotrace_create(prt_gotrace_lane_t *lane, uint64_t time, uint32_t g);
void prt_gotrace_ready(prt_gotrace_lane_t *lane, uint64_t time, uint32_t g);
void prt_gotrace_run(prt_gotrace_lane_t *lane, uint64_t time, uint32_t g);
void prt_gotrace_end(prt_gotrace_lane_t *lane, uint64_t time, uint32_t g);

/* The one that runs is in a call that blocks, and comes back. */
void prt_gotrace_call(prt_gotrace_lane_t *lane, uint64_t time,
    uint64_t stack);
void prt_gotrace_return(prt_gotrace_lane_t *lane, uint64_t time);

/* The one that runs waits for what its state says. */
void prt_gotrace_block(prt_gotrace_lane_t *lane, uint64_t time);

/* The task that it works on; 0: none. */
uint64_t prt_gotrace_task_of(prt_gotrace_lane_t *lane, uint32_t g);

/* Regions of the goroutine that runs. */
void prt_gotrace_enter(prt_gotrace_lane_t *lane, uint64_t time,
    prt_gotrace_level_t level, uint64_t task, uint64_t name);
void prt_gotrace_leave(prt_gotrace_lane_t *lane, uint64_t time,
    prt_gotrace_level_t level, uint64_t name);

/* The stack of the goroutine that runs, where there is no better. */
uint64_t prt_gotrace_here(prt_gotrace_lane_t *lane);

/* The same with the functions that it is in. */
uint64_t prt_gotrace_in(prt_gotrace_lane_t *lane, uint32_t stack);


/* records to events: prt_gotrace_loop.c and prt_gotrace_thread.c */

/*
 * Those of the control thread, with what other writers recorded on it; a notice
 * (NULL: none) is logged first.  And those of another thread.
 */
void prt_gotrace_loop(prt_gotrace_process_t *process, uint64_t m,
    const prt_gotrace_event_t *events, size_t n, const char *notice);
void prt_gotrace_thread(prt_gotrace_process_t *process, uint64_t m,
    const prt_gotrace_event_t *events, size_t n);

/* A record that any thread may have made, on the goroutine that runs. */
void prt_gotrace_any(prt_gotrace_lane_t *lane,
    const prt_gotrace_event_t *events, size_t n, size_t i);


#endif /* _PRT_GOTRACE_LANE_H_INCLUDED_ */
