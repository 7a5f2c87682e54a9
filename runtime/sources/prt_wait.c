
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <string.h>

#include "platform/prt_ticks.h"
#include "sources/prt_record.h"
#include "sources/prt_wait.h"


#define PRT_WAIT_ROWS  16                  /* a power of two */


static int prt_wait_start(unsigned table, char error[PRT_ERROR_LEN]);
static void prt_wait_sync(unsigned rate);
static void prt_wait_stop(void);


const prt_source_t  prt_wait_source = {
    prt_wait_start,
    prt_wait_sync,
    prt_wait_stop,
    prt_wait_stop
};


/* of the control thread */
static unsigned  prt_wait_table;
static unsigned  prt_wait_on;

/* rows that were counted in last: each request waits for the same */
static struct {
    uint32_t           stack;
    uint32_t           labels;
    _Atomic uint64_t  *counters;
} prt_wait_rows[PRT_WAIT_ROWS] __attribute__((aligned(64)));


static int
prt_wait_start(unsigned table, char error[PRT_ERROR_LEN])
{
    (void) error;

    memset(prt_wait_rows, 0, sizeof(prt_wait_rows));

    prt_wait_table = table;
    prt_wait_on = 1;

    return 0;
}


static void
prt_wait_sync(unsigned rate)
{
    (void) rate;
}


static void
prt_wait_stop(void)
{
    prt_wait_on = 0;
}


uint32_t
prt_wait_stack(const uint64_t *frames, unsigned n)
{
    return prt_wait_on ? prt_record_intern(prt_wait_table, frames, n) : 0;
}


void
prt_wait_add(uint32_t stack, uint32_t labels, unsigned count, uint64_t delay)
{
    unsigned      i;
    uint64_t      values[2];
    prt_table_t  *table;

    if (!prt_wait_on) {
        return;
    }

    values[0] = count;
    values[1] = delay;

    table = &prt_slot.tables[prt_wait_table];
    i = (stack ^ labels) & (PRT_WAIT_ROWS - 1);

    if (prt_wait_rows[i].stack != stack || prt_wait_rows[i].labels != labels
        || prt_wait_rows[i].counters == NULL)
    {
        prt_wait_rows[i].stack = stack;
        prt_wait_rows[i].labels = labels;
        prt_wait_rows[i].counters = prt_table_counters(table, stack, labels);
    }

    if (prt_wait_rows[i].counters) {
        prt_table_count_in(table, prt_wait_rows[i].counters, values);
        return;
    }

    /* it says what is lost */

    prt_table_add(table, stack, labels, values);
}
