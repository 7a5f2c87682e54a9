
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Functions, files, lines and inlined functions are what other readers of debug
 * info say; and names without debug info are what it says.
 *
 * The readers are eu-addr2line, addr2line -i and llvm-addr2line.  Each has its
 * faults, with C++ or with the other compiler's DWARF 5; those are asked that
 * have none with what is compared, or any two, and all are shown.
 *
 * PRT_TEST_OBJECT, PRT_TEST_OBJECT_DEBUG and PRT_TEST_DEBUG_PATH: one object
 * more, its debug file, and the directory in which that is found.
 */


#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "encode/prt_symbol.h"
#include "elf_build.h"
#include "elf_image.h"
#include "elf_program.h"


#define LIBC       "/lib/x86_64-linux-gnu/libc.so.6"

#define ADDRESSES  2000
#define BASE       ((uint64_t) 1 << 61)
#define TEXT       512


/* C++: what lies in namespaces, classes and templates */

static const char  classes[] =
    "#include \"inline.h\"\n"
    "namespace space {\n"
    "static volatile unsigned sink;\n"
    "template <typename T> struct box {\n"
    "    T value;\n"
    "    __attribute__((noinline)) T add(T other)\n"
    "    {\n"
    "        sink += twist((unsigned) other, 1);\n"
    "        return value + other;\n"
    "    }\n"
    "    static __attribute__((noinline)) T zero(int n)\n"
    "    {\n"
    "        return (T) (n * 3 + (int) sink);\n"
    "    }\n"
    "};\n"
    "namespace {\n"
    "__attribute__((noinline)) int hidden(int n)\n"
    "{\n"
    "    auto twice = [&](int k) { sink += twist(n, k); return 2 * k; };\n"
    "    return twice(n) + twice((int) sink);\n"
    "}\n"
    "}\n"
    "}\n"
    "int\n"
    "main(int argc, char **)\n"
    "{\n"
    "    space::box<int> one = { argc };\n"
    "    space::box<long> two = { argc };\n"
    "    return one.add(argc) + (int) two.add(argc)\n"
    "           + space::box<short>::zero(argc) + space::hidden(argc);\n"
    "}\n";


typedef struct {
    char              name[TEXT];
    char              file[TEXT];
    unsigned          line;          /* 0: not known */
} frame_t;

typedef struct {
    uint64_t          vaddr;
    size_t            first;         /* of the frames, innermost first */
    size_t            n;
} place_t;

typedef struct {
    frame_t          *frames;
    size_t            nframes;
    place_t          *places;
    size_t            nplaces;
} answers_t;

typedef struct {
    uint64_t          start;
    uint64_t          size;
    char              name[TEXT];
} nm_t;

typedef struct {
    const char       *path;
    const char       *debug;         /* with all debug info and symbols */
    const char       *dirs;
    prt_image_t       image;
    nm_t             *symbols;       /* of "debug" */
    size_t            nsymbols;
} object_t;

typedef struct {
    unsigned          addresses;
    unsigned          frames;
    unsigned          inlined;
    unsigned          padding;       /* between functions, or not known there */
    unsigned          depths;        /* different ones, of any reader */
    unsigned          names;
    unsigned          files;
    unsigned          lines;
    unsigned          wrong;         /* addresses, to those that are asked */
} compared_t;


/* independent readers */

#define EU         0x01              /* finds units by .debug_aranges alone */
#define BINUTILS   0x02              /* the outermost is from the symbol table */
#define LLVM       0x04
#define TWO        0x00              /* any two of them */
#define READERS    3

static const char *const  readers[READERS] = {
    "eu-addr2line", "addr2line", "llvm-addr2line"
};


static char  dir[64];


static int
setup(void **state)
{
    (void) state;

    (void) snprintf(dir, sizeof(dir), "/tmp/prt_dwarf_test.XXXXXX");

    if (mkdtemp(dir) == NULL || shell("mkdir %s/src", dir) != 0) {
        return -1;
    }

    put(dir, "src/program.c", program_source);
    put(dir, "src/inline.h", program_header);
    put(dir, "src/classes.cc", classes);

    return 0;
}


static int
teardown(void **state)
{
    (void) state;

    return shell("rm -rf %s", dir);
}


static int
have_readers(void)
{
    return have("eu-addr2line") && have("addr2line")
           && have("llvm-addr2line") && have("nm");
}


