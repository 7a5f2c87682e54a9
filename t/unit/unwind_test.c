
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Stacks of all shapes: their tables beside libunwind on the same ones, under
 * timers at random moments, and while objects come and go.
 */


#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <zlib.h>

#include "platform/prt_libunwind.h"
#include "platform/prt_object.h"
#include "platform/prt_unwind.h"


#define FRAMES                 256
#define SAMPLES                2500
#define DIFFERENT              8          /* kept to be shown */
#define CHURN_TIME             3          /* seconds */
#define CHURN_THREADS          3

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id  _sigev_un._tid
#endif

#if defined(__SANITIZE_THREAD__)
#define TSAN  1
#else
#define TSAN  0
#endif

#define noinline  __attribute__((noinline, noclone))


/* The loader's locks are its own: TSan does not see them. */

const char *__tsan_default_suppressions(void);

__attribute__((visibility("default"))) const char *
__tsan_default_suppressions(void)
{
    return "race:ld-linux-x86-64.so.2\n";
}


typedef struct {
    unsigned               n;
    prt_unwind_end_t       end;
    uintptr_t              frames[FRAMES];
} walk_t;


typedef struct {
    walk_t               ours;
    walk_t               theirs;
} pair_t;


static prt_stack_bounds_t  bounds;        /* of the main thread */

static walk_t            walked;
static walk_t            oracle;
static walk_t            inside;

static atomic_uint         samples;
static atomic_uint         equal;
static atomic_uint         complete;
static pair_t              different[DIFFERENT];

static volatile uintptr_t  sink;


static prt_stack_bounds_t
thread_bounds(void)
{
    void                *lo;
    size_t               size;
    pthread_attr_t       attr;
    prt_stack_bounds_t   b;

    pthread_getattr_np(pthread_self(), &attr);
    pthread_attr_getstack(&attr, &lo, &size);
    pthread_attr_destroy(&attr);

    b.lo = (uintptr_t) lo;
    b.hi = b.lo + size;

    return b;
}


static noinline void
walk_here(walk_t *stack, const prt_stack_bounds_t *b, unsigned max)
{
    prt_regs_t  regs;

    prt_regs_here(&regs);

    stack->n = prt_unwind(&regs, b, stack->frames, max, &stack->end);
}


static void
walk_context(walk_t *stack, const prt_stack_bounds_t *b, void *uc)
{
    prt_regs_t  regs;

    prt_regs_from_ucontext(&regs, uc);

    stack->n = prt_unwind(&regs, b, stack->frames, FRAMES, &stack->end);
}


static const char *
where(uintptr_t frame, char *buffer, size_t size)
{
    const prt_map_t     *map;
    const prt_object_t  *object;

    map = prt_map_acquire();
    object = prt_map_find(map, frame - 1);

    snprintf(buffer, size, "%s+0x%lx", object ? object->path : "?",
             object ? (long) (frame - object->bias) : (long) frame);

    prt_map_release();

    return buffer;
}


static void
show(const char *name, const walk_t *stack)
{
    unsigned  i;
    char      buffer[512];

    print_message("# %s: %u frames, end %d\n", name, stack->n, stack->end);

    for (i = 0; i < stack->n; i++) {
        print_message("#   %s\n", where(stack->frames[i], buffer, 512));
    }
}


static int
in_function(uintptr_t frame, void *function)
{
    int                  rc;
    uintptr_t            start, end;
    const prt_map_t     *map;
    const prt_object_t  *object;

    map = prt_map_acquire();
    object = prt_map_find(map, frame - 1);

    rc = object
         && prt_object_fde(object, frame - 1 - object->bias, &start, &end) == 0
         && start + object->bias == (uintptr_t) function;

    prt_map_release();

    return rc;
}


static unsigned
count_in(const walk_t *stack, void *function)
{
    unsigned  i, n;

    for (n = 0, i = 0; i < stack->n; i++) {
        n += in_function(stack->frames[i], function);
    }

    return n;
}


/* stacks of known shapes */

static noinline unsigned
recurse(unsigned depth, void (*leaf)(void))
{
    unsigned  n;

    if (depth == 0) {
        leaf();
        return 0;
    }

    n = recurse(depth - 1, leaf);
    sink += n;

    return n + 1;
}


