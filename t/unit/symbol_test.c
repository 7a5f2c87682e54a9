
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Names are what other readers of the same files say, and there are none
 * where the files do not fit.
 */


#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "encode/prt_symbol.h"
#include "elf_build.h"
#include "elf_image.h"
#include "elf_program.h"


#define NGINX      "/usr/sbin/nginx"
#define LIBC       "/lib/x86_64-linux-gnu/libc.so.6"
#define LIBCRYPTO  "/lib/x86_64-linux-gnu/libcrypto.so.3"

#define ADDRESSES  10000
#define BASE       ((uint64_t) 1 << 61)


#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOWER  20
#else
#define SLOWER  3          /* a loaded machine, not the budget */
#endif


/* Built again with another VERSION it is the same but for these bytes. */

static const char  versioned[] =
    "#include <stdio.h>\n"
    "#include \"inline.h\"\n"
    "static volatile unsigned sink;\n"
    "static __attribute__((noinline)) unsigned\n"
    "first(unsigned n)\n"
    "{\n"
    "#ifdef LONGER\n"
    "    sink *= n | 1;\n"
    "#endif\n"
    "    return twist(n, VERSION);\n"
    "}\n"
    "static __attribute__((noinline)) unsigned\n"
    "second(unsigned n)\n"
    "{\n"
    "    sink += twist(n, 3);\n"
    "    return first(n) ^ sink;\n"
    "}\n"
    "int\n"
    "main(int argc, char **argv)\n"
    "{\n"
    "    printf(\"%s\\n\", argv[0]);\n"
    "    return (int) second((unsigned) argc);\n"
    "}\n";


static char  dir[64];


static const char *
in(const char *name)
{
    static char      path[1024][128];      /* images keep theirs */
    static unsigned  i;

    i = (i + 1) % 1024;
    (void) snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);

    return path[i];
}


static int
setup(void **state)
{
    (void) state;

    (void) snprintf(dir, sizeof(dir), "/tmp/prt_symbol_test.XXXXXX");

    if (mkdtemp(dir) == NULL) {
        return -1;
    }

    put(dir, "program.c", program_source);
    put(dir, "inline.h", program_header);
    put(dir, "versioned.c", versioned);

    return shell("cd %s && cc -O2 -g -rdynamic -o program program.c"
                 " && cp program stripped"
                 " && objcopy --only-keep-debug program program.debug"
                 " && strip stripped"
                 " && cc -O1 -g -rdynamic -o other program.c"
                 " && objcopy --only-keep-debug other other.debug", dir);
}


static int
teardown(void **state)
{
    (void) state;

    return shell("rm -rf %s", dir);
}


static prt_symbols_t *
create(const char *debug_path)
{
    prt_symbols_t  *symbols;

    symbols = prt_symbols_create();
    assert_non_null(symbols);
    assert_int_equal(prt_symbols_debug_path(symbols, debug_path), 0);

    return symbols;
}


/* .build-id/xx/yyyy.debug of an image, below a directory of the test's */

static void
install(const prt_image_t *image, const char *file, const char *into)
{
    char      hex[2 * PRT_BUILD_ID_MAX + 1];
    unsigned  i;

    for (i = 0; i < image->build_id_len; i++) {
        (void) snprintf(hex + 2 * i, 3, "%02x", image->build_id[i]);
    }

    assert_int_equal(shell("mkdir -p %s/%s/.build-id/%.2s && cp %s"
                           " %s/%s/.build-id/%.2s/%s.debug", dir, into, hex,
                           file, dir, into, hex, hex + 2), 0);
}


/* Our "outer", a static function, found in "stripped" of the test. */

static unsigned
lookup_outer(prt_symbols_t *symbols, const prt_image_t *image,
    prt_symbol_t *found)
{
    unsigned  n;

    n = prt_symbols_lookup(symbols, image, address_of(in("program"), "outer")
                                           + 4, found, PRT_SYMBOL_INLINES);
    assert_true(n > 0);

    return n;
}


static void
assert_outer(const prt_symbol_t *found, unsigned n)
{
    assert_string_equal(found[n - 1].name, "outer");
    assert_non_null(found[n - 1].file);
    assert_non_null(strstr(found[n - 1].file, "program.c"));
    assert_int_equal(found[n - 1].start_line, 30);
    assert_int_equal(found[n - 1].from, PRT_SYMBOL_DEBUG);
}


static void
assert_unnamed(const prt_symbol_t *found)
{
    char  name[64];

    (void) snprintf(name, sizeof(name), "stripped@0x%llx",
                    (unsigned long long) address_of(in("program"), "outer"));

    assert_string_equal(found[0].name, name);
    assert_null(found[0].file);
    assert_int_equal(found[0].line, 0);
    assert_int_equal(found[0].from, PRT_SYMBOL_FDE);
}


static void
test_build_id(void **state)
{
    unsigned        n;
    prt_image_t     image;
    prt_symbol_t    found[PRT_SYMBOL_INLINES];
    prt_symbols_t  *symbols;

    (void) state;

    assert_int_equal(elf_image(&image, in("stripped"), BASE), 0);

    install(&image, in("program.debug"), "debug");
    install(&image, in("other.debug"), "wrong");

    symbols = create(in("debug"));
    n = lookup_outer(symbols, &image, found);
    assert_outer(found, n);
    prt_symbols_destroy(symbols);

    /* behind one that is not there, and one with the wrong file */

    symbols = create("");
    assert_int_equal(prt_symbols_debug_path(symbols, ""), 0);
    assert_int_equal(lookup_outer(symbols, &image, found), 1);
    assert_unnamed(found);
    prt_symbols_destroy(symbols);

    symbols = create(in("wrong"));
    assert_int_equal(lookup_outer(symbols, &image, found), 1);
    assert_unnamed(found);
    prt_symbols_destroy(symbols);

    {
        char  path[256];

        (void) snprintf(path, sizeof(path), ":/nonexistent:%s:%s",
                        in("wrong"), in("debug"));
        symbols = create(path);
        n = lookup_outer(symbols, &image, found);
        assert_outer(found, n);
        prt_symbols_destroy(symbols);
    }
}


