
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The flight recorder of a program without nginx: commands in their order and
 * out of it, several at once, jobs that nobody waits for, and the end of the
 * process.
 */


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "pprofrt.h"


#define SEC       1000000000ull
#define PATIENCE  60000      /* ms */


static char  dir[] = "/tmp/pprof-recorder-XXXXXX";
static char  path[64];


static void
start(const char *file)
{
    char           error[PRT_ERROR_LEN];
    prt_options_t  options;

    memset(&options, 0, sizeof(options));
    options.worker = -1;
    options.trace_path = file;

    assert_int_equal(prt_start(NULL, &options, error), 0);
}


static prt_job_t *
finished(void)
{
    int         i;
    prt_job_t  *job;

    for (i = 0; i < PATIENCE; i++) {
        job = prt_job_finished();

        if (job) {
            return job;
        }

        usleep(1000);
    }

    return NULL;
}


/* A command, its end, and the text of its error. */

static prt_status_t
ask(prt_recorder_command_t command, uint64_t duration, const char *text)
{
    prt_job_t           *job;
    prt_status_t         status;
    const prt_answer_t  *answer;

    job = prt_job_recorder(command, duration, 0, dir);
    assert_non_null(job);
    assert_ptr_equal(finished(), job);
    assert_ptr_equal(prt_job_data(job), dir);

    answer = prt_job_answer(job);
    status = answer->status;

    if (text) {
        assert_non_null(strstr(answer->error, text));
    }

    prt_job_free(job);

    return status;
}


static int
running(void)
{
    prt_recorder_info_t  info;

    assert_int_equal(prt_recorder_info(&info), 0);
    assert_true(info.running || info.elapsed == 0);

    return info.running;
}


static void
stopped(void)
{
    int  i;

    for (i = 0; i < PATIENCE && running(); i++) {
        usleep(1000);
    }

    assert_false(running());
}


/* There is a file that begins as Go's traces do; it is removed. */

static void
written(void)
{
    char   text[16];
    FILE  *file;

    file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(text, 1, 16, file), 16);
    assert_memory_equal(text, "go 1.22 trace\0\0\0", 16);

    fclose(file);
    assert_int_equal(unlink(path), 0);
}


static void
test_states(void **state)
{
    prt_recorder_info_t  info;

    (void) state;

    start(path);

    assert_int_equal(ask(PRT_RECORDER_STOP, 0, "not running"), PRT_CONFLICT);
    assert_int_equal(ask(PRT_RECORDER_SNAPSHOT, 0, "not running"),
                     PRT_CONFLICT);
    assert_int_equal(ask(PRT_RECORDER_RUN, 600 * SEC, NULL), PRT_OK);
    assert_int_equal(ask(PRT_RECORDER_RUN, SEC, "already running"),
                     PRT_CONFLICT);
    assert_true(running());

    assert_int_equal(ask(PRT_RECORDER_SNAPSHOT, 0, NULL), PRT_OK);
    written();

    assert_int_equal(prt_recorder_info(&info), 0);
    assert_true(info.remaining > 500 * SEC && info.remaining <= 600 * SEC);
    assert_true(info.files[PRT_FILE_TRACE].size > 16);
    assert_true(info.files[PRT_FILE_TRACE].time > 0);
    assert_true(info.files[PRT_FILE_CRASH].time == 0);
    assert_string_equal(info.error, "");

    assert_int_equal(ask(PRT_RECORDER_STOP, 0, NULL), PRT_OK);
    written();
    assert_false(running());

    /* its time is at most so long, and ends by itself */

    assert_int_equal(ask(PRT_RECORDER_RUN, UINT64_MAX, NULL), PRT_OK);
    assert_int_equal(prt_recorder_info(&info), 0);
    assert_true(info.remaining <= PRT_RECORDER_MAX);
    assert_int_equal(ask(PRT_RECORDER_STOP, 0, NULL), PRT_OK);
    written();

    assert_int_equal(ask(PRT_RECORDER_RUN, SEC / 10, NULL), PRT_OK);
    stopped();
    written();

    prt_stop();
    assert_int_equal(prt_recorder_info(&info), -1);
    assert_null(prt_job_recorder(PRT_RECORDER_STOP, 0, 0, NULL));
}


static void
test_refused(void **state)
{
    prt_job_t            *job;
    prt_recorder_info_t   info;

    (void) state;

    start(NULL);
    assert_int_equal(ask(PRT_RECORDER_RUN, SEC, "no file is configured"),
                     PRT_FAILED);
    assert_false(running());
    prt_stop();

    start("/nowhere/trace.out");
    assert_int_equal(ask(PRT_RECORDER_RUN, SEC / 10, NULL), PRT_OK);

    /* the end is tried, and told of, and tried again */

    job = finished();
    assert_non_null(job);
    assert_non_null(prt_job_notice(job));
    assert_non_null(strstr(prt_job_notice(job), "open() failed (2: "));
    prt_job_free(job);

    assert_true(running());
    assert_int_equal(prt_recorder_info(&info), 0);
    assert_true(info.failures >= 1);
    assert_non_null(strstr(info.error, "open() failed (2: "));

    assert_int_equal(ask(PRT_RECORDER_STOP, 0, "open() failed (2: "),
                     PRT_FAILED);
    assert_true(running());
    prt_stop();

    /* by then it can be written */

    start(path);
    stopped();
    written();
    prt_stop();
}


static void
test_many(void **state)
{
    int         i, ok, conflict;
    prt_job_t  *job;

    (void) state;

    start(path);
    assert_int_equal(ask(PRT_RECORDER_RUN, 600 * SEC, NULL), PRT_OK);

    for (i = 0; i < 20; i++) {
        assert_non_null(prt_job_recorder(i % 5 == 4 ? PRT_RECORDER_STOP
                                                    : PRT_RECORDER_SNAPSHOT,
                                         0, 0, NULL));
    }

    for (i = 0, ok = 0, conflict = 0; i < 20; i++) {
        job = finished();
        assert_non_null(job);

        ok += prt_job_answer(job)->status == PRT_OK;
        conflict += prt_job_answer(job)->status == PRT_CONFLICT;

        prt_job_free(job);
    }

    assert_int_equal(ok + conflict, 20);
    assert_true(ok >= 1);
    assert_true(conflict >= 3);
    assert_false(running());
    written();

    /* who does not wait for it was heard all the same */

    assert_int_equal(ask(PRT_RECORDER_RUN, 600 * SEC, NULL), PRT_OK);
    prt_job_cancel(prt_job_recorder(PRT_RECORDER_STOP, 0, 0, NULL));
    stopped();
    assert_null(prt_job_finished());
    written();

    /* at the end of the process, jobs in between */

    assert_int_equal(ask(PRT_RECORDER_RUN, 600 * SEC, NULL), PRT_OK);
    prt_stop();
    written();

    for (i = 0; i < 5; i++) {
        start(path);
        (void) prt_job_recorder(PRT_RECORDER_RUN, 600 * SEC, 0, NULL);
        (void) prt_job_recorder(PRT_RECORDER_SNAPSHOT, 0, 0, NULL);
        (void) prt_job_recorder(PRT_RECORDER_STOP, 0, 0, NULL);
        usleep((useconds_t) (i * 3000));
        prt_stop();
    }

    (void) unlink(path);
}


static int
setup(void **state)
{
    (void) state;

    if (mkdtemp(dir) == NULL) {
        return -1;
    }

    snprintf(path, sizeof(path), "%s/trace.out", dir);

    return 0;
}


static int
teardown(void **state)
{
    (void) state;

    /* fails where something is left over */
    return rmdir(dir);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_many)
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
