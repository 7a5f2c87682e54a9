
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * A line for error.log while the event loop does not come back, written by a
 * thread of the runtime.
 *
 * nginx's logging is the event loop's, and the thread has descriptors of its
 * own; so it borrows the log's from the process for the time of one write.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <sys/syscall.h>

#include <ngx_http_pprof_module.h>


#ifndef SYS_pidfd_open
#define SYS_pidfd_open   434
#endif

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd  438
#endif


static ngx_fd_t ngx_http_pprof_alarm_fd(void);


void
ngx_http_pprof_alarm(const char *text)
{
    u_char     *p, *last, line[NGX_MAX_ERROR_STR];
    time_t      now;
    ngx_fd_t    fd;
    struct tm   tm;

    fd = ngx_http_pprof_alarm_fd();
    if (fd == NGX_INVALID_FILE) {
        return;
    }

    /* nginx's own time stands still */

    now = time(NULL);
    (void) localtime_r(&now, &tm);

    last = line + NGX_MAX_ERROR_STR - 1;

    p = ngx_slprintf(line, last,
                     "%4d/%02d/%02d %02d:%02d:%02d [warn] %P#%P: pprof: %s",
                     tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                     tm.tm_hour, tm.tm_min, tm.tm_sec,
                     ngx_pid, ngx_log_tid, text);
    *p++ = '\n';

    (void) ngx_write_fd(fd, line, p - line);
    (void) close(fd);
}


/* That of the first log that is a file and takes warnings. */

static ngx_fd_t
ngx_http_pprof_alarm_fd(void)
{
    int          pidfd;
    ngx_fd_t     fd;
    ngx_log_t   *log;
    struct stat  st;

    for (log = ngx_cycle->log; log; log = log->next) {
        if (log->log_level >= NGX_LOG_WARN && log->writer == NULL && log->file)
        {
            break;
        }
    }

    if (log == NULL || log->file->fd == NGX_INVALID_FILE) {
        return NGX_INVALID_FILE;
    }

    pidfd = (int) syscall(SYS_pidfd_open, getpid(), 0);
    if (pidfd == -1) {
        return NGX_INVALID_FILE;
    }

    fd = (ngx_fd_t) syscall(SYS_pidfd_getfd, pidfd, log->file->fd, 0);

    (void) close(pidfd);

    /* logs may be opened anew at this moment, and the number be another's */

    if (fd != NGX_INVALID_FILE
        && (fstat(fd, &st) == -1 || S_ISSOCK(st.st_mode)))
    {
        (void) close(fd);
        return NGX_INVALID_FILE;
    }

    return fd;
}
