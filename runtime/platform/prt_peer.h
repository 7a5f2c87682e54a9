
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Whose the other end of a TCP connection over the loopback device is.
 */


#ifndef _PRT_PEER_H_INCLUDED_
#define _PRT_PEER_H_INCLUDED_


#include <sys/types.h>


/*
 * The user that the peer's socket belongs to.  Returns 0, or -1 if it is not
 * known, or if no process has that socket open any more: the kernel calls such
 * a one root's.
 */
int prt_peer_user(int fd, uid_t *user);


#endif /* _PRT_PEER_H_INCLUDED_ */
