
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdlib.h>

#include "encode/prt_ballast.h"


#define PRT_BALLAST_FIRST   24           /* bytes, the smallest blocks */
#define PRT_BALLAST_STEP    16

/*
 * A block that is larger than this when it is freed makes glibc join the
 * others, and cut off the free end of the heap (FASTBIN_CONSOLIDATION_THRESHOLD).
 */
#define PRT_BALLAST_LARGE   (100 * 1024)


static void prt_ballast_take(prt_ballast_t *ballast);
static void prt_ballast_free(prt_ballast_t *ballast);


void
prt_ballast_load(prt_ballast_t *ballast)
{
    if (!ballast->loaded) {
        prt_ballast_take(ballast);
    }
}


void
prt_ballast_drop(prt_ballast_t *ballast)
{
    prt_ballast_t  cached;

    if (!ballast->loaded) {
        return;
    }

    /* what the cache has is taken out of it, and not let in again */

    prt_ballast_take(&cached);
    prt_ballast_free(ballast);
    prt_ballast_free(&cached);

    /* not to be optimized away */

    *(void *volatile *) &cached.blocks[0][0] = malloc(PRT_BALLAST_LARGE);
    free(cached.blocks[0][0]);
}


static void
prt_ballast_take(prt_ballast_t *ballast)
{
    size_t  i, k;

    for (i = 0; i < PRT_BALLAST_SIZES; i++) {
        for (k = 0; k < PRT_BALLAST_BLOCKS; k++) {
            ballast->blocks[i][k] = malloc(PRT_BALLAST_FIRST
                                           + i * PRT_BALLAST_STEP);
        }
    }

    ballast->loaded = 1;
}


static void
prt_ballast_free(prt_ballast_t *ballast)
{
    size_t  i, k;

    for (i = 0; i < PRT_BALLAST_SIZES; i++) {
        for (k = 0; k < PRT_BALLAST_BLOCKS; k++) {
            free(ballast->blocks[i][k]);
        }
    }

    ballast->loaded = 0;
}
