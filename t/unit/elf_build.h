
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * For tests that build programs of their own: their sources, and where the
 * functions lie in what has come of them.
 */


#ifndef _ELF_BUILD_H_INCLUDED_
#define _ELF_BUILD_H_INCLUDED_


#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>


static inline void
put(const char *dir, const char *name, const char *text)
{
    char   path[128];
    FILE  *f;

    (void) snprintf(path, sizeof(path), "%s/%s", dir, name);

    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}


/* The vaddr of a function, by nm. */

static inline uint64_t
address_of(const char *file, const char *name)
{
    FILE      *f;
    char       command[512];
    uint64_t   vaddr;

    (void) snprintf(command, sizeof(command),
                    "nm %s | awk '$3 == \"%s\" { print $1 }'", file, name);

    f = popen(command, "r");
    assert_non_null(f);

    vaddr = 0;
    assert_int_equal(fscanf(f, "%lx", &vaddr), 1);
    (void) pclose(f);

    return vaddr;
}


#endif /* _ELF_BUILD_H_INCLUDED_ */
