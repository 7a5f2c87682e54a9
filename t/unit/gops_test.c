
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The gops agent in a plain program: what it answers, clients side by side that
 * hang up at any time, its end with clients that are there, and a child.
 */


#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <netinet/in.h>
#include <pthread.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"


#define THREADS  8
#define ROUNDS   40
#define BLOCK    100000                    /* bytes: none that is mapped by itself */


static char  dir[] = "/tmp/pprof-gops-test-XXXXXX";
static char  ports[sizeof(dir) + 16];


static void
start(const char *gops_dir)
{
    prt_options_t  options;

    memset(&options, 0, sizeof(options));

    options.worker = -1;
    options.gops = 1;
    options.gops_dir = gops_dir;
    options.version = "test/1.0";

    start_with(NULL, &options);
}


/* The port in the file of this process; 0: there is none. */

static unsigned
port_in(const char *where)
{
    char       path[256];
    FILE      *file;
    unsigned   port;

    (void) snprintf(path, sizeof(path), "%s/%d", where, (int) getpid());

    file = fopen(path, "r");
    if (file == NULL) {
        return 0;
    }

    if (fscanf(file, "%u", &port) != 1) {
        port = 0;
    }

    (void) fclose(file);

    return port;
}


static unsigned
wait_port(const char *where)
{
    int       i;
    unsigned  port;

    for (i = 0; i < BOUND; i++) {
        port = port_in(where);

        if (port) {
            return port;
        }

        (void) usleep(1000);
    }

    fail_msg("no port file");

    return 0;
}


static int
dial(unsigned port)
{
    int                 fd;
    struct sockaddr_in  address;

    fd = socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0);

    memset(&address, 0, sizeof(address));
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t) port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    if (connect(fd, (struct sockaddr *) &address, sizeof(address)) == -1) {
        (void) close(fd);
        return -1;
    }

    return fd;
}


/* The beginning of the answer; its whole length, -1 if there was none. */

static ssize_t
ask(unsigned port, const char *bytes, size_t n, char text[4096])
{
    int      fd;
    char     more[4096];
    ssize_t  got, sum;

    fd = dial(port);
    if (fd == -1) {
        return -1;
    }

    text[0] = '\0';
    sum = 0;

    if (write(fd, bytes, n) != (ssize_t) n) {
        (void) close(fd);
        return -1;
    }

    while ((got = read(fd, more, sizeof(more) - 1)) > 0) {

        if (sum < 4095) {
            more[got] = '\0';
            (void) snprintf(text + sum, 4096 - (size_t) sum, "%s", more);
        }

        sum += got;
    }

    (void) close(fd);

    return got == 0 ? sum : -1;
}


