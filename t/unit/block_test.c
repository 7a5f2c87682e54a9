
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Every function that has a hook: what it answers, its errno, and the delay
 * that it counts, where it can be made to block.
 */


#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "block.h"


#define ROOM   (4 * 1024 * 1024)           /* more than a pipe or socket takes */


/* what the calls below work on, made anew for each */

static struct {
    int                fds[2];             /* a pipe, or a pair of sockets */
    int                listener;
    int                go[2];              /* what a child waits for */
    char               dir[64];
    char               path[96];
    pid_t              pid;
    pthread_t          thread;
    pthread_mutex_t    mutex;
    pthread_cond_t     cond;
    pthread_rwlock_t   rwlock;
    pthread_barrier_t  barrier;
    sem_t              sem;
} on;


static char  block_buffer[ROOM];


/*
 * A function of a known name with one blocking call, whose value it returns
 * (-1 on an error of those that return it).  Never a tail call.
 */

#define CALLS(name, call)                                                     \
                                                                              \
    KNOWN long known_##name(void);                                            \
                                                                              \
    KNOWN long                                                                \
    known_##name(void)                                                        \
    {                                                                         \
        long  rc;                                                             \
                                                                              \
        rc = (long) (call);                                                   \
        __asm__ volatile ("" : "+r" (rc) : : "memory");                       \
                                                                              \
        return rc;                                                            \
    }


static struct timespec   some = { 0, DELAY * (long) MSEC };
static struct timespec   until;
static struct timeval    part;
static struct iovec      iov = { block_buffer, ROOM };
static struct pollfd     ready;
static fd_set            set;
static siginfo_t         info;
static struct msghdr     message = { .msg_iov = &iov, .msg_iovlen = 1 };
static struct mmsghdr    messages;
static struct flock      whole = { .l_type = F_WRLCK };
static off_t             offset;


CALLS(usleep, usleep(DELAY * 1000))
CALLS(nanosleep, nanosleep(&some, NULL))
CALLS(clock_nanosleep, clock_nanosleep(CLOCK_MONOTONIC, 0, &some, NULL))
CALLS(sleep, sleep(1))

CALLS(pthread_mutex_lock, pthread_mutex_lock(&on.mutex))
CALLS(pthread_mutex_timedlock, pthread_mutex_timedlock(&on.mutex, &until))
CALLS(pthread_mutex_clocklock,
      pthread_mutex_clocklock(&on.mutex, CLOCK_MONOTONIC, &until))
CALLS(pthread_rwlock_rdlock, pthread_rwlock_rdlock(&on.rwlock))
CALLS(pthread_rwlock_wrlock, pthread_rwlock_wrlock(&on.rwlock))
CALLS(pthread_rwlock_timedrdlock,
      pthread_rwlock_timedrdlock(&on.rwlock, &until))
CALLS(pthread_rwlock_timedwrlock,
      pthread_rwlock_timedwrlock(&on.rwlock, &until))
CALLS(pthread_rwlock_clockrdlock,
      pthread_rwlock_clockrdlock(&on.rwlock, CLOCK_MONOTONIC, &until))
CALLS(pthread_rwlock_clockwrlock,
      pthread_rwlock_clockwrlock(&on.rwlock, CLOCK_MONOTONIC, &until))
CALLS(sem_wait, sem_wait(&on.sem))
CALLS(sem_timedwait, sem_timedwait(&on.sem, &until))
CALLS(sem_clockwait, sem_clockwait(&on.sem, CLOCK_MONOTONIC, &until))
CALLS(flock, flock(on.fds[0], LOCK_EX))
CALLS(lockf, lockf(on.fds[0], F_LOCK, 0))
CALLS(lockf64, lockf64(on.fds[0], F_LOCK, 0))
CALLS(fcntl, fcntl(on.fds[0], F_SETLKW, &whole))
CALLS(fcntl64, fcntl64(on.fds[0], F_SETLKW, &whole))

CALLS(pthread_cond_wait, pthread_cond_wait(&on.cond, &on.mutex))
CALLS(pthread_cond_timedwait,
      pthread_cond_timedwait(&on.cond, &on.mutex, &until))
CALLS(pthread_cond_clockwait,
      pthread_cond_clockwait(&on.cond, &on.mutex, CLOCK_MONOTONIC, &until))
