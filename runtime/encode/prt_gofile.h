
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * A file in Go's trace format: one generation of header, tables and batches of
 * events.  It knows their form only, not what makes sense.
 *
 * Tables come first in the file: one that was cut off opens as far as it goes.
 */


#ifndef _PRT_GOFILE_H_INCLUDED_
#define _PRT_GOFILE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>

#include "encode/prt_buffer.h"
#include "encode/prt_idmap.h"
#include "encode/prt_strings.h"


#define PRT_GOFILE_FRAMES  128             /* of a stack */
#define PRT_GOFILE_ARGS    5               /* of an event, beside its time */


/* types of events, by Go's numbers; arguments in its order */

typedef enum {
    PRT_GO_PROC_START = 10,                /* p, p_seq */
    PRT_GO_PROC_STOP = 11,
    PRT_GO_PROC_STATUS = 13,               /* p, status */
    PRT_GO_CREATE = 14,                    /* g, its stack, stack */
    PRT_GO_START = 16,                     /* g, g_seq */
    PRT_GO_DESTROY = 17,
    PRT_GO_STOP = 19,                      /* reason, stack */
    PRT_GO_BLOCK = 20,                     /* reason, stack */
    PRT_GO_UNBLOCK = 21,                   /* g, g_seq, stack */
    PRT_GO_SYSCALL_BEGIN = 22,             /* p_seq, stack */
    PRT_GO_SYSCALL_END = 23,
    PRT_GO_STATUS = 25,                    /* g, m, status */
    PRT_GO_HEAP_ALLOC = 37,                /* bytes */
    PRT_GO_TASK_BEGIN = 40,                /* task, parent, name, stack */
    PRT_GO_TASK_END = 41,                  /* task, stack */
    PRT_GO_REGION_BEGIN = 42,              /* task, name, stack */
    PRT_GO_REGION_END = 43,                /* task, name, stack */
    PRT_GO_LOG = 44                        /* task, key, value, stack */
} prt_gofile_type_t;

#define PRT_GO_PROC_IDLE   2               /* of PROC_STATUS */
#define PRT_GO_WAITING     4               /* of STATUS */


typedef struct {
    prt_strings_t        strings;
    prt_idmap_t          stacks;           /* hash of the frames: number */
    prt_buffer_t         frames;           /* three words for each */
    prt_idmap_t          places;           /* hash of a frame: its number */
    prt_buffer_t         table;            /* the stacks, encoded ... */
    prt_buffer_t         ends;             /* ... and where each ends */

    prt_buffer_t         samples;          /* encoded ... */
    prt_buffer_t         sample_ends;
    prt_buffer_t         events;           /* batches */
    size_t               batch;            /* where the open one's data begin; 0: none */
    uint64_t             m;                /* its thread ... */
    uint64_t             last;             /* ... and its last time */

    uint64_t             first;            /* time of all; UINT64_MAX: none */
    uint64_t             count;            /* events */
    int                  failed;           /* memory was short */
} prt_gofile_t;


typedef int (*prt_gofile_sink_pt)(void *data, const void *bytes, size_t size);


void prt_gofile_init(prt_gofile_t *file);
void prt_gofile_free(prt_gofile_t *file);

/* Numbers of a string, a frame and a stack (leaf first), made if there are none. */
uint64_t prt_gofile_string(prt_gofile_t *file, const char *text);
uint32_t prt_gofile_frame(prt_gofile_t *file, const char *function,
    const char *source, uint32_t line);
uint64_t prt_gofile_stack(prt_gofile_t *file, const uint32_t *frames,
    unsigned n);

/* Events from now on are of this thread. */
void prt_gofile_thread(prt_gofile_t *file, uint64_t m);

/*
 * Times are ns; one that is before that of the thread's last event becomes
 * that.
 */
void prt_gofile_event(prt_gofile_t *file, uint64_t time,
    prt_gofile_type_t type, const uint64_t *args, unsigned n);

#define prt_gofile_add(file, time, type, ...)                                 \
    prt_gofile_event(file, time, type, (const uint64_t []) { __VA_ARGS__ },   \
                     sizeof((const uint64_t []) { __VA_ARGS__ })              \
                     / sizeof(uint64_t))

#define prt_gofile_mark(file, time, type)                                     \
    prt_gofile_event(file, time, type, NULL, 0)

void prt_gofile_sample(prt_gofile_t *file, uint64_t time, uint64_t m,
    uint64_t p, uint64_t g, uint64_t stack);

/* The whole file; returns what the sink did, or -1 when memory was short. */
int prt_gofile_write(prt_gofile_t *file, prt_gofile_sink_pt sink, void *data,
    uint64_t *bytes);


#endif /* _PRT_GOFILE_H_INCLUDED_ */