static noinline unsigned
recurse_alloca(unsigned depth, void (*leaf)(void))
{
    unsigned        n;
    volatile char  *p;

    p = __builtin_alloca(16 + depth * 8);
    p[0] = (char) depth;

    if (depth == 0) {
        leaf();
        return 0;
    }

    n = recurse_alloca(depth - 1, leaf);
    sink += (uintptr_t) p[0] + n;

    return n + 1;
}


static void
leaf_walk(void)
{
    walk_here(&walked, &bounds, FRAMES);
}


static void
leaf_walk_short(void)
{
    walk_here(&walked, &bounds, 20);
}


static void
leaf_walk_unknown(void)
{
    static const prt_stack_bounds_t  unknown;

    walk_here(&inside, &unknown, FRAMES);
    walk_here(&walked, &bounds, FRAMES);
    sink++;                               /* neither is a tail call */
}


static void
leaf_continue(void)
{
    unsigned          n;
    prt_regs_t        regs;
    prt_unwind_end_t  end;

    prt_regs_here(&regs);

    n = prt_unwind(&regs, &bounds, walked.frames, 7, &end);
    assert_int_equal(n, 7);
    assert_int_equal(end, PRT_UNWIND_TRUNCATED);

    walked.n = n + prt_unwind(&regs, &bounds, walked.frames + n, FRAMES - n,
                              &walked.end);
}


static void
test_recursion(void **state)
{
    (void) state;

    recurse(100, leaf_walk);

    assert_int_equal(walked.end, PRT_UNWIND_END);
    assert_int_equal(count_in(&walked, (void *) recurse), 101);
    assert_true(in_function(walked.frames[0], (void *) walk_here));
    assert_int_equal(count_in(&walked, (void *) test_recursion), 1);

    recurse(100, leaf_walk_short);

    assert_int_equal(walked.end, PRT_UNWIND_TRUNCATED);
    assert_int_equal(walked.n, 20);

    recurse(30, leaf_continue);

    assert_int_equal(walked.end, PRT_UNWIND_END);
    assert_int_equal(count_in(&walked, (void *) recurse), 31);

    recurse(1000, leaf_walk);

    assert_int_equal(walked.end, PRT_UNWIND_TRUNCATED);
    assert_int_equal(walked.n, FRAMES);
}


static void
test_alloca(void **state)
{
    (void) state;

    recurse_alloca(50, leaf_walk);

    assert_int_equal(walked.end, PRT_UNWIND_END);
    assert_int_equal(count_in(&walked, (void *) recurse_alloca), 51);
}


static void
test_unknown_bounds(void **state)
{
    (void) state;

    recurse_alloca(40, leaf_walk_unknown);

    /* two calls in one function: the frames but the first two are the same */

    assert_int_equal(inside.end, PRT_UNWIND_END);
    assert_int_equal(inside.n, walked.n);
    assert_memory_equal(inside.frames + 2, walked.frames + 2,
                        (walked.n - 2) * sizeof(uintptr_t));
}


/* signal frames */

static void
on_signal(int signo, siginfo_t *info, void *uc)
{
    (void) signo;
    (void) info;

    walk_here(&inside, &bounds, FRAMES);
    walk_context(&walked, &bounds, uc);
    oracle.n = prt_unwind_oracle(uc, oracle.frames, FRAMES);
}


static void
leaf_signal(void)
{
    raise(SIGUSR1);
}


static void
handle(int signo, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction  sa;

    memset(&sa, 0, sizeof(struct sigaction));
    sa.sa_sigaction = handler;
    sa.sa_flags = SA_SIGINFO|SA_RESTART|flags;
    sigemptyset(&sa.sa_mask);

    assert_int_equal(sigaction(signo, &sa, NULL), 0);
}


static void
check_through_signal(void)
{
    unsigned  tail;

    recurse(20, leaf_signal);

    if (walked.n != oracle.n) {
        show("table", &walked);
        show("libunwind", &oracle);
    }

    assert_int_equal(walked.end, PRT_UNWIND_END);
    assert_int_equal(walked.n, oracle.n);
    assert_memory_equal(walked.frames, oracle.frames,
                        walked.n * sizeof(uintptr_t));

    /* from inside of the handler: its own frames first, then the same */

    assert_int_equal(inside.end, PRT_UNWIND_END);
    assert_true(inside.n > walked.n);

    tail = inside.n - walked.n;
    assert_memory_equal(inside.frames + tail, walked.frames,
                        walked.n * sizeof(uintptr_t));
}