static void
answers(void **state)
{
    char         text[4096];
    unsigned     port;
    struct stat  st, exe;

    (void) state;

    start(ports);
    port = wait_port(ports);

    assert_int_equal(ask(port, "\x02", 1, text), 2);
    assert_string_equal(text, "ok");

    assert_true(ask(port, "\x03", 1, text) > 0);
    assert_int_equal(strncmp(text, "alloc: ", 7), 0);
    assert_non_null(strstr(text, "\nnum-gc: 1\n"));
    assert_non_null(strstr(text, "\nresident: "));

    assert_true(ask(port, "\x04", 1, text) > 0);
    assert_int_equal(strncmp(text, "test/1.0, pprofrt/" PRT_VERSION ", ", 25),
                     0);

    assert_true(ask(port, "\x07", 1, text) > 0);
    assert_int_equal(strncmp(text, "goroutines: ", 12), 0);
    assert_non_null(strstr(text, "\nOS threads: "));
    assert_non_null(strstr(text, "\nGOMAXPROCS: 1\n"));

    assert_true(ask(port, "\x01", 1, text) > 0);
    assert_int_equal(strncmp(text, "goroutine 1 [", 13), 0);
    assert_non_null(strstr(text, "\nread(...)\n\t"));

    assert_true(ask(port, "\x05", 1, text) > 0);
    assert_int_equal(memcmp(text, "\x1f\x8b", 2), 0);

    assert_int_equal(stat("/proc/self/exe", &exe), 0);
    assert_int_equal(ask(port, "\x09", 1, text), exe.st_size);

    assert_true(ask(port, "\x10\x64\0\0\0\0\0\0\0\0\0", 11, text) > 0);
    assert_non_null(strstr(text, "no percentage"));

    assert_true(ask(port, "\x11", 1, text) > 0);
    assert_string_equal(text, "This command is not known here.\n");

    prt_stop();

    assert_int_equal(port_in(ports), 0);
    assert_int_equal(dial(port), -1);

    /* a directory of its own is for this user alone or as the umask says */

    assert_int_equal(stat(ports, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
}


static void *
client(void *data)
{
    int       fd, i;
    char      text[4096];
    unsigned  seed, port;

    static const char  commands[] = "\x01\x02\x03\x04\x05\x06\x07\x09\x10\x77";

    port = *(unsigned *) data;
    seed = (unsigned) (uintptr_t) pthread_self();

    for (i = 0; i < ROUNDS; i++) {

        fd = dial(port);
        if (fd == -1) {
            continue;
        }

        if (rand_r(&seed) % 8) {
            (void) send(fd, commands + rand_r(&seed) % (sizeof(commands) - 1),
                        1, MSG_NOSIGNAL);
        }

        if (rand_r(&seed) % 2) {
            (void) shutdown(fd, SHUT_WR);
        }

        if (rand_r(&seed) % 2) {
            (void) recv(fd, text, sizeof(text), MSG_DONTWAIT);
            (void) usleep(rand_r(&seed) % 3000);
        }

        (void) close(fd);
    }

    return NULL;
}


static void
storm(void **state)
{
    char       text[4096];
    unsigned   i, port;
    pthread_t  threads[THREADS];

    (void) state;

    start(ports);
    port = wait_port(ports);

    for (i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, client, &port), 0);
    }

    for (i = 0; i < THREADS; i++) {
        (void) pthread_join(threads[i], NULL);
    }

    assert_true(ask(port, "\x07", 1, text) > 0);
    assert_int_equal(strncmp(text, "goroutines: ", 12), 0);

    prt_stop();
}


static void
ends(void **state)
{
    int       fds[20];
    char      byte;
    unsigned  i, round, port;

    (void) state;

    for (round = 0; round < 5; round++) {
        start(ports);
        port = wait_port(ports);

        for (i = 0; i < 20; i++) {
            fds[i] = dial(port);
            assert_int_not_equal(fds[i], -1);

            if (i % 4) {
                assert_int_equal(write(fds[i], i % 4 == 1 ? "\x06"
                                               : i % 4 == 2 ? "\x01" : "\x09",
                                       1),
                                 1);
            }
        }

        prt_stop();

        for (i = 0; i < 20; i++) {
            while (read(fds[i], &byte, 1) > 0) { /* void */ }
            (void) close(fds[i]);
        }

        assert_int_equal(port_in(ports), 0);
    }
}


/* Has none of its parent's, and may have one of its own. */

static void
child(void **state)
{
    int       status;
    char      text[4096];
    pid_t     pid;
    unsigned  port;

    (void) state;

    start(ports);
    port = wait_port(ports);

    pid = fork();
    assert_int_not_equal(pid, -1);

    if (pid == 0) {

        if (port_in(ports)) {
            _exit(2);
        }

        start(ports);

        if (ask(wait_port(ports), "\x04", 1, text) <= 0) {
            _exit(3);
        }

        prt_stop();
        _exit(port_in(ports) ? 4 : 0);
    }

    while (waitpid(pid, &status, 0) == -1) { /* void */ }

    assert_int_equal(status, 0);
    assert_int_equal(port_in(ports), port);
    assert_true(ask(port, "\x04", 1, text) > 0);

    prt_stop();
}


