
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/prt_futex.h"
#include "platform/prt_peer.h"
#include "serve/prt_gops.h"
#include "sources/prt_block.h"
#include "sources/prt_heap.h"
#include "sources/prt_record.h"
#include "sources/prt_thread.h"


#define PRT_GOPS_STACK    (256 * 1024)         /* bytes */
#define PRT_GOPS_BACKLOG  128
#define PRT_GOPS_ACCEPTS  32                   /* at once */
#define PRT_GOPS_STOP     200                  /* ms, for the thread to end */
#define PRT_GOPS_WATCH    (PRT_SEC / 2)        /* between looks at the files */

/* what epoll reports, beside connections by their numbers */
#define PRT_GOPS_LISTEN   PRT_GOPS_CONNECTIONS
#define PRT_GOPS_NOTIFY   (PRT_GOPS_CONNECTIONS + 1)


static int prt_gops_listen(char error[PRT_ERROR_LEN]);
static int prt_gops_run(char error[PRT_ERROR_LEN]);
static void prt_gops_descriptors(void);
static void *prt_gops_main(void *data);
static int prt_gops_timeout(void);
static void prt_gops_finished(void);
static void prt_gops_accept(void);
static int prt_gops_admit(int fd);
static prt_gops_connection_t *prt_gops_room(void);
static void prt_gops_pause(int pause);
static int prt_gops_add(int fd, uint32_t events, unsigned number);
static int prt_gops_first(void);


static pthread_t              prt_gops_thread;
static unsigned               prt_gops_running;
static atomic_int             prt_gops_stopping;
static int                    prt_gops_socket = -1;
static int                    prt_gops_epoll = -1;
static int                    prt_gops_eventfd = -1;
static prt_queue_t            prt_gops_queue;  /* of finished jobs */
static unsigned               prt_gops_paused; /* nobody is accepted */
static unsigned               prt_gops_written;  /* the port file */
static uint64_t               prt_gops_again;  /* to look at the files */

static prt_gops_connection_t  prt_gops_connections[PRT_GOPS_CONNECTIONS];


void
prt_gops_start(void)
{
    int          port;
    char         error[PRT_ERROR_LEN];
    const char  *dir;

    prt_gops_written = 0;

    if (!prt_process.options.gops) {
        return;
    }

    port = prt_gops_listen(error);

    if (port == -1 || prt_gops_run(error) != 0) {
        prt_gops_descriptors();
        prt_notice_text("no gops agent: %s", error);
        return;
    }

    atomic_store(&prt_slot.head->gops_port, (uint32_t) port);

    dir = prt_process.options.gops_dir;

    if (dir && dir[0] == '\0') {
        return;
    }

    if (prt_gops_file_write(dir, (unsigned) port, error) != 0) {
        prt_notice_text("no port file of the gops agent, which is at "
                        "127.0.0.1:%d: %s", port, error);
        return;
    }

    prt_gops_written = 1;
}


/* Returns the port. */

static int
prt_gops_listen(char error[PRT_ERROR_LEN])
{
    socklen_t           len;
    struct sockaddr_in  address;

    prt_gops_socket = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC,
                             0);
    if (prt_gops_socket == -1) {
        goto failed;
    }

    len = sizeof(struct sockaddr_in);

    memset(&address, 0, len);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    if (bind(prt_gops_socket, (struct sockaddr *) &address, len) == 0
        && listen(prt_gops_socket, PRT_GOPS_BACKLOG) == 0
        && getsockname(prt_gops_socket, (struct sockaddr *) &address, &len)
           == 0)
    {
        return ntohs(address.sin_port);
    }

failed:

    (void) snprintf(error, PRT_ERROR_LEN, "no port of 127.0.0.1: %s",
                    strerror(errno));

    return -1;
}


static int
prt_gops_run(char error[PRT_ERROR_LEN])
{
    int             rc;
    unsigned        i;
    pthread_attr_t  attr;

    for (i = 0; i < PRT_GOPS_CONNECTIONS; i++) {
        memset(&prt_gops_connections[i], 0, sizeof(prt_gops_connection_t));
    }

    prt_gops_paused = 0;
    atomic_store(&prt_gops_stopping, 0);

    prt_gops_epoll = epoll_create1(EPOLL_CLOEXEC);
    prt_gops_eventfd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (prt_gops_epoll == -1 || prt_gops_eventfd == -1
        || prt_gops_add(prt_gops_socket, EPOLLIN, PRT_GOPS_LISTEN) == -1
        || prt_gops_add(prt_gops_eventfd, EPOLLIN, PRT_GOPS_NOTIFY) == -1)
    {
        (void) snprintf(error, PRT_ERROR_LEN, "no epoll: %s", strerror(errno));
        return -1;
    }

    (void) pthread_attr_init(&attr);
    (void) pthread_attr_setstacksize(&attr, PRT_GOPS_STACK);

    /* all signals are blocked in the service thread, so here as well */

    rc = pthread_create(&prt_gops_thread, &attr, prt_gops_main, NULL);

    (void) pthread_attr_destroy(&attr);

    if (rc != 0) {
        (void) snprintf(error, PRT_ERROR_LEN, "no thread: %s", strerror(rc));
        return -1;
    }

    (void) pthread_setname_np(prt_gops_thread, "pprof-gops");

    prt_gops_running = 1;

    return 0;
}


