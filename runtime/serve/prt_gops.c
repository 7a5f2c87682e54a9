
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The agent's life, on the service thread: its port, its thread.
 */


#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/prt_futex.h"
#include "serve/prt_gops.h"
#include "sources/prt_record.h"


#define PRT_GOPS_STACK    (256 * 1024)         /* bytes */
#define PRT_GOPS_BACKLOG  128
#define PRT_GOPS_STOP     500                  /* ms, for the thread to end */


static int prt_gops_listen(char error[PRT_ERROR_LEN]);
static int prt_gops_run(char error[PRT_ERROR_LEN]);
static void prt_gops_descriptors(void);


prt_gops_t  prt_gops = { .socket = -1, .epoll = -1, .eventfd = -1 };

static pthread_t  prt_gops_thread;
static unsigned   prt_gops_running;


void
prt_gops_start(void)
{
    int   port;
    char  error[PRT_ERROR_LEN];

    if (!prt_process.options.gops) {
        return;
    }

    port = prt_gops_listen(error);
    prt_gops.port = (unsigned) port;

    if (port == -1 || prt_gops_run(error) != 0) {
        prt_gops_descriptors();
        prt_notice_text("no gops agent: %s", error);
        return;
    }

    atomic_store(&prt_slot.head->gops_port, (uint32_t) port);
}


/* Returns the port. */

static int
prt_gops_listen(char error[PRT_ERROR_LEN])
{
    socklen_t           len;
    struct sockaddr_in  address;

    prt_gops.socket = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC,
                             0);
    if (prt_gops.socket == -1) {
        goto failed;
    }

    len = sizeof(struct sockaddr_in);

    memset(&address, 0, len);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    if (bind(prt_gops.socket, (struct sockaddr *) &address, len) == 0
        && listen(prt_gops.socket, PRT_GOPS_BACKLOG) == 0
        && getsockname(prt_gops.socket, (struct sockaddr *) &address, &len)
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
        memset(&prt_gops.connections[i], 0, sizeof(prt_gops_connection_t));
    }

    prt_gops.paused = 0;
    prt_gops_file_forget();
    atomic_store(&prt_gops.stopping, 0);

    prt_gops.epoll = epoll_create1(EPOLL_CLOEXEC);
    prt_gops.eventfd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (prt_gops.epoll == -1 || prt_gops.eventfd == -1
        || prt_gops_add(prt_gops.socket, EPOLLIN, PRT_GOPS_LISTEN) == -1
        || prt_gops_add(prt_gops.eventfd, EPOLLIN, PRT_GOPS_NOTIFY) == -1)
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

    if (!prt_gops_running) {
        return 0;
    }

    atomic_store(&prt_slot.head->gops_port, 0);
    atomic_store(&prt_gops.stopping, 1);

    one = 1;
    n = write(prt_gops.eventfd, &one, sizeof(uint64_t));
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

    job = prt_queue_take(&prt_gops.finished);

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
    int      *fds[] = { &prt_gops.socket, &prt_gops.epoll, &prt_gops.eventfd };

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
    prt_gops.socket = -1;
    prt_gops.epoll = -1;
    prt_gops.eventfd = -1;

    atomic_store(&prt_gops.finished.head, NULL);

    prt_gops_file_forget();
}
