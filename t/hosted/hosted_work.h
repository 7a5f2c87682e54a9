
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The work of the example module, free of nginx: every function that a test
 * looks for in a profile has external linkage and is never inlined, cloned or
 * merged with another one.  All measured times are nanoseconds.
 */


#ifndef _HOSTED_WORK_H_INCLUDED_
#define _HOSTED_WORK_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


#if defined(__GNUC__) && !defined(__clang__)
#define HOSTED_FUNCTION  __attribute__((noipa))
#else
#define HOSTED_FUNCTION  __attribute__((noinline))
#endif


/*
 * CPU time of the calling thread, by its own clock; round is the mean length of
 * a turn of both functions, 0 for some 2.6 ms.  The longer it is, the less the
 * shares of a regular sampler vary: it misjudges a turn by a sample at most.
 */

typedef struct {
    uint64_t               heavy;
    uint64_t               light;
    uint64_t               round;
    long                   tid;
} hosted_burn_t;


typedef struct hosted_thread_s  hosted_thread_t;


uint64_t hosted_cpu_clock(void);
uint64_t hosted_wall_clock(void);
long hosted_tid(void);

/*
 * hosted_burn() adds to *b, so a burn may be done in slices; heavy and light
 * stand in the ratio 3:1 after every call, to some 20 us.
 */
HOSTED_FUNCTION void hosted_burn(hosted_burn_t *b, uint64_t ns);
HOSTED_FUNCTION uint64_t hosted_heavy(uint64_t until);
HOSTED_FUNCTION uint64_t hosted_light(uint64_t until);

/* The chain a, b, a, b ... of depth calls ends in hosted_deep_bottom(). */
HOSTED_FUNCTION uint64_t hosted_deep(unsigned depth, uint64_t ns);
HOSTED_FUNCTION uint64_t hosted_deep_a(unsigned depth, uint64_t ns);
HOSTED_FUNCTION uint64_t hosted_deep_b(unsigned depth, uint64_t ns);
HOSTED_FUNCTION uint64_t hosted_deep_bottom(uint64_t ns);

/*
 * hosted_spawn() creates a thread that burns; NULL if there is none.
 * hosted_join() waits for it, hosted_poll() asks, and hosted_drop() gives up
 * the caller's interest in a detached one, whether it has ended or not.
 */
HOSTED_FUNCTION hosted_thread_t *hosted_spawn(uint64_t ns, int detached);
HOSTED_FUNCTION void hosted_join(hosted_thread_t *t, hosted_burn_t *b);
int hosted_poll(hosted_thread_t *t, hosted_burn_t *b);
void hosted_drop(hosted_thread_t *t);

/*
 * Blocking: each returns the wall time that the caller was blocked.
 * hosted_lock_hold() sets *held as soon as hosted_lock() has to wait.
 */
HOSTED_FUNCTION uint64_t hosted_sleep(unsigned ms);
HOSTED_FUNCTION uint64_t hosted_cond(unsigned ms);
HOSTED_FUNCTION uint64_t hosted_lock(void);
HOSTED_FUNCTION void hosted_lock_hold(unsigned ms,
    volatile unsigned long *held);
HOSTED_FUNCTION uint64_t hosted_fifo(unsigned ms);
HOSTED_FUNCTION uint64_t hosted_socket(unsigned ms);
HOSTED_FUNCTION uint64_t hosted_name(void);

/* Busy with calls that need not wait; returns the wall time. */
HOSTED_FUNCTION uint64_t hosted_files(unsigned ms);

/*
 * Memory: each returns the number of blocks that it allocated.  A block has at
 * least HOSTED_BLOCK_MIN bytes.  realloc: each grows from 16 bytes by doubling.
 * thread: hosted_alloc_threaded() does it in a thread of its own.  later: by
 * heap_later() of a library that hosted_alloc_load() has loaded; it returns 0,
 * or -1 if there is none.
 */

#define HOSTED_BLOCK_MIN   16

HOSTED_FUNCTION size_t hosted_alloc_keep(size_t size, size_t count);
HOSTED_FUNCTION size_t hosted_alloc_realloc(size_t size, size_t count);
HOSTED_FUNCTION size_t hosted_alloc_memalign(size_t size, size_t count);
HOSTED_FUNCTION size_t hosted_alloc_strdup(size_t size, size_t count);
HOSTED_FUNCTION size_t hosted_alloc_thread(size_t size, size_t count);
HOSTED_FUNCTION void *hosted_alloc_threaded(void *data);
HOSTED_FUNCTION size_t hosted_alloc_later(size_t size, size_t count);
int hosted_alloc_load(const char *path);
HOSTED_FUNCTION size_t hosted_alloc_free(size_t size, size_t count);
HOSTED_FUNCTION size_t hosted_alloc_drop(void);
size_t hosted_alloc_kept(size_t *bytes);

/*
 * A child that allocates, and frees what it has inherited; or (run) a shell.
 * Returns 0, or -1 if it went wrong.
 */
HOSTED_FUNCTION int hosted_child(int run);

HOSTED_FUNCTION uint64_t hosted_hang(unsigned ms, int spin);
HOSTED_FUNCTION void hosted_crash(void);
HOSTED_FUNCTION void hosted_text(unsigned char *p, size_t len);


#define HOSTED_ORACLE_TEXT  8192           /* bytes */

/*
 * From now on each CPU sample is walked by libunwind as well.  Returns -1 if
 * the profiler is not there.  json() writes what came of it.
 */
int hosted_oracle_start(void);
size_t hosted_oracle_json(char *text, size_t size);

/* Leases more, or fewer, and tells how many are; 0 without the profiler. */
HOSTED_FUNCTION size_t hosted_lease_keep(size_t n);
HOSTED_FUNCTION size_t hosted_lease_drop(size_t n);

/* A task with a region of so long, in ms, and a message in its midst. */
HOSTED_FUNCTION void hosted_trace(unsigned ms);


#endif /* _HOSTED_WORK_H_INCLUDED_ */