static void *
more(void *p, size_t n, size_t size)
{
    /* at every power of two */

    if ((n & (n - 1)) == 0) {
        p = realloc(p, (n ? 2 * n : 1) * size);
        assert_non_null(p);
    }

    return p;
}


/* nm's symbols with a size, by their start. */

static void
read_symbols(object_t *object)
{
    FILE           *f;
    char            command[512], line[1024], name[TEXT], type;
    nm_t           *symbol;
    unsigned long   start, size;

    (void) snprintf(command, sizeof(command), "nm -S -n --defined-only"
                    " --without-symbol-versions %s 2>/dev/null",
                    object->debug);

    f = popen(command, "r");
    assert_non_null(f);

    while (fgets(line, sizeof(line), f)) {

        if (sscanf(line, "%lx %lx %c %511s", &start, &size, &type, name) != 4
            || strchr("TtWwiuV", type) == NULL)
        {
            continue;
        }

        object->symbols = more(object->symbols, object->nsymbols,
                               sizeof(nm_t));
        symbol = &object->symbols[object->nsymbols++];

        symbol->start = start;
        symbol->size = size;
        memcpy(symbol->name, name, sizeof(name));
    }

    (void) pclose(f);
}


/* The symbol of this name (any: NULL) that the address lies in, or NULL. */

static const nm_t *
symbol_at(const object_t *object, uint64_t vaddr, const char *name)
{
    size_t       i;
    const nm_t  *symbol;

    for (i = 0; i < object->nsymbols; i++) {
        symbol = &object->symbols[i];

        if (symbol->start > vaddr) {
            break;
        }

        if (vaddr - symbol->start < symbol->size
            && (name == NULL || strcmp(symbol->name, name) == 0))
        {
            return symbol;
        }
    }

    return NULL;
}


static void
open_object(object_t *object, const char *path, const char *debug,
    const char *dirs)
{
    memset(object, 0, sizeof(object_t));

    object->path = path;
    object->debug = debug;
    object->dirs = dirs;

    assert_int_equal(elf_image(&object->image, path, BASE), 0);
    read_symbols(object);
}


/*
 * "file:line", "file:line:column", "file:?", with "(discriminator N)" behind;
 * "??" where it is not known.
 */

static void
parse_place(char *text, frame_t *frame)
{
    char      *p, *colon;
    unsigned   i;

    p = strstr(text, " (discriminator");

    if (p) {
        *p = '\0';
    }

    for (i = 0; i < 2; i++) {
        colon = strrchr(text, ':');

        if (colon == NULL || colon[1 + strspn(colon + 1, "0123456789?")]) {
            break;
        }

        frame->line = (unsigned) atoi(colon + 1);
        *colon = '\0';
    }

    if (strcmp(text, "??") == 0) {
        frame->line = 0;
    }

    (void) snprintf(frame->file, sizeof(frame->file), "%.500s", text);
}


/* The answers to so many addresses in a file. */

static void
ask(answers_t *answers, const char *reader, const char *debug, size_t asked)
{
    FILE     *f;
    char      command[512], line[4096], *p;
    frame_t  *frame;

    memset(answers, 0, sizeof(answers_t));

    (void) snprintf(command, sizeof(command),
                    "%s -a -f -i -e %s < %s/addresses 2>/dev/null", reader,
                    debug, dir);

    f = popen(command, "r");
    assert_non_null(f);

    while (fgets(line, sizeof(line), f)) {

        line[strcspn(line, "\n")] = '\0';

        if (strncmp(line, "0x", 2) == 0) {
            answers->places = more(answers->places, answers->nplaces,
                                   sizeof(place_t));
            answers->places[answers->nplaces].vaddr = strtoull(line, NULL, 16);
            answers->places[answers->nplaces].first = answers->nframes;
            answers->places[answers->nplaces].n = 0;
            answers->nplaces++;
            continue;
        }

        assert_true(answers->nplaces > 0);

        answers->frames = more(answers->frames, answers->nframes,
                               sizeof(frame_t));
        frame = &answers->frames[answers->nframes++];
        memset(frame, 0, sizeof(frame_t));
        answers->places[answers->nplaces - 1].n++;

        /* "inlined at" a place, or "inlined in" where that is not known */

        p = strstr(line, " inlined ");

        if (p) {
            *p = '\0';
        }

        (void) snprintf(frame->name, sizeof(frame->name), "%.500s", line);

        assert_non_null(fgets(line, sizeof(line), f));
        line[strcspn(line, "\n")] = '\0';
        parse_place(line, frame);
    }

    /* eu-addr2line's status tells of addresses outside of all functions */

    assert_int_not_equal(pclose(f), -1);
    assert_int_equal(answers->nplaces, asked);
}