static void
wait_notice(const char *text)
{
    prt_job_t  *job;

    job = wait_job();
    assert_non_null(prt_job_notice(job));
    assert_non_null(strstr(prt_job_notice(job), text));
    prt_job_free(job);
}


/* The usual directory; none at all; and one that is none. */

static void
directories(void **state)
{
    char   where[sizeof(dir) + 32], path[sizeof(dir) + 64];
    FILE  *file;

    (void) state;

    (void) unsetenv("GOPS_CONFIG_DIR");
    (void) unsetenv("XDG_CONFIG_HOME");
    (void) setenv("HOME", dir, 1);
    (void) snprintf(where, sizeof(where), "%s/.config/gops", dir);

    start(NULL);
    assert_true(wait_port(where));
    prt_stop();
    assert_int_equal(port_in(where), 0);

    (void) snprintf(where, sizeof(where), "%s/a/b", dir);
    (void) setenv("GOPS_CONFIG_DIR", where, 1);

    start(NULL);
    assert_true(wait_port(where));
    prt_stop();

    start("");
    assert_int_equal(port_in(where), 0);
    prt_stop();

    (void) snprintf(path, sizeof(path), "%s/file", dir);
    file = fopen(path, "w");
    assert_non_null(file);
    (void) fclose(file);

    start(path);

    wait_notice("no port file of the gops agent");

    prt_stop();
}


/* A directory that was removed, or renamed, is filled when there is one again. */

static void
comes_back(void **state)
{
    char      command[256], where[sizeof(dir) + 16], moved[sizeof(dir) + 16];
    unsigned  port;

    (void) state;

    (void) snprintf(where, sizeof(where), "%s/gone", dir);
    (void) snprintf(moved, sizeof(moved), "%s/moved", dir);
    assert_int_equal(mkdir(where, 0755), 0);

    start(where);
    port = wait_port(where);

    (void) snprintf(command, sizeof(command), "rm -r %s", where);
    assert_int_equal(system(command), 0);

    wait_notice("no port file of the gops agent");

    assert_int_equal(mkdir(where, 0755), 0);
    assert_int_equal(wait_port(where), port);

    assert_int_equal(rename(where, moved), 0);
    assert_int_equal(mkdir(where, 0755), 0);
    assert_int_equal(wait_port(where), port);
    assert_int_equal(port_in(moved), 0);

    prt_stop();

    assert_int_equal(port_in(where), 0);
}


/* With the same number, from another container that shares the directory. */

static void
anothers(void **state)
{
    int   fd, i;
    char  path[sizeof(dir) + 32];

    (void) state;

    (void) snprintf(path, sizeof(path), "%s/%d", ports, (int) getpid());

    fd = open(path, O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0644);
    assert_int_not_equal(fd, -1);
    assert_int_equal(flock(fd, LOCK_EX|LOCK_NB), 0);
    assert_int_equal(write(fd, "1\n", 2), 2);

    start(ports);
    wait_notice("File exists");
    assert_int_equal(port_in(ports), 1);
    prt_stop();
    assert_int_equal(port_in(ports), 1);

    /* it ends while ours is there */

    start(ports);
    wait_notice("File exists");
    (void) close(fd);

    for (i = 0; i < BOUND && port_in(ports) <= 1; i++) {
        (void) usleep(1000);
    }

    assert_true(port_in(ports) > 1);

    /* one that has come in the place of ours stays */

    assert_int_equal(unlink(path), 0);
    fd = open(path, O_WRONLY|O_CREAT|O_CLOEXEC, 0644);
    assert_int_not_equal(fd, -1);
    assert_int_equal(flock(fd, LOCK_EX|LOCK_NB), 0);
    assert_int_equal(write(fd, "1\n", 2), 2);

    prt_stop();

    assert_int_equal(port_in(ports), 1);
    (void) close(fd);
    (void) unlink(path);
}


