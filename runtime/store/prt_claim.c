
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include "store/prt_claim.h"


/* pid << 32 | generation of its slot, 21 bits of it | number of the slot + 1 */
#define prt_claim_pid(claim)   ((pid_t) ((claim) >> 32))
#define prt_claim_slot(claim)  ((unsigned) ((claim) & 0x7ff) - 1)

#define PRT_CLAIM_GENERATION   21          /* bits, of those between the two */


_Static_assert(PRT_SLOTS_MAX < 0x7ff, "a slot's number fits");


static uint64_t prt_claim_of(uint64_t owner, unsigned slot);
static int prt_claim_dead(const prt_region_t *region, uint64_t claim);


int
prt_claim_take(const prt_region_t *region, unsigned slot,
    _Atomic uint64_t *claim, pid_t *dead)
{
    uint64_t  owner, mine;

    *dead = 0;

    owner = atomic_load(claim);
    mine = prt_claim_of(atomic_load(&region->head->entries[slot].owner), slot);

    if (owner != 0) {

        if (!prt_claim_dead(region, owner)) {
            return 0;
        }

        *dead = prt_claim_pid(owner);
    }

    return atomic_compare_exchange_strong(claim, &owner, mine);
}


void
prt_claim_give(_Atomic uint64_t *claim)
{
    atomic_store(claim, 0);
}


int
prt_claim_free(const prt_region_t *region, const _Atomic uint64_t *claim)
{
    uint64_t  owner;

    owner = atomic_load(claim);

    return owner == 0 || prt_claim_dead(region, owner);
}


static uint64_t
prt_claim_of(uint64_t owner, unsigned slot)
{
    uint64_t  generation;

    generation = (owner >> 32) & ((1u << PRT_CLAIM_GENERATION) - 1);

    return owner << 32 | generation << 11 | (slot + 1);
}


static int
prt_claim_dead(const prt_region_t *region, uint64_t claim)
{
    unsigned  slot;
    uint64_t  owner;

    slot = prt_claim_slot(claim);

    if (slot >= PRT_SLOTS_MAX) {
        return 1;
    }

    /* "owner" is read anew: it has ended, too, who has lost his slot */

    return prt_region_state(region, slot, &owner) == PRT_SLOT_ENDED
           || prt_claim_of(owner, slot) != claim;
}