/* A debug file that a worker cannot take in is none. */

static void
test_too_large(void **state)
{
    prt_image_t     image;
    prt_symbol_t    found[PRT_SYMBOL_INLINES];
    prt_symbols_t  *symbols;

    (void) state;

    assert_int_equal(elf_image(&image, in("stripped"), BASE), 0);
    assert_int_equal(shell("cd %s && cp program.debug large"
                           " && truncate -s 300M large", dir), 0);
    install(&image, in("large"), "large.debug");

    symbols = create(in("large.debug"));
    assert_int_equal(lookup_outer(symbols, &image, found), 1);
    assert_unnamed(found);
    prt_symbols_destroy(symbols);

    assert_int_equal(shell("rm -rf %s/large %s/large.debug", dir, dir), 0);
}


static void
test_debuglink(void **state)
{
    unsigned        n;
    prt_image_t     image, linked;
    prt_symbol_t    found[PRT_SYMBOL_INLINES];
    prt_symbols_t  *symbols;

    (void) state;

    /* with a build ID, in .debug/ beside */

    assert_int_equal(shell("cd %s && mkdir -p a/.debug && cp stripped a/"
                           " && cp program.debug a/.debug/p.debug"
                           " && objcopy --add-gnu-debuglink=a/.debug/p.debug"
                           " a/stripped", dir), 0);

    assert_int_equal(elf_image(&image, in("a/stripped"), BASE), 0);

    symbols = create("/nonexistent");
    n = lookup_outer(symbols, &image, found);
    assert_outer(found, n);
    prt_symbols_destroy(symbols);

    /* another build's file under that name */

    assert_int_equal(shell("cd %s && cp other.debug a/.debug/p.debug", dir),
                     0);

    symbols = create("/nonexistent");
    assert_int_equal(lookup_outer(symbols, &image, found), 1);
    assert_unnamed(found);
    prt_symbols_destroy(symbols);

    /* no build ID: the checksum decides */

    assert_int_equal(shell("cd %s && mkdir -p b c/%s/b"
                           " && cc -O2 -g -rdynamic -Wl,--build-id=none"
                           " -o b/full program.c"
                           " && objcopy --only-keep-debug b/full b/p.debug"
                           " && cp b/full b/stripped && strip b/stripped"
                           " && objcopy --add-gnu-debuglink=b/p.debug"
                           " b/stripped", dir, dir), 0);

    assert_int_equal(elf_image(&linked, in("b/stripped"), BASE), 0);
    assert_int_equal(linked.build_id_len, 0);

    symbols = create("/nonexistent");
    n = prt_symbols_lookup(symbols, &linked,
                           address_of(in("b/full"), "outer") + 4, found,
                           PRT_SYMBOL_INLINES);
    assert_true(n > 0);
    assert_outer(found, n);
    prt_symbols_destroy(symbols);

    assert_int_equal(shell("cd %s && mv b/p.debug c/%s/b/", dir, dir), 0);

    symbols = create(in("c"));
    n = prt_symbols_lookup(symbols, &linked,
                           address_of(in("b/full"), "outer") + 4, found,
                           PRT_SYMBOL_INLINES);
    assert_true(n > 0);
    assert_outer(found, n);
    prt_symbols_destroy(symbols);

    assert_int_equal(shell("cd %s && echo >> c/%s/b/p.debug", dir, dir), 0);

    symbols = create(in("c"));
    assert_int_equal(prt_symbols_lookup(symbols, &linked,
                                        address_of(in("b/full"), "outer") + 4,
                                        found, PRT_SYMBOL_INLINES), 1);
    assert_int_equal(found[0].from, PRT_SYMBOL_FDE);
    prt_symbols_destroy(symbols);
}


static void
test_replaced(void **state)
{
    prt_image_t     image;
    prt_symbol_t    found[PRT_SYMBOL_INLINES];
    prt_symbols_t  *symbols;

    (void) state;

    /* on disk lies another build by now */

    assert_int_equal(elf_image(&image, in("stripped"), BASE), 0);
    image.path = in("other");

    symbols = create("/nonexistent");
    assert_int_equal(lookup_outer(symbols, &image, found), 1);
    assert_string_equal(found[0].name, "other@?");
    assert_int_equal(found[0].from, PRT_SYMBOL_NONE);
    assert_int_equal(prt_symbols_sources(symbols, &image), PRT_SYMBOL_NONE);

    /* neither without build IDs, where the segments differ */

    image.build_id_len = 0;
    assert_int_equal(lookup_outer(symbols, &image, found), 1);
    assert_int_equal(found[0].from, PRT_SYMBOL_NONE);

    /* not there, a directory, a FIFO, an empty file */

    assert_int_equal(elf_image(&image, in("stripped"), BASE), 0);
    assert_int_equal(shell("cd %s && mkfifo fifo && : > empty", dir), 0);

    image.path = in("nothing");
    assert_int_equal(lookup_outer(symbols, &image, found), 1);
    assert_string_equal(found[0].name, "nothing@?");

    image.path = dir;
    assert_int_equal(lookup_outer(symbols, &image, found), 1);
    assert_int_equal(found[0].from, PRT_SYMBOL_NONE);

    image.path = in("fifo");
    assert_int_equal(lookup_outer(symbols, &image, found), 1);
    assert_int_equal(found[0].from, PRT_SYMBOL_NONE);

    image.path = in("empty");
    assert_int_equal(lookup_outer(symbols, &image, found), 1);
    assert_int_equal(found[0].from, PRT_SYMBOL_NONE);

    prt_symbols_destroy(symbols);
}


/* The program that runs us is found even where its file is gone. */

