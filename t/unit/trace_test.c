
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The trace: the transcoder against the rules of Go's format, and the public
 * functions.
 */


#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "encode/prt_buffer.h"
#include "encode/prt_gofile.h"
#include "encode/prt_gotrace.h"
#include "platform/prt_ticks.h"
#include "pprofrt.h"
#include "serve/prt_job.h"
#include "sources/prt_trace.h"
#include "store/prt_ring.h"

#include "go_trace.h"


#define WRITERS  4
#define TURNS    4000
#define WINDOWS  200


/* The known file, which all of Go's tools from 1.22 to 1.27 accept. */

static const uint8_t  vector[] = {
    0x67, 0x6f, 0x20, 0x31, 0x2e, 0x32, 0x32, 0x20, 0x74, 0x72, 0x61, 0x63,
    0x65, 0x00, 0x00, 0x00,
    0x01, 0x01, 0x00, 0xc0, 0x84, 0x3d, 0x06, 0x08, 0x80, 0x94, 0xeb, 0xdc,
    0x03,
    0x01, 0x01, 0x00, 0xc0, 0x84, 0x3d, 0x2f, 0x04,
    0x05, 0x01, 0x07, 'n', 'e', 't', 'w', 'o', 'r', 'k',
    0x05, 0x02, 0x07, 'h', 'a', 'n', 'd', 'l', 'e', 'r',
    0x05, 0x03, 0x04, 'c', 'o', 'n', 'n',
    0x05, 0x04, 0x03, 'x', '.', 'c',
    0x05, 0x05, 0x0a, 'l', 'o', 'c', 'a', 't', 'i', 'o', 'n', ' ', '/',
    0x01, 0x01, 0x00, 0xc0, 0x84, 0x3d, 0x0c, 0x02, 0x03, 0x01, 0x02, 0x10,
    0x02, 0x04, 0x09, 0x20, 0x03, 0x04, 0x05,
    0x01, 0x01, 0x64, 0xc0, 0x84, 0x3d, 0x33,
    0x0d, 0x00, 0x00, 0x02, 0x0a, 0x64, 0x00, 0x01, 0x0e, 0x0a, 0x07, 0x01,
    0x00, 0x10, 0x0a, 0x07, 0x01, 0x28, 0x05, 0x01, 0x00, 0x05, 0x00, 0x14,
    0x32, 0x01, 0x01, 0x0b, 0x03, 0x0a, 0x88, 0x27, 0x00, 0x02, 0x15, 0x00,
    0x07, 0x02, 0x01, 0x10, 0x01, 0x07, 0x03, 0x29, 0x28, 0x01, 0x00, 0x11,
    0x01, 0x0b, 0x01
};

#define EVENTS  (sizeof(vector) - 0x33)    /* where they begin */

static state_t  state;


static void
test_vector(void **arg)
{
    size_t      i, wrong;
    uint8_t     copy[sizeof(vector)];

    (void) arg;

    assert_int_equal(sizeof(vector), 160);
    assert_null(check(vector, sizeof(vector), &state));
    assert_int_equal(state.events, 13);
    assert_string_equal(state.text[state.last_name], "location /");

    /* our reader refuses most others, or it would say nothing */

    for (i = EVENTS, wrong = 0; i < sizeof(vector); i++) {
        memcpy(copy, vector, sizeof(vector));
        copy[i] ^= 1;
        wrong += check(copy, sizeof(copy), &state) != NULL;
    }

    assert_true(wrong > 25);
    assert_non_null(check(vector, sizeof(vector) - 1, &state));
}


static int
sink(void *data, const void *bytes, size_t size)
{
    prt_buffer_add(data, bytes, size);

    return 0;
}


