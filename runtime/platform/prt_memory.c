
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>

#include "platform/prt_memory.h"


static int prt_memory_read(prt_memory_t *memory);
static int prt_memory_parse(prt_memory_t *memory, char *text);
static void prt_memory_close(prt_memory_t *memory);


int
prt_memory_open(prt_memory_t *memory, uintptr_t addr)
{
    size_t       low, high, middle;
    uintptr_t    page;
    prt_area_t  *area;

    if (memory->areas == NULL && prt_memory_read(memory) != 0) {
        return -1;
    }

    page = addr & ~(memory->page_size - 1);

    if (page == memory->page) {
        return 0;
    }

    prt_memory_close(memory);

    low = 0;
    high = memory->n;

    while (low < high) {
        middle = low + (high - low) / 2;

        if (addr >= memory->areas[middle].end) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    area = &memory->areas[low];

    if (low == memory->n || addr < area->start) {
        return -1;
    }

    if (area->protection & PROT_WRITE) {
        return 0;
    }

    /* never writable and executable at once */

    if ((area->protection & PROT_EXEC)
        || mprotect((void *) page, memory->page_size,
                    area->protection|PROT_WRITE)
           != 0)
    {
        return -1;
    }

    memory->page = page;
    memory->protection = area->protection;

    return 0;
}


void
prt_memory_free(prt_memory_t *memory)
{
    prt_memory_close(memory);
    free(memory->areas);
    memory->areas = NULL;
}


static void
prt_memory_close(prt_memory_t *memory)
{
    if (memory->page) {
        (void) mprotect((void *) memory->page, memory->page_size,
                        memory->protection);
        memory->page = 0;
    }
}


static int
prt_memory_read(prt_memory_t *memory)
{
    int      fd, rc;
    char    *text, *p;
    size_t   size, used;
    ssize_t  n;

    memset(memory, 0, sizeof(prt_memory_t));
    memory->page_size = (uintptr_t) sysconf(_SC_PAGESIZE);

    fd = open("/proc/self/maps", O_RDONLY|O_CLOEXEC);
    if (fd == -1) {
        return -1;
    }

    text = NULL;
    size = 0;
    used = 0;

    for ( ;; ) {

        if (size - used < 4096) {
            size += 65536;

            p = realloc(text, size);
            if (p == NULL) {
                n = -1;
                break;
            }

            text = p;
        }

        n = read(fd, text + used, size - used - 1);

        if (n <= 0) {
            break;
        }

        used += (size_t) n;
    }

    close(fd);

    rc = -1;

    if (n == 0 && text) {
        text[used] = '\0';
        rc = prt_memory_parse(memory, text);
    }

    free(text);

    return rc;
}


/* Lines are "START-END rwxp ..." */

static int
prt_memory_parse(prt_memory_t *memory, char *text)
{
    char        *p, *line;
    size_t       n;
    prt_area_t  *area;

    n = 0;

    for (p = text; *p; p++) {
        n += (*p == '\n');
    }

    memory->areas = calloc(n + 1, sizeof(prt_area_t));
    if (memory->areas == NULL) {
        return -1;
    }

    for (line = text; *line && memory->n < n; line = p + 1) {

        area = &memory->areas[memory->n++];
        area->start = strtoul(line, &p, 16);
        area->end = strtoul(p + 1, &p, 16);
        area->protection = 0;

        for ( /* void */ ; *p && *p != '\n' && *p != 'p' && *p != 's'; p++) {
            area->protection |= (*p == 'r') ? PROT_READ : 0;
            area->protection |= (*p == 'w') ? PROT_WRITE : 0;
            area->protection |= (*p == 'x') ? PROT_EXEC : 0;
        }

        p = strchr(p, '\n');
        if (p == NULL) {
            break;
        }
    }

    return 0;
}