static void
test_signal(void **state)
{
    (void) state;

    handle(SIGUSR1, on_signal, 0);
    check_through_signal();
}


static void
test_signal_stack(void **state)
{
    stack_t  ss, old;

    (void) state;

    memset(&ss, 0, sizeof(stack_t));
    ss.ss_size = 256 * 1024;
    ss.ss_sp = malloc(ss.ss_size);

    assert_int_equal(sigaltstack(&ss, &old), 0);

    handle(SIGUSR1, on_signal, SA_ONSTACK);
    check_through_signal();

    old.ss_flags |= old.ss_size ? 0 : SS_DISABLE;
    assert_int_equal(sigaltstack(&old, NULL), 0);
    free(ss.ss_sp);
}


static void *
thread_walk(void *data)
{
    walk_t            *stack = data;
    prt_stack_bounds_t   b;

    b = thread_bounds();
    walk_here(stack, &b, FRAMES);

    return NULL;
}


static void
test_thread(void **state)
{
    pthread_t  thread;

    (void) state;

    assert_int_equal(pthread_create(&thread, NULL, thread_walk, &walked), 0);
    pthread_join(thread, NULL);

    assert_int_equal(walked.end, PRT_UNWIND_END);
    assert_true(walked.n >= 4);
    assert_int_equal(count_in(&walked, (void *) thread_walk), 1);
}


/* code made at run time: push %rbp; mov %rsp, %rbp; call *%rdi; pop; ret */

static const uint8_t  jit_code[] = {
    0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3
};

static uintptr_t      jit_page;


static PRT_NO_SANITIZE int
jit_step(prt_regs_t *regs, const prt_stack_bounds_t *b)
{
    uintptr_t  fp, pc;

    (void) b;

    if (regs->pc - jit_page > sizeof(jit_code)
        || prt_load(regs->r[PRT_ARCH_FP] + 8, &pc) != 0
        || prt_load(regs->r[PRT_ARCH_FP], &fp) != 0)
    {
        return 0;
    }

    regs->r[PRT_ARCH_SP] = regs->r[PRT_ARCH_FP] + 16;
    regs->r[PRT_ARCH_FP] = fp;
    regs->pc = pc;
    regs->interrupted = 0;

    return 1;
}


static void
leaf_slow(void)
{
    prt_regs_t  regs;

    prt_regs_here(&regs);

    walked.n = prt_unwind_slow(&regs, &bounds, walked.frames, FRAMES,
                               &walked.end);
}


static void
test_foreign(void **state)
{
    void    *page;
    void   (*jit)(void (*)(void));

    (void) state;

    page = mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS,
                -1, 0);
    assert_true(page != MAP_FAILED);

    memcpy(page, jit_code, sizeof(jit_code));
    assert_int_equal(mprotect(page, 4096, PROT_READ|PROT_EXEC), 0);

    jit_page = (uintptr_t) page;
    memcpy(&jit, &page, sizeof(void *));

    jit(leaf_walk);

    assert_int_equal(walked.end, PRT_UNWIND_NO_OBJECT);
    assert_int_equal(walked.frames[walked.n - 1] & ~(uintptr_t) 0xfff,
                     jit_page);

    assert_null(prt_unwind_foreign(jit_step));
    jit(leaf_walk);
    assert_ptr_equal(prt_unwind_foreign(NULL), jit_step);

    assert_int_equal(walked.end, PRT_UNWIND_END);
    assert_int_equal(count_in(&walked, (void *) test_foreign), 1);

    /* libunwind tries the frame pointer */

    jit(leaf_slow);

    assert_int_equal(walked.end, PRT_UNWIND_END);
    assert_int_equal(count_in(&walked, (void *) test_foreign), 1);

    munmap(page, 4096);
}