static void
test_file(void **arg)
{
    size_t         i;
    uint32_t       frames[2];
    uint64_t       stack, bytes, name;
    prt_buffer_t   buffer;
    prt_gofile_t   file;

    (void) arg;

    memset(&buffer, 0, sizeof(buffer));

    prt_gofile_init(&file);
    prt_gofile_thread(&file, 100);

    name = prt_gofile_string(&file, "location /");
    frames[0] = prt_gofile_frame(&file, "handler", "x.c", 9);
    frames[1] = prt_gofile_frame(&file, "conn", "x.c", 5);
    stack = prt_gofile_stack(&file, frames, 2);

    assert_int_equal(prt_gofile_stack(&file, frames, 2), stack);
    assert_int_not_equal(prt_gofile_stack(&file, frames + 1, 1), stack);
    assert_int_equal(prt_gofile_string(&file, "location /"), name);
    assert_int_equal(prt_gofile_string(&file, ""), 0);

    prt_gofile_add(&file, 1000, PRT_GO_PROC_STATUS, 0, PRT_GO_PROC_IDLE);
    prt_gofile_add(&file, 1100, PRT_GO_PROC_START, 0, 1);
    prt_gofile_add(&file, 1200, PRT_GO_CREATE, 7, stack, 0);
    prt_gofile_add(&file, 1200, PRT_GO_START, 7, 1);

    /* more than one batch, and a time that goes back */

    for (i = 1; i <= 30000; i++) {
        prt_gofile_add(&file, 1300 - i, PRT_GO_TASK_BEGIN, i, 0, name, stack);
    }

    assert_int_equal(prt_gofile_write(&file, sink, &buffer, &bytes), 0);
    assert_int_equal(bytes, buffer.size);
    assert_null(check(buffer.data, buffer.size, &state));
    assert_int_equal(state.events, 30004);
    assert_int_equal(file.count, 30004);

    prt_gofile_free(&file);
    free(buffer.data);
}


/* The runtime: a loop that works on goroutines in any order, even senseless. */

static void
start(prt_region_t *region)
{
    char           error[PRT_ERROR_LEN];
    prt_options_t  options;

    memset(&options, 0, sizeof(options));
    options.worker = 0;
    options.trace_buffer = 4 * PRT_TRACE_MIN;

    if (prt_start(region, &options, error) != 0) {
        print_error("%s\n", error);
        fail();
    }
}


static int
now_on(void)
{
    return __atomic_load_n(&prt_tracing, __ATOMIC_RELAXED);
}


static void
record(int on)
{
    int  i;

    /* as the recorder has it, and nobody ends it meanwhile */

    atomic_store(&prt_process.region->head->recorder.until,
                 prt_now() + 3600 * PRT_SEC);
    atomic_store(&prt_process.region->head->recorder.state, (uint64_t) on);
    (void) prt_service_sync();

    for (i = 0; i < 60000 && now_on() != on; i++) {
        (void) usleep(1000);
    }

    assert_int_equal(now_on(), on);
}


static const char *
dump(const prt_gotrace_window_t *window, prt_gotrace_result_t *result)
{
    char           error[PRT_ERROR_LEN];
    const char    *wrong;
    prt_buffer_t   buffer;

    memset(&buffer, 0, sizeof(buffer));

    assert_int_equal(prt_gotrace_dump(prt_process.region, window, NULL, sink,
                                      &buffer, result, error, NULL), 0);
    assert_int_equal(buffer.size, result->bytes);

    wrong = check(buffer.data, buffer.size, &state);

    if (wrong) {
        print_error("%s\n", wrong);
    }

    free(buffer.data);

    return wrong;
}


static int
named(const char *text)
{
    unsigned  i;

    for (i = 0; i < 2000 && strcmp(state.text[i], text) != 0; i++) {
        /* void */
    }

    return i < 2000;
}


static prt_gotrace_window_t
all(void)
{
    prt_gotrace_window_t  window;

    memset(&window, 0, sizeof(window));
    window.target.worker = PRT_ANY;
    window.target.pid = PRT_ANY;

    return window;
}


static void
turns(unsigned n, unsigned states[4], uint32_t labels, uint64_t root)
{
    unsigned  i, k;
    uint64_t  g;

    for (i = 0; i < n; i++) {
        prt_trace_woken(prt_trace_now());

        for (k = 0; k < (unsigned) rand() % 12; k++) {
            g = 1 + (uint64_t) rand() % 20 + (rand() % 4 ? 0 : 1ull << 47);

            switch (rand() % 12) {

            case 0: case 1: case 2:
                prt_trace_run(prt_trace_now(), g,
                              PRT_TRACE_READY
                              | (rand() % 5 ? 0 : PRT_TRACE_NEW), root);
                break;

            case 3:
                prt_trace_run(prt_trace_now(), rand() % 3 ? g : 0,
                              rand() % 2 ? PRT_TRACE_NEW : 0, root);
                break;

            case 4:
                prt_trace_block(prt_trace_now(), g, states[rand() % 4],
                                rand() % 2 ? labels : 0);
                break;

            case 5:
                prt_trace_end(prt_trace_now(), g);
                break;

            case 6:
                prt_trace_begin(prt_trace_now(), g);
                break;

            case 7:
                prt_trace_phase(prt_trace_now(), g, labels);
                break;

            case 8:
                prt_trace_done(prt_trace_now(), g, 200, 1000);
                break;

            case 9:
                prt_trace_owner(prt_trace_now(), g);
                break;

            case 10:
                prt_trace_region(0, "a", 1);
                prt_trace_region(0, "b", 1);
                prt_trace_region_end(0, rand() % 2 ? "a" : "b", 1);
                break;

            default:
                prt_trace_log(0, "key", 3, "text", 4);
                prt_trace_call(prt_ticks_of(1000), (const uint64_t []) { 1 },
                               1);
                break;
            }
        }

        if (rand() % 50 == 0) {
            prt_trace_off(prt_trace_now());

        } else if (rand() % 20) {
            prt_trace_wait(prt_trace_now());
        }
    }
}


