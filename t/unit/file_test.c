
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Files that are there whole or not at all, and claims that outlive nobody.
 */


#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "serve/prt_file.h"
#include "store/prt_claim.h"


#define LARGE  (3 * PRT_FILE_BUFFER + 17)


static char        dir[] = "/tmp/pprof-file-XXXXXX";
static char        path[64];
static char        temporary[96];
static char        target[64];
static prt_file_t  file;
static uint8_t     bytes[LARGE];


static int
setup(void **state)
{
    size_t  i;

    (void) state;

    if (mkdtemp(dir) == NULL) {
        return -1;
    }

    snprintf(path, sizeof(path), "%s/trace.out", dir);
    snprintf(target, sizeof(target), "%s/target", dir);
    snprintf(temporary, sizeof(temporary), "%s.%d.tmp", path, (int) getpid());

    for (i = 0; i < LARGE; i++) {
        bytes[i] = (uint8_t) (i * 7 + i / 251);
    }

    return 0;
}


static int
teardown(void **state)
{
    (void) state;

    (void) unlink(path);
    (void) unlink(target);

    /* fails where something is left over */
    return rmdir(dir);
}


/* The file that has the name holds these; -1: there is none. */

static void
holds(const char *name, const void *expected, ssize_t size)
{
    int              fd;
    static uint8_t   text[LARGE + 1];

    fd = open(name, O_RDONLY|O_NOFOLLOW);

    if (size == -1) {
        assert_int_equal(fd, -1);
        return;
    }

    assert_true(fd >= 0);
    assert_int_equal(read(fd, text, sizeof(text)), size);
    assert_memory_equal(text, expected, (size_t) size);

    close(fd);
}


static void
put(const char *name, const char *text)
{
    int  fd;

    fd = open(name, O_WRONLY|O_CREAT|O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}


static void
test_whole(void **state)
{
    size_t       i, n;
    mode_t       mask;
    struct stat  st;

    (void) state;

    put(path, "before");
    mask = umask(0777);

    assert_int_equal(prt_file_open(&file, path, getpid()), 0);
    (void) umask(mask);

    assert_int_equal(stat(temporary, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);

    for (i = 0; i < LARGE; i += n) {
        n = i % 5000 + 1;
        n = n < LARGE - i ? n : LARGE - i;
        assert_int_equal(prt_file_write(&file, bytes + i, n), 0);
        holds(path, "before", 6);
    }

    assert_int_equal(file.size, LARGE);
    assert_int_equal(prt_file_commit(&file), 0);

    holds(path, bytes, LARGE);
    holds(temporary, NULL, -1);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);

    /* one that is empty, and one that is given up */

    assert_int_equal(prt_file_open(&file, path, getpid()), 0);
    assert_int_equal(prt_file_commit(&file), 0);
    holds(path, "", 0);

    assert_int_equal(prt_file_open(&file, path, getpid()), 0);
    assert_int_equal(prt_file_write(&file, bytes, LARGE), 0);
    prt_file_abandon(&file);
    prt_file_abandon(&file);
    holds(path, "", 0);
    holds(temporary, NULL, -1);
}


static void
test_in_the_way(void **state)
{
    (void) state;

    put(target, "precious");

    /* links, and what a process of the same number has left */

    (void) unlink(path);
    assert_int_equal(symlink(target, path), 0);
    assert_int_equal(symlink(target, temporary), 0);

    assert_int_equal(prt_file_open(&file, path, getpid()), 0);
    assert_int_equal(prt_file_write(&file, "new", 3), 0);
    assert_int_equal(prt_file_commit(&file), 0);

    holds(path, "new", 3);
    holds(target, "precious", 8);

    put(temporary, "left over");
    assert_int_equal(prt_file_open(&file, path, getpid()), 0);
    assert_int_equal(prt_file_commit(&file), 0);
    holds(path, "", 0);

    put(temporary, "left over");
    prt_file_sweep(path, getpid());
    holds(temporary, NULL, -1);

    /* what cannot be moved away */

    assert_int_equal(mkdir(temporary, 0700), 0);
    assert_int_equal(prt_file_open(&file, path, getpid()), -1);
    assert_int_equal(file.error, EEXIST);
    assert_int_equal(file.failed, PRT_FILE_OPEN);
    assert_string_equal(prt_file_call(file.failed), "open()");
    assert_int_equal(prt_file_write(&file, "x", 1), -1);
    assert_int_equal(prt_file_commit(&file), -1);
    assert_int_equal(file.error, EEXIST);
    assert_int_equal(rmdir(temporary), 0);

    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(prt_file_open(&file, path, getpid()), 0);
    assert_int_equal(prt_file_commit(&file), -1);
    assert_int_equal(file.error, EISDIR);
    assert_int_equal(file.failed, PRT_FILE_RENAME);
    holds(temporary, NULL, -1);
    assert_int_equal(rmdir(path), 0);
}


/* As a disk that is full in the middle of it. */

static void
test_full(void **state)
{
    sigset_t       set;
    struct rlimit  old, limit;

    (void) state;

    sigemptyset(&set);
    sigaddset(&set, SIGXFSZ);
    (void) sigprocmask(SIG_BLOCK, &set, NULL);

    put(path, "before");

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = old;
    limit.rlim_cur = PRT_FILE_BUFFER + 1000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);

    assert_int_equal(prt_file_open(&file, path, getpid()), 0);
    assert_int_equal(prt_file_write(&file, bytes, PRT_FILE_BUFFER), 0);
    assert_int_equal(prt_file_write(&file, bytes, LARGE), -1);
    assert_int_equal(file.error, EFBIG);
    assert_int_equal(file.failed, PRT_FILE_WRITE);
    holds(temporary, NULL, -1);

    /* of what is written at the end only, too */

    assert_int_equal(prt_file_open(&file, path, getpid()), 0);
    assert_int_equal(prt_file_write(&file, bytes, PRT_FILE_BUFFER + 2000), 0);
    assert_int_equal(prt_file_commit(&file), -1);
    assert_int_equal(file.error, EFBIG);

    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);

    holds(path, "before", 6);
    holds(temporary, NULL, -1);
}