CALLS(pthread_join, pthread_join(on.thread, NULL))
CALLS(pthread_timedjoin_np, pthread_timedjoin_np(on.thread, NULL, &until))
CALLS(pthread_clockjoin_np,
      pthread_clockjoin_np(on.thread, NULL, CLOCK_MONOTONIC, &until))
CALLS(pthread_barrier_wait, pthread_barrier_wait(&on.barrier))
CALLS(wait, wait(NULL))
CALLS(waitpid, waitpid(on.pid, NULL, 0))
CALLS(wait3, wait3(NULL, 0, NULL))
CALLS(wait4, wait4(on.pid, NULL, 0, NULL))
CALLS(waitid, waitid(P_PID, (id_t) on.pid, &info, WEXITED))

/* a fifo: until somebody opens its other end */
CALLS(open, open(on.path, O_RDONLY))
CALLS(open64, open64(on.path, O_RDONLY))
CALLS(openat, openat(AT_FDCWD, on.path, O_RDONLY))
CALLS(openat64, openat64(AT_FDCWD, on.path, O_RDONLY))
CALLS(creat, creat(on.path, 0600))
CALLS(creat64, creat64(on.path, 0600))

CALLS(read, read(on.fds[0], block_buffer, 1))
CALLS(readv, readv(on.fds[0], &iov, 1))
CALLS(splice, splice(on.fds[0], NULL, on.listener, NULL, 1, 0))
CALLS(write, write(on.fds[1], block_buffer, ROOM))
CALLS(writev, writev(on.fds[1], &iov, 1))
CALLS(sendfile, sendfile(on.fds[1], on.listener, NULL, ROOM))
CALLS(sendfile64, sendfile64(on.fds[1], on.listener, &offset, ROOM))

CALLS(accept, accept(on.listener, NULL, NULL))
CALLS(accept4, accept4(on.listener, NULL, NULL, SOCK_CLOEXEC))
CALLS(recv, recv(on.fds[0], block_buffer, 1, 0))
CALLS(recvfrom, recvfrom(on.fds[0], block_buffer, 1, 0, NULL, NULL))
CALLS(recvmsg, recvmsg(on.fds[0], &message, 0))
CALLS(recvmmsg, recvmmsg(on.fds[0], &messages, 1, 0, NULL))
CALLS(send, send(on.fds[1], block_buffer, ROOM, 0))
CALLS(sendto, sendto(on.fds[1], block_buffer, ROOM, 0, NULL, 0))
CALLS(sendmsg, sendmsg(on.fds[1], &message, 0))
CALLS(sendmmsg, sendmmsg(on.fds[1], &messages, 1, 0))
CALLS(poll, poll(&ready, 1, BOUND))
CALLS(ppoll, ppoll(&ready, 1, NULL, NULL))
CALLS(select, select(on.fds[0] + 1, &set, NULL, NULL, NULL))
CALLS(pselect, pselect(on.fds[0] + 1, &set, NULL, NULL, NULL, NULL))


/* Before the call, on the caller's thread, and DELAY later on another one. */

static void
nothing(void *data)
{
    (void) data;
}


static void
unlock(void *data)
{
    (void) data;
    assert_int_equal(sem_post(&on.sem), 0);
}


static void
signal_cond(void *data)
{
    (void) data;

    pthread_mutex_lock(&on.mutex);
    pthread_cond_signal(&on.cond);
    pthread_mutex_unlock(&on.mutex);
}


static void
arrive(void *data)
{
    (void) data;
    (void) pthread_barrier_wait(&on.barrier);
}


/* Holds a lock from now until it is told to give it back. */

static sem_t  held, enough;
static void   (*hold_lock)(int lock);


static void *
holding(void *data)
{
    (void) data;

    hold_lock(1);
    sem_post(&held);

    while (sem_wait(&enough) != 0) { /* void */ }

    hold_lock(0);

    return NULL;
}


static void
lock_mutex(int lock)
{
    assert_int_equal(lock ? pthread_mutex_lock(&on.mutex)
                          : pthread_mutex_unlock(&on.mutex), 0);
}