/* What other writers lose is counted, though the loop has lost nothing. */

static void
test_overwritten(void **arg)
{
    void                 *memory;
    size_t                size;
    unsigned              i;
    uint64_t              first;
    prt_ring_t            ring;
    prt_gotrace_window_t  window;
    prt_gotrace_result_t  result;

    (void) arg;

    start(NULL);
    record(1);

    window = all();
    window.from = prt_now();

    prt_trace_log(0, "key", 3, "text", 4);
    assert_null(dump(&window, &result));
    assert_int_equal(result.overwritten, 0);

    for (i = 0; i < 4 * PRT_TRACE_MIN / 32; i++) {
        prt_trace_log(0, "key", 3, "text", 4);
    }

    assert_null(dump(&window, &result));
    assert_true(result.overwritten > 0);

    /* a later window has lost nothing */

    window.from = prt_now();
    prt_trace_log(0, "key", 3, "text", 4);
    assert_null(dump(&window, &result));
    assert_int_equal(result.overwritten, 0);

    /* a loop that is a lap ahead when its records are read, since the dump began */

    window.from = prt_now();

    for (i = 0; i < 10; i++) {
        prt_trace_woken(prt_trace_now());
        prt_trace_wait(prt_trace_now());
    }

    assert_null(dump(&window, &result));
    assert_int_equal(result.overwritten, 0);

    memory = prt_region_ring(prt_process.region, prt_process.slot, &size);
    assert_non_null(memory);
    prt_ring_attach(&ring, memory, size);

    first = atomic_load(&ring.head->written) - 20;

    for (i = 0; i < 4; i++) {
        atomic_fetch_add(&ring.own[first + i].stamp, 1 << 8);
    }

    assert_null(dump(&window, &result));
    assert_int_equal(result.overwritten, 4);

    (void) munmap(memory, size);

    record(0);
    prt_stop();
}


static void
test_windows(void **arg)
{
    unsigned                i, states[4];
    uint32_t                labels;
    uint64_t                root, begin, end;
    const char             *wrong, *seed;
    prt_gotrace_window_t    window;
    prt_gotrace_result_t    result;

    static const prt_label_text_t  texts[] = {
        PRT_LABEL("server", "localhost"), PRT_LABEL("location", "/api/"),
        PRT_LABEL("phase", "content")
    };

    (void) arg;

    start(NULL);

    window = all();
    assert_null(dump(&window, &result));
    assert_int_equal(state.counts[PRT_GO_PROC_STATUS], 1);

    assert_int_equal(prt_trace_task(0, "off", 3), 0);

    record(1);

    labels = prt_labels_make(texts, 3);
    root = prt_frame("http connection", 15);
    states[0] = prt_trace_state(prt_frame("keepalive", 9), PRT_TRACE_NETWORK);
    states[1] = prt_trace_state(prt_frame("disk", 4), PRT_TRACE_SYNC);
    states[2] = prt_trace_state(prt_frame("upstream header", 15),
                                PRT_TRACE_NETWORK);
    states[3] = 0;

    assert_int_equal(prt_trace_state(prt_frame("disk", 4), PRT_TRACE_SYNC),
                     states[1]);

    seed = getenv("TRACE_SEED");
    begin = prt_now();
    i = seed ? (unsigned) atoi(seed) : (unsigned) begin;
    srand(i);
    print_message("# TRACE_SEED=%u\n", i);
    turns(TURNS, states, labels, root);
    end = prt_now();

    assert_null(dump(&window, &result));
    assert_true(result.events > TURNS);
    assert_int_equal(result.events, state.events + state.counts[7]);
    assert_int_equal(result.processes, 1);
    assert_true(named("localhost /api/"));
    assert_true(named("location /api/"));
    assert_true(named("sync (disk)"));
    assert_true(state.counts[PRT_GO_SYSCALL_BEGIN] > 0);
    assert_int_equal(state.counts[PRT_GO_SYSCALL_BEGIN],
                     state.counts[PRT_GO_SYSCALL_END]);

    for (i = 0; i < WINDOWS; i++) {
        window.from = begin + (uint64_t) rand() % (end - begin);
        window.to = window.from + (uint64_t) rand() % (end - begin);
        window.events = i % 3 ? 0 : 500;

        wrong = dump(&window, &result);

        if (wrong) {
            print_error("window %u: %s\n", i, wrong);
            fail();
        }

        assert_true(window.events == 0 || result.events < 1000);
        assert_true(window.events == 0 || result.events <= 500
                    || result.left_out);
    }

    /* what was overwritten is counted, and the rest is as good */

    turns(TURNS * 20, states, labels, root);
    window = all();
    window.from = begin;

    assert_null(dump(&window, &result));
    assert_true(result.overwritten > 0);

    /* of another worker there is nothing */

    window.target.worker = 5;
    assert_null(dump(&window, &result));
    assert_int_equal(state.events, 0);

    record(0);
    prt_stop();
}


