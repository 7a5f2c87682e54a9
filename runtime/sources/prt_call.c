
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stddef.h>
#include <sys/syscall.h>

#include "sources/prt_call.h"


#define PRT_CALL(name)  [SYS_##name] = #name


/* An architecture has not all of them. */

static const char *const  prt_call_names[] = {

#ifdef SYS_accept
    PRT_CALL(accept),
#endif
#ifdef SYS_accept4
    PRT_CALL(accept4),
#endif
#ifdef SYS_bind
    PRT_CALL(bind),
#endif
#ifdef SYS_clock_nanosleep
    PRT_CALL(clock_nanosleep),
#endif
#ifdef SYS_clone
    PRT_CALL(clone),
#endif
#ifdef SYS_clone3
    PRT_CALL(clone3),
#endif
#ifdef SYS_close
    PRT_CALL(close),
#endif
#ifdef SYS_connect
    PRT_CALL(connect),
#endif
#ifdef SYS_copy_file_range
    PRT_CALL(copy_file_range),
#endif
#ifdef SYS_creat
    PRT_CALL(creat),
#endif
#ifdef SYS_dup
    PRT_CALL(dup),
#endif
#ifdef SYS_dup3
    PRT_CALL(dup3),
#endif
#ifdef SYS_epoll_ctl
    PRT_CALL(epoll_ctl),
#endif
#ifdef SYS_epoll_pwait
    PRT_CALL(epoll_pwait),
#endif
#ifdef SYS_epoll_pwait2
    PRT_CALL(epoll_pwait2),
#endif
#ifdef SYS_epoll_wait
    PRT_CALL(epoll_wait),
#endif
#ifdef SYS_execve
    PRT_CALL(execve),
#endif
#ifdef SYS_exit
    PRT_CALL(exit),
#endif
#ifdef SYS_exit_group
    PRT_CALL(exit_group),
#endif
#ifdef SYS_fallocate
    PRT_CALL(fallocate),
#endif
#ifdef SYS_fcntl
    PRT_CALL(fcntl),
#endif
#ifdef SYS_fdatasync
    PRT_CALL(fdatasync),
#endif
#ifdef SYS_flock
    PRT_CALL(flock),
#endif
#ifdef SYS_fstat
    PRT_CALL(fstat),
#endif
#ifdef SYS_fsync
    PRT_CALL(fsync),
#endif
#ifdef SYS_ftruncate
    PRT_CALL(ftruncate),
#endif
#ifdef SYS_futex
    PRT_CALL(futex),
#endif
#ifdef SYS_getdents64
    PRT_CALL(getdents64),
#endif
#ifdef SYS_getrandom
    PRT_CALL(getrandom),
#endif
#ifdef SYS_io_getevents
    PRT_CALL(io_getevents),
#endif
#ifdef SYS_io_pgetevents
    PRT_CALL(io_pgetevents),
#endif
#ifdef SYS_io_uring_enter
    PRT_CALL(io_uring_enter),
#endif
#ifdef SYS_ioctl
    PRT_CALL(ioctl),
#endif
#ifdef SYS_kill
    PRT_CALL(kill),
#endif
#ifdef SYS_link
    PRT_CALL(link),
#endif
#ifdef SYS_lseek
    PRT_CALL(lseek),
#endif
#ifdef SYS_lstat
    PRT_CALL(lstat),
#endif
#ifdef SYS_madvise
    PRT_CALL(madvise),
#endif
#ifdef SYS_mkdir
    PRT_CALL(mkdir),
#endif
#ifdef SYS_mmap
    PRT_CALL(mmap),
#endif
#ifdef SYS_mprotect
    PRT_CALL(mprotect),
#endif
#ifdef SYS_mremap
    PRT_CALL(mremap),
#endif
#ifdef SYS_msgrcv
    PRT_CALL(msgrcv),
#endif
#ifdef SYS_msgsnd
    PRT_CALL(msgsnd),
#endif
#ifdef SYS_msync
    PRT_CALL(msync),
#endif
#ifdef SYS_munmap
    PRT_CALL(munmap),
#endif
#ifdef SYS_nanosleep
    PRT_CALL(nanosleep),
#endif
#ifdef SYS_newfstatat
    PRT_CALL(newfstatat),
#endif
#ifdef SYS_open
    PRT_CALL(open),
#endif
#ifdef SYS_openat
    PRT_CALL(openat),
#endif
#ifdef SYS_pause
    PRT_CALL(pause),
#endif
#ifdef SYS_poll
    PRT_CALL(poll),
#endif
#ifdef SYS_ppoll
    PRT_CALL(ppoll),
#endif
#ifdef SYS_pread64
    PRT_CALL(pread64),
#endif
#ifdef SYS_preadv
    PRT_CALL(preadv),
#endif
#ifdef SYS_preadv2
    PRT_CALL(preadv2),
#endif
#ifdef SYS_prlimit64
    PRT_CALL(prlimit64),
#endif
#ifdef SYS_process_vm_readv
    PRT_CALL(process_vm_readv),
#endif
#ifdef SYS_pselect6
    PRT_CALL(pselect6),
#endif
#ifdef SYS_pwrite64
    PRT_CALL(pwrite64),
#endif
#ifdef SYS_pwritev
    PRT_CALL(pwritev),
#endif
#ifdef SYS_pwritev2
    PRT_CALL(pwritev2),
#endif
#ifdef SYS_read
    PRT_CALL(read),
#endif
#ifdef SYS_readahead
    PRT_CALL(readahead),
#endif
#ifdef SYS_readlink
    PRT_CALL(readlink),
#endif
#ifdef SYS_readv
    PRT_CALL(readv),
#endif
#ifdef SYS_recvfrom
    PRT_CALL(recvfrom),
#endif
#ifdef SYS_recvmmsg
    PRT_CALL(recvmmsg),
#endif
#ifdef SYS_recvmsg
    PRT_CALL(recvmsg),
#endif
#ifdef SYS_rename
    PRT_CALL(rename),
#endif
#ifdef SYS_restart_syscall
    PRT_CALL(restart_syscall),
#endif
#ifdef SYS_rmdir
    PRT_CALL(rmdir),
#endif
#ifdef SYS_rt_sigsuspend
    PRT_CALL(rt_sigsuspend),
#endif
#ifdef SYS_rt_sigtimedwait
    PRT_CALL(rt_sigtimedwait),
#endif
#ifdef SYS_sched_yield
    PRT_CALL(sched_yield),
#endif
#ifdef SYS_select
    PRT_CALL(select),
#endif
#ifdef SYS_semop
    PRT_CALL(semop),
#endif
#ifdef SYS_semtimedop
    PRT_CALL(semtimedop),
#endif
#ifdef SYS_sendfile
    PRT_CALL(sendfile),
#endif
#ifdef SYS_sendmmsg
    PRT_CALL(sendmmsg),
#endif
#ifdef SYS_sendmsg
    PRT_CALL(sendmsg),
#endif
#ifdef SYS_sendto
    PRT_CALL(sendto),
#endif
#ifdef SYS_shutdown
    PRT_CALL(shutdown),
#endif
#ifdef SYS_splice
    PRT_CALL(splice),
#endif
#ifdef SYS_stat
    PRT_CALL(stat),
#endif
#ifdef SYS_statfs
    PRT_CALL(statfs),
#endif
#ifdef SYS_statx
    PRT_CALL(statx),
#endif
#ifdef SYS_sync
    PRT_CALL(sync),
#endif
#ifdef SYS_sync_file_range
    PRT_CALL(sync_file_range),
#endif
#ifdef SYS_syncfs
    PRT_CALL(syncfs),
#endif
#ifdef SYS_tee
    PRT_CALL(tee),
#endif
#ifdef SYS_tgkill
    PRT_CALL(tgkill),
#endif
#ifdef SYS_truncate
    PRT_CALL(truncate),
#endif
#ifdef SYS_unlink
    PRT_CALL(unlink),
#endif
#ifdef SYS_unlinkat
    PRT_CALL(unlinkat),
#endif
#ifdef SYS_vmsplice
    PRT_CALL(vmsplice),
#endif
#ifdef SYS_wait4
    PRT_CALL(wait4),
#endif
#ifdef SYS_waitid
    PRT_CALL(waitid),
#endif
#ifdef SYS_write
    PRT_CALL(write),
#endif
#ifdef SYS_writev
    PRT_CALL(writev),
#endif

};


const char *
prt_call_name(long number)
{
    if (number < 0
        || (size_t) number >= sizeof(prt_call_names) / sizeof(char *))
    {
        return NULL;
    }

    return prt_call_names[number];
}