static void
lock_rwlock(int lock)
{
    assert_int_equal(lock ? pthread_rwlock_wrlock(&on.rwlock)
                          : pthread_rwlock_unlock(&on.rwlock), 0);
}


static void
hold(void (*f)(int))
{
    hold_lock = f;
    assert_int_equal(pthread_create(&on.thread, NULL, holding, NULL), 0);
    assert_int_equal(sem_wait(&held), 0);
}


static void
release(void *data)
{
    (void) data;
    sem_post(&enough);
}


static void
mutex_held(void)
{
    hold(lock_mutex);
}


static void
rwlock_held(void)
{
    hold(lock_rwlock);
}


static void
mutex_mine(void)
{
    pthread_mutex_lock(&on.mutex);
}


static void *
waiting(void *data)
{
    while (sem_wait(&enough) != 0) { /* void */ }

    return data;
}


static void
thread_runs(void)
{
    assert_int_equal(pthread_create(&on.thread, NULL, waiting, NULL), 0);
}


/* The child does nothing that a child of a program with threads must not. */

static void
child_waits(void)
{
    char  c;

    _exit(read(on.go[0], &c, 1) == 1 ? 0 : 1);
}


static void
child_runs(void)
{
    assert_int_equal(pipe(on.go), 0);

    on.pid = fork();
    assert_true(on.pid != -1);

    if (on.pid == 0) {
        child_waits();
    }
}


static void
let_go(void *data)
{
    (void) data;
    assert_int_equal(write(on.go[1], "x", 1), 1);
}


/* ... with a lock of a file, both kinds of it */

static void
file_locked(void)
{
    int   fd;
    char  c;
    int   pipes[2];

    on.fds[0] = open(on.path, O_RDWR|O_CREAT, 0600);
    assert_true(on.fds[0] != -1);
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(pipe(on.go), 0);

    on.pid = fork();
    assert_true(on.pid != -1);

    if (on.pid == 0) {
        fd = open(on.path, O_RDWR);
        c = (char) (flock(fd, LOCK_EX) + lockf(fd, F_LOCK, 0));
        (void) !write(pipes[1], &c, 1);
        child_waits();
    }

    assert_int_equal(read(pipes[0], &c, 1), 1);
    assert_int_equal(c, 0);
    close(pipes[0]);
    close(pipes[1]);
}


static void
fifo_made(void)
{
    assert_int_equal(mkfifo(on.path, 0600), 0);
}


static void
open_fifo(void *data)
{
    int  fd;

    (void) data;

    fd = open(on.path, O_RDWR);
    assert_true(fd != -1);

    /* the other one is through before this end is gone */
    usleep(DELAY * 1000);
    close(fd);
}


static void
pipe_made(void)
{
    assert_int_equal(pipe(on.fds), 0);
}


static void
pipes_made(void)
{
    int  fds[2];

    pipe_made();
    assert_int_equal(pipe(fds), 0);
    on.listener = fds[1];
    on.pid = -fds[0];
}


static void
sockets_made(void)
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, on.fds), 0);
}


static void
watched(void)
{
    pipe_made();

    ready.fd = on.fds[0];
    ready.events = POLLIN;
    FD_ZERO(&set);
    FD_SET(on.fds[0], &set);
}


static void
file_for_socket(void)
{
    sockets_made();

    on.listener = open(on.path, O_RDWR|O_CREAT, 0600);
    assert_true(on.listener != -1);
    assert_int_equal(ftruncate(on.listener, ROOM), 0);
}


static void
listening(void)
{
    struct sockaddr_in  addr;

    memset(&addr, 0, sizeof(addr));
    addr.sin_family = AF_INET;
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    on.listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(on.listener, (struct sockaddr *) &addr,
                          sizeof(addr)), 0);
    assert_int_equal(listen(on.listener, 1), 0);
}


static void
connect_to(void *data)
{
    socklen_t           len;
    struct sockaddr_in  addr;

    (void) data;

    len = sizeof(addr);
    assert_int_equal(getsockname(on.listener, (struct sockaddr *) &addr, &len),
                     0);

    on.fds[1] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(on.fds[1], (struct sockaddr *) &addr, len), 0);
}


static void
give(void *data)
{
    (void) data;
    assert_int_equal(write(on.fds[1], "x", 1), 1);
}


/* All that was sent, so that a writer gets on. */