static void
test_load(void **state)
{
    char      *pages;
    uintptr_t  value;

    (void) state;

    pages = mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS,
                 -1, 0);
    assert_true(pages != MAP_FAILED);
    assert_int_equal(mprotect(pages + 4096, 4096, PROT_NONE), 0);

    memset(pages, 0x5a, 4096);
    errno = 4711;

    assert_int_equal(prt_load((uintptr_t) pages + 4088, &value), 0);
    assert_true(value == 0x5a5a5a5a5a5a5a5a);
    assert_int_equal(prt_load((uintptr_t) pages + 4089, &value), -1);
    assert_int_equal(prt_load((uintptr_t) pages + 4096, &value), -1);
    assert_int_equal(prt_load(0, &value), -1);
    assert_int_equal(prt_load(UINTPTR_MAX - 3, &value), -1);
    assert_int_equal(prt_load((uintptr_t) 1 << 63, &value), -1);
    assert_int_equal(prt_load((uintptr_t) 0x5a5a5a5a5a5a5a5a, &value), -1);
    assert_int_equal(errno, 4711);

    munmap(pages, 8192);
}


/* Registers that make no sense must not make us crash. */

static void
test_garbage(void **state)
{
    unsigned              i, j, n;
    uint64_t              x;
    uintptr_t             frames[32];
    prt_regs_t            regs;
    const prt_map_t      *map;
    prt_unwind_end_t      end;
    prt_stack_bounds_t    b;
    const prt_object_t   *object;

    (void) state;

    x = 88172645463325252;
    map = prt_map_acquire();

    for (i = 0; i < 200000; i++) {

        for (j = 0; j < PRT_ARCH_REGS; j++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;

            switch (x >> 61) {

            case 0:
                regs.r[j] = x;
                break;

            case 1:
                regs.r[j] = x & 0xffff;
                break;

            case 2:
                regs.r[j] = bounds.hi - (x & 0xfff);
                break;

            default:
                /* below hi by a little more: our own live frames */
                regs.r[j] = (uintptr_t) &frames[x & 31];
            }
        }

        object = prt_map_object(map, (unsigned) x % prt_map_count(map));

        regs.pc = object->nsegments
                  ? object->bias + object->segments[0].vaddr
                    + x % object->segments[0].size
                  : x;
        regs.valid = (uint32_t) (x >> 20);
        regs.interrupted = i & 1;

        b = bounds;

        if (i % 3 == 0) {
            b.lo = 0;
            b.hi = 0;
        }

        n = prt_unwind(&regs, &b, frames, 32, &end);
        assert_true(n >= 1 && n <= 32);
    }

    prt_map_release();
}


/* objects */

static void
test_objects(void **state)
{
    char                  target[512];
    ssize_t               n;
    unsigned              i, mains, own, loaders, vdsos;
    uint64_t              serial;
    uintptr_t             start, end;
    const prt_map_t      *map;
    const prt_object_t   *object;

    (void) state;

    assert_int_equal(prt_objects_refresh(), 0);

    map = prt_map_acquire();
    mains = own = loaders = vdsos = 0;
    serial = 0;

    for (i = 0; i < prt_map_count(map); i++) {
        object = prt_map_object(map, i);

        assert_true(object->serial > serial);
        serial = object->serial;

        mains += object->is_main;
        own += object->own;
        loaders += object->is_loader;
        vdsos += object->is_vdso;

        if (object->is_main) {
            n = readlink("/proc/self/exe", target, sizeof(target) - 1);
            assert_true(n > 0);
            target[n] = '\0';
            assert_string_equal(object->path, target);
            assert_true(object->own);
            assert_false(object->is_exec_type);
        }

        if (object->is_vdso) {
            assert_string_equal(object->path, "[vdso]");
            assert_true(object->image_size > 64);
            assert_memory_equal(object->image, "\177ELF", 4);
            assert_ptr_equal(object->image,
                             (void *) getauxval(AT_SYSINFO_EHDR));
        }
    }

    assert_int_equal(mains, 1);
    assert_int_equal(own, 1);
    assert_int_equal(loaders, 1);
    assert_int_equal(vdsos, getauxval(AT_SYSINFO_EHDR) ? 1 : 0);

    object = prt_map_find(map, (uintptr_t) dlsym(RTLD_DEFAULT, "gnu_get_libc_version"));
    assert_non_null(object);
    assert_non_null(strstr(object->path, "libc.so"));
    assert_int_equal(object->build_id_len, 20);

    assert_null(prt_map_find(map, (uintptr_t) &bounds));
    assert_null(prt_map_find(map, 0));
    assert_null(prt_map_find(map, UINTPTR_MAX));

    object = prt_map_find(map, (uintptr_t) test_objects);
    assert_int_equal(prt_object_fde(object,
                                    (uintptr_t) test_objects + 9
                                    - object->bias, &start, &end), 0);
    assert_int_equal(start, (uintptr_t) test_objects - object->bias);
    assert_true(end > start + 100);

    prt_map_release();
}


