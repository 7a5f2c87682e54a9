
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The counter's speed comes from two looks at both clocks.  A look is as wrong
 * as it takes, some 20 ns, so it is right to 20 ppm after a millisecond, and
 * to nothing that matters after a second.
 */


#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "platform/prt_ticks.h"


#define PRT_TICKS_SOURCE    "/sys/devices/system/clocksource/clocksource0/"   \
                            "current_clocksource"
#define PRT_TICKS_TRIES     8
#define PRT_TICKS_BASELINE  PRT_MSEC           /* ns, between the first looks */


typedef struct {
    uint64_t             ticks;
    uint64_t             now;
} prt_ticks_look_t;


static int prt_ticks_trusted(void);
static void prt_ticks_look(prt_ticks_look_t *look);
static uint64_t prt_ticks_speed(const prt_ticks_look_t *from,
    const prt_ticks_look_t *to);


int               prt_ticks_counter;
_Atomic uint64_t  prt_ticks_mult = 1ull << PRT_TICKS_SHIFT;

static prt_ticks_look_t  prt_ticks_first;
static uint64_t          prt_ticks_span;       /* ns, of what mult is from */


void
prt_ticks_start(void)
{
    prt_ticks_look_t  look;

    if (prt_ticks_counter || !prt_ticks_trusted()) {
        return;
    }

    prt_ticks_look(&prt_ticks_first);

    do {
        prt_ticks_look(&look);
    } while (look.now - prt_ticks_first.now < PRT_TICKS_BASELINE);

    if (look.ticks <= prt_ticks_first.ticks) {
        return;
    }

    prt_ticks_span = look.now - prt_ticks_first.now;
    atomic_store(&prt_ticks_mult, prt_ticks_speed(&prt_ticks_first, &look));

    prt_ticks_counter = 1;
}


void
prt_ticks_refine(void)
{
    uint64_t          mult, old;
    prt_ticks_look_t  look;

    if (!prt_ticks_counter) {
        return;
    }

    prt_ticks_look(&look);

    /* twice as good, or not worth a change */

    if (look.now - prt_ticks_first.now < prt_ticks_span * 2) {
        return;
    }

    old = atomic_load(&prt_ticks_mult);
    mult = look.ticks > prt_ticks_first.ticks
           ? prt_ticks_speed(&prt_ticks_first, &look) : 0;

    /* the machine slept, or came back from an image: one of the clocks did not */

    if (mult < old - old / 1024 || mult > old + old / 1024) {
        prt_ticks_first = look;
        prt_ticks_span = PRT_TICKS_BASELINE;
        return;
    }

    prt_ticks_span = look.now - prt_ticks_first.now;
    atomic_store(&prt_ticks_mult, mult);
}


static int
prt_ticks_trusted(void)
{
    int      fd;
    char     text[64];
    size_t   len;
    ssize_t  n;

    len = strlen(PRT_ARCH_TICKS);

    fd = open(PRT_TICKS_SOURCE, O_RDONLY|O_CLOEXEC);
    if (fd == -1) {
        return 0;
    }

    n = read(fd, text, sizeof(text));
    (void) close(fd);

    return n == (ssize_t) len + 1 && memcmp(text, PRT_ARCH_TICKS, len) == 0
           && text[len] == '\n';
}


/* The tightest of some: nothing came between. */

static void
prt_ticks_look(prt_ticks_look_t *look)
{
    int       i;
    uint64_t  before, now, after, best;

    best = UINT64_MAX;

    for (i = 0; i < PRT_TICKS_TRIES; i++) {
        before = prt_arch_ticks();
        now = prt_now();
        after = prt_arch_ticks();

        if (after - before < best) {
            best = after - before;
            look->ticks = before + best / 2;
            look->now = now;
        }
    }
}


static uint64_t
prt_ticks_speed(const prt_ticks_look_t *from, const prt_ticks_look_t *to)
{
    return (uint64_t) (((unsigned __int128) (to->now - from->now)
                        << PRT_TICKS_SHIFT)
                       / (to->ticks - from->ticks));
}