static void
drain(void *data)
{
    size_t       n;
    ssize_t      k;
    static char  sink[65536];

    (void) data;

    for (n = 0; n < ROOM; n += (size_t) k) {
        k = read(on.fds[0], sink, sizeof(sink));
        assert_true(k > 0);
    }
}


#define LOCK  1                            /* in "mutex" as well */
#define REAL  2                            /* "until" is of CLOCK_REALTIME */
#define FD    4                            /* the value is a new descriptor */
#define ANY   8                            /* the value is not looked at */

#define call(name)  #name, known_##name

static const struct {
    const char   *name;
    long        (*known)(void);
    unsigned      flags;
    long          value;
    void        (*before)(void);
    void        (*after)(void *);
} blocking[] = {
    { call(usleep), 0, 0, NULL, nothing },
    { call(nanosleep), 0, 0, NULL, nothing },
    { call(clock_nanosleep), 0, 0, NULL, nothing },
    { call(sleep), 0, 0, NULL, nothing },

    { call(pthread_mutex_lock), LOCK, 0, mutex_held, release },
    { call(pthread_mutex_timedlock), LOCK|REAL, 0, mutex_held, release },
    { call(pthread_rwlock_rdlock), LOCK, 0, rwlock_held, release },
    { call(pthread_rwlock_wrlock), LOCK, 0, rwlock_held, release },
    { call(pthread_rwlock_timedrdlock), LOCK|REAL, 0, rwlock_held, release },
    { call(pthread_rwlock_timedwrlock), LOCK|REAL, 0, rwlock_held, release },
    { call(sem_wait), LOCK, 0, NULL, unlock },
    { call(sem_timedwait), LOCK|REAL, 0, NULL, unlock },
    { call(sem_clockwait), LOCK, 0, NULL, unlock },
    { call(flock), LOCK, 0, file_locked, let_go },
    { call(lockf), LOCK, 0, file_locked, let_go },
    { call(lockf64), LOCK, 0, file_locked, let_go },
    { call(fcntl), LOCK, 0, file_locked, let_go },
    { call(fcntl64), LOCK, 0, file_locked, let_go },

    { call(pthread_cond_wait), 0, 0, mutex_mine, signal_cond },
    { call(pthread_cond_timedwait), REAL, 0, mutex_mine, signal_cond },
    { call(pthread_join), 0, 0, thread_runs, release },
    { call(pthread_timedjoin_np), REAL, 0, thread_runs, release },
    { call(pthread_barrier_wait), ANY, 0, NULL, arrive },
    { call(wait), ANY, 0, child_runs, let_go },
    { call(waitpid), ANY, 0, child_runs, let_go },
    { call(wait3), ANY, 0, child_runs, let_go },
    { call(wait4), ANY, 0, child_runs, let_go },
    { call(waitid), 0, 0, child_runs, let_go },

    { call(open), FD, 0, fifo_made, open_fifo },
    { call(open64), FD, 0, fifo_made, open_fifo },
    { call(openat), FD, 0, fifo_made, open_fifo },
    { call(openat64), FD, 0, fifo_made, open_fifo },
    { call(creat), FD, 0, fifo_made, open_fifo },
    { call(creat64), FD, 0, fifo_made, open_fifo },

    { call(read), 0, 1, pipe_made, give },
    { call(readv), 0, 1, pipe_made, give },
    { call(splice), 0, 1, pipes_made, give },
    { call(write), 0, ROOM, pipe_made, drain },
    { call(writev), 0, ROOM, pipe_made, drain },
    { call(sendfile), ANY, 0, file_for_socket, drain },
    { call(sendfile64), ANY, 0, file_for_socket, drain },

    { call(accept), FD, 0, listening, connect_to },
    { call(accept4), FD, 0, listening, connect_to },
    { call(recv), 0, 1, sockets_made, give },
    { call(recvfrom), 0, 1, sockets_made, give },
    { call(recvmsg), 0, 1, sockets_made, give },
    { call(recvmmsg), 0, 1, sockets_made, give },
    { call(send), 0, ROOM, sockets_made, drain },
    { call(sendto), 0, ROOM, sockets_made, drain },
    { call(sendmsg), 0, ROOM, sockets_made, drain },
    { call(sendmmsg), 0, 1, sockets_made, drain },
    { call(poll), 0, 1, watched, give },
    { call(ppoll), 0, 1, watched, give },
    { call(select), 0, 1, watched, give },
    { call(pselect), 0, 1, watched, give },

    /* TSan does not know them */
#ifndef __SANITIZE_THREAD__
    { call(pthread_mutex_clocklock), LOCK, 0, mutex_held, release },
    { call(pthread_rwlock_clockrdlock), LOCK, 0, rwlock_held, release },
    { call(pthread_rwlock_clockwrlock), LOCK, 0, rwlock_held, release },
    { call(pthread_cond_clockwait), 0, 0, mutex_mine, signal_cond },
    { call(pthread_clockjoin_np), 0, 0, thread_runs, release }
#endif
};