static void
test_deleted_program(void **state)
{
    unsigned        n;
    prt_image_t     image;
    prt_symbol_t    found[PRT_SYMBOL_INLINES];
    prt_symbols_t  *symbols;

    (void) state;

    assert_int_equal(elf_image(&image, "/proc/self/exe", BASE), 0);

    if (image.build_id_len == 0) {
        SKIP("no build ID");
    }

    image.path = in("nothing");

    symbols = create("/nonexistent");

    n = prt_symbols_lookup(symbols, &image,
                           address_of("/proc/$PPID/exe",
                                      "test_deleted_program"),
                           found, PRT_SYMBOL_INLINES);
    assert_true(n > 0);
    assert_string_equal(found[n - 1].name, "test_deleted_program");

    prt_symbols_destroy(symbols);
}


static void
test_truncated(void **state)
{
    long            size, length;
    unsigned        i, n, right, wrong;
    struct stat     st;
    prt_image_t     image;
    prt_symbol_t    found[PRT_SYMBOL_INLINES];
    prt_symbols_t  *symbols;

    (void) state;

    assert_int_equal(elf_image(&image, in("stripped"), BASE), 0);
    assert_int_equal(stat(in("program"), &st), 0);

    size = st.st_size;
    right = 0;
    wrong = 0;

    for (i = 0; i < 60; i++) {
        length = size * i / 59;

        assert_int_equal(shell("head -c %ld %s > %s", length, in("program"),
                               in("short")), 0);

        image.path = in("short");
        symbols = create("/nonexistent");
        n = lookup_outer(symbols, &image, found);

        if (strcmp(found[n - 1].name, "outer") == 0) {
            right++;

        } else if (found[n - 1].from & PRT_SYMBOL_NAMED) {
            wrong++;
        }

        prt_symbols_destroy(symbols);
    }

    assert_int_equal(wrong, 0);
    assert_true(right >= 1);
}


/* A debug file that comes later is used, and one by debuginfod. */

static void
test_debuginfod(void **state)
{
    char            hex[2 * PRT_BUILD_ID_MAX + 1];
    unsigned        i, n;
    atomic_int      cancel;
    prt_image_t     image;
    prt_symbol_t    found[PRT_SYMBOL_INLINES];
    prt_symbols_t  *symbols;

    (void) state;

    assert_int_equal(elf_image(&image, in("stripped"), BASE), 0);

    for (i = 0; i < image.build_id_len; i++) {
        (void) snprintf(hex + 2 * i, 3, "%02x", image.build_id[i]);
    }

    symbols = create("/nonexistent");
    atomic_init(&cancel, 0);

    assert_int_equal(lookup_outer(symbols, &image, found), 1);
    assert_unnamed(found);

    (void) unsetenv("DEBUGINFOD_URLS");
    assert_int_equal(prt_symbols_fetch_missing(symbols, 1000000000, &cancel),
                     0);

    if (access("/usr/lib/x86_64-linux-gnu/libdebuginfod.so.1", F_OK) != 0) {
        prt_symbols_destroy(symbols);
        SKIP("no libdebuginfod");
    }

    assert_int_equal(shell("mkdir -p %s/server/buildid/%s && cp %s"
                           " %s/server/buildid/%s/debuginfo", dir, hex,
                           in("program.debug"), dir, hex), 0);

    {
        char  url[128];

        (void) snprintf(url, sizeof(url), "file://%s/server/", dir);
        (void) setenv("DEBUGINFOD_URLS", url, 1);
        (void) setenv("DEBUGINFOD_CACHE_PATH", in("cache"), 1);
    }

    atomic_store(&cancel, 1);
    assert_int_equal(prt_symbols_fetch_missing(symbols, 10000000000, &cancel),
                     0);

    atomic_store(&cancel, 0);
    n = prt_symbols_fetch_missing(symbols, 10000000000, &cancel);
    assert_int_equal(n, 1);

    /* the results of this answer stay as they are */

    assert_int_equal(lookup_outer(symbols, &image, found), 1);
    assert_unnamed(found);

    prt_symbols_trim(symbols);

    n = lookup_outer(symbols, &image, found);
    assert_outer(found, n);

    assert_int_equal(prt_symbols_fetch_missing(symbols, 1000000000, NULL), 0);

    prt_symbols_destroy(symbols);
    (void) unsetenv("DEBUGINFOD_URLS");
}


static size_t
resident(void)
{
    long   total, pages;
    FILE  *f;

    f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &total, &pages), 2);
    (void) fclose(f);

    return (size_t) pages * 4096;
}


/* Whether the name and the file of "second" are found, and what there is. */

static int
second_named(const char *debug_path, unsigned *sources)
{
    int             named;
    unsigned        n;
    prt_image_t     image;
    prt_symbol_t    found[PRT_SYMBOL_INLINES];
    prt_symbols_t  *symbols;

    assert_int_equal(elf_image(&image, in("v1.stripped"), BASE), 0);

    symbols = create(debug_path);

    n = prt_symbols_lookup(symbols, &image, address_of(in("v1"), "second") + 4,
                           found, PRT_SYMBOL_INLINES);
    assert_true(n > 0);

    *sources = prt_symbols_sources(symbols, &image);
    named = (strcmp(found[n - 1].name, "second") == 0);

    /* a name or none, but not another one */

    if (!named) {
        assert_int_equal(n, 1);
        assert_int_equal(found[0].from, PRT_SYMBOL_FDE);
        assert_null(found[0].file);

    } else {
        assert_int_equal(found[n - 1].from, PRT_SYMBOL_DEBUG);
        assert_non_null(strstr(found[n - 1].file, "versioned.c"));
    }

    prt_symbols_destroy(symbols);

    return named;
}


/* A copy of v2 with so many bytes of a section changed, as a debug file. */

