
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * For tests: the source of a program with inlined functions on several levels,
 * from another file, and twice in a line.
 */


#ifndef _ELF_PROGRAM_H_INCLUDED_
#define _ELF_PROGRAM_H_INCLUDED_


static const char  program_source[] =
    "#include <stdio.h>\n"
    "#include <stdlib.h>\n"
    "#include <string.h>\n"
    "#include \"inline.h\"\n"
    "\n"
    "static volatile unsigned sink;\n"
    "\n"
    "static inline __attribute__((always_inline)) unsigned\n"
    "inner(unsigned a, unsigned b)\n"
    "{\n"
    "    if (a % 3 == 0) {\n"
    "        sink += twist(a, b);\n"
    "    }\n"
    "    return sink ^ b;\n"
    "}\n"
    "\n"
    "static inline __attribute__((always_inline)) unsigned\n"
    "middle(unsigned a)\n"
    "{\n"
    "    unsigned i, n = 0;\n"
    "    for (i = 0; i < a; i++) {\n"
    "        unsigned k = i * 7;\n"
    "        n += inner(i, k);\n"
    "        n ^= inner(k, i);\n"
    "    }\n"
    "    return n;\n"
    "}\n"
    "\n"
    "static __attribute__((noinline)) unsigned\n"
    "outer(unsigned a)\n"
    "{\n"
    "    return middle(a) + middle(a + 1);\n"
    "}\n"
    "\n"
    "__attribute__((noinline)) unsigned\n"
    "exported(unsigned a)\n"
    "{\n"
    "    if (__builtin_expect(a == 12345, 0)) {\n"
    "        fprintf(stderr, \"cold\\n\");\n"
    "        abort();\n"
    "    }\n"
    "    return outer(a) * 3;\n"
    "}\n"
    "\n"
    "static __attribute__((noinline)) int\n"
    "compare(const void *a, const void *b)\n"
    "{\n"
    "    return twist(*(const unsigned *) a, 1) < *(const unsigned *) b;\n"
    "}\n"
    "\n"
    "int\n"
    "main(int argc, char **argv)\n"
    "{\n"
    "    unsigned v[16] = { 0 };\n"
    "    memset(v, argc, sizeof(v));\n"
    "    qsort(v, 16, sizeof(unsigned), compare);\n"
    "    return (int) exported(v[0] + (unsigned) strlen(argv[0]));\n"
    "}\n";

static const char  program_header[] =
    "static inline __attribute__((always_inline)) unsigned\n"
    "twist(unsigned a, unsigned b)\n"
    "{\n"
    "    a ^= b << 3;\n"
    "    a *= 2654435761u;\n"
    "    return a ^ (a >> 16);\n"
    "}\n";


#endif /* _ELF_PROGRAM_H_INCLUDED_ */