static const char *
last_part(const char *path)
{
    const char  *slash;

    slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}


/* Ours is as the compiler gave it, theirs may be absolute. */

static int
same_file(const char *ours, const char *theirs)
{
    size_t  n, len;

    if (ours == NULL) {
        return strcmp(theirs, "??") == 0;
    }

    n = strlen(ours);
    len = strlen(theirs);

    return len >= n
           && strcmp(theirs + len - n, ours) == 0
           && (len == n || theirs[len - n - 1] == '/');
}


/*
 * "malloc.cold", "__GI_malloc", "openat64": what a compiler has made of a name,
 * or glibc for the assembler.  Ours is the one in the source.
 */

static int
derived(const char *made, const char *name)
{
    size_t  len;

    if (strncmp(made, "__GI_", 5) == 0) {
        made += 5;
    }

    len = strlen(name);

    return strncmp(made, name, len) == 0
           && (made[len] == '\0' || made[len] == '.'
               || strcmp(made + len, "64") == 0);
}


/*
 * The outermost function may be called differently: "malloc" is
 * "__libc_malloc" in its source.  Then both are symbols that start together.
 */

static int
same_function(const object_t *object, const prt_symbol_t *ours,
    const frame_t *theirs, uint64_t vaddr, int outermost)
{
    const nm_t  *our_symbol, *their_symbol;

    if (derived(theirs->name, ours->name)) {
        return 1;
    }

    if (!outermost) {
        return 0;
    }

    our_symbol = symbol_at(object, ours->start, ours->name);
    their_symbol = symbol_at(object, vaddr, theirs->name);

    if (their_symbol == NULL) {
        their_symbol = symbol_at(object, ours->start, theirs->name);
    }

    /* One may be of the source alone; "f.cold" lies elsewhere. */

    return (our_symbol || their_symbol)
           && (our_symbol == NULL || our_symbol->start == ours->start)
           && (their_symbol == NULL || their_symbol->start == ours->start
               || strstr(theirs->name, ".cold") != NULL);
}


/*
 * 1, when our names, files and lines of an address are theirs.  What fills up
 * to the next function is a part of neither, to us.
 */

static int
compare_place(const object_t *object, prt_symbols_t *symbols,
    const answers_t *answers, const place_t *place, unsigned reader,
    compared_t *compared)
{
    int             outermost, same;
    size_t          i, n;
    prt_symbol_t    found[PRT_SYMBOL_INLINES];
    const frame_t  *theirs;

    n = prt_symbols_lookup(symbols, &object->image, place->vaddr, found,
                           PRT_SYMBOL_INLINES);
    assert_true(n > 0);

    compared->addresses++;
    theirs = &answers->frames[place->first];

    if (found[0].from != PRT_SYMBOL_DEBUG) {
        compared->padding++;
        return 1;
    }

    if (place->n != n) {
        compared->depths++;

        if (getenv("PRT_TEST_VERBOSE")) {
            print_message("0x%llx %s: %zu, not %zu frames\n",
                          (unsigned long long) place->vaddr, found[0].name,
                          n, place->n);
        }

        return 0;
    }

    compared->inlined += (unsigned) n - 1;
    same = 1;

    for (i = 0; i < n; i++) {

        compared->frames++;
        outermost = (i + 1 == n);

        if (!same_function(object, &found[i], &theirs[i], place->vaddr,
                           outermost))
        {
            compared->names++;

        } else if (found[i].line != theirs[i].line) {
            compared->lines++;

        } else if (!(reader == BINUTILS && outermost)
                   && !same_file(found[i].file, theirs[i].file))
        {
            compared->files++;

        } else {
            continue;
        }

        same = 0;

        if (getenv("PRT_TEST_VERBOSE")) {
            print_message("0x%llx %zu of %zu: %s %s:%u, not %s %s:%u\n",
                          (unsigned long long) place->vaddr, i, n,
                          found[i].name, found[i].file, found[i].line,
                          theirs[i].name, theirs[i].file, theirs[i].line);
        }
    }

    return same;
}


/* Addresses of all executable segments; their number. */

