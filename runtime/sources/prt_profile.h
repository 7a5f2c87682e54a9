
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The registry of profiles: one row each, which the index, the HTTP handlers,
 * the encoders' input and the tests iterate over.  Adding a profile touches
 * this registry and its source's file.
 */


#ifndef _PRT_PROFILE_H_INCLUDED_
#define _PRT_PROFILE_H_INCLUDED_


#include <stdint.h>

#include "pprofrt.h"
#include "store/prt_slot.h"
#include "store/prt_value.h"


/* what records: one file each, with the same few functions */

typedef struct {
    /*
     * In prt_start(), on the control thread; returns 0, or -1 with "error"
     * filled.  Table is the number of the profile's table in the slot.
     */
    int                  (*start)(unsigned table, char error[PRT_ERROR_LEN]);

    /*
     * On the service thread at each sync, and while anything is wanted every
     * PRT_SYNC_TICK: rate is the highest that open windows ask for, 0: none.
     */
    void                 (*sync)(unsigned rate);

    /* in prt_stop(), on the control thread; the service thread has ended */
    void                 (*stop)(void);

    /* in a child of fork(), which has none of the threads and timers */
    void                 (*forked)(void);
} prt_source_t;


typedef struct {
    prt_profile_info_t   info;
    const prt_source_t  *source;

    /* without counters: it shows the table of a row with the same source */
    prt_table_spec_t     table;

    /* as the answer shows it */
    unsigned             ntypes;
    prt_value_type_t     types[PRT_VALUES_MAX];
    prt_value_type_t     period_type;
    int64_t              period;           /* 0: 1e9 / rate */
    const char          *default_type;     /* NULL: the last */

    /*
     * From a row's counters before a window (else 0), their difference, and
     * whether the process lives; NULL: the difference is the values.
     */
    void               (*derive)(const uint64_t *before, const uint64_t *delta,
                                 int live, int64_t *values);

    /* as period, where it is known at run time only; NULL: it is not */
    int64_t            (*sampled)(void);

    unsigned             count;            /* the value that the index shows */
} prt_profile_t;


extern const prt_profile_t  prt_profiles[];
extern const unsigned       prt_nprofiles;


/* Whether its source starts with it: it is the row that has the table, if any has. */
int prt_profile_first(unsigned i);

/* Whether it has a name: custom ones have once they are made, by and by. */
int prt_profile_used(unsigned i);

/* Which of the custom ones this is, which are the last. */
unsigned prt_custom_number(unsigned profile);

/* The tables of all profiles; at most PRT_TABLES_MAX. */
const prt_table_spec_t *prt_profile_tables(unsigned *n);


#endif /* _PRT_PROFILE_H_INCLUDED_ */
