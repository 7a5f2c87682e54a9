
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Operators of C++, of whichever allocator the program has.
 */


#include <cstddef>
#include <cstdint>
#include <new>


#define KNOWN  extern "C" __attribute__((noipa, visibility("default")))


KNOWN void *known_new(size_t size);
KNOWN void *known_new_array(size_t size);
KNOWN void *known_new_nothrow(size_t size);
KNOWN void *known_new_aligned(size_t size);
KNOWN void known_delete(void *p, size_t size, int kind);
KNOWN int known_throw(void);


static void *
keep(void *p)
{
    __asm__ volatile ("" : : "r" (p) : "memory");

    return p;
}


void *
known_new(size_t size)
{
    return keep(::operator new(size));
}


void *
known_new_array(size_t size)
{
    return keep(::operator new[](size));
}


void *
known_new_nothrow(size_t size)
{
    return keep(::operator new(size, std::nothrow));
}


void *
known_new_aligned(size_t size)
{
    return keep(::operator new(size, std::align_val_t(128)));
}


/* kind: as the functions above, 0 to 3 */

void
known_delete(void *p, size_t size, int kind)
{
    switch (kind) {

    case 0:
        ::operator delete(p, size);
        break;

    case 1:
        ::operator delete[](p);
        break;

    case 2:
        ::operator delete(p, std::nothrow);
        break;

    default:
        ::operator delete(p, std::align_val_t(128));
        break;
    }
}


/* An exception that passes the hook, if the operator has one. */

int
known_throw(void)
{
    volatile size_t  huge;

    huge = SIZE_MAX / 2 - 4096;

    try {
        keep(::operator new(huge));

    } catch (const std::bad_alloc &) {
        return 1;
    }

    return 0;
}
