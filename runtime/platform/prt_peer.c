
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The kernel is asked for the one socket (sock_diag(7)); where it has no such
 * interface, /proc/net/tcp is searched for it.
 */


#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/prt_peer.h"


#define PRT_PEER_FORMAT  " %*d: %64[0-9A-F]:%x %64[0-9A-F]:%x %*x %*x:%*x "  \
                         "%*x:%*x %*x %u %*d %lu"


typedef enum {
    PRT_PEER_FOUND = 0,
    PRT_PEER_NONE,                         /* nobody has it open */
    PRT_PEER_UNKNOWN                       /* the kernel does not tell */
} prt_peer_status_t;


static prt_peer_status_t prt_peer_ask(const struct sockaddr_in *peer,
    const struct sockaddr_in *self, uid_t *user);
static prt_peer_status_t prt_peer_answer(int fd, const struct sockaddr_in *peer,
    const struct sockaddr_in *self, uid_t *user);
static prt_peer_status_t prt_peer_search(const char *path,
    const struct sockaddr_in *peer, const struct sockaddr_in *self,
    uid_t *user);


int
prt_peer_user(int fd, uid_t *user)
{
    socklen_t           len;
    prt_peer_status_t   status;
    struct sockaddr_in  peer, self;

    memset(&peer, 0, sizeof(struct sockaddr_in));
    memset(&self, 0, sizeof(struct sockaddr_in));

    len = sizeof(struct sockaddr_in);

    if (getpeername(fd, (struct sockaddr *) &peer, &len) == -1
        || peer.sin_family != AF_INET)
    {
        return -1;
    }

    len = sizeof(struct sockaddr_in);

    if (getsockname(fd, (struct sockaddr *) &self, &len) == -1) {
        return -1;
    }

    status = prt_peer_ask(&peer, &self, user);

    if (status == PRT_PEER_UNKNOWN) {
        status = prt_peer_search("/proc/net/tcp", &peer, &self, user);
    }

    if (status == PRT_PEER_UNKNOWN) {
        status = prt_peer_search("/proc/net/tcp6", &peer, &self, user);
    }

    return status == PRT_PEER_FOUND ? 0 : -1;
}


static prt_peer_status_t
prt_peer_ask(const struct sockaddr_in *peer, const struct sockaddr_in *self,
    uid_t *user)
{
    int                  fd;
    prt_peer_status_t    status;
    struct sockaddr_nl   kernel;

    struct {
        struct nlmsghdr          head;
        struct inet_diag_req_v2  diag;
    } request;

    fd = socket(AF_NETLINK, SOCK_RAW|SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd == -1) {
        return PRT_PEER_UNKNOWN;
    }

    memset(&kernel, 0, sizeof(struct sockaddr_nl));
    kernel.nl_family = AF_NETLINK;

    memset(&request, 0, sizeof(request));

    request.head.nlmsg_len = sizeof(request);
    request.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    request.head.nlmsg_flags = NLM_F_REQUEST;

    request.diag.sdiag_family = AF_INET;
    request.diag.sdiag_protocol = IPPROTO_TCP;
    request.diag.idiag_states = UINT32_MAX;
    request.diag.id.idiag_sport = peer->sin_port;
    request.diag.id.idiag_dport = self->sin_port;
    request.diag.id.idiag_src[0] = peer->sin_addr.s_addr;
    request.diag.id.idiag_dst[0] = self->sin_addr.s_addr;
    request.diag.id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
    request.diag.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;

    if (sendto(fd, &request, sizeof(request), 0, (struct sockaddr *) &kernel,
               sizeof(struct sockaddr_nl))
        == (ssize_t) sizeof(request))
    {
        status = prt_peer_answer(fd, peer, self, user);

    } else {
        status = PRT_PEER_UNKNOWN;
    }

    (void) close(fd);

    return status;
}


static prt_peer_status_t
prt_peer_answer(int fd, const struct sockaddr_in *peer,
    const struct sockaddr_in *self, uid_t *user)
{
    ssize_t                      n;
    const struct nlmsghdr       *head;
    const struct inet_diag_msg  *diag;

    union {
        struct nlmsghdr          head;
        uint8_t                  bytes[4096];
    } answer;

    /* the kernel has answered by the time that it took the request */

    n = recv(fd, &answer, sizeof(answer), MSG_DONTWAIT);
    head = &answer.head;

    if (n < (ssize_t) NLMSG_LENGTH(sizeof(struct inet_diag_msg))
        || head->nlmsg_type != SOCK_DIAG_BY_FAMILY)
    {
        return PRT_PEER_UNKNOWN;
    }

    diag = NLMSG_DATA(head);

    /* where there is no such connection it finds who listens there */

    if (diag->id.idiag_sport != peer->sin_port
        || diag->id.idiag_dport != self->sin_port
        || diag->idiag_state == TCP_LISTEN)
    {
        return PRT_PEER_UNKNOWN;
    }

    if (diag->idiag_inode == 0) {
        return PRT_PEER_NONE;
    }

    *user = diag->idiag_uid;

    return PRT_PEER_FOUND;
}


static prt_peer_status_t
prt_peer_search(const char *path, const struct sockaddr_in *peer,
    const struct sockaddr_in *self, uid_t *user)
{
    char                line[512], texts[2][65], wanted[2][9];
    FILE               *file;
    size_t              len;
    unsigned            ports[2], owner;
    unsigned long       inode;
    prt_peer_status_t   status;

    file = fopen(path, "re");
    if (file == NULL) {
        return PRT_PEER_UNKNOWN;
    }

    (void) snprintf(wanted[0], 9, "%08X", peer->sin_addr.s_addr);
    (void) snprintf(wanted[1], 9, "%08X", self->sin_addr.s_addr);

    status = PRT_PEER_UNKNOWN;

    while (status == PRT_PEER_UNKNOWN
           && fgets(line, sizeof(line), file) != NULL)
    {
        if (sscanf(line, PRT_PEER_FORMAT, texts[0], &ports[0], texts[1],
                   &ports[1], &owner, &inode)
            != 6
            || ports[0] != ntohs(peer->sin_port)
            || ports[1] != ntohs(self->sin_port))
        {
            continue;
        }

        /* of IPv6 those that stand for the same in IPv4 */

        len = strlen(texts[0]);

        if (len < 8 || strlen(texts[1]) != len
            || strcmp(texts[0] + len - 8, wanted[0]) != 0
            || strcmp(texts[1] + len - 8, wanted[1]) != 0)
        {
            continue;
        }

        *user = owner;
        status = inode ? PRT_PEER_FOUND : PRT_PEER_NONE;
    }

    (void) fclose(file);

    return status;
}