/* Hosted code of a plain program, on threads that have no loop. */

static void *
hosted(void *arg)
{
    uint64_t  task;

    task = prt_trace_task(0, "nightly", 7);
    prt_trace_region(task, "work", 4);
    prt_trace_log(task, "key", 3, "half", 4);
    prt_trace_region_end(task, "work", 4);

    if (arg == NULL) {
        prt_trace_task_end(prt_trace_task(task, "part", 4));
    }

    prt_trace_task_end(task);

    return arg;
}


static void
test_hosted(void **arg)
{
    unsigned                i, ended;
    uint64_t                begin;
    pthread_t               threads[WRITERS];
    prt_gotrace_window_t    window;
    prt_gotrace_result_t    result;

    (void) arg;

    start(NULL);
    begin = prt_now();
    record(1);

    for (i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hosted,
                                        i ? &window : NULL), 0);
    }

    for (i = 0; i < WRITERS; i++) {
        (void) pthread_join(threads[i], NULL);
    }

    (void) hosted(&window);
    record(0);

    (void) hosted(NULL);

    window = all();
    window.from = begin;
    assert_null(dump(&window, &result));

    assert_int_equal(state.counts[PRT_GO_TASK_BEGIN], WRITERS + 2);
    assert_int_equal(state.counts[PRT_GO_TASK_END], WRITERS + 2);
    assert_int_equal(state.counts[PRT_GO_REGION_BEGIN], WRITERS + 1);
    assert_int_equal(state.counts[PRT_GO_REGION_END], WRITERS + 1);
    assert_int_equal(state.counts[PRT_GO_LOG], WRITERS + 1);

    for (i = 0, ended = 0; i < MAX_IDS; i++) {
        ended += state.tasks[i] == 3;
    }

    assert_int_equal(ended, WRITERS + 2);

    prt_stop();
}


/* A process that is killed, whose last record stays. */

static void
test_killed(void **arg)
{
    int                     fds[2], status;
    pid_t                   pid;
    char                    c, error[PRT_ERROR_LEN];
    prt_region_t           *region;
    prt_gotrace_window_t    window;
    prt_gotrace_result_t    result;

    (void) arg;

    region = prt_region_create(2, error);
    assert_non_null(region);
    assert_int_equal(pipe(fds), 0);

    pid = fork();

    if (pid == 0) {
        start(region);
        record(1);

        prt_trace_woken(prt_trace_now());
        prt_trace_run(prt_trace_now(), 57, PRT_TRACE_READY,
                      prt_frame("http connection", 15));
        prt_trace_begin(prt_trace_now(), 57);

        (void) !write(fds[1], "x", 1);
        (void) raise(SIGKILL);
    }

    assert_int_equal(read(fds[0], &c, 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);

    start(region);

    window = all();
    window.target.pid = pid;

    assert_null(dump(&window, &result));
    assert_int_equal(state.counts[PRT_GO_TASK_BEGIN], 1);
    assert_int_equal(goroutine(&state, 57)->state, 2);

    prt_stop();
    prt_region_destroy(region);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_vector),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_hosted),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_overwritten)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
