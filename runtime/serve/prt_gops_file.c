
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Port files.  A file is locked as long as its agent lives, so whoever can lock
 * it knows that the agent is gone, be it in another PID namespace, or its number
 * another process's by now.  What Go programs have in the same directory is not
 * locked; ours end in a newline, which the clients do not mind.
 */


#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/prt_futex.h"
#include "serve/prt_gops.h"
#include "sources/prt_record.h"


#define PRT_GOPS_FILE_LEN   16                 /* bytes at most: a port, a newline */
#define PRT_GOPS_FILE_NAME  32                 /* bytes at most: a number */
#define PRT_GOPS_FILE_MAX   10000              /* looked at in one sweep */
#define PRT_GOPS_FILE_LOOK  (PRT_SEC / 2)      /* between looks */


static int prt_gops_file_write(const char *dir, unsigned port,
    char error[PRT_ERROR_LEN]);
static int prt_gops_file_enter(const char *dir, char error[PRT_ERROR_LEN]);
static int prt_gops_file_default(char path[PATH_MAX],
    char error[PRT_ERROR_LEN]);
static void prt_gops_file_make(char *path);
static int prt_gops_file_lost(void);
static int prt_gops_file_same(int at, const char *name, int fd);
static int prt_gops_file_taken(const char *name);
static int prt_gops_first(void);
static void prt_gops_file_sweep(void);
static void prt_gops_file_look(const char *name);
static int prt_gops_file_named(const char *name);
static int prt_gops_file_ours(int fd, int unfinished);


static int       prt_gops_dir = -1;
static int       prt_gops_file = -1;           /* open for its lock */
static char      prt_gops_file_name[PRT_GOPS_FILE_NAME];
static char      prt_gops_dir_path[PATH_MAX];
static uint64_t  prt_gops_file_again;          /* to look */
static unsigned  prt_gops_file_told;           /* that it cannot be written */


uint64_t
prt_gops_file_watch(uint64_t now)
{
    char         error[PRT_ERROR_LEN];
    const char  *dir;

    dir = prt_process.options.gops_dir;

    if (dir && dir[0] == '\0') {
        return PRT_FOREVER;
    }

    if (now < prt_gops_file_again) {
        return prt_gops_file_again;
    }

    prt_gops_file_again = now + PRT_GOPS_FILE_LOOK;

    if (prt_gops_file != -1 && !prt_gops_file_lost()) {

        if (prt_gops_first()) {
            prt_gops_file_sweep();
        }

        return prt_gops_file_again;
    }

    prt_gops_file_remove();

    if (prt_gops_file_write(dir, prt_gops.port, error) == 0) {
        prt_gops_file_told = 0;

    } else if (!prt_gops_file_told) {
        prt_gops_file_told = 1;
        prt_notice_text("no port file of the gops agent, which is at "
                        "127.0.0.1:%u: %s", prt_gops.port, error);
    }

    return prt_gops_file_again;
}


/* Returns -1 with "error" filled. */

static int
prt_gops_file_write(const char *dir, unsigned port, char error[PRT_ERROR_LEN])
{
    int   n;
    char  begun[PRT_GOPS_FILE_NAME], text[PRT_GOPS_FILE_LEN];

    if (prt_gops_file_enter(dir, error) != 0) {
        return -1;
    }

    prt_gops_file_sweep();

    (void) snprintf(prt_gops_file_name, sizeof(prt_gops_file_name), "%d",
                    (int) getpid());
    (void) snprintf(begun, sizeof(begun), ".%d", (int) getpid());
    n = snprintf(text, sizeof(text), "%u\n", port);

    /* nobody sees it before it is locked and whole */

    (void) unlinkat(prt_gops_dir, begun, 0);

    prt_gops_file = openat(prt_gops_dir, begun,
                           O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0644);

    if (prt_gops_file != -1
        && flock(prt_gops_file, LOCK_EX|LOCK_NB) == 0
        && write(prt_gops_file, text, (size_t) n) == n
        && !prt_gops_file_taken(prt_gops_file_name)
        && renameat(prt_gops_dir, begun, prt_gops_dir, prt_gops_file_name)
           == 0)
    {
        return 0;
    }

    (void) snprintf(error, PRT_ERROR_LEN, "%.128s/%s: %s", prt_gops_dir_path,
                    prt_gops_file_name, strerror(errno));

    if (prt_gops_file != -1) {
        (void) unlinkat(prt_gops_dir, begun, 0);
        (void) close(prt_gops_file);
        prt_gops_file = -1;
    }

    (void) close(prt_gops_dir);
    prt_gops_dir = -1;

    return -1;
}