static void
make(void)
{
    memset(&on, 0, sizeof(on));

    on.fds[0] = -1;
    on.fds[1] = -1;
    on.listener = -1;
    on.go[0] = -1;
    on.go[1] = -1;

    strcpy(on.dir, "/tmp/block_test.XXXXXX");
    assert_non_null(mkdtemp(on.dir));
    snprintf(on.path, sizeof(on.path), "%s/file", on.dir);

    pthread_mutex_init(&on.mutex, NULL);
    pthread_cond_init(&on.cond, NULL);
    pthread_rwlock_init(&on.rwlock, NULL);
    pthread_barrier_init(&on.barrier, NULL, 2);
    sem_init(&on.sem, 0, 0);
    sem_init(&held, 0, 0);
    sem_init(&enough, 0, 0);

    memset(&messages, 0, sizeof(messages));
    messages.msg_hdr = message;
    iov.iov_len = ROOM;
    offset = 0;
}


static void
unmake(void)
{
    if (on.pid < 0) {
        close(-on.pid);
    }

    close(on.fds[0]);
    close(on.fds[1]);
    close(on.listener);
    close(on.go[0]);
    close(on.go[1]);

    /* locked now, by this thread, if it was not before */
    (void) pthread_mutex_trylock(&on.mutex);
    pthread_mutex_unlock(&on.mutex);
    pthread_mutex_destroy(&on.mutex);

    (void) unlink(on.path);
    assert_int_equal(rmdir(on.dir), 0);
}


/* What the leaf of the samples with this function is called. */

static const char *
leaf_of(const profile_t *p, const char *function)
{
    size_t    i, k, l, f;
    uint64_t  id;

    for (i = 0; i < p->n_sample; i++) {

        if (p->sample[i]->n_location_id < 2) {
            continue;
        }

        for (k = 0; k < 2; k++) {
            id = p->sample[i]->location_id[1 - k];

            for (l = 0; p->location[l]->id != id; l++) { /* void */ }

            id = p->location[l]->line[p->location[l]->n_line - 1]->function_id;

            for (f = 0; p->function[f]->id != id; f++) { /* void */ }

            if (k == 1) {
                return p->string_table[p->function[f]->name];
            }

            if (strcmp(p->string_table[p->function[f]->name], function) != 0) {
                break;
            }
        }
    }

    return "";
}