/* A library of our own, for dlopen(). */

static char  library[64];


static int
make_library(void)
{
    FILE  *f;
    char   source[80], command[512];

    snprintf(library, sizeof(library), "/tmp/unwind_test.%d.so", getpid());
    snprintf(source, sizeof(source), "%s.c", library);

    f = fopen(source, "w");
    if (f == NULL) {
        return -1;
    }

    fputs("int unwind_library(int (*f)(void *), void *p)"
          " { volatile char c[100]; c[0] = 1; return f(p) + c[0]; }\n", f);
    fclose(f);

    snprintf(command, sizeof(command), "%s -O2 -fPIC -shared -o %s %s",
             getenv("CC") ? getenv("CC") : "cc", library, source);

    if (system(command) != 0) {
        return -1;
    }

    unlink(source);

    return 0;
}


static int
walk_callback(void *data)
{
    walk_here(data, &bounds, FRAMES);

    return 1;
}


static void
test_dlopen(void **state)
{
    int                 (*function)(int (*)(void *), void *);
    void                 *handle;
    uint64_t              serial, first;
    const prt_object_t   *object;

    (void) state;

    first = 0;

    for (unsigned i = 0; i < 3; i++) {

        handle = dlopen(library, RTLD_NOW|RTLD_LOCAL);
        assert_non_null(handle);
        *(void **) &function = dlsym(handle, "unwind_library");

        /* not known yet: the stack ends there, and is not wrong */

        (void) function(walk_callback, &walked);

        if (i == 0) {
            assert_int_equal(walked.end, PRT_UNWIND_NO_OBJECT);
        }

        assert_int_equal(prt_objects_refresh(), 1);
        assert_int_equal(prt_objects_refresh(), 0);

        (void) function(walk_callback, &walked);
        assert_int_equal(walked.end, PRT_UNWIND_END);
        assert_int_equal(count_in(&walked, (void *) function), 1);

        object = prt_map_find(prt_map_acquire(), (uintptr_t) function);
        assert_string_equal(object->path, library);
        serial = object->serial;
        prt_map_release();

        assert_true(serial > first);
        first = serial;

        dlclose(handle);
        assert_int_equal(prt_objects_refresh(), 1);
    }
}


/* work whose stacks are compared at random moments */

static noinline uintptr_t
work_leaf(uintptr_t a)
{
    volatile uintptr_t  red[12];          /* in the red zone */

    for (unsigned i = 0; i < 12; i++) {
        red[i] = a * i;
    }

    return red[3] + red[11];
}


static noinline uintptr_t
work_plt(uintptr_t a)
{
    char  text[64];

    for (unsigned i = 0; i < 20; i++) {
        memset(text, 'a' + (int) (a & 7), sizeof(text) - 1);
        text[63] = '\0';
        a += strlen(text) + (uintptr_t) labs((long) a)
             + (uintptr_t) strtol("12345", NULL, 10);
    }

    return a;
}


static int
work_compare(const void *one, const void *two)
{
    return *(const int *) one - *(const int *) two + (int) (work_leaf(1) & 0);
}


static noinline void
work_sort(unsigned seed)
{
    int  numbers[200];

    for (unsigned i = 0; i < 200; i++) {
        seed = seed * 1103515245 + 12345;
        numbers[i] = (int) (seed >> 16 & 0x7fff);
    }

    qsort(numbers, 200, sizeof(int), work_compare);
    sink += (uintptr_t) numbers[7];
}


static noinline void
work_crypto(void)
{
    int              len;
    uint8_t          in[4096], out[4096 + 32], md[EVP_MAX_MD_SIZE];
    unsigned         n;
    EVP_CIPHER_CTX  *ctx;

    memset(in, 7, sizeof(in));

    ctx = EVP_CIPHER_CTX_new();
    EVP_EncryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, in, in + 16);
    EVP_EncryptUpdate(ctx, out, &len, in, sizeof(in));
    EVP_EncryptUpdate(ctx, out, &len, in, 1000);
    EVP_EncryptFinal_ex(ctx, out, &len);
    EVP_CIPHER_CTX_free(ctx);

    EVP_Digest(in, sizeof(in), md, &n, EVP_sha256(), NULL);
    EVP_Digest(in, sizeof(in), md, &n, EVP_sha1(), NULL);
    EVP_Digest(in, sizeof(in), md, &n, EVP_sha512(), NULL);
    sink += md[0];
}


