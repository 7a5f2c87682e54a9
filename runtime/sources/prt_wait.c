
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include "platform/prt_ticks.h"
#include "sources/prt_record.h"
#include "sources/prt_wait.h"


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


static int
prt_wait_start(unsigned table, char error[PRT_ERROR_LEN])
{
    (void) error;

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
    uint64_t  values[2];

    if (!prt_wait_on) {
        return;
    }

    values[0] = count;
    values[1] = delay;

    prt_table_add(&prt_slot.tables[prt_wait_table], stack, labels, values);
}
