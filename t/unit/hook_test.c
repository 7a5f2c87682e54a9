
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Hooks in libraries that bind lazily, at once, and by data; that are there
 * before and come after; and memory that is protected as it was.
 */


#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform/prt_hook.h"


#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED  1
#else
#define SANITIZED  0
#endif


/* The loader's locks are its own: TSan does not see them. */

const char *__tsan_default_suppressions(void);

__attribute__((visibility("default"))) const char *
__tsan_default_suppressions(void)
{
    return "race:ld-linux-x86-64.so.2\n";
}


/* A library under test, built when the test starts. */

typedef struct {
    const char  *name;
    const char  *flags;
    void        *handle;
    char         path[80];
} library_t;


static const char  source[] =
    "#include <pthread.h>\n"
    "#include <unistd.h>\n"
    "extern int cond_signal_old(pthread_cond_t *);\n"
    "__asm__(\".symver cond_signal_old, pthread_cond_signal@GLIBC_2.2.5\");\n"
    "pid_t (*const constant)(void) = getppid;\n"
    "pid_t (*variable)(void) = getppid;\n"
    "pid_t (*other)(void) = getppid;\n"
    "static pthread_cond_t cond_old, cond_new = PTHREAD_COND_INITIALIZER;\n"
    "long call(void) { return getppid(); }\n"
    "long call_constant(void) { return constant(); }\n"
    "long call_variable(void) { return variable(); }\n"
    "long call_other(void) { return other(); }\n"
    "long set_other(void) { other = getpid; return 0; }\n"
    "long get_pointer(void) { return (long) variable; }\n"
    "long signal_new(void) { return pthread_cond_signal(&cond_new); }\n"
    "long signal_old(void) { return cond_signal_old(&cond_old); }\n";


static library_t  lazy = { "lazy", "-Wl,-z,lazy -Wl,-z,norelro", NULL, "" };
static library_t  now = { "now", "-Wl,-z,now -Wl,-z,relro", NULL, "" };
static library_t  late = { "late", "-Wl,-z,now -Wl,-z,relro", NULL, "" };


static pid_t  (*original_getppid)(void);
static int    (*original_cond_signal)(pthread_cond_t *);
static void   (*original_nothing)(void);

static atomic_uint  hooked;


static pid_t
hook_getppid(void)
{
    hooked++;

    return original_getppid();
}


static int
hook_cond_signal(pthread_cond_t *cond)
{
    hooked++;

    return original_cond_signal(cond);
}


static void
hook_nothing(void)
{
    hooked++;
}


static const prt_hook_t  hooks[] = {
    { "getppid", (void *) hook_getppid, (void **) &original_getppid },
    { "pthread_cond_signal", (void *) hook_cond_signal,
      (void **) &original_cond_signal },
    { "prt_no_such_function", (void *) hook_nothing,
      (void **) &original_nothing },
};


static int
build(library_t *l)
{
    FILE  *f;
    char   command[512];

    snprintf(l->path, sizeof(l->path), "/tmp/hook_test.%s.%d.so", l->name,
             getpid());

    snprintf(command, sizeof(command),
             "%s -O1 -w -fPIC -shared %s -o %s -x c -",
             getenv("CC") ? getenv("CC") : "cc", l->flags, l->path);

    f = popen(command, "w");
    if (f == NULL) {
        return -1;
    }

    fputs(source, f);

    return pclose(f);
}


/* Calls a function of a library: 1 if that went through a hook. */

static unsigned
call(library_t *l, const char *name, long *value)
{
    long      (*function)(void);
    long        ignored;
    unsigned    before;

    *(void **) &function = dlsym(l->handle, name);
    assert_non_null(function);

    before = hooked;
    *(value ? value : &ignored) = function();

    return hooked - before;
}


static void
protections(char *buffer, size_t size)
{
    FILE    *f;
    char     line[512];
    size_t   len;

    f = fopen("/proc/self/maps", "r");
    assert_non_null(f);

    buffer[0] = '\0';
    len = 0;

    while (fgets(line, sizeof(line), f)) {
        if (strstr(line, "/tmp/hook_test.") || strstr(line, "libc.so")
            || strstr(line, "libcmocka"))
        {
            len += (size_t) snprintf(buffer + len, size - len, "%.40s\n", line);
            assert_true(len < size);
        }
    }

    fclose(f);
}


static void
open_library(library_t *l, int mode)
{
    l->handle = dlopen(l->path, mode|RTLD_LOCAL);

    if (l->handle == NULL) {
        print_error("# %s\n", dlerror());
    }

    assert_non_null(l->handle);
}