static uint64_t
cpu_time(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);

    return (uint64_t) ts.tv_sec * SEC + (uint64_t) ts.tv_nsec;
}


/* Where nobody can be accepted, that costs nothing, and is over some time. */

static void
no_descriptors(void **state)
{
    int                 fd;
    char                byte;
    unsigned            port;
    uint64_t            cpu;
    struct rlimit       few, many;
    struct sockaddr_in  address;

    (void) state;

    start(ports);
    port = wait_port(ports);

    memset(&address, 0, sizeof(address));
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t) port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    fd = socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0);

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &many), 0);
    few = many;
    few.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);

    assert_int_equal(connect(fd, (struct sockaddr *) &address,
                             sizeof(address)),
                     0);
    assert_int_equal(write(fd, "\x04", 1), 1);

    cpu = cpu_time();
    (void) sleep(2);
    assert_true(cpu_time() - cpu < SEC);

    assert_int_equal(setrlimit(RLIMIT_NOFILE, &many), 0);
    assert_int_equal(read(fd, &byte, 1), 1);
    assert_int_equal(byte, 't');

    (void) close(fd);

    prt_stop();
}


/* Profiles that take their time leave places to other commands. */

static void
places(void **state)
{
    char           text[4096];
    unsigned       i, n, port;
    struct pollfd  fds[63];

    (void) state;

    start(ports);
    port = wait_port(ports);

    for (i = 0; i < 63; i++) {
        fds[i].fd = dial(port);
        fds[i].events = POLLIN;
        assert_int_not_equal(fds[i].fd, -1);
        assert_int_equal(write(fds[i].fd, "\x06", 1), 1);
    }

    for (i = 0, n = 0; i < BOUND && n < 63 - 48; i++) {
        n = (unsigned) poll(fds, 63, 1);
    }

    assert_int_equal(n, 63 - 48);
    assert_true(ask(port, "\x07", 1, text) > 0);
    assert_int_equal(strncmp(text, "goroutines: ", 12), 0);

    (void) poll(fds, 63, 0);

    for (i = 0; i < 63; i++) {

        if (fds[i].revents & POLLIN) {
            assert_true(read(fds[i].fd, text, sizeof(text)) > 0);
            assert_int_equal(strncmp(text, "Too many others ", 16), 0);
        }
    }

    for (i = 0; i < 63; i++) {
        (void) close(fds[i].fd);
    }

    prt_stop();
}


#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

static char *volatile  block;              /* or malloc() is optimized away */
static char        *closed;                /* pages of the heap's end */
static size_t       nclosed;
static atomic_int   locked;                /* 1: within malloc(), 2: go on */


/*
 * The pages behind the last block are closed, and malloc() writes there while
 * it has its lock: this is where it hangs, until the others have asked.
 */

static void
hang(int sig)
{
    (void) sig;

    atomic_store(&locked, 1);

    while (atomic_load(&locked) != 2) { /* void */ }

    (void) mprotect(closed, nclosed, PROT_READ|PROT_WRITE);
}


static void *
ask_locked(void *data)
{
    int               i;
    char             *texts;
    long              took, fastest;
    unsigned          port;
    struct timespec   begin, end;

    port = *(unsigned *) data;
    texts = malloc(5 * 4096);

    if (texts == NULL) {
        return NULL;
    }

    memset(texts, 0, 5 * 4096);

    while (atomic_load(&locked) != 1) { /* void */ }

    (void) ask(port, "\x02", 1, texts);
    (void) ask(port, "\x01", 1, texts + 4096);

    /* nobody waits for it once more; a busy machine is slow now and then */

    fastest = LONG_MAX;

    for (i = 0; i < 5; i++) {
        memset(texts + 2 * 4096, 0, 4096);

        (void) clock_gettime(CLOCK_MONOTONIC, &begin);
        (void) ask(port, "\x03", 1, texts + 2 * 4096);
        (void) clock_gettime(CLOCK_MONOTONIC, &end);

        took = (end.tv_sec - begin.tv_sec) * 1000
               + (end.tv_nsec - begin.tv_nsec) / 1000000;
        fastest = took < fastest ? took : fastest;
    }

    (void) snprintf(texts + 3 * 4096, 4096, "%ld", fastest);

    (void) ask(port, "\x07", 1, texts + 4 * 4096);

    atomic_store(&locked, 2);

    return texts;
}