static void
test_names(void **state)
{
    char  name[PATH_MAX + 10];

    (void) state;

    memset(name, 'x', sizeof(name));
    name[0] = '/';

    name[PATH_MAX - 3] = '\0';
    assert_int_equal(prt_file_open(&file, name, 1), -1);
    assert_int_equal(file.error, ENAMETOOLONG);

    name[PATH_MAX - 3] = 'x';
    name[PATH_MAX + 9] = '\0';
    assert_int_equal(prt_file_open(&file, name, 1), -1);
    assert_int_equal(file.error, ENAMETOOLONG);
    prt_file_sweep(name, 1);

    assert_int_equal(prt_file_open(&file, "/nowhere/trace.out", 1), -1);
    assert_int_equal(file.error, ENOENT);
}


/* A process of its own slot, which takes the claim and waits for its end. */

static pid_t
holder(prt_region_t *region, _Atomic uint64_t *claim)
{
    int    fds[2], slot;
    char   error[PRT_ERROR_LEN], byte;
    pid_t  pid, dead;

    assert_int_equal(pipe(fds), 0);

    pid = fork();
    assert_true(pid >= 0);

    if (pid == 0) {
        slot = prt_region_claim(region, PRT_MEMORY_MIN, PRT_TRACE_MIN, 1,
                                error);
        if (slot == -1) {
            _exit(1);
        }

        prt_region_publish(region, (unsigned) slot);

        byte = (char) prt_claim_take(region, (unsigned) slot, claim, &dead);
        (void) !write(fds[1], &byte, 1);

        for ( ;; ) {
            pause();
        }
    }

    assert_int_equal(read(fds[0], &byte, 1), 1);
    assert_int_equal(byte, 1);

    close(fds[0]);
    close(fds[1]);

    return pid;
}


static void
test_claim(void **state)
{
    int               slot;
    char              error[PRT_ERROR_LEN];
    pid_t             pid, dead;
    prt_region_t     *region;
    _Atomic uint64_t *claim;

    (void) state;

    region = prt_region_create(1, error);
    assert_non_null(region);

    claim = &region->head->recorder.claim;

    slot = prt_region_claim(region, PRT_MEMORY_MIN, PRT_TRACE_MIN, 0, error);
    assert_true(slot >= 0);
    prt_region_publish(region, (unsigned) slot);

    assert_true(prt_claim_free(region, claim));
    assert_true(prt_claim_take(region, (unsigned) slot, claim, &dead));
    assert_int_equal(dead, 0);
    assert_false(prt_claim_free(region, claim));

    /* once, also for us */

    assert_false(prt_claim_take(region, (unsigned) slot, claim, &dead));
    prt_claim_give(claim);
    assert_true(prt_claim_free(region, claim));

    /* of one that lives, is stopped, has died */

    pid = holder(region, claim);
    assert_false(prt_claim_take(region, (unsigned) slot, claim, &dead));

    kill(pid, SIGSTOP);
    assert_false(prt_claim_take(region, (unsigned) slot, claim, &dead));

    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);

    assert_true(prt_claim_free(region, claim));
    assert_true(prt_claim_take(region, (unsigned) slot, claim, &dead));
    assert_int_equal(dead, pid);
    prt_claim_give(claim);

    /* of a process that has stopped in order */

    assert_true(prt_claim_take(region, (unsigned) slot, claim, &dead));
    prt_region_release(region, (unsigned) slot);
    assert_true(prt_claim_free(region, claim));

    /* what is nobody's is no harm */

    atomic_store(claim, UINT64_MAX);
    assert_true(prt_claim_free(region, claim));

    prt_region_destroy(region);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_in_the_way),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_claim)
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
