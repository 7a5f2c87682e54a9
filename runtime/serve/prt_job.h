
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Jobs, and the two threads that work on them.
 *
 * The control thread opens a job and pushes it to the service thread; that
 * one runs its stages, and hands what is to be encoded to the encoder thread;
 * either pushes the job to the finished ones.  At any time one of the three
 * owns it; the control thread may only raise its two flags meanwhile.
 */


#ifndef _PRT_JOB_H_INCLUDED_
#define _PRT_JOB_H_INCLUDED_


#include <stdatomic.h>

#include "collect/prt_merge.h"
#include "collect/prt_snapshot.h"
#include "encode/prt_symbol.h"
#include "pprofrt.h"
#include "sources/prt_stall.h"


#define PRT_SYNC_TIMEOUT  (500 * PRT_MSEC)  /* for all to follow a sync */
#define PRT_SYNC_TICK     (100 * PRT_MSEC)  /* between syncs while sampling */
#define PRT_IDLE_TICK     PRT_SEC           /* between looks for new objects */


typedef enum {
    PRT_JOB_PROFILE,
    PRT_JOB_SYMBOL,
    PRT_JOB_STATE,
    PRT_JOB_RECORDER,                      /* prt_recorder.c */
    PRT_JOB_NOTICE                         /* nobody's: prt_notice.c */
} prt_job_kind_t;


/* what the recorder does of its own accord; after prt_recorder_command_t */

typedef enum {
    PRT_RECORDER_END = PRT_RECORDER_SNAPSHOT + 1,  /* its time is over */
    PRT_RECORDER_QUIT,                     /* the process ends */
    PRT_RECORDER_CRASH,
    PRT_RECORDER_STALL
} prt_recorder_event_t;


typedef enum {
    PRT_STAGE_NEW,
    PRT_STAGE_OPENING,                     /* all are to follow a sync ... */
    PRT_STAGE_RUNNING,                     /* ... the window is open ... */
    PRT_STAGE_CLOSING                      /* ... all are to follow another */
} prt_stage_t;


/* A queue of many writers and one reader, without locks. */

typedef struct {
    _Atomic(prt_job_t *)   head;
} prt_queue_t;


struct prt_job_s {
    prt_job_t             *next;           /* of the queue or list that it is in */

    prt_job_kind_t         kind;
    void                  *data;
    prt_queue_t           *finished;       /* NULL: the control thread's */
    int                    notify;         /* eventfd of who reads that queue */
    _Atomic int            ended;
    _Atomic int            cancelled;
    int                    over;           /* nobody has it, and it is to be freed */

    unsigned               profile;        /* number in the registry */
    prt_profile_request_t  request;
    prt_target_t           target;

    uint64_t              *addresses;      /* PRT_JOB_SYMBOL */
    size_t                 naddresses;

    prt_stage_t            stage;
    uint64_t               deadline;       /* of the stage; ns of prt_now() */
    uint64_t               sync;           /* that all are to follow */
    uint64_t               dump;           /* that all are to make; 0: none */
    int                    window;         /* in the region; -1: none */
    uint64_t               from, to;       /* of a trace; ns of prt_now() */
    prt_snapshot_t        *start;
    prt_merge_t           *merge;          /* to be encoded */

    unsigned               command;        /* PRT_JOB_RECORDER: one of both kinds */
    uint32_t               recording;      /* its number */
    uint64_t               duration;
    unsigned               claimed:1;      /* the recorder is ours until we give it back */

    prt_stall_notice_t     stall;          /* PRT_JOB_NOTICE: of a stall, or else ... */
    prt_death_info_t       death;          /* ... pid != 0: of a crash */

    prt_worker_info_t     *workers;        /* PRT_JOB_STATE */
    size_t                 nworkers;
    prt_naming_info_t     *naming;
    size_t                 nnaming;
    uint64_t               counts[PRT_TABLES_MAX];

    prt_answer_t           answer;
    uint8_t               *body;
    char                   error[PRT_ERROR_LEN * 4];
};


void prt_queue_push(prt_queue_t *queue, prt_job_t *job);

/* All of it, the oldest first. */
prt_job_t *prt_queue_take(prt_queue_t *queue);


/* this process */

