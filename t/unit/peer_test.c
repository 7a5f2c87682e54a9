
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Whose the other end of a connection is: as the kernel answers, and as it
 * stands in /proc/net where the kernel is not to be asked.
 */


#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform/prt_peer.h"


#define NOBODY  65534


/* A connection to ourselves: [0] is the client's end. */

static int
pair(int fds[2], int ipv6)
{
    int                  listening;
    socklen_t            len;
    struct sockaddr_in   address;
    struct sockaddr_in6  mapped;

    len = sizeof(address);
    memset(&address, 0, len);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    listening = socket(AF_INET, SOCK_STREAM, 0);
    fds[0] = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);

    if (listening == -1 || fds[0] == -1
        || bind(listening, (struct sockaddr *) &address, len) == -1
        || listen(listening, 1) == -1
        || getsockname(listening, (struct sockaddr *) &address, &len) == -1)
    {
        return -1;
    }

    memset(&mapped, 0, sizeof(mapped));
    mapped.sin6_family = AF_INET6;
    mapped.sin6_port = address.sin_port;
    mapped.sin6_addr.s6_addr[10] = 0xff;
    mapped.sin6_addr.s6_addr[11] = 0xff;
    memcpy(&mapped.sin6_addr.s6_addr[12], &address.sin_addr, 4);

    if (connect(fds[0], ipv6 ? (struct sockaddr *) &mapped
                             : (struct sockaddr *) &address,
                ipv6 ? sizeof(mapped) : sizeof(address))
        == -1)
    {
        return -1;
    }

    fds[1] = accept(listening, NULL, NULL);
    (void) close(listening);

    return fds[1] == -1 ? -1 : 0;
}


/* 0, or the number of what is wrong. */

static int
peers(uid_t mine)
{
    int    i, fds[2];
    uid_t  user;

    for (i = 0; i < 2; i++) {

        if (pair(fds, i) == -1) {

            /* there may be no IPv6 */
            if (i == 1 && errno == EAFNOSUPPORT) {
                continue;
            }

            return 1;
        }

        user = mine + 1;

        if (prt_peer_user(fds[1], &user) != 0 || user != mine) {
            return 2;
        }

        /* both ends have one */

        if (prt_peer_user(fds[0], &user) != (i ? -1 : 0)) {
            return 3;
        }

        /* no more to be said: it is there all the same */

        if (shutdown(fds[0], SHUT_WR) == -1
            || prt_peer_user(fds[1], &user) != 0 || user != mine)
        {
            return 4;
        }

        (void) close(fds[0]);

        if (prt_peer_user(fds[1], &user) != -1) {
            return 5;
        }

        (void) close(fds[1]);
    }

    return 0;
}


/* socket(AF_NETLINK) fails as where a unit restricts address families. */

static int
no_netlink(void)
{
    struct sock_fprog   program;
    struct sock_filter  filter[] = {
        BPF_STMT(BPF_LD|BPF_W|BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP|BPF_JEQ|BPF_K, SYS_socket, 0, 3),
        BPF_STMT(BPF_LD|BPF_W|BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP|BPF_JEQ|BPF_K, AF_NETLINK, 0, 1),
        BPF_STMT(BPF_RET|BPF_K, SECCOMP_RET_ERRNO|EAFNOSUPPORT),
        BPF_STMT(BPF_RET|BPF_K, SECCOMP_RET_ALLOW)
    };

    program.len = sizeof(filter) / sizeof(filter[0]);
    program.filter = filter;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1
        || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == -1)
    {
        return -1;
    }

    return socket(AF_NETLINK, SOCK_RAW, 0) == -1 ? 0 : -1;
}


static int
in_child(int restricted, uid_t user)
{
    int    status;
    pid_t  pid;

    pid = fork();

    if (pid == 0) {

        if ((user != getuid() && setuid(user) == -1)
            || (restricted && no_netlink() == -1))
        {
            _exit(100);
        }

        _exit(peers(user));
    }

    if (pid == -1 || waitpid(pid, &status, 0) == -1 || !WIFEXITED(status)) {
        return 101;
    }

    return WEXITSTATUS(status);
}


static void
asked(void **state)
{
    (void) state;

    assert_int_equal(in_child(0, getuid()), 0);
}


static void
searched(void **state)
{
    int  rc;

    (void) state;

    rc = in_child(1, getuid());

    if (rc == 100) {
        skip();
    }

    assert_int_equal(rc, 0);
}


static void
another(void **state)
{
    int  rc;

    (void) state;

    if (getuid() != 0) {
        skip();
    }

    assert_int_equal(in_child(0, NOBODY), 0);

    rc = in_child(1, NOBODY);

    if (rc != 100) {
        assert_int_equal(rc, 0);
    }
}


static void
no_socket(void **state)
{
    int    fds[2];
    uid_t  user;

    (void) state;

    assert_int_equal(prt_peer_user(-1, &user), -1);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(prt_peer_user(fds[0], &user), -1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(prt_peer_user(fds[0], &user), -1);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(asked),
        cmocka_unit_test(searched),
        cmocka_unit_test(another),
        cmocka_unit_test(no_socket)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