int
prt_gops_stop(void)
{
    uint64_t         one, until;
    ssize_t          n;
    struct timespec  ts;

    prt_gops_file_remove();

    if (!prt_gops_running) {
        return 0;
    }

    atomic_store(&prt_slot.head->gops_port, 0);
    atomic_store(&prt_gops_stopping, 1);

    one = 1;
    n = write(prt_gops_eventfd, &one, sizeof(uint64_t));
    (void) n;

    until = prt_clock(CLOCK_REALTIME) + PRT_GOPS_STOP * PRT_MSEC;
    ts.tv_sec = (time_t) (until / PRT_SEC);
    ts.tv_nsec = (long) (until % PRT_SEC);

    if (pthread_timedjoin_np(prt_gops_thread, NULL, &ts) != 0) {
        return -1;
    }

    prt_gops_running = 0;

    return 0;
}


void
prt_gops_drain(void)
{
    prt_job_t  *job, *next;

    job = prt_queue_take(&prt_gops_queue);

    for ( /* void */ ; job; job = next) {
        next = job->next;
        prt_job_free(job);
    }

    prt_gops_descriptors();
}


static void
prt_gops_descriptors(void)
{
    unsigned  i;
    int      *fds[] = { &prt_gops_socket, &prt_gops_epoll, &prt_gops_eventfd };

    for (i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {

        if (*fds[i] != -1) {
            (void) close(*fds[i]);
            *fds[i] = -1;
        }
    }
}


void
prt_gops_forked(void)
{
    prt_gops_running = 0;
    prt_gops_socket = -1;
    prt_gops_epoll = -1;
    prt_gops_eventfd = -1;

    atomic_store(&prt_gops_queue.head, NULL);

    prt_gops_file_forget();
}


uint64_t
prt_gops_watch(uint64_t now)
{
    char  error[PRT_ERROR_LEN];

    if (!prt_gops_written) {
        return PRT_FOREVER;
    }

    if (now < prt_gops_again) {
        return prt_gops_again;
    }

    prt_gops_again = now + PRT_GOPS_WATCH;

    if (prt_gops_file_lost()) {
        prt_gops_file_remove();

        if (prt_gops_file_write(prt_process.options.gops_dir,
                                atomic_load(&prt_slot.head->gops_port), error)
            != 0)
        {
            prt_gops_written = 0;
            prt_notice_text("no port file of the gops agent any more: %s",
                            error);
        }

        return prt_gops_again;
    }

    if (prt_gops_first()) {
        prt_gops_file_sweep();
    }

    return prt_gops_again;
}


/* One of a family is enough for all: the first that lives. */

static int
prt_gops_first(void)
{
    unsigned  i;
    uint64_t  owner;

    for (i = 0; i < prt_process.slot; i++) {

        if (prt_region_state(prt_process.region, i, &owner) == PRT_SLOT_LIVE) {
            return 0;
        }
    }

    return 1;
}


static void *
prt_gops_main(void *data)
{
    int                     i, n, waiting;
    unsigned                number;
    uint64_t                now;
    struct epoll_event      events[PRT_GOPS_CONNECTIONS + 2];
    prt_gops_connection_t  *c;

    (void) data;

    prt_thread_own();
    prt_heap_own();
    prt_block_own();

    for ( ;; ) {
        n = epoll_wait(prt_gops_epoll, events, PRT_GOPS_CONNECTIONS + 2,
                       prt_gops_timeout());

        if (atomic_load(&prt_gops_stopping)) {
            break;
        }

        waiting = 0;

        for (i = 0; i < n; i++) {
            number = events[i].data.u32;

            if (number < PRT_GOPS_CONNECTIONS) {
                prt_gops_event(&prt_gops_connections[number],
                               events[i].events);

            } else if (number == PRT_GOPS_NOTIFY) {
                prt_gops_finished();

            } else {
                waiting = 1;
            }
        }

        now = prt_now();

        for (number = 0; number < PRT_GOPS_CONNECTIONS; number++) {
            c = &prt_gops_connections[number];

            if (c->state != PRT_GOPS_FREE && c->deadline <= now) {
                prt_gops_expire(c);
            }
        }

        /* at last: what was reported of a connection is not of its successor */

        if (waiting || prt_gops_paused) {
            prt_gops_accept();
        }
    }

    for (number = 0; number < PRT_GOPS_CONNECTIONS; number++) {
        prt_gops_close(&prt_gops_connections[number]);
    }

    return NULL;
}


/* In ms; -1: nothing will happen by itself. */

static int
prt_gops_timeout(void)
{
    uint64_t                now, until;
    unsigned                i;
    prt_gops_connection_t  *c;

    until = PRT_FOREVER;

    for (i = 0; i < PRT_GOPS_CONNECTIONS; i++) {
        c = &prt_gops_connections[i];

        if (c->state != PRT_GOPS_FREE && c->deadline < until) {
            until = c->deadline;
        }
    }

    if (until == PRT_FOREVER) {
        return -1;
    }

    now = prt_now();

    return until <= now ? 0 : (int) ((until - now) / PRT_MSEC) + 1;
}


static void
prt_gops_finished(void)
{
    ssize_t                 n;
    uint64_t                value;
    prt_job_t              *job, *next;

    /* first the descriptor, then the queue: nothing falls between */

    n = read(prt_gops_eventfd, &value, sizeof(uint64_t));
    (void) n;

    job = prt_queue_take(&prt_gops_queue);

    for ( /* void */ ; job; job = next) {
        next = job->next;

        if (atomic_load(&job->cancelled)) {
            prt_job_free(job);
            continue;
        }

        prt_gops_answer(prt_job_data(job), job);
    }
}


static void
prt_gops_accept(void)
{
    int                     fd;
    unsigned                i;
    prt_gops_connection_t  *c;

    for (i = 0; i < PRT_GOPS_ACCEPTS; i++) {

        c = prt_gops_room();

        /* who is not accepted waits in the queue of the kernel */

        prt_gops_pause(c == NULL);

        if (c == NULL) {
            return;
        }

        fd = accept4(prt_gops_socket, NULL, NULL, SOCK_NONBLOCK|SOCK_CLOEXEC);

        if (fd == -1) {

            if (errno == ECONNABORTED || errno == EINTR) {
                continue;
            }

            return;
        }

        if (!prt_gops_admit(fd)) {
            atomic_fetch_add(&prt_slot.head->gops_refused, 1);
            (void) close(fd);
            continue;
        }

        /* only now: strangers shall not push others out */

        if (c->state != PRT_GOPS_FREE) {
            prt_gops_close(c);
        }

        if (prt_gops_add(fd, 0, (unsigned) (c - prt_gops_connections)) == -1) {
            (void) close(fd);
            continue;
        }

        prt_gops_open(c, fd);
    }
}


static int
prt_gops_admit(int fd)
{
    uid_t  user;

    return prt_peer_user(fd, &user) == 0 && (user == 0 || user == geteuid());
}


/*
 * A connection that is free, or else the one that has been silent for the
 * longest time.
 */

static prt_gops_connection_t *
prt_gops_room(void)
{
    unsigned                i;
    prt_gops_connection_t  *c, *silent;

    silent = NULL;

    for (i = 0; i < PRT_GOPS_CONNECTIONS; i++) {
        c = &prt_gops_connections[i];

        if (c->state == PRT_GOPS_FREE) {
            return c;
        }

        if ((c->state == PRT_GOPS_READING || c->state == PRT_GOPS_LINGERING)
            && (silent == NULL || c->deadline < silent->deadline))
        {
            silent = c;
        }
    }

    return silent;
}


static void
prt_gops_pause(int pause)
{
    struct epoll_event  event;

    if ((int) prt_gops_paused == pause) {
        return;
    }

    prt_gops_paused = (unsigned) pause;

    event.events = pause ? 0 : EPOLLIN;
    event.data.u64 = PRT_GOPS_LISTEN;

    (void) epoll_ctl(prt_gops_epoll, EPOLL_CTL_MOD, prt_gops_socket, &event);
}


static int
prt_gops_add(int fd, uint32_t events, unsigned number)
{
    struct epoll_event  event;

    event.events = events;
    event.data.u64 = number;

    return epoll_ctl(prt_gops_epoll, EPOLL_CTL_ADD, fd, &event);
}


void
prt_gops_expect(prt_gops_connection_t *c, uint32_t events)
{
    struct epoll_event  event;

    if (c->events == events) {
        return;
    }

    c->events = events;

    event.events = events;
    event.data.u64 = (uint64_t) (c - prt_gops_connections);

    (void) epoll_ctl(prt_gops_epoll, EPOLL_CTL_MOD, c->fd, &event);
}


prt_job_t *
prt_gops_job(prt_job_kind_t kind, void *data)
{
    prt_job_t  *job;

    job = prt_job_create(kind, data);

    if (job) {
        job->target.pid = getpid();
        job->finished = &prt_gops_queue;
        job->notify = prt_gops_eventfd;
    }

    return job;
}