typedef struct {
    prt_region_t          *region;
    prt_entry_t           *entry;          /* its slot's */
    unsigned               slot;
    prt_options_t          options;
    unsigned               started:1;

    _Atomic int            stopping;
    prt_queue_t            submitted;
    prt_queue_t            finished;
    int                    eventfd;
} prt_process_t;

extern prt_process_t  prt_process;


/*
 * A job of all processes, whose answer comes to the control thread; NULL: no
 * memory.  The second one is for any thread.
 */
prt_job_t *prt_job_open(prt_job_kind_t kind, void *data);
prt_job_t *prt_job_create(prt_job_kind_t kind, void *data);

/* Makes it one of a profile; and to the service thread with it. */
void prt_job_request(prt_job_t *job, const prt_profile_request_t *request);
void prt_job_submit(prt_job_t *job);

/* The job is finished: its answer is filled. */
void prt_job_finish(prt_job_t *job);

/* The same with an error. */
void prt_job_fail(prt_job_t *job, prt_status_t status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));


/* service thread: prt_service.c */

int prt_service_start(char error[PRT_ERROR_LEN]);

/* Returns -1 if a thread did not end in time. */
int prt_service_stop(void);

/* Asks all processes to follow; returns the number of the sync. */
uint64_t prt_service_sync(void);


/* stages, on the service thread: prt_session.c */

/*
 * Does what is to be done now.  Returns when to be called again (ns of
 * prt_now(); or when woken), or 0: the job is somebody else's now.
 */
uint64_t prt_session_step(prt_job_t *job, uint64_t now);

/* Gives back all that the job holds, and the job. */
void prt_session_drop(prt_job_t *job);

/* Asks all processes to follow; and whether they have.  prt_recorder.c */
uint64_t prt_session_sync(prt_job_t *job, prt_stage_t stage, uint64_t now);
int prt_session_synced(prt_job_t *job);


/* flight recorder: prt_recorder.c */

/* Before the threads start: where it writes, NULL: nowhere. */
void prt_recorder_start(const char *path);

/* As prt_session_step(), of jobs of this kind. */
uint64_t prt_recorder_step(prt_job_t *job, uint64_t now);

/* What is due; returns when to come again.  Service thread. */
uint64_t prt_recorder_watch(uint64_t now);

/* The process ends, and maybe all of the region.  Control thread. */
void prt_recorder_quit(void);

/* Something has happened, of which a file is to be written.  Service thread. */
void prt_recorder_event(prt_recorder_event_t event);

/* On the encoder thread; takes the job over. */
void prt_recorder_encode(prt_job_t *job, prt_symbols_t *symbols);

/* The job is dropped: gives the recorder back, if it has it. */
void prt_recorder_drop(prt_job_t *job);

/* Whether all processes are to record for it. */
int prt_recorder_running(void);


/* crashes: prt_death.c */

void prt_death_start(void);

/*
 * Notes those that are gone and have not said why.  Service thread, and before
 * there is one: before a slot is claimed, which may be theirs.
 */
void prt_death_look(void);

/* Looks for processes that died; returns when to come again.  Service thread. */
uint64_t prt_death_watch(uint64_t now);

/* On the encoder thread: the line for the log is in job->error. */
void prt_death_encode(prt_job_t *job, prt_symbols_t *symbols);


/* notices: prt_notice.c */

/* Before the threads start. */
void prt_notice_start(void);

void prt_notice_stall(const prt_stall_notice_t *stall);

/* What needs no names. */
void prt_notice_text(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

/* On the encoder thread; takes the job over. */
void prt_notice_encode(prt_job_t *job, prt_symbols_t *symbols);


/* encoder thread: prt_encoder.c */

/* Takes the job over; starts the thread if need be.  Service thread only. */
void prt_encoder_push(prt_job_t *job);
int prt_encoder_stop(void);


/* how objects were named, as the index shows it: prt_naming.c */

/* Into this process's slot.  Encoder thread. */
void prt_naming_write(prt_symbols_t *symbols);

/*
 * What was written last, by any of these processes, to be freed; NULL: nothing
 * yet, or no memory.  Service thread.
 */
prt_naming_info_t *prt_naming_read(const prt_snapshot_t *snapshot, size_t *n);


#endif /* _PRT_JOB_H_INCLUDED_ */
