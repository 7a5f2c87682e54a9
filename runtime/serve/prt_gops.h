
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The agent for gops: a client connects to a port of the loopback device, sends
 * a byte, which is the command, reads the answer and the end.  The port stands
 * in a file that is named by the number of the process.
 *
 * It has a thread of its own, which sleeps until somebody connects, but for a
 * look at the port files twice a second: a directory that hangs (NFS) holds
 * nobody else.  It belongs to the service thread, and has its descriptors.
 */


#ifndef _PRT_GOPS_H_INCLUDED_
#define _PRT_GOPS_H_INCLUDED_


#include "encode/prt_buffer.h"
#include "platform/prt_clock.h"
#include "serve/prt_job.h"


#define PRT_GOPS_CONNECTIONS    64
#define PRT_GOPS_WINDOWS        48             /* of them, at most */
#define PRT_GOPS_ARGUMENT       10             /* bytes at most: a varint */

#define PRT_GOPS_READ_TIMEOUT   (10 * PRT_SEC) /* for a command */
#define PRT_GOPS_WRITE_TIMEOUT  (30 * PRT_SEC) /* for a client that does not read */
#define PRT_GOPS_LINGER         (2 * PRT_SEC)  /* for a client to read the end */
#define PRT_GOPS_LOOK           PRT_SEC        /* whether it is still there */


typedef struct prt_gops_connection_s  prt_gops_connection_t;


/* commands: prt_gops_command.c */

typedef struct {
    uint8_t                code;
    uint8_t                argument;           /* a varint follows */

    /* Begins the answer: opens "job" or "file", or puts it into "text". */
    void                 (*start)(prt_gops_connection_t *c);

    /* where a job's answer is a text that is made of it; else NULL */
    void                 (*text)(prt_gops_connection_t *c, prt_job_t *job);
} prt_gops_command_t;


/*
 * What the bytes that a client sent ask for: 1 with "command" found, 0 if there
 * have to be more, -1 if it is nothing that is known.
 */
int prt_gops_parse(const uint8_t *input, size_t n,
    const prt_gops_command_t **command);


/* texts: prt_gops_text.c */

void prt_gops_memstats(prt_buffer_t *text);
void prt_gops_version(prt_buffer_t *text);
void prt_gops_stats(prt_buffer_t *text, prt_job_t *state);


/* connections: prt_gops_connection.c */

typedef enum {
    PRT_GOPS_FREE = 0,
    PRT_GOPS_READING,
    PRT_GOPS_WORKING,                          /* on the job */
    PRT_GOPS_WRITING,
    PRT_GOPS_LINGERING                         /* what it sent is thrown away */
} prt_gops_state_t;


struct prt_gops_connection_s {
    prt_gops_state_t           state;
    int                        fd;
    uint32_t                   events;         /* that epoll reports */
    uint64_t                   deadline;       /* ns of prt_now() */

    uint8_t                    input[1 + PRT_GOPS_ARGUMENT];
    size_t                     ninput;
    const prt_gops_command_t  *command;

    unsigned                   windowed;       /* the job takes its time */
    prt_job_t                 *job;            /* open */
    prt_job_t                 *finished;       /* has "data" */
    prt_buffer_t               text;           /* has "data" */

    const uint8_t             *data;
    size_t                     size;
    int                        file;           /* sent instead; -1: none */
};


/* Takes the descriptor over. */
void prt_gops_open(prt_gops_connection_t *c, int fd);
void prt_gops_close(prt_gops_connection_t *c);

/* What epoll says of it. */
void prt_gops_event(prt_gops_connection_t *c, uint32_t events);

/* Its deadline is over. */
void prt_gops_expire(prt_gops_connection_t *c);

/* Its job is finished; takes it over. */
void prt_gops_answer(prt_gops_connection_t *c, prt_job_t *job);


/* what both threads know; the last two are the agent's alone */

typedef struct {
    int                        socket;         /* that listens */
    unsigned                   port;           /* of it */
    int                        epoll;
    int                        eventfd;        /* a job is finished, or all ends */
    atomic_int                 stopping;
    prt_queue_t                finished;       /* jobs */
    unsigned                   paused;         /* nobody is accepted */
    prt_gops_connection_t      connections[PRT_GOPS_CONNECTIONS];
} prt_gops_t;

extern prt_gops_t  prt_gops;

/* what epoll reports, beside connections by their numbers */
#define PRT_GOPS_LISTEN  PRT_GOPS_CONNECTIONS
#define PRT_GOPS_NOTIFY  (PRT_GOPS_CONNECTIONS + 1)


/* its life, on the service thread: prt_gops.c */

/* What fails is told by a notice. */
void prt_gops_start(void);

/* -1 if the thread did not end in time. */
int prt_gops_stop(void);

/* When no other thread works on a job any more. */
void prt_gops_drain(void);

/* In a child of fork(). */
void prt_gops_forked(void);


/* its thread: prt_gops_loop.c */

void *prt_gops_main(void *data);

/* The descriptor gets into epoll, by this number. */
int prt_gops_add(int fd, uint32_t events, unsigned number);

/* The events of a connection that are to be reported. */
void prt_gops_expect(prt_gops_connection_t *c, uint32_t events);

/* A job of this process alone, whose answer comes to the agent; NULL: no memory. */
prt_job_t *prt_gops_job(prt_job_kind_t kind, void *data);


/* port files: prt_gops_file.c; on its thread */

/*
 * Writes the agent's, once more if somebody has removed it, and removes those of
 * agents that are no more.  What fails is told once, and tried again.  Now and
 * then; returns when again.
 */
uint64_t prt_gops_file_watch(uint64_t now);
void prt_gops_file_remove(void);

/* Before the thread starts, and in a child of fork(). */
void prt_gops_file_forget(void);


#endif /* _PRT_GOPS_H_INCLUDED_ */