static size_t
put_addresses(const object_t *object, uint64_t step)
{
    char      path[128];
    FILE     *f;
    size_t    n;
    unsigned  i;
    uint64_t  vaddr, end;

    (void) snprintf(path, sizeof(path), "%s/addresses", dir);

    f = fopen(path, "w");
    assert_non_null(f);

    n = 0;

    for (i = 0; i < object->image.nsegments; i++) {
        vaddr = object->image.segments[i].vaddr;
        end = vaddr + object->image.segments[i].size;

        for ( /* void */ ; vaddr < end; vaddr += step) {
            fprintf(f, "0x%llx\n", (unsigned long long) vaddr);
            n++;
        }
    }

    assert_int_equal(fclose(f), 0);

    return n;
}


static void
compare(const object_t *object, uint64_t step, const char *what,
    unsigned asked, compared_t *total)
{
    size_t          k, n;
    uint8_t        *agree;
    unsigned        i, wrong;
    answers_t       answers;
    compared_t      compared;
    prt_symbols_t  *symbols;

    n = put_addresses(object, step);

    symbols = prt_symbols_create();
    assert_non_null(symbols);
    assert_int_equal(prt_symbols_debug_path(symbols, object->dirs), 0);

    agree = calloc(n, 1);
    assert_non_null(agree);

    for (i = 0; i < READERS; i++) {

        memset(&compared, 0, sizeof(compared_t));
        ask(&answers, readers[i], object->debug, n);

        for (k = 0; k < answers.nplaces; k++) {
            agree[k] |= compare_place(object, symbols, &answers,
                                      &answers.places[k], 1u << i,
                                      &compared) << i;
        }

        print_message("# %s, %s: %u addresses, %u frames, %u inlined, %u"
                      " padding; different: %u depths, %u names, %u files, %u"
                      " lines\n", what, readers[i], compared.addresses,
                      compared.frames, compared.inlined, compared.padding,
                      compared.depths, compared.names, compared.files,
                      compared.lines);

        total->addresses += compared.addresses;
        total->frames += compared.frames;
        total->inlined += compared.inlined;
        total->padding += compared.padding;
        total->depths += compared.depths;
        total->names += compared.names;
        total->files += compared.files;
        total->lines += compared.lines;

        free(answers.frames);
        free(answers.places);
    }

    wrong = 0;

    for (k = 0; k < n; k++) {
        wrong += (asked == TWO) ? (agree[k] & (agree[k] - 1)) == 0
                                : (agree[k] & asked) != asked;
    }

    if (wrong) {
        print_message("# %s: %u wrong\n", what, wrong);
    }

    total->wrong += wrong;

    assert_true(prt_symbols_sources(symbols, &object->image)
                & PRT_SYMBOL_DEBUG);

    prt_symbols_destroy(symbols);
    free(agree);
}


static void
assert_equal(const compared_t *total)
{
    assert_true(total->frames > 0);
    assert_int_equal(total->wrong, 0);
}


static void
test_compilers(void **state)
{
    char        path[128], what[256];
    size_t      i, k;
    object_t    object;
    compared_t  total;

    static const struct {
        const char  *command;
        unsigned     asked;
    } compilers[] = {
        { "gcc src/program.c", EU | BINUTILS | LLVM },
        { "clang -gdwarf-aranges src/program.c", LLVM },
        { "g++ src/classes.cc", EU | LLVM },
        { "clang++ -gdwarf-aranges src/classes.cc", BINUTILS | LLVM }
    };

    static const char *const  flags[] = {
        "-gdwarf-2 -O2", "-gdwarf-3 -O2", "-gdwarf-4 -O0", "-gdwarf-4 -O2",
        "-gdwarf-5 -O0", "-gdwarf-5 -O2", "-gdwarf-5 -O3 -fPIE -pie",
        "-gdwarf-4 -O2 -gz=zlib", "-gdwarf-5 -O2 -gz=zlib",
        "-gdwarf-5 -O2 -ffunction-sections -Wl,--gc-sections"
    };

    (void) state;

    if (!have_readers() || !have("gcc") || !have("g++") || !have("clang")
        || !have("clang++"))
    {
        SKIP("not all tools");
    }

    memset(&total, 0, sizeof(compared_t));
    (void) snprintf(path, sizeof(path), "%s/program", dir);

    for (i = 0; i < sizeof(compilers) / sizeof(compilers[0]); i++) {
        for (k = 0; k < sizeof(flags) / sizeof(flags[0]); k++) {

            assert_int_equal(shell("cd %s && %s %s -o program", dir,
                                   compilers[i].command, flags[k]), 0);

            (void) snprintf(what, sizeof(what), "%s %s",
                            compilers[i].command, flags[k]);

            open_object(&object, path, path, "/nonexistent");
            compare(&object, 1, what, compilers[i].asked, &total);
            free(object.symbols);
        }
    }

    assert_equal(&total);
    assert_true(total.inlined > 1000);
}