static void
test_install(void **state)
{
    int    n;
    long   value;
    char   before[8192], after[8192];

    (void) state;

    open_library(&lazy, RTLD_LAZY);
    open_library(&now, RTLD_NOW);

    (void) call(&now, "set_other", NULL);

    assert_int_equal(call(&lazy, "call_variable", NULL), 0);
    assert_int_equal(call(&now, "call", NULL), 0);

    protections(before, sizeof(before));

    n = prt_hooks_install(hooks, sizeof(hooks) / sizeof(hooks[0]));

    assert_true(n >= 8);
    assert_non_null(original_getppid);
    assert_null(original_nothing);

    protections(after, sizeof(after));
    assert_string_equal(before, after);

    /* not bound before, and bound before */

    assert_int_equal(call(&lazy, "call", &value), 1);
    assert_int_equal(value, getppid());
    assert_int_equal(call(&now, "call", &value), 1);
    assert_int_equal(value, getppid());
    assert_int_equal(call(&lazy, "call", NULL), 1);

    /* data */

    assert_int_equal(call(&lazy, "call_constant", NULL), 1);
    assert_int_equal(call(&now, "call_constant", NULL), 1);
    assert_int_equal(call(&lazy, "call_variable", NULL), 1);
    assert_int_equal(call(&lazy, "call_other", NULL), 1);
    assert_int_equal(call(&now, "call_other", &value), 0);
    assert_int_equal(value, getpid());
}


/* The same name in an older version is another function. */

static void
test_version(void **state)
{
    (void) state;

    assert_int_equal(call(&lazy, "signal_new", NULL), 1);
    assert_int_equal(call(&now, "signal_new", NULL), 1);

    if (!SANITIZED) {
        assert_int_equal(call(&lazy, "signal_old", NULL), 0);
        assert_int_equal(call(&now, "signal_old", NULL), 0);
    }
}


static void
test_refresh(void **state)
{
    char  before[8192], after[8192];

    (void) state;

    for (unsigned i = 0; i < 3; i++) {

        assert_int_equal(prt_hooks_refresh(), 0);

        open_library(&late, RTLD_NOW);
        assert_int_equal(call(&late, "call", NULL), 0);

        protections(before, sizeof(before));
        assert_true(prt_hooks_refresh() >= 4);
        protections(after, sizeof(after));
        assert_string_equal(before, after);

        assert_int_equal(call(&late, "call", NULL), 1);
        assert_int_equal(call(&late, "call_constant", NULL), 1);

        dlclose(late.handle);

        if (i == 1) {
            /* gone and back again, at the same place perhaps, unseen */
            open_library(&late, RTLD_NOW);
            assert_true(prt_hooks_refresh() >= 4);
            assert_int_equal(call(&late, "call", NULL), 1);
            dlclose(late.handle);
        }

        assert_int_equal(prt_hooks_refresh(), 0);
    }

    /* the hooks keep nothing loaded */

    assert_null(dlopen(late.path, RTLD_NOW|RTLD_NOLOAD));
}


static void
test_remove(void **state)
{
    char  before[8192], after[8192];
    long  pointer;

    (void) state;

    protections(before, sizeof(before));
    prt_hooks_remove();
    protections(after, sizeof(after));
    assert_string_equal(before, after);

    assert_int_equal(call(&lazy, "call", NULL), 0);
    assert_int_equal(call(&now, "call", NULL), 0);
    assert_int_equal(call(&lazy, "call_constant", NULL), 0);
    assert_int_equal(call(&now, "call_constant", NULL), 0);
    assert_int_equal(call(&lazy, "signal_new", NULL), 0);
    assert_int_equal(call(&now, "signal_new", NULL), 0);

    (void) call(&now, "get_pointer", &pointer);
    assert_int_equal(pointer, (long) original_getppid);

    prt_hooks_remove();
    assert_int_equal(prt_hooks_refresh(), 0);

    assert_true(prt_hooks_install(hooks, 1) >= 4);
    assert_int_equal(call(&lazy, "call", NULL), 1);
    assert_int_equal(call(&now, "call_constant", NULL), 1);
    assert_int_equal(call(&now, "signal_new", NULL), 0);

    prt_hooks_remove();
    assert_int_equal(call(&lazy, "call", NULL), 0);
}


/* Refreshes while other threads open and close, and call. */

static int  churn_stop;


static void *
churn_thread(void *data)
{
    long    (*function)(void);
    void     *handle;
    long      wrong;

    (void) data;

    wrong = 0;

    while (!__atomic_load_n(&churn_stop, __ATOMIC_ACQUIRE)) {
        handle = dlopen(late.path, RTLD_NOW|RTLD_LOCAL);

        if (handle) {
            *(void **) &function = dlsym(handle, "call_constant");
            wrong += function() != getppid();
            dlclose(handle);
        }
    }

    return (void *) wrong;
}


static void
test_churn(void **state)
{
    void       *wrong;
    unsigned    i, before;
    pthread_t   threads[2];

    (void) state;

    before = hooked;
    assert_true(prt_hooks_install(hooks, 1) >= 0);

    for (i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, churn_thread, NULL);
    }

    for (i = 0; i < 200; i++) {
        assert_true(prt_hooks_refresh() >= 0);
        usleep(1000);
    }

    __atomic_store_n(&churn_stop, 1, __ATOMIC_RELEASE);

    for (i = 0; i < 2; i++) {
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }

    prt_hooks_remove();

    print_message("# %u calls hooked\n", hooked - before);
}


static int
setup(void **state)
{
    (void) state;

    return build(&lazy) || build(&now) || build(&late);
}


static int
teardown(void **state)
{
    (void) state;

    unlink(lazy.path);
    unlink(now.path);
    unlink(late.path);

    return 0;
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_install),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_refresh),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_churn),
    };

    return cmocka_run_group_tests_name("hook", tests, setup, teardown);
}