static void
install_changed(const char *name, const char *section, unsigned bytes,
    const char *into)
{
    FILE         *f;
    unsigned      i;
    prt_elf_t     file;
    GElf_Shdr     shdr;
    prt_image_t   image;

    assert_int_equal(shell("cp %s %s", in("v2"), in(name)), 0);
    assert_int_equal(prt_elf_open(&file, in(name)), 0);
    assert_non_null(prt_elf_section(&file, section, &shdr));
    assert_true(shdr.sh_size >= bytes);

    f = fopen(in(name), "r+");
    assert_non_null(f);
    assert_int_equal(fseek(f, (long) shdr.sh_offset, SEEK_SET), 0);

    for (i = 0; i < bytes; i++) {
        assert_int_not_equal(fputc(file.memory[shdr.sh_offset + i] ^ 0xff, f),
                             EOF);
    }

    assert_int_equal(fclose(f), 0);
    prt_elf_close(&file);

    assert_int_equal(elf_image(&image, in("v1.stripped"), BASE), 0);
    install(&image, in(name), into);
}


/* Another build ID is accepted for the same layout and code, and only then. */

static void
test_rebuilt(void **state)
{
    char          path[256];
    unsigned      i, sources;
    prt_image_t   image, other;

    static const struct {
        const char  *file;
        const char  *into;
    } refused[] = {
        { "v2.debug", "codeless" },
        { "longer", "with.longer" },
        { "optimized", "with.optimized" },
        { "longer.debug", "longerdebug" }
    };

    (void) state;

    assert_int_equal(shell("cd %s && CC='cc -g -rdynamic -DVERSION'"
                           " && $CC=11 -O2 -o v1 versioned.c"
                           " && $CC=13 -O2 -o v2 versioned.c"
                           " && $CC=13 -O2 -DLONGER -o longer versioned.c"
                           " && $CC=11 -O1 -o optimized versioned.c"
                           " && cp v1 v1.stripped && strip v1.stripped"
                           " && strip -o v2.stripped v2"
                           " && objcopy --only-keep-debug v1 v1.debug"
                           " && objcopy --only-keep-debug v2 v2.debug"
                           " && objcopy --only-keep-debug longer longer.debug",
                           dir), 0);

    assert_int_equal(elf_image(&image, in("v1.stripped"), BASE), 0);
    assert_int_equal(elf_image(&other, in("v2"), BASE), 0);
    assert_memory_not_equal(image.build_id, other.build_id,
                            image.build_id_len);

    install(&image, in("v2"), "rebuilt");
    assert_true(second_named(in("rebuilt"), &sources));
    assert_true(sources & PRT_SYMBOL_DEBUG);
    assert_true(sources & PRT_SYMBOL_REBUILT);
    assert_string_equal(prt_symbols_source(sources), "debug info of a rebuild");

    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        install(&image, in(refused[i].file), refused[i].into);
        assert_false(second_named(in(refused[i].into), &sources));
        assert_false(sources & (PRT_SYMBOL_DEBUG | PRT_SYMBOL_REBUILT));
    }

    /* the very one is better, wherever it lies */

    install(&image, in("v1.debug"), "same");
    (void) snprintf(path, sizeof(path), "%s:%s", in("rebuilt"), in("same"));

    assert_true(second_named(path, &sources));
    assert_true(sources & PRT_SYMBOL_DEBUG);
    assert_false(sources & PRT_SYMBOL_REBUILT);

    (void) snprintf(path, sizeof(path), "%s:%s:%s", in("with.longer"),
                    in("codeless"), in("rebuilt"));

    assert_true(second_named(path, &sources));
    assert_true(sources & PRT_SYMBOL_REBUILT);

    /* without debug info it is none */

    install(&image, in("v2.stripped"), "infoless");
    assert_false(second_named(in("infoless"), &sources));
    assert_false(sources & (PRT_SYMBOL_DEBUG | PRT_SYMBOL_REBUILT));

    /* some bytes of code, but none of the unwind tables */

    install_changed("v2.few", ".text", 50, "few");
    assert_true(second_named(in("few"), &sources));

    install_changed("v2.many", ".text", 80, "many");
    assert_false(second_named(in("many"), &sources));

    install_changed("v2.frame", ".eh_frame", 1, "frame");
    assert_false(second_named(in("frame"), &sources));

    install_changed("v2.hdr", ".eh_frame_hdr", 1, "hdr");
    assert_false(second_named(in("hdr"), &sources));
}


/* The number of times that a file is opened while "fd" watches it. */

static unsigned
opened(int fd)
{
    char                         buf[4096]
                                 __attribute__((aligned(8)));
    ssize_t                      n, i;
    unsigned                     count;
    const struct inotify_event  *event;

    count = 0;

    while ((n = read(fd, buf, sizeof(buf))) > 0) {

        for (i = 0; i < n; i += (ssize_t) (sizeof(*event) + event->len)) {
            event = (const struct inotify_event *) (buf + i);
            count++;
        }
    }

    return count;
}


/* A second answer opens no file, and one that did not fit is not read again. */