/* gcc's link-time optimization: units without ranges, inlined from others. */

static void
test_link_time(void **state)
{
    char        path[128];
    object_t    object;
    compared_t  total;

    (void) state;

    if (!have_readers() || !have("gcc")) {
        SKIP("not all tools");
    }

    put(dir, "src/other.c", "#include \"inline.h\"\n"
                       "unsigned other(unsigned n)\n"
                       "{\n"
                       "    return n ? twist(n, 5) * 2 : 1;\n"
                       "}\n");
    put(dir, "src/user.c", "unsigned other(unsigned n);\n"
                      "int main(int argc, char **argv)\n"
                      "{\n"
                      "    (void) argv;\n"
                      "    return (int) (other((unsigned) argc)\n"
                      "                  + other((unsigned) argc + 2));\n"
                      "}\n");

    memset(&total, 0, sizeof(compared_t));
    (void) snprintf(path, sizeof(path), "%s/program", dir);

    assert_int_equal(shell("cd %s && gcc -O2 -g -flto -o program src/user.c"
                           " src/other.c", dir), 0);

    open_object(&object, path, path, "/nonexistent");
    compare(&object, 1, "gcc -flto", BINUTILS | LLVM, &total);
    free(object.symbols);

    assert_equal(&total);
    assert_true(total.inlined > 0);
}


/* What we have ourselves: some hundred thousand addresses would be many. */

static void
test_self(void **state)
{
    char        path[256];
    ssize_t     n;
    object_t    object;
    compared_t  total;

    (void) state;

    if (!have_readers()) {
        SKIP("not all tools");
    }

    n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    assert_true(n > 0);
    path[n] = '\0';

    memset(&total, 0, sizeof(compared_t));
    open_object(&object, path, path, "/nonexistent");
    compare(&object, object.image.segments[0].size / ADDRESSES + 1,
            "this program", BINUTILS | LLVM, &total);
    free(object.symbols);

    assert_equal(&total);
    assert_true(total.frames > ADDRESSES / 2);
}


/* The debug file of a build ID, where debug packages put it. */

static int
installed(const prt_image_t *image, char *path, size_t size)
{
    char      hex[2 * PRT_BUILD_ID_MAX + 1];
    unsigned  i;

    for (i = 0; i < image->build_id_len; i++) {
        (void) snprintf(hex + 2 * i, 3, "%02x", image->build_id[i]);
    }

    (void) snprintf(path, size, "%s/.build-id/%.2s/%s.debug",
                    PRT_SYMBOLS_DEBUG_PATH, hex, hex + 2);

    return access(path, R_OK) == 0;
}


/*
 * Without debug info: names of dynamic symbols and PLT entries, or stable ones.
 * The debug file's symbols know the name, and the function in the source is the
 * one at the symbol's start.
 */

