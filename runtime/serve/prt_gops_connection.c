
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * A connection: its command is read, worked on, answered; then the client has
 * to have read the end before it is closed, or what it sent beside the command
 * would cost it the answer.
 */


#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/prt_futex.h"
#include "platform/prt_peer.h"
#include "serve/prt_gops.h"


#define PRT_GOPS_CHUNK   (256 * 1024)          /* bytes of a file at once */
#define PRT_GOPS_THROWN  (64 * 1024)           /* bytes thrown away at once */

static const char  prt_gops_unknown[] =
    "This command is not known here.\n";

static const char  prt_gops_memory[] =
    "No memory for the answer.\n";


static void prt_gops_read(prt_gops_connection_t *c);
static void prt_gops_work(prt_gops_connection_t *c);
static void prt_gops_hung_up(prt_gops_connection_t *c);
static void prt_gops_text(prt_gops_connection_t *c);
static void prt_gops_say(prt_gops_connection_t *c, const char *text,
    size_t size);
static void prt_gops_write(prt_gops_connection_t *c);
static ssize_t prt_gops_send(prt_gops_connection_t *c);
static void prt_gops_linger(prt_gops_connection_t *c);


void
prt_gops_open(prt_gops_connection_t *c, int fd)
{
    memset(c, 0, sizeof(prt_gops_connection_t));

    c->fd = fd;
    c->file = -1;
    c->state = PRT_GOPS_READING;
    c->deadline = prt_now() + PRT_GOPS_READ_TIMEOUT;

    prt_gops_expect(c, EPOLLIN);
}


void
prt_gops_close(prt_gops_connection_t *c)
{
    if (c->state == PRT_GOPS_FREE) {
        return;
    }

    if (c->job) {
        atomic_store(&c->job->cancelled, 1);
        prt_futex_wake(&prt_process.entry->wake);
    }

    if (c->finished) {
        prt_job_free(c->finished);
    }

    if (c->file != -1) {
        (void) close(c->file);
    }

    free(c->text.data);
    (void) close(c->fd);

    memset(c, 0, sizeof(prt_gops_connection_t));
}


void
prt_gops_event(prt_gops_connection_t *c, uint32_t events)
{
    switch (c->state) {

    case PRT_GOPS_FREE:
        return;

    case PRT_GOPS_READING:
        prt_gops_read(c);
        return;

    case PRT_GOPS_WORKING:

        if (events & (EPOLLHUP|EPOLLERR)) {
            prt_gops_close(c);
            return;
        }

        prt_gops_hung_up(c);
        return;

    case PRT_GOPS_WRITING:
        prt_gops_write(c);
        return;

    default:
        prt_gops_linger(c);
    }
}


void
prt_gops_expire(prt_gops_connection_t *c)
{
    if (c->state == PRT_GOPS_WORKING) {
        prt_gops_hung_up(c);
        return;
    }

    prt_gops_close(c);
}


static void
prt_gops_read(prt_gops_connection_t *c)
{
    int      rc;
    ssize_t  n;

    n = recv(c->fd, c->input + c->ninput, sizeof(c->input) - c->ninput, 0);

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }

    if (n <= 0) {
        prt_gops_close(c);
        return;
    }

    c->ninput += (size_t) n;

    rc = prt_gops_parse(c->input, c->ninput, &c->command);

    if (rc == 0) {
        return;
    }

    if (rc < 0) {
        prt_gops_say(c, prt_gops_unknown, sizeof(prt_gops_unknown) - 1);
        return;
    }

    prt_gops_work(c);
}


static void
prt_gops_work(prt_gops_connection_t *c)
{
    c->state = PRT_GOPS_WORKING;
    c->deadline = PRT_FOREVER;

    prt_gops_expect(c, EPOLLRDHUP);

    c->command->start(c);

    if (c->job) {
        prt_job_submit(c->job);
        return;
    }

    prt_gops_text(c);
}


/*
 * Either it has closed the connection, or says that no more will come: then
 * nothing would tell that it closes it later.
 */

static void
prt_gops_hung_up(prt_gops_connection_t *c)
{
    uid_t  user;

    if (prt_peer_user(c->fd, &user) != 0) {
        prt_gops_close(c);
        return;
    }

    c->deadline = prt_now() + PRT_GOPS_LOOK;
    prt_gops_expect(c, 0);
}


void
prt_gops_answer(prt_gops_connection_t *c, prt_job_t *job)
{
    const prt_answer_t  *answer;

    c->job = NULL;
    c->finished = job;

    answer = prt_job_answer(job);

    if (answer->status != PRT_OK) {
        prt_buffer_printf(&c->text, "%s\n", answer->error);

    } else if (c->command->text) {
        c->command->text(c, job);

    } else {
        prt_gops_say(c, (const char *) answer->data, answer->size);
        return;
    }

    prt_gops_text(c);
}


static void
prt_gops_text(prt_gops_connection_t *c)
{
    if (c->text.failed || (c->text.size == 0 && c->file == -1)) {
        prt_gops_say(c, prt_gops_memory, sizeof(prt_gops_memory) - 1);
        return;
    }

    prt_gops_say(c, (char *) c->text.data, c->text.size);
}


static void
prt_gops_say(prt_gops_connection_t *c, const char *text, size_t size)
{
    c->data = (const uint8_t *) text;
    c->size = size;

    c->state = PRT_GOPS_WRITING;
    c->deadline = prt_now() + PRT_GOPS_WRITE_TIMEOUT;

    prt_gops_write(c);
}


static void
prt_gops_write(prt_gops_connection_t *c)
{
    ssize_t  n;

    n = prt_gops_send(c);

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        prt_gops_expect(c, EPOLLOUT);
        return;
    }

    if (n == -1) {
        prt_gops_close(c);
        return;
    }

    if (n > 0) {
        c->deadline = prt_now() + PRT_GOPS_WRITE_TIMEOUT;
        prt_gops_expect(c, EPOLLOUT);
        return;
    }

    (void) shutdown(c->fd, SHUT_WR);

    c->state = PRT_GOPS_LINGERING;
    c->deadline = prt_now() + PRT_GOPS_LINGER;

    prt_gops_expect(c, EPOLLIN);
}


/* Returns 0 at the end. */

static ssize_t
prt_gops_send(prt_gops_connection_t *c)
{
    ssize_t  n;

    if (c->file != -1) {
        return sendfile(c->fd, c->file, NULL, PRT_GOPS_CHUNK);
    }

    if (c->size == 0) {
        return 0;
    }

    n = send(c->fd, c->data, c->size, MSG_NOSIGNAL);

    if (n > 0) {
        c->data += n;
        c->size -= (size_t) n;
    }

    return n;
}


static void
prt_gops_linger(prt_gops_connection_t *c)
{
    char     thrown[4096];
    ssize_t  n;
    size_t   size;

    for (size = 0; size < PRT_GOPS_THROWN; size += (size_t) n) {

        n = recv(c->fd, thrown, sizeof(thrown), 0);

        if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }

        if (n <= 0) {
            break;
        }
    }

    /* the end, or more than anybody has to say */

    prt_gops_close(c);
}