static int
prt_gops_file_enter(const char *dir, char error[PRT_ERROR_LEN])
{
    char  path[PATH_MAX];

    if (dir == NULL) {
        if (prt_gops_file_default(path, error) != 0) {
            return -1;
        }

        dir = path;
    }

    /* a program may go elsewhere */

    if (dir[0] == '/') {
        (void) snprintf(prt_gops_dir_path, PATH_MAX, "%s", dir);

    } else if (realpath(dir, prt_gops_dir_path) == NULL) {
        goto failed;
    }

    prt_gops_dir = open(prt_gops_dir_path, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (prt_gops_dir != -1) {
        return 0;
    }

failed:

    (void) snprintf(error, PRT_ERROR_LEN, "%.128s: %s", dir, strerror(errno));

    return -1;
}


/* Where the clients look. */

static int
prt_gops_file_default(char path[PATH_MAX], char error[PRT_ERROR_LEN])
{
    int          n;
    const char  *dir, *below;

    below = "";
    dir = getenv("GOPS_CONFIG_DIR");

    if (dir == NULL || dir[0] == '\0') {
        below = "/gops";
        dir = getenv("XDG_CONFIG_HOME");
    }

    if (dir == NULL || dir[0] == '\0') {
        below = "/.config/gops";
        dir = getenv("HOME");
    }

    if (dir == NULL || dir[0] == '\0') {
        (void) snprintf(error, PRT_ERROR_LEN,
                        "neither GOPS_CONFIG_DIR nor HOME is set");
        return -1;
    }

    n = snprintf(path, PATH_MAX, "%s%s", dir, below);

    if (n >= PATH_MAX) {
        (void) snprintf(error, PRT_ERROR_LEN, "%.128s: %s", dir,
                        strerror(ENAMETOOLONG));
        return -1;
    }

    prt_gops_file_make(path);

    return 0;
}


/* What fails is seen when the directory is opened. */

static void
prt_gops_file_make(char *path)
{
    char  *p;

    for (p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = '\0';
        (void) mkdir(path, 0755);
        *p = '/';
    }

    (void) mkdir(path, 0755);
}


void
prt_gops_file_remove(void)
{
    if (prt_gops_file != -1) {

        if (prt_gops_file_same(prt_gops_dir, prt_gops_file_name,
                               prt_gops_file))
        {
            (void) unlinkat(prt_gops_dir, prt_gops_file_name, 0);
        }

        (void) close(prt_gops_file);
        prt_gops_file = -1;
    }

    if (prt_gops_dir != -1) {
        (void) close(prt_gops_dir);
        prt_gops_dir = -1;
    }
}


/* It is not where it is looked for: itself, or a directory, is gone. */

static int
prt_gops_file_lost(void)
{
    return !prt_gops_file_same(AT_FDCWD, prt_gops_dir_path, prt_gops_dir)
           || !prt_gops_file_same(prt_gops_dir, prt_gops_file_name,
                                  prt_gops_file);
}


static int
prt_gops_file_same(int at, const char *name, int fd)
{
    int          flags;
    struct stat  opened, now;

    /* the way to the directory may have links */
    flags = at == AT_FDCWD ? 0 : AT_SYMLINK_NOFOLLOW;

    return fstat(fd, &opened) == 0
           && fstatat(at, name, &now, flags) == 0
           && opened.st_ino == now.st_ino
           && opened.st_dev == now.st_dev;
}


/* An agent with the same number, in another PID namespace, has it. */

static int
prt_gops_file_taken(const char *name)
{
    int  fd, taken;

    fd = openat(prt_gops_dir, name,
                O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_NOCTTY|O_CLOEXEC);
    if (fd == -1) {
        return 0;
    }

    taken = flock(fd, LOCK_EX|LOCK_NB) == -1 && errno == EWOULDBLOCK;

    (void) close(fd);

    if (taken) {
        errno = EEXIST;
    }

    return taken;
}


/* One of a family is enough for all: the first that lives. */

static int
prt_gops_first(void)
{
    unsigned  i;
    uint64_t  owner;

    for (i = 0; i < prt_process.slot; i++) {

        if (prt_region_state(prt_process.region, i, &owner) == PRT_SLOT_LIVE) {
            return 0;
        }
    }

    return 1;
}


void
prt_gops_file_forget(void)
{
    /* the descriptors are of the table of a thread that was before */

    prt_gops_dir = -1;
    prt_gops_file = -1;
    prt_gops_file_again = 0;
    prt_gops_file_told = 0;
}


/* Those of agents that are no more. */

static void
prt_gops_file_sweep(void)
{
    int             fd;
    DIR            *dir;
    unsigned        i;
    struct dirent  *entry;

    if (prt_gops_dir == -1) {
        return;
    }

    /* one of its own: the position belongs to it */

    fd = openat(prt_gops_dir, ".", O_RDONLY|O_DIRECTORY|O_CLOEXEC);
    if (fd == -1) {
        return;
    }

    dir = fdopendir(fd);
    if (dir == NULL) {
        (void) close(fd);
        return;
    }

    for (i = 0; i < PRT_GOPS_FILE_MAX; i++) {

        entry = readdir(dir);
        if (entry == NULL) {
            break;
        }

        if (prt_gops_file_named(entry->d_name)
            && strcmp(entry->d_name, prt_gops_file_name) != 0)
        {
            prt_gops_file_look(entry->d_name);
        }
    }

    (void) closedir(dir);
}


static void
prt_gops_file_look(const char *name)
{
    int  fd;

    fd = openat(prt_gops_dir, name,
                O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_NOCTTY|O_CLOEXEC);
    if (fd == -1) {
        return;
    }

    /* another one may have come in its place */

    if (prt_gops_file_ours(fd, name[0] == '.')
        && flock(fd, LOCK_EX|LOCK_NB) == 0
        && prt_gops_file_same(prt_gops_dir, name, fd))
    {
        (void) unlinkat(prt_gops_dir, name, 0);
    }

    (void) close(fd);
}


/* A number; one that is still being written begins with a dot. */

static int
prt_gops_file_named(const char *name)
{
    size_t  len;

    name += name[0] == '.';
    len = strspn(name, "0123456789");

    return len > 0 && len < PRT_GOPS_FILE_NAME - 1 && name[len] == '\0';
}


static int
prt_gops_file_ours(int fd, int unfinished)
{
    char         text[PRT_GOPS_FILE_LEN + 1];
    size_t       len;
    ssize_t      n;
    struct stat  st;

    if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)) {
        return 0;
    }

    n = pread(fd, text, PRT_GOPS_FILE_LEN, 0);
    if (n < 0) {
        return 0;
    }

    text[n] = '\0';
    len = strspn(text, "0123456789");

    /* it is made, and locked an instant later: that is not to be hit */

    if (unfinished && len == 0) {
        return n == 0 && time(NULL) - st.st_mtime > 1;
    }

    return len > 0 && (size_t) n == len + 1 && text[len] == '\n';
}
