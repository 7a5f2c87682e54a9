
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * An object that a test loads while the profiler is at work.  It allocates
 * within dlopen() and dlclose() as well.
 */


#include <stdlib.h>
#include <string.h>


void *heap_later(size_t size);
void heap_later_free(void *p);


__attribute__((noipa, visibility("default"))) void heap_constructor(void)
    __attribute__((constructor));
__attribute__((noipa, visibility("default"))) void heap_destructor(void)
    __attribute__((destructor));


static char  *text;


__attribute__((noipa, visibility("default"))) void *
heap_later(size_t size)
{
    void  *p;

    p = malloc(size);
    __asm__ volatile ("" : : "r" (p) : "memory");

    return p;
}


__attribute__((noipa, visibility("default"))) void
heap_later_free(void *p)
{
    free(p);
}


/* libc's own call of malloc() */

void
heap_constructor(void)
{
    text = strdup("within dlopen()");
}


void
heap_destructor(void)
{
    free(text);
}