static noinline void
work_rsa(EVP_PKEY *key)
{
    size_t       len;
    uint8_t      md[32], sig[512];
    EVP_MD_CTX  *ctx;

    memset(md, 3, sizeof(md));
    len = sizeof(sig);

    ctx = EVP_MD_CTX_new();
    EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key);
    EVP_DigestSign(ctx, sig, &len, md, sizeof(md));
    EVP_MD_CTX_free(ctx);
}


static noinline void
work_deflate(void)
{
    uLongf         size;
    static Bytef   in[16384], out[20000];

    for (unsigned i = 0; i < sizeof(in); i++) {
        in[i] = (Bytef) ("nginx pprof"[i % 11] + (int) (i * i >> 9 & 3));
    }

    size = sizeof(out);
    compress2(out, &size, in, sizeof(in), 6);
    sink += size;
}


static void
on_sample(int signo, siginfo_t *info, void *uc)
{
    int       error;
    unsigned  n, i;
    pair_t    pair;

    (void) signo;
    (void) info;

    error = errno;
    n = atomic_fetch_add(&samples, 1);

    if (n >= SAMPLES) {
        errno = error;
        return;
    }

    walk_context(&pair.ours, &bounds, uc);
    pair.theirs.n = prt_unwind_oracle(uc, pair.theirs.frames, FRAMES);
    pair.theirs.end = 0;

    if (pair.ours.end == PRT_UNWIND_END) {
        atomic_fetch_add(&complete, 1);
    }

    if (pair.ours.n == pair.theirs.n
        && memcmp(pair.ours.frames, pair.theirs.frames,
                  pair.ours.n * sizeof(uintptr_t))
           == 0)
    {
        atomic_fetch_add(&equal, 1);

    } else {
        i = n - atomic_load(&equal);

        if (i < DIFFERENT) {
            memcpy(&different[i], &pair, sizeof(pair_t));
        }
    }

    errno = error;
}


static timer_t
start_timer(int signo, clockid_t clock, long ns)
{
    timer_t            timer;
    struct sigevent    se;
    struct itimerspec  its;

    memset(&se, 0, sizeof(struct sigevent));
    se.sigev_notify = SIGEV_THREAD_ID;
    se.sigev_signo = signo;
    se.sigev_notify_thread_id = (pid_t) syscall(SYS_gettid);

    if (timer_create(clock, &se, &timer) != 0) {
        abort();
    }

    its.it_interval.tv_sec = 0;
    its.it_interval.tv_nsec = ns;
    its.it_value = its.it_interval;

    timer_settime(timer, 0, &its, NULL);

    return timer;
}


/* TSan delivers signals later, when their context is not true any more. */

static void
test_oracle(void **state)
{
    timer_t    timer;
    unsigned   round, taken, same, ends;
    EVP_PKEY  *key;

    (void) state;

    if (TSAN) {
        return;
    }

    key = EVP_RSA_gen(2048);
    assert_non_null(key);

    handle(SIGPROF, on_sample, 0);

    timer = start_timer(SIGPROF, CLOCK_MONOTONIC, 487000);

    for (round = 0; atomic_load(&samples) < SAMPLES; round++) {

        work_sort(round);
        work_crypto();
        work_rsa(key);
        work_deflate();

        for (unsigned i = 0; i < 2000; i++) {
            sink += work_leaf(i);
        }

        for (unsigned i = 0; i < 100; i++) {
            sink += work_plt(i);
        }
    }

    timer_delete(timer);
    signal(SIGPROF, SIG_IGN);
    EVP_PKEY_free(key);

    taken = SAMPLES;
    same = atomic_load(&equal);
    ends = atomic_load(&complete);

    print_message("# %u samples: %u identical to libunwind (%.2f %%), "
                  "%u complete (%.2f %%)\n", taken, same, 100.0 * same / taken,
                  ends, 100.0 * ends / taken);

    for (unsigned i = 0; i < DIFFERENT; i++) {
        if (different[i].ours.n) {
            show("table", &different[i].ours);
            show("libunwind", &different[i].theirs);
        }
    }

    assert_true(same >= taken * 995 / 1000);
    assert_true(ends >= taken * 995 / 1000);
}


