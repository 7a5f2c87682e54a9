
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "serve/prt_file.h"


static int prt_file_name(char *name, const char *path, pid_t pid);
static int prt_file_create(const char *name);
static int prt_file_flush(prt_file_t *file);
static int prt_file_fail(prt_file_t *file, prt_file_call_t call, int error);


static const char *const  prt_file_calls[] = {
    "", "open()", "write()", "fsync()", "rename()"
};


int
prt_file_open(prt_file_t *file, const char *path, pid_t pid)
{
    size_t  len;

    file->fd = -1;
    file->error = 0;
    file->failed = PRT_FILE_NONE;
    file->size = 0;
    file->used = 0;

    len = strlen(path);

    if (len >= PATH_MAX || prt_file_name(file->temporary, path, pid) != 0) {
        return prt_file_fail(file, PRT_FILE_OPEN, ENAMETOOLONG);
    }

    memcpy(file->path, path, len + 1);

    file->fd = prt_file_create(file->temporary);

    if (file->fd == -1 && errno == EEXIST) {

        /* of a process that had this number before, and died */

        (void) unlink(file->temporary);
        file->fd = prt_file_create(file->temporary);
    }

    if (file->fd == -1) {
        return prt_file_fail(file, PRT_FILE_OPEN, errno);
    }

    /* the umask may have taken more than it should */

    (void) fchmod(file->fd, S_IRUSR|S_IWUSR);

    return 0;
}


static int
prt_file_name(char *name, const char *path, pid_t pid)
{
    int  n;

    n = snprintf(name, PATH_MAX, "%s.%d.tmp", path, (int) pid);

    return n > 0 && n < PATH_MAX ? 0 : -1;
}


static int
prt_file_create(const char *name)
{
    return open(name, O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC,
                S_IRUSR|S_IWUSR);
}


int
prt_file_write(prt_file_t *file, const void *data, size_t size)
{
    size_t          n;
    const uint8_t  *p;

    if (file->fd == -1) {
        return -1;
    }

    p = data;
    file->size += size;

    while (size) {
        n = PRT_FILE_BUFFER - file->used;
        n = n < size ? n : size;

        memcpy(file->buffer + file->used, p, n);

        file->used += n;
        p += n;
        size -= n;

        if (file->used == PRT_FILE_BUFFER && prt_file_flush(file) != 0) {
            return -1;
        }
    }

    return 0;
}


static int
prt_file_flush(prt_file_t *file)
{
    size_t   done;
    ssize_t  n;

    for (done = 0; done < file->used; done += (size_t) n) {

        n = write(file->fd, file->buffer + done, file->used - done);

        if (n == -1 && errno == EINTR) {
            n = 0;
            continue;
        }

        if (n <= 0) {
            return prt_file_fail(file, PRT_FILE_WRITE, n ? errno : ENOSPC);
        }
    }

    file->used = 0;

    return 0;
}


int
prt_file_commit(prt_file_t *file)
{
    if (file->fd == -1 || prt_file_flush(file) != 0) {
        return -1;
    }

    /* a full disk may be known only now, and data come before their name */

    if (fsync(file->fd) == -1 && errno != EINVAL) {
        return prt_file_fail(file, PRT_FILE_SYNC, errno);
    }

    if (rename(file->temporary, file->path) == -1) {
        return prt_file_fail(file, PRT_FILE_RENAME, errno);
    }

    (void) close(file->fd);
    file->fd = -1;

    return 0;
}


void
prt_file_abandon(prt_file_t *file)
{
    if (file->fd == -1) {
        return;
    }

    (void) close(file->fd);
    (void) unlink(file->temporary);

    file->fd = -1;
}


static int
prt_file_fail(prt_file_t *file, prt_file_call_t call, int error)
{
    file->error = error;
    file->failed = call;

    prt_file_abandon(file);

    return -1;
}


void
prt_file_sweep(const char *path, pid_t pid)
{
    char  name[PATH_MAX];

    if (prt_file_name(name, path, pid) == 0) {
        (void) unlink(name);
    }
}


const char *
prt_file_call(unsigned call)
{
    return call < sizeof(prt_file_calls) / sizeof(prt_file_calls[0])
           ? prt_file_calls[call] : "";
}