static void
test_blocking(void **state)
{
    long        value;
    char        known[64];
    int64_t     delay;
    later_t     l;
    uint64_t    took[sizeof(blocking) / sizeof(blocking[0])];
    unsigned    i, n;
    profile_t  *block, *mutex;

    (void) state;

    block_start(1);

    n = sizeof(blocking) / sizeof(blocking[0]);

    for (i = 0; i < n; i++) {

        make();

        if (blocking[i].before) {
            blocking[i].before();
        }

        until = deadline(blocking[i].flags & REAL ? CLOCK_REALTIME
                                                  : CLOCK_MONOTONIC, BOUND);
        later(&l, blocking[i].after, NULL);

        took[i] = now();
        errno = EXDEV;
        value = blocking[i].known();
        assert_int_equal(errno, EXDEV);
        took[i] = now() - took[i];

        if (blocking[i].flags & FD) {
            assert_true(value > 2);
            close((int) value);

        } else if (!(blocking[i].flags & ANY)) {
            assert_int_equal(value, blocking[i].value);
        }

        pthread_join(l.thread, NULL);

        if (blocking[i].before == mutex_held
            || blocking[i].before == rwlock_held)
        {
            pthread_join(on.thread, NULL);
        }

        if (blocking[i].before == rwlock_held) {
            pthread_rwlock_unlock(&on.rwlock);
        }

        if (blocking[i].before == file_locked) {
            waitpid(on.pid, NULL, 0);
        }

        unmake();
    }

    block = take("block");
    mutex = take("mutex");

    for (i = 0; i < n; i++) {
        snprintf(known, sizeof(known), "known_%s", blocking[i].name);

        delay = value_of(block, known, TIME);

        print_message("%s: %.2f of %.2f ms, %s\n", blocking[i].name,
                      (double) delay / 1e6, (double) took[i] / 1e6,
                      leaf_of(block, known));

        /* the clock was read outside; the other one sees late that we sleep */

        assert_true(delay <= (int64_t) (took[i] + took[i] / 100));
        assert_true(delay >= (int64_t) (DELAY * MSEC) / 2);
        assert_true(value_of(block, known, CONTENTIONS) == 1);

        assert_true(value_of(mutex, known, TIME)
                    == (blocking[i].flags & LOCK ? delay : 0));

        /* open64 is open, and debug info has names of its own */

        if (!SANITIZED) {
            assert_true(strstr(leaf_of(block, known), blocking[i].name)
                        || strstr(blocking[i].name, leaf_of(block, known)));
        }
    }

    drop(block);
    drop(mutex);
}


/* What need not block: value and errno, and nothing is counted. */

static void
test_values(void **state)
{
    int              fd;
    char             path[128], more[128];
    unsigned         i;
    struct stat      st;
    struct statx     stx;

    (void) state;

    block_start(1);
    make();

    snprintf(path, sizeof(path), "%s/one", on.dir);
    snprintf(more, sizeof(more), "%s/two", on.dir);

    for (i = 0; i < 100; i++) {
        errno = EXDEV;

        fd = open(path, O_RDWR|O_CREAT, 0640);
        assert_true(fd != -1);
        assert_int_equal(pwrite(fd, "abcd", 4, 0), 4);
        assert_int_equal(pwrite64(fd, "abcd", 4, 4), 4);
        assert_int_equal(fsync(fd), 0);
        assert_int_equal(fdatasync(fd), 0);

        iov.iov_len = 2;
        assert_int_equal(pwritev(fd, &iov, 1, 8), 2);
        assert_int_equal(pwritev64(fd, &iov, 1, 10), 2);
        assert_int_equal(preadv(fd, &iov, 1, 0), 2);
        assert_memory_equal(block_buffer, "ab", 2);
        assert_int_equal(preadv64(fd, &iov, 1, 2), 2);
        assert_memory_equal(block_buffer, "cd", 2);
        memset(block_buffer, 0, 4);

        assert_int_equal(pread(fd, block_buffer, 100, 0), 12);
        assert_int_equal(pread64(fd, block_buffer, 1, 3), 1);
        assert_int_equal(block_buffer[0], 'd');
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_size, 12);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(lstat(path, &st), 0);
        assert_int_equal(fstatat(AT_FDCWD, path, &st, 0), 0);
        assert_int_equal(statx(AT_FDCWD, path, 0, STATX_SIZE, &stx), 0);
        assert_int_equal(stx.stx_size, 12);
        assert_int_equal(access(path, R_OK), 0);
        assert_int_equal(faccessat(AT_FDCWD, path, R_OK, 0), 0);
        assert_int_equal(ftruncate(fd, 3), 0);
        assert_int_equal(truncate(path, 2), 0);
        assert_int_equal(st.st_mode & 0777, 0640 & ~umask(umask(022)));
        assert_int_equal(rename(path, more), 0);
        assert_int_equal(renameat(AT_FDCWD, more, AT_FDCWD, path), 0);
        assert_int_equal(mkdir(more, 0700), 0);
        assert_int_equal(rmdir(more), 0);
        assert_int_equal(mkdirat(AT_FDCWD, more, 0700), 0);
        assert_int_equal(unlinkat(AT_FDCWD, more, AT_REMOVEDIR), 0);
        assert_int_equal(unlink(path), 0);
        close(fd);

        assert_int_equal(errno, EXDEV);
    }

    assert_int_equal(open(path, O_RDONLY), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(stat(path, &st), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(unlink(path), -1);
    assert_int_equal(errno, ENOENT);

    assert_int_equal(read(-1, block_buffer, 1), -1);
    assert_int_equal(errno, EBADF);
    errno = 0;
    assert_int_equal(write(-1, block_buffer, 1), -1);
    assert_int_equal(errno, EBADF);
    errno = 0;
    assert_int_equal(recv(-1, block_buffer, 1, 0), -1);
    assert_int_equal(errno, EBADF);
    errno = 0;
    assert_int_equal(fsync(-1), -1);
    assert_int_equal(errno, EBADF);
    errno = 0;
    assert_int_equal(waitpid(-1, NULL, 0), -1);
    assert_int_equal(errno, ECHILD);
    assert_int_equal(fcntl(-1, F_GETFL), -1);
    assert_int_equal(errno, EBADF);

    /* commands without a lock, with and without an argument */

    fd = open("/dev/null", O_RDONLY);
    assert_int_equal(fcntl(fd, F_SETFD, FD_CLOEXEC), 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);

    unmake();

    assert_int_equal(counted("mutex", "test_values", TIME), 0);
}


/* A socket that does not wait is not blocked. */

KNOWN void known_nonblocking(void);


KNOWN void
known_nonblocking(void)
{
    unsigned  i;

    for (i = 0; i < 1000; i++) {
        errno = 0;
        assert_int_equal(recv(on.fds[0], block_buffer, 1, 0), -1);
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(send(on.fds[1], block_buffer, 1000, 0), 1000);
        assert_int_equal(read(on.fds[0], block_buffer, 1000), 1000);
        assert_int_equal(poll(&ready, 0, 0), 0);
    }
}


static void
test_nonblocking(void **state)
{
    (void) state;

    block_start(1);
    make();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM|SOCK_NONBLOCK, 0,
                                on.fds), 0);
    known_nonblocking();
    unmake();

    assert_int_equal(counted("block", "known_nonblocking", CONTENTIONS), 0);
}