/* objects come and go under samplers */

static atomic_int   churn_stop;
static atomic_uint  churn_walks;
static atomic_uint  churn_opens;


static __thread prt_stack_bounds_t  churn_bounds;


static void
on_churn(int signo, siginfo_t *info, void *uc)
{
    walk_t  stack;

    (void) signo;
    (void) info;

    walk_context(&stack, &churn_bounds, uc);
    atomic_fetch_add(&churn_walks, 1);
}


static int
churn_callback(void *data)
{
    walk_t  stack;

    (void) data;

    walk_here(&stack, &churn_bounds, FRAMES);
    atomic_fetch_add(&churn_walks, 1);

    return 0;
}


/* A copy for each thread: else the others would keep it loaded. */

static void *
churn_thread(void *data)
{
    int      (*function)(int (*)(void *), void *);
    char       copy[80], command[256];
    void      *handle;
    timer_t    timer;

    snprintf(copy, sizeof(copy), "%s.%u", library, *(unsigned *) data);
    snprintf(command, sizeof(command), "cp %s %s", library, copy);

    if (system(command) != 0) {
        return NULL;
    }

    churn_bounds = thread_bounds();

    if (!TSAN) {
        timer = start_timer(SIGPROF, CLOCK_MONOTONIC, 1000000);
    }

    while (!atomic_load(&churn_stop)) {

        handle = dlopen(copy, RTLD_NOW|RTLD_LOCAL);

        if (handle) {
            *(void **) &function = dlsym(handle, "unwind_library");
            (void) function(churn_callback, NULL);
            dlclose(handle);
            atomic_fetch_add(&churn_opens, 1);
        }
    }

    if (!TSAN) {
        timer_delete(timer);
    }

    unlink(copy);

    return NULL;
}


static void *
churn_refresh(void *data)
{
    unsigned  *changes = data;
    sigset_t   set;

    sigfillset(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);

    while (!atomic_load(&churn_stop)) {
        *changes += prt_objects_refresh() == 1;
    }

    return NULL;
}


static void
test_churn(void **state)
{
    unsigned   i, changes[2], numbers[CHURN_THREADS];
    pthread_t  threads[CHURN_THREADS], refreshers[2];

    (void) state;

    handle(SIGPROF, on_churn, 0);
    alarm(120);                           /* a deadlock ends the test */

    changes[0] = changes[1] = 0;

    for (i = 0; i < CHURN_THREADS; i++) {
        numbers[i] = i;
        pthread_create(&threads[i], NULL, churn_thread, &numbers[i]);
    }

    for (i = 0; i < 2; i++) {
        pthread_create(&refreshers[i], NULL, churn_refresh, &changes[i]);
    }

    sleep(CHURN_TIME);
    atomic_store(&churn_stop, 1);

    for (i = 0; i < CHURN_THREADS; i++) {
        pthread_join(threads[i], NULL);
    }

    for (i = 0; i < 2; i++) {
        pthread_join(refreshers[i], NULL);
    }

    alarm(0);
    signal(SIGPROF, SIG_IGN);

    print_message("# %u dlopen, %u walks, %u new maps\n",
                  atomic_load(&churn_opens), atomic_load(&churn_walks),
                  changes[0] + changes[1]);

    assert_true(atomic_load(&churn_walks) > 100);
    assert_true(changes[0] + changes[1] > 10);
}


/* tables */

