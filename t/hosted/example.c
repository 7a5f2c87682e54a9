
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * What C code can tell the profiler, in a program without nginx: labels, a
 * profile of its own, blocking that nobody sees, a thread that says that it is
 * one.  It is C++ as well.
 *
 *     cc example.c -lpprofrt -lpthread
 *
 * It prints the text forms of the profiles named in its arguments.
 */


#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pprofrt.h>


#define LEASES  5


static char             leases[LEASES];
static prt_custom_t    *profile;
static volatile int     busy;


/* A profile of what is leased at the moment, by who leased it. */

__attribute__((noinline)) static void
lease(char *what)
{
    prt_custom_add(profile, what, 1);
}


__attribute__((noinline)) static void
release(char *what)
{
    prt_custom_remove(profile, what);
}


/* A lock that the library cannot see, for it calls nothing. */

__attribute__((noinline)) static void
acquire(void)
{
    uint64_t  since;

    since = prt_blocking();

    while (__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE)) {
        (void) poll(NULL, 0, 1);
    }

    prt_blocked(since, "lease lock", sizeof("lease lock") - 1, 1);
}


static void *
holder(void *data)
{
    struct timespec  time = { 0, 200000000 };

    /* not needed where pthread_create() made it after prt_start() */

    (void) prt_thread_register();

    __atomic_store_n((int *) data, 1, __ATOMIC_RELEASE);

    (void) nanosleep(&time, NULL);

    __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);

    prt_thread_unregister();

    return NULL;
}


static void
work(void)
{
    int                     i, held;
    uint32_t                before;
    pthread_t               thread;

    static uint32_t         labels;
    static const
    prt_label_text_t        texts[] = { PRT_LABEL("tenant", "blue"),
                                        PRT_LABEL("job", "nightly") };

    /* once; the number is valid as long as the process is */

    if (labels == 0) {
        labels = prt_labels_make(texts, 2);
    }

    before = prt_labels;
    prt_labels = labels;

    for (i = 0; i < LEASES; i++) {
        lease(&leases[i]);
    }

    release(&leases[0]);
    release(&leases[1]);

    held = 0;
    busy = 1;

    if (pthread_create(&thread, NULL, holder, &held) != 0) {
        exit(1);
    }

    while (!__atomic_load_n(&held, __ATOMIC_ACQUIRE)) { /* void */ }

    acquire();

    (void) pthread_join(thread, NULL);

    prt_labels = before;
}


static void
print(const char *name)
{
    prt_job_t              *job;
    struct pollfd           fd;
    const prt_answer_t     *answer;
    prt_profile_request_t   request;

    memset(&request, 0, sizeof(request));

    request.profile = prt_profile_find(name, strlen(name));
    request.worker = PRT_ANY;
    request.pid = PRT_ANY;
    request.debug = 1;

    if (request.profile == NULL) {
        printf("%s: no such profile\n", name);
        return;
    }

    job = prt_job_profile(&request, NULL);
    if (job == NULL) {
        exit(1);
    }

    do {
        fd.fd = prt_eventfd();
        fd.events = POLLIN;
        (void) poll(&fd, 1, 1000);

        job = prt_job_finished();
    } while (job == NULL);

    answer = prt_job_answer(job);

    if (answer->status == PRT_OK) {
        (void) fwrite(answer->data, 1, answer->size, stdout);

    } else {
        printf("%s: %s\n", name, answer->error);
    }

    prt_job_free(job);
}


int
main(int argc, char **argv)
{
    int            i;
    char           error[PRT_ERROR_LEN];
    prt_options_t  options;

    memset(&options, 0, sizeof(options));

    options.worker = -1;

    profile = prt_custom_new("leases", "What is leased, by who leased it.");

    if (profile == NULL) {
        perror("prt_custom_new");
        return 1;
    }

    if (prt_start(NULL, &options, error) != 0) {
        /* all that is below does nothing then */
        fprintf(stderr, "%s\n", error);
    }

    work();

    printf("leased: %d\n", (int) prt_custom_count(profile));

    for (i = 1; i < argc; i++) {
        print(argv[i]);
    }

    prt_stop();

    return 0;
}