static void
compare_exported(const object_t *object, uint64_t step)
{
    char            stable[TEXT];
    size_t          k;
    unsigned        named, plt, fde, none, wrong, more;
    answers_t       answers;
    const nm_t     *symbol;
    const char     *slash;
    prt_symbol_t    found[PRT_SYMBOL_INLINES], start[PRT_SYMBOL_INLINES];
    prt_symbols_t  *symbols, *all;

    k = put_addresses(object, step);
    ask(&answers, "eu-addr2line", object->debug, k);

    symbols = prt_symbols_create();
    all = prt_symbols_create();
    assert_non_null(symbols);
    assert_non_null(all);
    assert_int_equal(prt_symbols_debug_path(symbols, "/nonexistent"), 0);
    assert_int_equal(prt_symbols_debug_path(all, object->dirs), 0);

    slash = last_part(object->path);
    named = plt = fde = none = wrong = 0;

    for (k = 0; k < answers.nplaces; k++) {

        assert_int_equal(prt_symbols_lookup(symbols, &object->image,
                                            answers.places[k].vaddr, found,
                                            PRT_SYMBOL_INLINES), 1);
        assert_null(found[0].file);
        assert_int_equal(found[0].line, 0);

        switch (found[0].from) {

        case PRT_SYMBOL_DYNSYM:
            named++;
            symbol = symbol_at(object, answers.places[k].vaddr,
                               found[0].name);

            if (symbol == NULL || symbol->start != found[0].start) {
                wrong++;
                print_message("# 0x%llx: %s\n", (unsigned long long)
                              answers.places[k].vaddr, found[0].name);
                break;
            }

            /* The same function: its start has the same outermost name. */

            more = prt_symbols_lookup(all, &object->image, symbol->start,
                                      start, PRT_SYMBOL_INLINES);
            assert_true(more > 0 && answers.places[k].n > 0);

            if (!same_function(object, &start[more - 1],
                               &answers.frames[answers.places[k].first
                                               + answers.places[k].n - 1],
                               symbol->start, 1))
            {
                wrong++;
                print_message("# 0x%llx: %s, but it is in %s\n",
                              (unsigned long long) answers.places[k].vaddr,
                              start[more - 1].name,
                              answers.frames[answers.places[k].first
                                             + answers.places[k].n - 1].name);
            }

            break;

        case PRT_SYMBOL_PLT:
            plt++;
            assert_non_null(strstr(found[0].name, "@plt"));
            break;

        case PRT_SYMBOL_FDE:
            fde++;
            (void) snprintf(stable, sizeof(stable), "%s@0x%llx", slash,
                            (unsigned long long) found[0].start);
            assert_string_equal(found[0].name, stable);
            break;

        default:
            none++;
            (void) snprintf(stable, sizeof(stable), "%s@?", slash);
            assert_string_equal(found[0].name, stable);
        }
    }

    print_message("# %s: of %zu addresses %u are named by .dynsym, %u of these"
                  " wrong; %u by PLT, %u by FDE, %u not\n", slash,
                  answers.nplaces, named, wrong, plt, fde, none);

    assert_int_equal(wrong, 0);
    assert_true(named > 0);
    assert_true(none <= answers.nplaces / 200);

    free(answers.frames);
    free(answers.places);
    prt_symbols_destroy(symbols);
    prt_symbols_destroy(all);
}


static void
compare_object(const char *path, const char *debug, const char *dirs,
    unsigned asked)
{
    uint64_t    step;
    object_t    object;
    compared_t  total;

    memset(&total, 0, sizeof(compared_t));

    open_object(&object, path, debug, dirs);
    step = object.image.segments[0].size / ADDRESSES;

    compare(&object, step, last_part(path), asked, &total);
    compare_exported(&object, step / 4 + 1);      /* a third is named so */
    free(object.symbols);

    assert_equal(&total);
    assert_true(total.addresses >= ADDRESSES);
    assert_true(total.padding < total.addresses / 20);      /* of libc: 3 % */
}


static void
test_libc(void **state)
{
    char         debug[256];
    prt_image_t  image;

    (void) state;

    if (elf_image(&image, LIBC, BASE) != 0
        || !installed(&image, debug, sizeof(debug)))
    {
        SKIP("no libc6-dbg");
    }

    if (!have_readers()) {
        SKIP("not all tools");
    }

    compare_object(LIBC, debug, PRT_SYMBOLS_DEBUG_PATH, TWO);
}


static void
test_object(void **state)
{
    const char  *path, *debug, *dirs;

    (void) state;

    path = getenv("PRT_TEST_OBJECT");
    debug = getenv("PRT_TEST_OBJECT_DEBUG");
    dirs = getenv("PRT_TEST_DEBUG_PATH");

    if (path == NULL) {
        SKIP("no PRT_TEST_OBJECT");
    }

    compare_object(path, debug ? debug : path,
                   dirs ? dirs : PRT_SYMBOLS_DEBUG_PATH, TWO);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_compilers),
        cmocka_unit_test(test_link_time),
        cmocka_unit_test(test_self),
        cmocka_unit_test(test_libc),
        cmocka_unit_test(test_object)
    };

    const struct CMUnitTest  only[] = { cmocka_unit_test(test_object) };

    /* of t/names.t, that has built an object */

    if (getenv("PRT_TEST_OBJECT")) {
        return cmocka_run_group_tests_name("dwarf", only, setup, teardown);
    }

    return cmocka_run_group_tests_name("dwarf", tests, setup, teardown);
}
