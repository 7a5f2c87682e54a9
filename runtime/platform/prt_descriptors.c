
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <limits.h>
#include <linux/close_range.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/prt_descriptors.h"


static int prt_descriptors_close(unsigned first, unsigned last, unsigned flags);


int
prt_descriptors_unshare(const int *keep, unsigned n)
{
    int       next;
    unsigned  i, first, last;

    last = STDERR_FILENO;

    for (i = 0; i < n; i++) {
        if (keep[i] > (int) last) {
            last = (unsigned) keep[i];
        }
    }

    /* what is not kept is better never copied, so the end goes first */

    if (prt_descriptors_close(last + 1, UINT_MAX, CLOSE_RANGE_UNSHARE) == -1) {
        return -1;
    }

    for (first = STDERR_FILENO + 1; first < last; first = (unsigned) next + 1) {

        next = (int) last;

        for (i = 0; i < n; i++) {
            if (keep[i] >= (int) first && keep[i] < next) {
                next = keep[i];
            }
        }

        if (next > (int) first) {
            (void) prt_descriptors_close(first, (unsigned) next - 1, 0);
        }
    }

    return 0;
}


static int
prt_descriptors_close(unsigned first, unsigned last, unsigned flags)
{
    return (int) syscall(SYS_close_range, first, last, flags);
}