static void
test_opened_once(void **state)
{
    int             fd;
    unsigned        i;
    uint64_t        vaddr;
    prt_image_t     image;
    prt_symbol_t    found[PRT_SYMBOL_INLINES];
    prt_symbols_t  *symbols;

    (void) state;

    assert_int_equal(elf_image(&image, in("v1.stripped"), BASE), 0);
    vaddr = image.segments[0].vaddr;

    fd = inotify_init1(IN_NONBLOCK|IN_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(inotify_add_watch(fd, in("v1.stripped"), IN_OPEN) >= 0);

    symbols = create(in("rebuilt"));

    for (i = 0; i < 200; i++) {
        assert_true(prt_symbols_lookup(symbols, &image, vaddr + i, found,
                                       PRT_SYMBOL_INLINES) > 0);
    }

    assert_int_equal(opened(fd), 1);

    for (i = 0; i < 200; i++) {

        if (i % 100 == 0) {
            prt_symbols_trim(symbols);
        }

        assert_true(prt_symbols_lookup(symbols, &image, vaddr + i, found,
                                       PRT_SYMBOL_INLINES) > 0);
        assert_int_not_equal(prt_symbols_sources(symbols, &image), 0);
    }

    assert_int_equal(opened(fd), 0);

    prt_symbols_destroy(symbols);
    (void) close(fd);

    /* the wrong one: once, though the object is opened again */

    fd = inotify_init1(IN_NONBLOCK|IN_CLOEXEC);
    assert_true(fd >= 0);

    {
        char      hex[2 * PRT_BUILD_ID_MAX + 1], path[256];

        for (i = 0; i < image.build_id_len; i++) {
            (void) snprintf(hex + 2 * i, 3, "%02x", image.build_id[i]);
        }

        (void) snprintf(path, sizeof(path), "%s/with.longer/.build-id/%.2s/%s.debug",
                        dir, hex, hex + 2);
        assert_true(inotify_add_watch(fd, path, IN_OPEN) >= 0);

        symbols = create(in("with.longer"));

        for (i = 0; i < 5; i++) {
            assert_int_equal(prt_symbols_lookup(symbols, &image, vaddr + i,
                                                found, PRT_SYMBOL_INLINES), 1);
            prt_symbols_trim(symbols);
        }

        assert_int_equal(opened(fd), 1);

        /* another one in its place */

        assert_int_equal(shell("cp %s %s", in("optimized"), path), 0);
        (void) opened(fd);

        assert_int_equal(prt_symbols_lookup(symbols, &image, vaddr + 9, found,
                                            PRT_SYMBOL_INLINES), 1);
        assert_int_equal(opened(fd), 1);

        prt_symbols_destroy(symbols);
    }

    (void) close(fd);
}


/* Names of both programs with what dwz has put into a common file. */

static void
shared_names(const char *version, const char *options, const char *common,
    const char *dirs)
{
    char            whole[32], part[32];
    unsigned        i, k, n, m, names, lines, nameless, inlined;
    uint64_t        vaddr;
    prt_image_t     image, plain;
    prt_symbol_t    found[PRT_SYMBOL_INLINES], expected[PRT_SYMBOL_INLINES];
    prt_symbols_t  *symbols, *alone;

    (void) snprintf(whole, sizeof(whole), "whole%s", version);
    (void) snprintf(part, sizeof(part), "part%s", version);

    assert_int_equal(shell("cd %s && rm -rf dwz && mkdir -p dwz/.dwz"
                           " && cc -O2 -gdwarf-%c -rdynamic -o %s program.c"
                           " && cp %s %s"
                           " && cc -O2 -gdwarf-%c -DVERSION=1 -o another"
                           " versioned.c"
                           " && dwz %s -m dwz/%s %s another 2>/dev/null",
                           dir, version[0], whole, whole, part, version[0],
                           options, common, part), 0);

    assert_int_equal(elf_image(&plain, in(whole), BASE), 0);
    assert_int_equal(elf_image(&image, in(part), BASE), 0);

    for (i = 0; i < 3; i++) {

        /* without the common file, with another one, with it */

        if (i == 0) {
            assert_int_equal(shell("cd %s && mv dwz/%s kept", dir, common), 0);

        } else if (i == 1) {
            assert_int_equal(shell("cd %s && cp other dwz/%s", dir, common),
                             0);

        } else {
            assert_int_equal(shell("cd %s && mv kept dwz/%s", dir, common), 0);
        }

        symbols = create(dirs);
        alone = create("/nonexistent");

        names = lines = nameless = inlined = 0;

        for (vaddr = image.segments[0].vaddr;
             vaddr < image.segments[0].vaddr + image.segments[0].size;
             vaddr++)
        {
            n = prt_symbols_lookup(symbols, &image, vaddr, found,
                                   PRT_SYMBOL_INLINES);
            m = prt_symbols_lookup(alone, &plain, vaddr, expected,
                                   PRT_SYMBOL_INLINES);

            assert_true(n > 0);
            assert_int_equal(n, m);

            for (k = 0; k < n; k++) {

                if (strncmp(found[k].name, "part", 4) == 0
                    && strchr(found[k].name, '@'))
                {
                    continue;
                }

                inlined += (n > 1);

                if (strcmp(found[k].name, "[inlined]") == 0) {
                    nameless++;

                } else if (strcmp(found[k].name, expected[k].name) != 0) {
                    names++;
                }

                lines += (found[k].line != expected[k].line);
            }
        }

        print_message("# DWARF %s, %s: %u inlined, %u nameless; different:"
                      " %u names, %u lines\n", version,
                      i == 0 ? "alone" : i == 1 ? "with a wrong file"
                                                : "with the common file",
                      inlined, nameless, names, lines);

        assert_int_equal(names, 0);
        assert_int_equal(lines, 0);
        assert_true(inlined > 50);

        if (i == 2) {
            assert_int_equal(nameless, 0);

        } else if (version[0] == '4') {

            /* dwz leaves the names of DWARF 5 in the file itself */
            assert_true(nameless > 0);
        }

        prt_symbols_destroy(alone);
        prt_symbols_destroy(symbols);
    }
}


static void
test_shared(void **state)
{
    char  options[128];

    (void) state;

    if (!have("dwz")) {
        SKIP("no dwz");
    }

    /* an absolute link, and a relative one; .debug_sup */

    (void) snprintf(options, sizeof(options), "-M %s", in("dwz/common"));
    shared_names("4", options, "common", "/nonexistent");
    shared_names("5", "-r", "common", "/nonexistent");
    shared_names("5sup", "-5 -r", "common", "/nonexistent");

    /* a copy of the distribution's directory */

    shared_names("4copy", "-M /usr/lib/debug/.dwz/common", ".dwz/common",
                 in("dwz"));
}


static void *
memory_main(void *data)
{
    size_t           before, *grown;
    unsigned         i;
    uint64_t         step;
    prt_image_t      image;
    prt_symbol_t     found[PRT_SYMBOL_INLINES];
    prt_symbols_t   *symbols;

    grown = data;

    assert_int_equal(elf_image(&image, LIBC, BASE), 0);

    before = resident();
    symbols = create(PRT_SYMBOLS_DEBUG_PATH);
    step = image.segments[0].size / ADDRESSES;

    for (i = 0; i < ADDRESSES; i++) {
        assert_true(prt_symbols_lookup(symbols, &image,
                                       image.segments[0].vaddr + i * step,
                                       found, PRT_SYMBOL_INLINES) > 0);
    }

    grown[2] = prt_symbols_sources(symbols, &image) & PRT_SYMBOL_DEBUG;
    grown[0] = resident() - before;
    prt_symbols_trim(symbols);
    grown[1] = resident() - before;

    prt_symbols_destroy(symbols);

    return NULL;
}


/* Resident memory, that is, in a thread with a heap of its own. */

static void
test_memory(void **state)
{
    size_t     grown[3];
    pthread_t  thread;

    (void) state;

    if (access(LIBC, R_OK) != 0) {
        SKIP("not here");
    }

    assert_int_equal(pthread_create(&thread, NULL, memory_main, grown), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);

    print_message("# %zu KB more, then %zu KB%s\n", grown[0] / 1024,
                  grown[1] / 1024, grown[2] ? "" : "; without debug info");

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(grown[0] < PRT_SYMBOLS_MEMORY);
    assert_true(grown[1] < PRT_SYMBOLS_KEEP);
#endif
}


/* What is in no .dynsym, where libc's debug file is installed. */

static void
test_libc_internal(void **state)
{
    char            debug[256], hex[2 * PRT_BUILD_ID_MAX + 1];
    size_t          i;
    unsigned        n;
    prt_image_t     image;
    prt_symbol_t    found[PRT_SYMBOL_INLINES];
    prt_symbols_t  *symbols;

    static const char  *const names[] = {
        "_int_malloc", "_int_free", "_int_realloc",
        "__memmove_avx_unaligned_erms"
    };

    (void) state;

    if (elf_image(&image, LIBC, BASE) != 0) {
        SKIP("not here");
    }

    for (i = 0; i < image.build_id_len; i++) {
        (void) snprintf(hex + 2 * i, 3, "%02x", image.build_id[i]);
    }

    (void) snprintf(debug, sizeof(debug), "%s/.build-id/%.2s/%s.debug",
                    PRT_SYMBOLS_DEBUG_PATH, hex, hex + 2);

    if (access(debug, R_OK) != 0) {
        SKIP("no libc6-dbg");
    }

    symbols = create(PRT_SYMBOLS_DEBUG_PATH);

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        n = prt_symbols_lookup(symbols, &image, address_of(debug, names[i]),
                               found, PRT_SYMBOL_INLINES);
        assert_true(n > 0);
        assert_string_equal(found[n - 1].name, names[i]);
        assert_non_null(found[n - 1].file);
        assert_true(found[n - 1].line > 0);
    }

    prt_symbols_destroy(symbols);
}