static void
hangs_in_malloc(void **state)
{
    int                i;
    char              *first, *texts, text[4096];
    void              *result;
    unsigned           port;
    pthread_t          thread;
    struct sigaction   sa, old;

    (void) state;

    start(ports);
    port = wait_port(ports);

    assert_int_equal(pthread_create(&thread, NULL, ask_locked, &port), 0);

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = hang;
    assert_int_equal(sigaction(SIGSEGV, &sa, &old), 0);

    (void) mallopt(M_TOP_PAD, 1 << 20);
    (void) malloc_trim(0);

    /* until the heap's end is behind it: holes are filled first */

    do {
        first = malloc(BLOCK);
        assert_non_null(first);

    } while ((char *) sbrk(0) - first < 4 * BLOCK
             || (char *) sbrk(0) - first > (2 << 20));

    closed = (char *) (((uintptr_t) first + BLOCK + 8191) & ~(uintptr_t) 4095);
    nclosed = (size_t) ((char *) sbrk(0) - closed) & ~(size_t) 4095;

    assert_int_equal(mprotect(closed, nclosed, PROT_NONE), 0);

    for (i = 0; i < 64 && !atomic_load(&locked); i++) {
        block = malloc(BLOCK);
    }

    assert_int_equal(atomic_exchange(&locked, 2), 2);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_int_equal(sigaction(SIGSEGV, &old, NULL), 0);

    texts = result;
    assert_non_null(texts);
    assert_string_equal(texts, "malloc() is locked: nothing was given back.\n");
    assert_int_equal(strncmp(texts + 4096, "goroutine 1 [", 13), 0);
    assert_int_equal(strncmp(texts + 2 * 4096, "alloc: 0 bytes\n", 15), 0);
    assert_non_null(strstr(texts + 2 * 4096, "\nmalloc() is locked: "));
    assert_null(strstr(texts + 2 * 4096, "\nresident: 0 bytes"));
    assert_true(atoi(texts + 3 * 4096) < 1000);
    assert_int_equal(strncmp(texts + 4 * 4096, "goroutines: ", 12), 0);

    /* and when it goes on, all is as before */

    for (i = 0; i < BOUND; i++) {
        assert_true(ask(port, "\x02", 1, text) > 0);

        if (strcmp(text, "ok") == 0) {
            break;
        }

        (void) usleep(1000);
    }

    assert_string_equal(text, "ok");
    assert_true(ask(port, "\x03", 1, text) > 0);
    assert_null(strstr(text, "malloc() is locked"));

    free(texts);

    prt_stop();
}


#endif /* their malloc() is another one */


static int
setup(void **state)
{
    (void) state;

    if (mkdtemp(dir) == NULL) {
        return -1;
    }

    (void) snprintf(ports, sizeof(ports), "%s/ports", dir);

    return mkdir(ports, 0755);
}


static int
teardown(void **state)
{
    char  command[256];

    (void) state;

    (void) snprintf(command, sizeof(command), "rm -rf %s", dir);

    return system(command);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(storm),
        cmocka_unit_test(ends),
        cmocka_unit_test(child),
        cmocka_unit_test(directories),
        cmocka_unit_test(comes_back),
        cmocka_unit_test(anothers),
        cmocka_unit_test(no_descriptors),
        cmocka_unit_test(places),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        cmocka_unit_test(hangs_in_malloc)
#endif
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
