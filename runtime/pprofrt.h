
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * pprofrt: the profiler that Go programs have built in, for C programs.
 * This is the library's only public header; it knows nothing of nginx.
 *
 * One process or many: a parent may create a region of shared memory before
 * it forks; every child that calls prt_start() with it records into a slot of
 * its own there, and any of them can answer for all.  Profiles are tables of
 * counters that only grow; a window is the difference of two snapshots, so
 * windows of several users may overlap.
 *
 * Thread safety is said at each function.  "Control thread" is the thread
 * that called prt_start(): in nginx, the event loop.  None of these functions
 * may be called in a signal handler unless it says so.
 */


#ifndef _PPROFRT_H_INCLUDED_
#define _PPROFRT_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>


#ifdef __cplusplus
extern "C" {
#endif


#define PRT_VERSION            "0.1.0"

#define PRT_MEMORY_MIN         (1024 * 1024)          /* bytes */
#define PRT_MEMORY_DEFAULT     (16 * 1024 * 1024)
#define PRT_MEMORY_MAX         (1024 * 1024 * 1024)

#define PRT_CPU_RATE_MIN       1                      /* Hz */
#define PRT_CPU_RATE_DEFAULT   100
#define PRT_CPU_RATE_MAX       1000

#define PRT_HEAP_RATE_MIN      1                      /* bytes */
#define PRT_HEAP_RATE_DEFAULT  (512 * 1024)
#define PRT_HEAP_RATE_MAX      (1024 * 1024 * 1024)
#define PRT_HEAP_OFF           INT64_MAX

#define PRT_STALL_MIN          1000000ull             /* ns */
#define PRT_STALL_DEFAULT      100000000ull
#define PRT_STALL_MAX          3600000000000ull
#define PRT_STALL_OFF          INT64_MAX

#define PRT_BLOCK_RATE_MIN     1                      /* ns */
#define PRT_BLOCK_RATE_DEFAULT 10000
#define PRT_BLOCK_RATE_MAX     1000000000
#define PRT_BLOCK_OFF          INT64_MAX

#define PRT_TRACE_MIN          (1024 * 1024)          /* bytes */
#define PRT_TRACE_DEFAULT      (16 * 1024 * 1024)
#define PRT_TRACE_MAX          (1024 * 1024 * 1024)
#define PRT_TRACE_EVENTS_MAX   20000000               /* of a trace */

#define PRT_RECORDER_MAX       1800000000000ull       /* ns */

#define PRT_ERROR_LEN          256                    /* an error text, with NUL */

#define PRT_EXPORT             __attribute__((visibility("default")))


/* region: shared memory of a family of processes */

typedef struct prt_region_s  prt_region_t;

/*
 * Makes a region for "workers" concurrent processes.  Memory is touched only
 * when used.  To be called before fork(), by the process that owns the
 * workers; it starts no thread and installs nothing.  NULL: see "error".
 */
PRT_EXPORT prt_region_t *prt_region_create(unsigned workers,
    char error[PRT_ERROR_LEN]);

/*
 * A new generation of workers is about to be forked: processes started with
 * prt_start() from now on count as newer than those running.  The region
 * keeps at least 2 * workers + 8 slots; it never shrinks.
 */
PRT_EXPORT void prt_region_renew(prt_region_t *region, unsigned workers);

PRT_EXPORT void prt_region_destroy(prt_region_t *region);


/* a process */

typedef struct {
    uint64_t               connections;   /* open at this moment */
    uint64_t               requests;      /* connections that are serving one */
} prt_gauges_t;


typedef struct {
    size_t                 memory;        /* bytes of this process's slot; 0: default */
    unsigned               cpu_rate;      /* Hz where a request names none; 0: default */
    int                    worker;        /* worker number, for the label; -1: none */

    /*
     * Mean bytes allocated between two samples of the memory profiles; 0:
     * default; PRT_HEAP_OFF: no such profiles, and no hooks for them.
     */
    uint64_t               heap_rate;

    /*
     * 1: anonymous memory that the program maps itself, by mmap(), is in the
     * memory profiles as well; 0: it is not.
     */
    int                    heap_mmap;

    /*
     * An event of the loop (prt_loop_event()) that takes longer, in ns, is a
     * stall; 0: default; PRT_STALL_OFF: none is.
     */
    uint64_t               stall_threshold;

    /*
     * Nanoseconds of blocking between two samples of the block and mutex
     * profiles, by Go's rule: a delay of so much or more is always counted;
     * 0: default; PRT_BLOCK_OFF: no such profiles, and no hooks for them.
     */
    uint64_t               block_rate;

    /*
     * Bytes that the process's trace is kept in, the latest part of it; touched
     * while it is recorded only.  0: default.
     */
    size_t                 trace_buffer;

    /*
     * 1: the main program is an event loop.  Its own calls on sockets never
     * block and need no look at the clock, nor does its wait for events, of
     * which it tells by prt_loop_wait().  And no thread of the process is ever
     * cancelled by pthread_cancel() in a call that the main program makes: these
     * need not be cancellation points, which makes them cheaper than without
     * the profiler.
     */
    int                    nonblocking;

    /*
     * Directories of debug files, separated by colons; NULL: /usr/lib/debug.
     * Has to stay where it is.
     */
    const char            *debug_path;

    /*
     * Code of the object that this address is in is the profiler's own, as the
     * library's: not hooked, and in no stack.  NULL: none; the main program
     * cannot be.
     */
    const void            *own;

    /*
     * Asked now and then by the service thread, never by the control thread;
     * must only read.  May be NULL.
     */
    void                 (*gauges)(prt_gauges_t *gauges);

    /*
     * A line for the log, on a thread of the runtime, while the control thread
     * does not come back from an event: nothing of it may be waited for, and
     * it may be anywhere.  The thread has descriptors of its own.  May be NULL.
     */
    void                 (*alarm)(const char *text);

    /*
     * An address in the object that has thread pools as nginx's: tasks are put
     * into a queue by the control thread, each with one signal of a condition
     * before it unlocks the queue, and taken out in that order, each with one
     * unlocking of it.  A task then has the labels of the one who posted it,
     * until its thread takes another.  NULL: there are none.
     */
    const void            *pools;

    /*
     * 1: the control thread lists what it works on when it is asked, see
     * prt_goroutines_wanted(); 0: it has no such thing.
     */
    int                    goroutines;

    /*
     * Where the flight recorder writes, an absolute path; NULL: there is no
     * recorder.
     */
    const char            *trace_path;

    /*
     * While the recorder runs: 1: what it has is written when a process has
     * died by a signal; and in ns, when an event was a stall that took so long;
     * 0: never.  Once a minute at most.
     */
    int                    trace_on_crash;
    uint64_t               trace_on_stall;

    /*
     * 1: an agent answers the gops protocol, at a port of 127.0.0.1 that the
     * kernel chooses, to processes of this user and of root; 0: none.
     */
    int                    gops;

    /*
     * The directory of the file that is named by the process's number and tells
     * the port.  NULL: where gops looks for it (GOPS_CONFIG_DIR, or "gops" in
     * XDG_CONFIG_HOME or in .config of HOME), made if need be; "": no file.  Has
     * to stay where it is.
     */
    const char            *gops_dir;

    /*
     * The program's part of what "gops version" says, as "name/1.0, ..."; NULL:
     * none.  Has to stay where it is.
     */
    const char            *version;

    /*
     * The program's part of what "gops memstats" says: writes lines "key:
     * value\n" into "text", at most "size" bytes, and returns how many.  On a
     * thread of the library; must only read.  May be NULL.
     */
    size_t               (*memstats)(char *text, size_t size);
} prt_options_t;


/*
 * Starts the runtime in this process: claims a slot of the region (NULL: a
 * private region of its own), installs the hooks on thread creation and
 * starts the service thread.  Returns 0, or -1 with "error" filled: then
 * nothing was started and the process goes on without profiler.  A child of
 * fork() has to call it again.
 */
PRT_EXPORT int prt_start(prt_region_t *region, const prt_options_t *options,
    char error[PRT_ERROR_LEN]);

/*
 * Stops it: deletes all timers, ignores SIGPROF, ends the service thread (waits
 * at most some seconds).
 * What was recorded stays readable for the other processes of the region.
 * Jobs still open are ended without an answer.
 */
PRT_EXPORT void prt_stop(void);

/*
 * For a process that is about to end: true when there are processes of a newer
 * generation, so that a window over them still makes sense (a reload); false
 * when all end.  Control thread.
 */
PRT_EXPORT int prt_others_remain(void);


/*
 * labels: what a thread works for.  Every sample of every profile that is
 * taken while they are set carries them.
 */

typedef struct {
    const char            *key;           /* in snake_case */
    size_t                 key_len;
    const char            *value;
    size_t                 value_len;
} prt_label_text_t;


/*
 * The number of a set of labels, at most 16, that this process can set from now
 * on; 0, which is no labels, when it has no room.  Texts are kept for good, so
 * there must be a bounded number of them; longer ones than 511 bytes are cut.
 * Any thread.
 */
PRT_EXPORT uint32_t prt_labels_make(const prt_label_text_t *labels,
    unsigned n);

/*
 * Those of the calling thread.  Whoever sets them for a piece of work puts back
 * after it what was there before.  Volatile, as handlers of signals read them.
 */
PRT_EXPORT extern __thread volatile uint32_t prt_labels
    __attribute__((tls_model("initial-exec")));

/* One of prt_labels_make()'s, of two literals. */
#define PRT_LABEL(key, value)                                                 \
    { key, sizeof(key) - 1, value, sizeof(value) - 1 }


/*
 * blocking that the library does not see: a lock of the program's own, a raw
 * system call, a device.  It goes into the block profile by the same rule as
 * what is seen, with the caller's stack, and this name as its leaf; what
 * blocks between the two calls is part of it and not counted itself.  Names
 * are kept for good, so there must be a bounded number of them.  Any thread;
 * signal-safe; the second keeps errno.
 */

/* The time; 0 while nothing records. */
PRT_EXPORT uint64_t prt_blocking(void);

/*
 * To be called on the same thread, whatever the first one returned.  With
 * "lock" it is in the mutex profile as well.
 */
PRT_EXPORT void prt_blocked(uint64_t since, const char *name, size_t len,
    int lock);


/*
 * custom profiles: what the program has at the moment (connections of a pool,
 * open cursors, leases), by the stacks and labels that made it.  They are
 * answered by name as any other, of all processes of the region together that
 * have one of this name; of those that live: with a process its part is gone.
 */

typedef struct prt_custom_s  prt_custom_t;

/*
 * The profile of this name (letters, digits, "_" and "-", at most 63), made if
 * there is none; the description (at most 255, without <, >, & and quotes) is
 * for the index.  May be called before prt_start(), and in a parent for all of
 * its children: then each has its own by this pointer.  NULL, and errno: EINVAL;
 * EEXIST where the library has such a one; ENOSPC for the fifth.  Any thread.
 */
PRT_EXPORT prt_custom_t *prt_custom_new(const char *name,
    const char *description);

/*
 * Puts a key in, with the stack of the caller, weighing "value": 1 to count.
 * One that is in is removed first.  Returns 0, or -1 when it was not put in:
 * the library does not run, the profile is NULL, or 40 000 keys and more are in.
 * Any thread, but not two with the same key at once; signal-safe; keeps errno.
 */
PRT_EXPORT int prt_custom_add(prt_custom_t *custom, const void *key,
    uint64_t value);

/* Takes it out; returns 0, or -1 when it was not in.  As prt_custom_add(). */
PRT_EXPORT int prt_custom_remove(prt_custom_t *custom, const void *key);

/* The number of keys in the calling process. */
PRT_EXPORT uint64_t prt_custom_count(const prt_custom_t *custom);


/*
 * threads: those that pthread_create() makes are known.  One that came by
 * another way is found within a second or so while a profile runs, without the
 * bounds of its stack; it is known at once if it says so itself, at its begin
 * and its end.  Returns 0, or -1 when the library does not run or has too many.
 */
PRT_EXPORT int prt_thread_register(void);
PRT_EXPORT void prt_thread_unregister(void);


/*
 * event loop: that of the control thread.  What it does from prt_loop_event() to
 * the next one, or to prt_loop_wait(), is an event; "handler" is the function
 * that is called for it.  An event that takes too long is a stall.  Control
 * thread only.
 */

/* Returns the time, in ticks, at which it begins; 0: nothing is recorded. */
PRT_EXPORT uint64_t prt_loop_event(const void *handler);

/* The loop is about to wait for events, returns the time; and has come back. */
PRT_EXPORT uint64_t prt_loop_wait(void);
PRT_EXPORT void prt_loop_woken(void);

/* When the loop came back last; and the nanoseconds that a difference is. */
PRT_EXPORT uint64_t prt_loop_turn(void);
PRT_EXPORT uint64_t prt_loop_ns(uint64_t ticks);


/*
 * goroutines: what the control thread works on or waits for, beside threads.
 * A stack of it is a logical one: functions that will be called, and names.
 * Control thread only, but for the first two.
 */

#define PRT_GOROUTINE_MAX      32         /* frames */

typedef struct {
    uint64_t               state;         /* prt_frame(): what it waits for */
    uint64_t               id;            /* unique among all processes; 0: any */
    uint64_t               lasts;         /* ns in this state, as far as known */
    uint64_t               age;           /* ns */
    const void            *creator;       /* function; NULL: not known */
    unsigned               parent;        /* what prt_goroutines_add() gave; 0: none */
    uint32_t               labels;
    unsigned               work:1;        /* one of the requests that "oldest" is of */
    unsigned               nframes;
    const uint64_t        *frames;        /* leaf first, without the state */
} prt_goroutine_t;

/*
 * A frame that is a name; texts are kept for good, as those of labels.  And
 * one that is a function.
 */
PRT_EXPORT uint64_t prt_frame(const char *name, size_t len);

static inline uint64_t
prt_frame_of(const void *function)
{
    return (uint64_t) (uintptr_t) function + 1;
}

/*
 * Whether somebody wants a list: to be asked whenever prt_job_finished() has
 * returned NULL, and after the end of a list.
 */
PRT_EXPORT int prt_goroutines_wanted(void);

/*
 * A list may be made in several parts, between which the loop goes on: each
 * is put between begin and end, which says whether it was the last.  add()
 * returns a number for "parent"; 0: there is no more room.
 */
PRT_EXPORT void prt_goroutines_begin(void);
PRT_EXPORT unsigned prt_goroutines_add(const prt_goroutine_t *goroutine);
PRT_EXPORT void prt_goroutines_end(int last);


/*
 * waits: what the control thread's work waited for, while nothing of it was
 * called: the profile "wait".  Control thread only.
 */

/* The number of a logical stack of prt_frame()s, leaf first; 0: no room. */
PRT_EXPORT uint32_t prt_wait_stack(const uint64_t *frames, unsigned n);

/* Adds so many waits that took "delay" ns in all. */
PRT_EXPORT void prt_wait_add(uint32_t stack, uint32_t labels, unsigned count,
    uint64_t delay);


/*
 * trace: what happens, in its order, while somebody records it: a window of the
 * profile "trace", or a recorder.  At other times these cost one look at a
 * variable.  Names and texts are kept for good, so there must be a bounded number
 * of them.  Any thread; signal-safe; all keep errno.
 */

/* Not 0 while it is recorded. */
PRT_EXPORT extern int prt_tracing;

/*
 * A task is what has a begin and an end, on whichever threads; "parent": 0, or
 * another one.  Its number is 0 while nothing is recorded, which all the others
 * take as well.
 */
PRT_EXPORT uint64_t prt_trace_task(uint64_t parent, const char *name,
    size_t len);
PRT_EXPORT void prt_trace_task_end(uint64_t task);

/*
 * A region is a part of the work on a task (0: on none), or what the calling
 * thread does; they nest.  Names of its begin and its end are the same.
 */
PRT_EXPORT void prt_trace_region(uint64_t task, const char *name,
    size_t len);
PRT_EXPORT void prt_trace_region_end(uint64_t task, const char *name,
    size_t len);

/* A message: its kind, and a text, both of a bounded number. */
PRT_EXPORT void prt_trace_log(uint64_t task, const char *key, size_t key_len,
    const char *text, size_t len);


/*
 * The same of the control thread's event loop, as it works on goroutines: "g" is
 * a number of up to 48 bits that no other one has at the same time.  To be called
 * while prt_tracing only, with times of prt_loop_event() and its like, or of
 * prt_trace_now().  Control thread only.
 */

#define PRT_TRACE_NEW          0x01       /* it begins to exist */
#define PRT_TRACE_READY        0x02       /* by an event, which begins with it */

#define PRT_TRACE_NETWORK      0          /* classes of states */
#define PRT_TRACE_SYNC         1
#define PRT_TRACE_SLEEP        2
#define PRT_TRACE_OTHER        3

PRT_EXPORT uint64_t prt_trace_now(void);

/* Whether recording has been switched since the last call, and to what. */
PRT_EXPORT int prt_trace_switched(int *on);

/* A state to wait in; the number is 0 if there is no room. */
PRT_EXPORT unsigned prt_trace_state(uint64_t name, unsigned kind);

PRT_EXPORT void prt_trace_woken(uint64_t time);
PRT_EXPORT void prt_trace_wait(uint64_t time);

/* Nothing comes after it, until the next prt_trace_woken(). */
PRT_EXPORT void prt_trace_off(uint64_t time);

/*
 * It goes on, instead of another one; "root" is a prt_frame() that tells its
 * kind.  Number 0 is the loop itself, with what it does for nobody.
 */
PRT_EXPORT void prt_trace_run(uint64_t time, uint64_t g, unsigned flags,
    uint64_t root);

/* The one that runs works for the task of that one. */
PRT_EXPORT void prt_trace_owner(uint64_t time, uint64_t g);

/* What it waits for when the event is over. */
PRT_EXPORT void prt_trace_block(uint64_t time, uint64_t g, unsigned state,
    uint32_t labels);

/* It is over. */
PRT_EXPORT void prt_trace_end(uint64_t time, uint64_t g);

/* Its task begins, comes to another phase, and is done. */
PRT_EXPORT void prt_trace_begin(uint64_t time, uint64_t g);
PRT_EXPORT void prt_trace_phase(uint64_t time, uint64_t g, uint32_t labels);
PRT_EXPORT void prt_trace_done(uint64_t time, uint64_t g, unsigned status,
    uint64_t bytes);


/* profiles */

#define PRT_PROFILE_WINDOW     0x01       /* only exists over a window: "profile" */
#define PRT_PROFILE_TEXT       0x02       /* has a text form: debug=1 */
#define PRT_PROFILE_DELTA      0x04       /* cumulative, and seconds= gives a difference */
#define PRT_PROFILE_MEMORY     0x08       /* of memory: gc= has a meaning */
#define PRT_PROFILE_BLOCK      0x10       /* of delays, sampled by pprof_block_rate */
#define PRT_PROFILE_NOW        0x40       /* what there is at this moment; debug=2 lists it */
#define PRT_PROFILE_TRACE      0x80       /* no profile: Go's execution trace */


typedef struct {
    const char            *name;          /* as in the path: "profile", "threadcreate" */
    const char            *description;   /* one sentence, for the index */
    unsigned               flags;
} prt_profile_info_t;


/*
 * Profile i, in the order of their names, then the custom ones; NULL past the
 * last.  Any thread.
 */
PRT_EXPORT const prt_profile_info_t *prt_profile_info(unsigned i);

/* The profile of this name of "len" bytes; NULL: unknown.  Any thread. */
PRT_EXPORT const prt_profile_info_t *prt_profile_find(const char *name,
    size_t len);


/*
 * jobs: what takes time is a job.  A job is opened, worked on by the service
 * thread, and handed back finished; the control thread learns of it by the
 * descriptor prt_eventfd().  All job functions: control thread only.
 */

typedef struct prt_job_s  prt_job_t;


#define PRT_ANY                (-1)

typedef struct {
    const prt_profile_info_t *profile;
    uint64_t               window;        /* ns; 0: what has accumulated so far */
    unsigned               rate;          /* Hz; 0: the process's default */
    int                    worker;        /* PRT_ANY: all */
    pid_t                  pid;           /* PRT_ANY: all */
    int                    debug;         /* 0: profile.proto, gzipped; 1, 2: text */
    int                    trim;          /* the processes give free memory back first */
    uint64_t               events;        /* of a trace, at most; 0: a million or so */
} prt_profile_request_t;


typedef enum {
    PRT_OK = 0,
    PRT_NOT_FOUND,                        /* no such worker or pid */
    PRT_BUSY,                             /* too many windows at once */
    PRT_CONFLICT,                         /* the recorder runs already, or does not */
    PRT_FAILED                            /* see the text */
} prt_status_t;


typedef struct {
    prt_status_t           status;
    const char            *error;         /* status != PRT_OK: one sentence */
    const uint8_t         *data;          /* status == PRT_OK */
    size_t                 size;
} prt_answer_t;


/* One worker of the region, for the index. */
typedef struct {
    unsigned               slot;
    int                    worker;        /* -1: none */
    pid_t                  pid;
    uint64_t               age;           /* ns since its start */
    uint64_t               cpu;           /* ns of CPU time of all its threads */
    uint64_t               rss;           /* bytes */
    prt_gauges_t           gauges;
    uint64_t               oldest;        /* ns that its oldest request is old */
    char                   oldest_state[64];  /* what that one waits for; "": none */
    char                   oldest_location[128];  /* its label "location"; "": none */
    uint64_t               samples;       /* CPU samples taken */
    uint64_t               lost;          /* samples lost, of all profiles */
    uint64_t               stalls;        /* events that held the loop too long */
    uint64_t               held;          /* ns that the present one does so; 0: none */
    char                   held_by[256];  /* where: labels and functions, if known */
    unsigned               rate;          /* Hz of the CPU sampler; 0: off */
    unsigned               gops_port;     /* of its agent; 0: none */
    unsigned               gops_refused;  /* connections of other users */
    unsigned               exiting:1;     /* of an older generation */
    unsigned               silent:1;      /* did not answer: its gauges are old */
} prt_worker_info_t;


/* How an object's addresses were named in the last profile of any worker. */
typedef struct {
    char                   path[256];     /* its end, if it is longer */
    const char            *source;        /* "debug info", "dynamic symbols", ... */
    const char            *advice;        /* before the path; NULL: ngx-debuginfo's */
    uint32_t               addresses;
    uint32_t               unnamed;       /* of these, without a function's name */
} prt_naming_info_t;


/*
 * Each returns NULL when memory is short.  "data" is the caller's, given back
 * by prt_job_data().
 */
PRT_EXPORT prt_job_t *prt_job_profile(const prt_profile_request_t *request,
    void *data);

/*
 * Names of addresses as they stand in our profiles.  Takes the array over in
 * any case; it must come from malloc().  Answer: "num_symbols: 1\n", then a line
 * "0xADDR name\n" for each address that is known.
 */
PRT_EXPORT prt_job_t *prt_job_symbol(uint64_t *addresses, size_t n,
    void *data);

/*
 * The state of all workers and the counts of all profiles, for the index;
 * read by prt_job_workers() and prt_job_count() when it is finished.
 */
PRT_EXPORT prt_job_t *prt_job_state(void *data);

/*
 * What the flight recorder is told to do.  Its file is written on a thread of the
 * runtime's, and a job that was opened is done, whoever waits for it or not.  "duration",
 * in ns, is of RUN: at most PRT_RECORDER_MAX.  "events" is how many a file may
 * have at most, about (0: a million or so): of RUN, for all files; else for this one,
 * if it is not 0.
 */
typedef enum {
    PRT_RECORDER_RUN,                     /* starts it */
    PRT_RECORDER_STOP,                    /* writes the file and stops it */
    PRT_RECORDER_SNAPSHOT                 /* writes the file, and it goes on */
} prt_recorder_command_t;

PRT_EXPORT prt_job_t *prt_job_recorder(prt_recorder_command_t command,
    uint64_t duration, uint64_t events, void *data);

/* Closes the window now: the answer so far comes as usual. */
PRT_EXPORT void prt_job_end(prt_job_t *job);

/*
 * Nobody waits for it any more: everything that it had switched on is
 * switched off, and it is freed.  Not to be used after.
 */
PRT_EXPORT void prt_job_cancel(prt_job_t *job);

/* Readable (level) when a job has finished; owned by the runtime. */
PRT_EXPORT int prt_eventfd(void);

/*
 * The next finished job, NULL when there is none; the first call after the
 * descriptor became readable clears it.
 */
PRT_EXPORT prt_job_t *prt_job_finished(void);

/*
 * Of a finished job: the line that is to be logged if it is a notice of the
 * runtime's own, which nobody opened; else NULL.
 */
PRT_EXPORT const char *prt_job_notice(prt_job_t *job);

PRT_EXPORT void *prt_job_data(prt_job_t *job);
PRT_EXPORT const prt_answer_t *prt_job_answer(prt_job_t *job);

/* Only of a finished job of prt_job_state(). */
PRT_EXPORT const prt_worker_info_t *prt_job_workers(prt_job_t *job,
    size_t *n);
PRT_EXPORT const prt_naming_info_t *prt_job_naming(prt_job_t *job,
    size_t *n);
PRT_EXPORT uint64_t prt_job_count(prt_job_t *job,
    const prt_profile_info_t *profile);

/* Of a finished job; its answer goes with it. */
PRT_EXPORT void prt_job_free(prt_job_t *job);


/*
 * flight recorder: all processes of the region record, those too that start
 * while it runs.  When its time is over, any of them that lives writes the
 * file; if that fails it goes on, and it is tried again.  Any thread.
 */

/* Each kind of file has its name: trace_path, and this at its end. */

typedef enum {
    PRT_FILE_TRACE,                       /* "" */
    PRT_FILE_CRASH,                       /* ".crash" */
    PRT_FILE_STALL,                       /* ".stall" */
    PRT_FILES
} prt_file_kind_t;

PRT_EXPORT const char *prt_file_suffix(prt_file_kind_t kind);


typedef struct {
    int                    running;
    uint64_t               elapsed;       /* ns since it was started; 0: not running */
    uint64_t               remaining;     /* ns until its end ... */
    unsigned               failures;      /* ... or until that is tried again */
    char                   error[PRT_ERROR_LEN];  /* of the last writing; "": none */

    struct {
        uint64_t           time;          /* ns since 1970; 0: none was written */
        uint64_t           size;          /* bytes */
        uint64_t           events;
        uint64_t           overwritten;   /* records of its time that were, before */
        uint64_t           left_out;      /* records: there were too many events */
    } files[PRT_FILES];
} prt_recorder_info_t;

/* Returns 0, or -1 when the library does not run. */
PRT_EXPORT int prt_recorder_info(prt_recorder_info_t *info);

/*
 * A duration of "len" bytes as Go writes it ("1m30s", "-1.5h", "0"), in ns.
 * Returns 0, or -1 where Go's time.ParseDuration() would have an error.
 */
PRT_EXPORT int prt_duration(const char *text, size_t len, int64_t *ns);


/*
 * crashes: the processes that died by a signal, and where; and those that are
 * gone without a word, which is noticed when another one starts, or is asked
 * for its state
 */

typedef struct {
    int                    worker;        /* -1: none */
    pid_t                  pid;
    int                    signo;         /* SIGKILL: without a word */
    const char            *signal;        /* "SIGSEGV", "killed (...)" */
    uint64_t               age;           /* ns since then, or since it was noticed */
    char                   where[512];    /* labels and functions, as far as known */
} prt_death_info_t;

/* The last "max" of them, the newest first; returns how many.  Any thread. */
PRT_EXPORT unsigned prt_deaths(prt_death_info_t *deaths, unsigned max);


#ifdef __cplusplus
}
#endif


#endif /* _PPROFRT_H_INCLUDED_ */
