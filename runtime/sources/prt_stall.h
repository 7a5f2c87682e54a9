
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The stall profile: events that held the control thread's loop too long, with
 * the stacks that were seen meanwhile.
 *
 * The service thread looks at the loop now and then.  What an event did is
 * known from the stacks seen at these looks: the time since the look before is
 * booked on each; and it is booked while the event lasts, so one that never
 * returns is in the profile like any other.
 */


#ifndef _PRT_STALL_H_INCLUDED_
#define _PRT_STALL_H_INCLUDED_


#include "sources/prt_loop.h"
#include "sources/prt_profile.h"


typedef enum {
    PRT_STALL_BEGUN,                       /* over the threshold, and goes on */
    PRT_STALL_LASTS,                       /* goes on since PRT_STALL_LONG */
    PRT_STALL_ENDED
} prt_stall_state_t;


/* A stall, for people. */

typedef struct {
    prt_stall_state_t    state;
    uint64_t             begin;            /* ticks */
    uint64_t             duration;         /* ns, so far */
    uint32_t             labels;
    unsigned             nframes;
    const uint64_t      *frames;           /* the last that were seen */
    int                  told;             /* of this stack the log knows already */
} prt_stall_notice_t;

typedef void (*prt_stall_notice_pt)(const prt_stall_notice_t *notice);


extern const prt_source_t  prt_stall_source;


/*
 * The threshold in ns, 0: no stalls; and who is told, on the service thread, of
 * each one that begins, lasts, and has ended.  A stack with its labels is for the
 * log once a minute.  To be set before the source starts.
 */
void prt_stall_set(uint64_t threshold, prt_stall_notice_pt notice);
uint64_t prt_stall_threshold(void);

/*
 * Looks at the loop, no more often than is needed; returns when to come again.
 * Service thread.
 */
uint64_t prt_stall_watch(uint64_t now);


#endif /* _PRT_STALL_H_INCLUDED_ */