/* a symbol as nm -D has it */

typedef struct {
    uint64_t  start;
    uint64_t  size;
    char      name[128];
} nm_t;


static nm_t *
nm(const char *path, size_t *n)
{
    FILE          *f;
    char           command[512], line[1024], type;
    nm_t          *list;
    unsigned long  start, size;

    (void) snprintf(command, sizeof(command),
                    "nm -D -S --defined-only --without-symbol-versions %s",
                    path);

    f = popen(command, "r");
    assert_non_null(f);

    list = calloc(20000, sizeof(nm_t));
    *n = 0;

    while (fgets(line, sizeof(line), f) && *n < 20000) {

        if (sscanf(line, "%lx %lx %c %127s", &start, &size, &type,
                   list[*n].name) == 4
            && strchr("TtWi", type))
        {
            list[*n].start = start;
            list[*n].size = size;
            (*n)++;
        }
    }

    (void) pclose(f);

    return list;
}


static int
is_in_nm(const nm_t *list, size_t n, uint64_t vaddr, const char *name,
    unsigned *inside)
{
    int     right;
    size_t  i;

    right = 0;

    for (i = 0; i < n; i++) {
        if (vaddr >= list[i].start && vaddr - list[i].start < list[i].size) {
            *inside = 1;
            right |= (strcmp(list[i].name, name) == 0);
        }
    }

    return right;
}


static void
stripped_object(const char *path)
{
    nm_t           *list;
    char            name[256];
    size_t          n;
    uint64_t        vaddr, end, step;
    unsigned        inside, named, plt, fde, none, wrong, missed;
    prt_image_t     image;
    const char     *slash;
    prt_symbol_t    found[PRT_SYMBOL_INLINES];
    prt_symbols_t  *symbols;

    if (access(path, R_OK) != 0 || !have("nm")) {
        SKIP("not here");
    }

    assert_int_equal(elf_image(&image, path, BASE), 0);

    symbols = create("/nonexistent");
    list = nm(path, &n);
    slash = strrchr(path, '/') + 1;

    named = plt = fde = none = wrong = missed = 0;

    end = image.segments[0].vaddr + image.segments[0].size;
    step = image.segments[0].size / 8000 + 1;

    for (vaddr = image.segments[0].vaddr; vaddr < end; vaddr += step) {

        assert_int_equal(prt_symbols_lookup(symbols, &image, vaddr, found,
                                            PRT_SYMBOL_INLINES), 1);

        inside = 0;

        switch (found[0].from) {

        case PRT_SYMBOL_DYNSYM:
            named++;
            wrong += !is_in_nm(list, n, vaddr, found[0].name, &inside);
            break;

        case PRT_SYMBOL_PLT:
            plt++;
            assert_non_null(strstr(found[0].name, "@plt"));
            break;

        case PRT_SYMBOL_FDE:
            fde++;
            (void) is_in_nm(list, n, vaddr, "", &inside);
            missed += inside;

            (void) snprintf(name, sizeof(name), "%s@0x%llx", slash,
                            (unsigned long long) found[0].start);
            assert_string_equal(found[0].name, name);
            break;

        default:
            none++;
            (void) is_in_nm(list, n, vaddr, "", &inside);
            missed += inside;

            (void) snprintf(name, sizeof(name), "%s@?", slash);
            assert_string_equal(found[0].name, name);
        }
    }

    print_message("# %s: %u exported, %u PLT, %u FDE, %u none; wrong %u,"
                  " missed %u\n", slash, named, plt, fde, none, wrong,
                  missed);

    assert_int_equal(wrong, 0);
    assert_int_equal(missed, 0);
    assert_true(named > 1000);
    assert_true(none < 100);

    free(list);
    prt_symbols_destroy(symbols);
}


