
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * An object that a test loads while the profiler is at work.
 */


#include <stdlib.h>


void *heap_later(size_t size);


__attribute__((noipa, visibility("default"))) void *
heap_later(size_t size)
{
    void  *p;

    p = malloc(size);
    __asm__ volatile ("" : : "r" (p) : "memory");

    return p;
}
