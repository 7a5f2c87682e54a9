
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The agent's thread: who is let in, and what happens to whom.
 */


#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/prt_futex.h"
#include "platform/prt_peer.h"
#include "serve/prt_gops.h"
#include "sources/prt_block.h"
#include "sources/prt_heap.h"
#include "sources/prt_record.h"
#include "sources/prt_thread.h"


#define PRT_GOPS_ACCEPTS  32                   /* at once */


static int prt_gops_timeout(uint64_t until);
static void prt_gops_finished(void);
static void prt_gops_accept(void);
static int prt_gops_admit(int fd);
static prt_gops_connection_t *prt_gops_room(void);
static prt_gops_connection_t *prt_gops_silent(void);
static void prt_gops_pause(int pause);


void *
prt_gops_main(void *data)
{
    int                     i, n, waiting;
    unsigned                number;
    uint64_t                now, again;
    struct epoll_event      events[PRT_GOPS_CONNECTIONS + 2];
    prt_gops_connection_t  *c;

    (void) data;

    prt_thread_own();
    prt_heap_own();
    prt_block_own();

    for ( ;; ) {
        again = prt_gops_file_watch(prt_now());

        n = epoll_wait(prt_gops.epoll, events, PRT_GOPS_CONNECTIONS + 2,
                       prt_gops_timeout(again));

        if (atomic_load(&prt_gops.stopping)) {
            break;
        }

        waiting = 0;

        for (i = 0; i < n; i++) {
            number = events[i].data.u32;

            if (number < PRT_GOPS_CONNECTIONS) {
                prt_gops_event(&prt_gops.connections[number],
                               events[i].events);

            } else if (number == PRT_GOPS_NOTIFY) {
                prt_gops_finished();

            } else {
                waiting = 1;
            }
        }

        now = prt_now();

        for (number = 0; number < PRT_GOPS_CONNECTIONS; number++) {
            c = &prt_gops.connections[number];

            if (c->state != PRT_GOPS_FREE && c->deadline <= now) {
                prt_gops_expire(c);
            }
        }

        /* at last: what was reported of a connection is not of its successor */

        if (waiting || prt_gops.paused) {
            prt_gops_accept();
        }
    }

    prt_gops_file_remove();

    for (number = 0; number < PRT_GOPS_CONNECTIONS; number++) {
        prt_gops_close(&prt_gops.connections[number]);
    }

    return NULL;
}


/* In ms; -1: nothing will happen by itself. */

static int
prt_gops_timeout(uint64_t until)
{
    uint64_t                now;
    unsigned                i;
    prt_gops_connection_t  *c;

    now = prt_now();

    if (prt_gops.paused && now + PRT_GOPS_LOOK < until) {
        until = now + PRT_GOPS_LOOK;
    }

    for (i = 0; i < PRT_GOPS_CONNECTIONS; i++) {
        c = &prt_gops.connections[i];

        if (c->state != PRT_GOPS_FREE && c->deadline < until) {
            until = c->deadline;
        }
    }

    if (until == PRT_FOREVER) {
        return -1;
    }

    return until <= now ? 0 : (int) ((until - now) / PRT_MSEC) + 1;
}


static void
prt_gops_finished(void)
{
    ssize_t                 n;
    uint64_t                value;
    prt_job_t              *job, *next;

    /* first the descriptor, then the queue: nothing falls between */

    n = read(prt_gops.eventfd, &value, sizeof(uint64_t));
    (void) n;

    job = prt_queue_take(&prt_gops.finished);

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

        fd = accept4(prt_gops.socket, NULL, NULL, SOCK_NONBLOCK|SOCK_CLOEXEC);

        if (fd == -1) {

            if (errno == ECONNABORTED || errno == EINTR) {
                continue;
            }

            if (errno == EAGAIN) {
                return;
            }

            /* no descriptors, no memory: of one who is silent, or later */

            c = prt_gops_silent();

            if (i > 0 || c == NULL) {
                prt_gops_pause(1);
                return;
            }

            prt_gops_close(c);
            continue;
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

        if (prt_gops_add(fd, 0, (unsigned) (c - prt_gops.connections)) == -1) {
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


/* A connection that is free, or else one that can be closed for it. */

static prt_gops_connection_t *
prt_gops_room(void)
{
    unsigned  i;

    for (i = 0; i < PRT_GOPS_CONNECTIONS; i++) {

        if (prt_gops.connections[i].state == PRT_GOPS_FREE) {
            return &prt_gops.connections[i];
        }
    }

    return prt_gops_silent();
}


/* Who has been silent for the longest time. */

static prt_gops_connection_t *
prt_gops_silent(void)
{
    unsigned                i;
    prt_gops_connection_t  *c, *silent;

    silent = NULL;

    for (i = 0; i < PRT_GOPS_CONNECTIONS; i++) {
        c = &prt_gops.connections[i];

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

    if ((int) prt_gops.paused == pause) {
        return;
    }

    prt_gops.paused = (unsigned) pause;

    event.events = pause ? 0 : EPOLLIN;
    event.data.u64 = PRT_GOPS_LISTEN;

    (void) epoll_ctl(prt_gops.epoll, EPOLL_CTL_MOD, prt_gops.socket, &event);
}


int
prt_gops_add(int fd, uint32_t events, unsigned number)
{
    struct epoll_event  event;

    event.events = events;
    event.data.u64 = number;

    return epoll_ctl(prt_gops.epoll, EPOLL_CTL_ADD, fd, &event);
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
    event.data.u64 = (uint64_t) (c - prt_gops.connections);

    (void) epoll_ctl(prt_gops.epoll, EPOLL_CTL_MOD, c->fd, &event);
}


prt_job_t *
prt_gops_job(prt_job_kind_t kind, void *data)
{
    prt_job_t  *job;

    job = prt_job_create(kind, data);

    if (job) {
        job->target.pid = getpid();
        job->finished = &prt_gops.finished;
        job->notify = prt_gops.eventfd;
    }

    return job;
}