static void
test_stripped_nginx(void **state)
{
    (void) state;

    stripped_object(NGINX);
}


static void
test_stripped_libcrypto(void **state)
{
    (void) state;

    stripped_object(LIBCRYPTO);
}


/* Every FDE that readelf sees has its name from its first byte to its last. */

static void
test_fdes(void **state)
{
    FILE           *f;
    char            line[512], name[64], *p;
    unsigned        n, total, other;
    uint64_t        start, end;
    prt_image_t     image;
    prt_symbol_t    first, last;
    prt_symbols_t  *symbols;

    (void) state;

    if (access(NGINX, R_OK) != 0 || !have("readelf")) {
        SKIP("not here");
    }

    assert_int_equal(elf_image(&image, NGINX, BASE), 0);

    symbols = create("/nonexistent");

    f = popen("readelf --debug-dump=frames " NGINX " 2>/dev/null", "r");
    assert_non_null(f);

    n = total = other = 0;

    while (fgets(line, sizeof(line), f)) {

        p = strstr(line, " pc=");

        if (p == NULL || sscanf(p, " pc=%lx..%lx", &start, &end) != 2) {
            continue;
        }

        total++;

        assert_int_equal(prt_symbols_lookup(symbols, &image, start, &first,
                                            1), 1);
        assert_int_equal(prt_symbols_lookup(symbols, &image, end - 1, &last,
                                            1), 1);

        if (first.from != PRT_SYMBOL_FDE) {
            other++;
            continue;
        }

        (void) snprintf(name, sizeof(name), "nginx@0x%lx", start);
        assert_string_equal(first.name, name);
        n++;

        /* the one of .plt has the entries behind its own */

        if (last.from != PRT_SYMBOL_PLT) {
            assert_string_equal(last.name, name);
        }
    }

    (void) pclose(f);

    print_message("# %u FDEs, %u named for themselves, %u by symbols\n",
                  total, n, other);

    assert_true(total > 1000);
    assert_true(n > 500);

    prt_symbols_destroy(symbols);
}


/* A function whose address is taken has an entry in .plt.got. */

static const char  plt[] =
    "#include <stdio.h>\n"
    "#include <stdlib.h>\n"
    "#include <string.h>\n"
    "size_t (*volatile function)(const char *);\n"
    "int\n"
    "main(int argc, char **argv)\n"
    "{\n"
    "    function = strlen;\n"
    "    return (int) (strlen(argv[argc - 1]) + function(argv[0]))\n"
    "           + puts(argv[0]) + rand();\n"
    "}\n";


/* PLT entries have the names that objdump gives them. */

static void
test_plt(void **state)
{
    FILE           *f;
    char            line[512], name[256];
    size_t          i;
    unsigned        total;
    const char     *path;
    unsigned long   vaddr;
    prt_image_t     image;
    prt_symbol_t    found;
    prt_symbols_t  *symbols;

    static const struct {
        const char  *path;
        unsigned     entries;
    } objects[] = {
        { NGINX, 100 }, { LIBCRYPTO, 100 }, { "ibt", 3 }, { "got", 3 }
    };

    (void) state;

    if (!have("objdump")) {
        SKIP("no objdump");
    }

    /* .plt.sec, and .plt.got */

    put(dir, "plt.c", plt);

    assert_int_equal(shell("cd %s && CC='cc -O1 -fno-builtin plt.c'"
                           " && $CC -Wl,-z,now -o got"
                           " && $CC -fcf-protection=full -Wl,-z,ibtplt"
                           " -Wl,-z,lazy -o ibt", dir), 0);

    symbols = create("/nonexistent");

    for (i = 0; i < sizeof(objects) / sizeof(objects[0]); i++) {
        path = objects[i].path;

        if (path[0] != '/') {
            path = in(path);
        }

        if (elf_image(&image, path, BASE) != 0) {
            SKIP("not here");
        }

        (void) snprintf(line, sizeof(line),
                        "objdump -d -j .plt -j .plt.got -j .plt.sec %s"
                        " 2>/dev/null", path);

        f = popen(line, "r");
        assert_non_null(f);

        total = 0;

        while (fgets(line, sizeof(line), f)) {

            if (sscanf(line, "%lx <%255[^>]>:", &vaddr, name) != 2
                || strstr(name, "@plt") == NULL
                || name[0] == '*')
            {
                continue;
            }

            if (strcmp(strchr(name, '@'), "@plt") != 0) {
                continue;
            }

            total++;

            assert_int_equal(prt_symbols_lookup(symbols, &image, vaddr + 5,
                                                &found, 1), 1);
            assert_string_equal(found.name, name);
            assert_int_equal(found.start, vaddr);
        }

        (void) pclose(f);

        print_message("# %s: %u PLT entries\n", path, total);
        assert_true(total >= objects[i].entries);
    }

    prt_symbols_destroy(symbols);
}