/* Time-outs, as values and as errno. */

static void
test_timeouts(void **state)
{
    (void) state;

    block_start(1);
    make();

    until = deadline(CLOCK_REALTIME, DELAY);
    assert_int_equal(sem_timedwait(&on.sem, &until), -1);
    assert_int_equal(errno, ETIMEDOUT);

    mutex_held();

    errno = EXDEV;
    until = deadline(CLOCK_REALTIME, DELAY);
    assert_int_equal(pthread_mutex_timedlock(&on.mutex, &until), ETIMEDOUT);
    until = deadline(CLOCK_MONOTONIC, DELAY);
    assert_int_equal(known_pthread_mutex_clocklock(), ETIMEDOUT);

    /* not looked at where the lock is to be had, as without us */
    until.tv_nsec = -1;
    assert_int_equal(pthread_mutex_timedlock(&on.mutex, &until), EINVAL);

    release(NULL);
    pthread_join(on.thread, NULL);

    mutex_mine();
    until = deadline(CLOCK_REALTIME, DELAY);
    assert_int_equal(pthread_cond_timedwait(&on.cond, &on.mutex, &until),
                     ETIMEDOUT);

    part.tv_usec = DELAY * 1000;
    assert_int_equal(select(0, NULL, NULL, NULL, &part), 0);
    assert_int_equal(poll(NULL, 0, DELAY), 0);
    assert_int_equal(errno, EXDEV);

    unmake();

    /* some of the time before each deadline may be gone by the call */

    assert_true(counted("block", "test_timeouts", CONTENTIONS) >= 6);
    assert_true(counted("block", "test_timeouts", TIME)
                >= (int64_t) (6 * DELAY * MSEC) / 2);
}


/* Names: what they answer, with their arguments on the stack, too. */

