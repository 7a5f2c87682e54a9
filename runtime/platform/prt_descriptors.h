
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * File descriptors of a thread that shares none with its process.
 *
 * The kernel takes a reference to the file at each system call of a process
 * whose table of descriptors has more than one user, and none otherwise: one
 * thread that only sleeps costs nginx 1 to 2 % of its CPU time.  A thread with
 * a table of its own does not.
 */


#ifndef _PRT_DESCRIPTORS_H_INCLUDED_
#define _PRT_DESCRIPTORS_H_INCLUDED_


/*
 * Gives the calling thread, and those that it creates, a table of its own, in
 * which only the standard descriptors and "keep" are open: what another thread
 * closes is closed.  Where the kernel refuses (before Linux 5.9) the table is
 * shared as before, and -1 returned.  Not signal-safe.
 */

int prt_descriptors_unshare(const int *keep, unsigned n);


#endif /* _PRT_DESCRIPTORS_H_INCLUDED_ */