static void
test_vdso(void **state)
{
    size_t              i, n;
    prt_elf_t           file;
    GElf_Sym            sym;
    Elf_Scn            *scn;
    Elf_Data           *data;
    unsigned            found;
    GElf_Shdr           shdr;
    const void         *id;
    const char         *name;
    prt_image_t         image;
    prt_symbol_t        symbol;
    prt_symbols_t      *symbols;
    const Elf64_Ehdr   *ehdr;

    (void) state;

    ehdr = (const Elf64_Ehdr *) getauxval(AT_SYSINFO_EHDR);
    if (ehdr == NULL) {
        SKIP("no vDSO");
    }

    memset(&image, 0, sizeof(prt_image_t));

    image.path = "[vdso]";
    image.base = BASE;
    image.memory = (const uint8_t *) ehdr;
    image.memory_size = ehdr->e_shoff + ehdr->e_shnum * sizeof(Elf64_Shdr);
    image.limit = BASE + image.memory_size;

    assert_int_equal(prt_elf_open_memory(&file, image.memory,
                                         image.memory_size), 0);

    image.build_id_len = (unsigned) dwelf_elf_gnu_build_id(file.elf, &id);
    memcpy(image.build_id, id, image.build_id_len);

    symbols = create("/nonexistent");

    scn = NULL;
    found = 0;

    while ((scn = elf_nextscn(file.elf, scn)) != NULL) {

        if (gelf_getshdr(scn, &shdr) == NULL || shdr.sh_type != SHT_DYNSYM) {
            continue;
        }

        data = elf_getdata(scn, NULL);
        n = shdr.sh_size / sizeof(Elf64_Sym);

        for (i = 1; i < n; i++) {
            (void) gelf_getsym(data, (int) i, &sym);

            if (GELF_ST_TYPE(sym.st_info) != STT_FUNC) {
                continue;
            }

            name = elf_strptr(file.elf, shdr.sh_link, sym.st_name);

            if (strncmp(name, "__vdso_", 7) == 0) {
                name += 7;
            }

            assert_int_equal(prt_symbols_lookup(symbols, &image,
                                                sym.st_value, &symbol, 1), 1);
            assert_non_null(strstr(symbol.name, name));
            found++;
        }
    }

    print_message("# %u functions\n", found);
    assert_true(found > 2);

    prt_elf_close(&file);
    prt_symbols_destroy(symbols);
}


static void
test_synthetic(void **state)
{
    prt_image_t                image;
    prt_symbol_t               symbol;
    static const char *const   names[] = { "[one]", "[two]" };

    (void) state;

    memset(&image, 0, sizeof(prt_image_t));
    image.path = "[pprof]";
    image.base = BASE;
    image.limit = BASE + 2 * PRT_IMAGE_NAME_STEP;
    image.names = names;
    image.nnames = 2;

    assert_int_equal(prt_symbols_lookup(NULL, &image, 0, &symbol, 1), 1);
    assert_string_equal(symbol.name, "[one]");
    assert_int_equal(prt_symbols_lookup(NULL, &image, 16, &symbol, 1), 1);
    assert_string_equal(symbol.name, "[two]");
    assert_int_equal(prt_symbols_lookup(NULL, &image, 32, &symbol, 1), 0);
}


static double
now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec * 1e3 + (double) ts.tv_nsec / 1e6;
}


static double
lookup_all(prt_symbols_t *symbols, const prt_image_t *images, size_t n)
{
    double           start;
    size_t           i, k;
    uint64_t         step;
    prt_symbol_t     found[PRT_SYMBOL_INLINES];

    start = now();

    for (i = 0; i < n; i++) {
        step = images[i].segments[0].size / (ADDRESSES / n);

        for (k = 0; k < ADDRESSES / n; k++) {
            assert_true(prt_symbols_lookup(symbols, &images[i],
                                           images[i].segments[0].vaddr
                                           + k * step,
                                           found, PRT_SYMBOL_INLINES) > 0);
        }
    }

    return now() - start;
}


/*
 * PRT_TEST_DEBUG_PATH: a directory of debug files of these objects, for the
 * numbers with debug info.
 */

static void
test_speed(void **state)
{
    double          first, next, reopened;
    size_t          before, working, kept;
    const char     *path;
    prt_image_t     images[3];
    prt_symbols_t  *symbols;

    (void) state;

    if (elf_image(&images[0], NGINX, BASE) != 0
        || elf_image(&images[1], LIBC, BASE + (1ull << 32)) != 0
        || elf_image(&images[2], LIBCRYPTO, BASE + (2ull << 32)) != 0)
    {
        SKIP("not here");
    }

    path = getenv("PRT_TEST_DEBUG_PATH");

    before = resident();
    symbols = create(path ? path : "/nonexistent");

    first = lookup_all(symbols, images, 3);
    working = prt_symbols_memory(symbols);
    next = lookup_all(symbols, images, 3);

    print_message("# %d addresses: %.1f ms, then %.1f ms; %zu KB estimated,"
                  " %zu KB resident\n", ADDRESSES, first, next,
                  working / 1024, (resident() - before) / 1024);

    prt_symbols_trim(symbols);
    kept = prt_symbols_memory(symbols);
    reopened = lookup_all(symbols, images, 3);

    print_message("# after trimming: %.1f ms, %zu KB estimated, %zu KB"
                  " resident\n", reopened, kept / 1024,
                  (resident() - before) / 1024);

    assert_true(working < PRT_SYMBOLS_MEMORY);
    assert_true(kept < PRT_SYMBOLS_KEEP);
    assert_true(first < (path ? 1000 : 300) * SLOWER);
    assert_true(next < 50 * SLOWER);
    assert_true(reopened < 50 * SLOWER);

    prt_symbols_destroy(symbols);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_build_id),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_debuglink),
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_deleted_program),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_debuginfod),
        cmocka_unit_test(test_rebuilt),
        cmocka_unit_test(test_opened_once),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_libc_internal),
        cmocka_unit_test(test_stripped_nginx),
        cmocka_unit_test(test_stripped_libcrypto),
        cmocka_unit_test(test_fdes),
        cmocka_unit_test(test_plt),
        cmocka_unit_test(test_vdso),
        cmocka_unit_test(test_synthetic),
        cmocka_unit_test(test_speed)
    };

    return cmocka_run_group_tests_name("symbol", tests, setup, teardown);
}
