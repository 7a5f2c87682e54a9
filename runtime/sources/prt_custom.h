
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Custom profiles: what the program itself has at the moment, by the stacks
 * that made it, as Go's pprof.Profile.  They have tables in every slot, which
 * belong to a name once that is written there: another process may give its
 * tables to other names, or the same names in another order.
 */


#ifndef _PRT_CUSTOM_H_INCLUDED_
#define _PRT_CUSTOM_H_INCLUDED_


#include "sources/prt_profile.h"


#define PRT_CUSTOM_NAME         64         /* bytes, with NUL */
#define PRT_CUSTOM_DESCRIPTION  256


/* counters of a row */

typedef enum {
    PRT_CUSTOM_ADDED = 0,
    PRT_CUSTOM_REMOVED,
    PRT_CUSTOM_COUNTERS
} prt_custom_counter_t;


extern const prt_source_t  prt_custom_source;

/* "" is a profile that nobody has made */
extern char  prt_custom_names[PRT_CUSTOM_MAX][PRT_CUSTOM_NAME];
extern char  prt_custom_descriptions[PRT_CUSTOM_MAX][PRT_CUSTOM_DESCRIPTION];


void prt_custom_derive(const uint64_t *before, const uint64_t *delta, int live,
    int64_t *values);

/*
 * The table in a slot that has what this process calls by the name of table
 * "profile"; that number itself where it is no custom profile; -1: none.
 */
int prt_custom_table(const prt_slot_t *slot, unsigned profile);


#endif /* _PRT_CUSTOM_H_INCLUDED_ */