static void
test_names(void **state)
{
    int                  err;
    char                 host[256], service[64], buffer[4096];
    struct hostent       entry, *result;
    struct in_addr       local;
    struct addrinfo      hints, *info4;
    struct sockaddr_in   addr;

    (void) state;

    block_start(1);

    memset(&hints, 0, sizeof(hints));
    hints.ai_flags = AI_NUMERICHOST|AI_NUMERICSERV;
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;

    assert_int_equal(getaddrinfo("127.0.0.1", "80", &hints, &info4), 0);
    memcpy(&addr, info4->ai_addr, sizeof(addr));
    assert_int_equal(ntohs(addr.sin_port), 80);
    freeaddrinfo(info4);
    assert_int_equal(getaddrinfo("no number", "80", &hints, &info4),
                     EAI_NONAME);

    assert_int_equal(getnameinfo((struct sockaddr *) &addr, sizeof(addr), host,
                                 sizeof(host), service, sizeof(service),
                                 NI_NUMERICHOST|NI_NUMERICSERV), 0);
    assert_string_equal(host, "127.0.0.1");
    assert_string_equal(service, "80");

    local.s_addr = htonl(INADDR_LOOPBACK);

    assert_int_equal(gethostbyname_r("127.0.0.1", &entry, buffer,
                                     sizeof(buffer), &result, &err), 0);
    assert_non_null(result);
    assert_memory_equal(result->h_addr, &local, 4);

    assert_int_equal(gethostbyname2_r("127.0.0.1", AF_INET, &entry, buffer,
                                      sizeof(buffer), &result, &err), 0);
    assert_non_null(result);
    assert_memory_equal(result->h_addr, &local, 4);

    /* eight arguments; whether it has a name is the machine's affair */
    assert_int_equal(gethostbyaddr_r(&local, 4, AF_INET, &entry, buffer, 1,
                                     &result, &err), ERANGE);
}


/* Locks of other kinds answer as they do without us, and nobody waited. */

static void *
die_with(void *data)
{
    assert_int_equal(pthread_mutex_lock(data), 0);

    return NULL;
}


static void
test_locks(void **state)
{
    pthread_t            thread;
    pthread_mutex_t      mutex;
    pthread_mutexattr_t  attr;
    pthread_rwlock_t     rwlock;

    (void) state;

    block_start(1);

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&mutex, &attr);
    assert_int_equal(pthread_mutex_lock(&mutex), 0);
    assert_int_equal(pthread_mutex_lock(&mutex), EDEADLK);
    assert_int_equal(pthread_mutex_unlock(&mutex), 0);

    /* TSan takes it for an error of the program's */
#ifndef __SANITIZE_THREAD__
    assert_int_equal(pthread_mutex_unlock(&mutex), EPERM);
#endif

    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&mutex, &attr);
    assert_int_equal(pthread_mutex_lock(&mutex), 0);
    assert_int_equal(pthread_mutex_lock(&mutex), 0);
    assert_int_equal(pthread_mutex_unlock(&mutex), 0);
    assert_int_equal(pthread_mutex_unlock(&mutex), 0);

    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_NORMAL);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&mutex, &attr);
    assert_int_equal(pthread_create(&thread, NULL, die_with, &mutex), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(pthread_mutex_lock(&mutex), EOWNERDEAD);
    assert_int_equal(pthread_mutex_unlock(&mutex), 0);
    assert_int_equal(pthread_mutex_lock(&mutex), ENOTRECOVERABLE);

    pthread_rwlock_init(&rwlock, NULL);
    assert_int_equal(pthread_rwlock_wrlock(&rwlock), 0);
    assert_int_equal(pthread_rwlock_wrlock(&rwlock), EDEADLK);
    assert_int_equal(pthread_rwlock_rdlock(&rwlock), EDEADLK);
    assert_int_equal(pthread_rwlock_unlock(&rwlock), 0);
    assert_int_equal(pthread_rwlock_rdlock(&rwlock), 0);
    assert_int_equal(pthread_rwlock_rdlock(&rwlock), 0);
    assert_int_equal(pthread_rwlock_unlock(&rwlock), 0);
    assert_int_equal(pthread_rwlock_unlock(&rwlock), 0);

    assert_int_equal(counted("mutex", "test_locks", CONTENTIONS), 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test_teardown(test_blocking, block_stop),
        cmocka_unit_test_teardown(test_values, block_stop),
        cmocka_unit_test_teardown(test_nonblocking, block_stop),
        cmocka_unit_test_teardown(test_timeouts, block_stop),
        cmocka_unit_test_teardown(test_names, block_stop),
        cmocka_unit_test_teardown(test_locks, block_stop)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
