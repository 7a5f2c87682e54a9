
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * More ways to block, and one that looks like it.
 */


#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <resolv.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hosted_work.h"


#define HOSTED_NAME_TIMEOUT  1             /* s, of one try */
#define HOSTED_FILES_BUFFER  65536


typedef struct {
    int                    fd;
    unsigned               ms;
} hosted_writer_t;


static int hosted_write(int fd, unsigned ms, pthread_t *thread,
    hosted_writer_t *writer);
static void *hosted_writer(void *data);
static int hosted_deaf(struct sockaddr_in *addr);


/* A thread writes into a pipe or a socket after ms, and the caller reads. */

uint64_t
hosted_fifo(unsigned ms)
{
    int              fds[2];
    char             c;
    uint64_t         start, delay;
    pthread_t        thread;
    hosted_writer_t  writer;

    if (pipe(fds) != 0) {
        return 0;
    }

    delay = 0;

    if (hosted_write(fds[1], ms, &thread, &writer) == 0) {

        start = hosted_wall_clock();

        while (read(fds[0], &c, 1) == -1 && errno == EINTR) { /* void */ }

        delay = hosted_wall_clock() - start;

        pthread_join(thread, NULL);
    }

    close(fds[0]);
    close(fds[1]);

    return delay;
}


uint64_t
hosted_socket(unsigned ms)
{
    int              fds[2];
    char             c;
    uint64_t         start, delay;
    pthread_t        thread;
    hosted_writer_t  writer;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) {
        return 0;
    }

    delay = 0;

    if (hosted_write(fds[1], ms, &thread, &writer) == 0) {

        start = hosted_wall_clock();

        while (recv(fds[0], &c, 1, 0) == -1 && errno == EINTR) { /* void */ }

        delay = hosted_wall_clock() - start;

        pthread_join(thread, NULL);
    }

    close(fds[0]);
    close(fds[1]);

    return delay;
}


static int
hosted_write(int fd, unsigned ms, pthread_t *thread, hosted_writer_t *writer)
{
    writer->fd = fd;
    writer->ms = ms;

    return pthread_create(thread, NULL, hosted_writer, writer);
}


static void *
hosted_writer(void *data)
{
    hosted_writer_t  *writer = data;

    hosted_hang(writer->ms, 0);

    while (write(writer->fd, "", 1) == -1 && errno == EINTR) { /* void */ }

    return NULL;
}


/* The only name server of this thread is a socket that nobody reads. */

uint64_t
hosted_name(void)
{
    int                 fd, retrans, retry, count;
    uint64_t            start;
    struct addrinfo     hints, *result;
    struct sockaddr_in  server, old;

    if (res_init() != 0) {
        return 0;
    }

    fd = hosted_deaf(&server);
    if (fd == -1) {
        return 0;
    }

    old = _res.nsaddr_list[0];
    count = _res.nscount;
    retrans = _res.retrans;
    retry = _res.retry;

    _res.nsaddr_list[0] = server;
    _res.nscount = 1;
    _res.retrans = HOSTED_NAME_TIMEOUT;
    _res.retry = 1;

    memset(&hints, 0, sizeof(struct addrinfo));
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;

    start = hosted_wall_clock();

    if (getaddrinfo("hosted.test.", "80", &hints, &result) == 0) {
        freeaddrinfo(result);
    }

    start = hosted_wall_clock() - start;

    _res.nsaddr_list[0] = old;
    _res.nscount = count;
    _res.retrans = retrans;
    _res.retry = retry;

    close(fd);

    return start;
}


static int
hosted_deaf(struct sockaddr_in *addr)
{
    int        fd;
    socklen_t  len;

    fd = socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, 0);
    if (fd == -1) {
        return -1;
    }

    memset(addr, 0, sizeof(struct sockaddr_in));
    addr->sin_family = AF_INET;
    addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    len = sizeof(struct sockaddr_in);

    if (bind(fd, (struct sockaddr *) addr, len) != 0
        || getsockname(fd, (struct sockaddr *) addr, &len) != 0)
    {
        close(fd);
        return -1;
    }

    return fd;
}


/* For ms nothing but calls on a file that is in memory. */

uint64_t
hosted_files(unsigned ms)
{
    int          fd;
    char         buffer[HOSTED_FILES_BUFFER];
    uint64_t     start, now, end;
    struct stat  st;

    start = hosted_wall_clock();
    end = start + (uint64_t) ms * 1000000;

    for (now = start; now < end; now = hosted_wall_clock()) {

        fd = open("/proc/self/exe", O_RDONLY|O_CLOEXEC);

        if (fd == -1) {
            return 0;
        }

        if (fstat(fd, &st) == 0) {
            (void) !pread(fd, buffer, sizeof(buffer), 0);
        }

        close(fd);
    }

    return now - start;
}