static void
test_ehframe(void **state)
{
    void            *hdr_copy, *copy;
    uint32_t         row;
    uint64_t         x, vaddr, a, b, left;
    unsigned         i, j;
    prt_bytes_t      hdr, frame, none;
    prt_ehframe_t   *table, *linear;

    const prt_map_t     *map;
    const prt_object_t  *object;

    (void) state;

    map = prt_map_acquire();
    object = prt_map_find(map, (uintptr_t) dlsym(RTLD_DEFAULT, "compress2"));
    assert_non_null(object);
    assert_non_null(strstr(object->path, "libz"));

    memset(&hdr, 0, sizeof(prt_bytes_t));
    memset(&none, 0, sizeof(prt_bytes_t));

    for (i = 0; i < object->phnum; i++) {
        if (object->phdr[i].p_type == PT_GNU_EH_FRAME) {
            hdr.vaddr = object->phdr[i].p_vaddr;
            hdr.size = object->phdr[i].p_memsz;
            hdr.data = (const uint8_t *) (object->bias + hdr.vaddr);
        }
    }

    frame.vaddr = prt_ehframe_start(&hdr);
    frame.data = (const uint8_t *) (object->bias + frame.vaddr);
    left = 0;

    for (i = 0; i < object->phnum; i++) {
        if (object->phdr[i].p_type == PT_LOAD
            && frame.vaddr - object->phdr[i].p_vaddr
               < object->phdr[i].p_filesz)
        {
            left = object->phdr[i].p_vaddr + object->phdr[i].p_filesz
                   - frame.vaddr;
        }
    }

    frame.size = left;

    /* without the search table the result is the same */

    assert_int_equal(prt_ehframe_create(&hdr, &frame, 0, 1 << 30, &table), 0);
    assert_int_equal(prt_ehframe_create(&none, &frame, 0, 1 << 30, &linear), 0);
    assert_non_null(table);
    assert_non_null(linear);

    assert_int_equal(table->nrows, linear->nrows);
    assert_int_equal(table->nfunctions, linear->nfunctions);
    assert_memory_equal(table->rows, linear->rows, table->nrows * 4);

    /* all addresses: in a function, or in a gap */

    for (vaddr = table->start; vaddr < table->start + table->size; vaddr++) {

        row = prt_ehframe_row(table, vaddr);

        if (prt_ehframe_function(table, vaddr, &a, &b) == 0) {
            assert_true(a <= vaddr && vaddr < b);
            assert_true((row & PRT_ROW_STATE) != PRT_STATE_GAP);

        } else {
            assert_int_equal(row & PRT_ROW_STATE, PRT_STATE_GAP);
        }
    }

    assert_int_equal(prt_ehframe_row(table, table->start - 1), 0);
    assert_int_equal(prt_ehframe_row(table, table->start + table->size), 0);
    assert_int_equal(prt_ehframe_row(table, UINT64_MAX), 0);

    prt_ehframe_free(table);
    prt_ehframe_free(linear);

    /* bytes that were overwritten: nothing outside of them may be read */

    hdr_copy = malloc(hdr.size);
    copy = malloc(frame.size);
    x = 1;

    for (i = 0; i < 300; i++) {

        memcpy(hdr_copy, hdr.data, hdr.size);
        memcpy(copy, frame.data, frame.size);

        for (j = 0; j < 1 + i % 50; j++) {
            x = x * 6364136223846793005 + 1442695040888963407;
            ((uint8_t *) copy)[(x >> 20) % frame.size] = (uint8_t) (x >> 56);
            ((uint8_t *) hdr_copy)[(x >> 40) % (i % 2 ? hdr.size : 12)]
                = (uint8_t) (x >> 50);
        }

        none = hdr;
        none.data = hdr_copy;
        none.size = i % 3 ? hdr.size : 0;

        left = frame.size;
        frame.data = copy;
        frame.size = i % 5 ? frame.size : frame.size - i;

        assert_int_equal(prt_ehframe_create(&none, &frame, 0, 1 << 30, &table),
                         0);
        prt_ehframe_free(table);

        frame.data = (const uint8_t *) (object->bias + frame.vaddr);
        frame.size = left;
    }

    free(hdr_copy);
    free(copy);
    prt_map_release();
}


static int
setup(void **state)
{
    (void) state;

    bounds = thread_bounds();

    return make_library() || prt_libunwind_init();
}


static int
teardown(void **state)
{
    (void) state;

    unlink(library);

    return 0;
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_ehframe),
        cmocka_unit_test(test_recursion),
        cmocka_unit_test(test_alloca),
        cmocka_unit_test(test_unknown_bounds),
        cmocka_unit_test(test_signal),
        cmocka_unit_test(test_signal_stack),
        cmocka_unit_test(test_thread),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_dlopen),
        cmocka_unit_test(test_oracle),
        cmocka_unit_test(test_churn),
    };

    return cmocka_run_group_tests_name("unwind", tests, setup, teardown);
}
