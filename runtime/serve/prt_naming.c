
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * How objects were named.  It stands in the slot of the process that made the
 * profile, since the index is often asked of another one.
 */


#include <stdlib.h>
#include <string.h>

#include "encode/prt_symbol.h"
#include "platform/prt_clock.h"
#include "serve/prt_job.h"
#include "sources/prt_record.h"


#define PRT_NAMING_PATH  sizeof(((prt_naming_info_t *) NULL)->path)


static const prt_snapshot_slot_t *prt_naming_last(
    const prt_snapshot_t *snapshot, uint64_t *when);
static void prt_naming_info(prt_naming_info_t *info, const prt_slot_t *slot,
    const prt_slot_naming_t *naming);


void
prt_naming_write(prt_symbols_t *symbols)
{
    unsigned            i, n;
    const char         *path;
    prt_naming_t        noted[PRT_NAMINGS_MAX];
    prt_slot_head_t    *head;
    prt_slot_naming_t  *naming;

    head = prt_slot.head;
    n = prt_symbols_noted(symbols, noted, PRT_NAMINGS_MAX);

    /* A reader that sees the same time before and after has all of it. */

    atomic_store(&head->named, 0);

    for (i = 0; i < n; i++) {
        naming = &head->namings[i];
        path = noted[i].path;

        atomic_store(&naming->path, prt_slot_string(&prt_slot, path,
                                                    strlen(path)));
        atomic_store(&naming->sources, noted[i].sources);
        atomic_store(&naming->addresses, noted[i].addresses);
        atomic_store(&naming->unnamed, noted[i].unnamed);
    }

    atomic_store(&head->nnamings, n);
    atomic_store(&head->named, prt_now());
}


prt_naming_info_t *
prt_naming_read(const prt_snapshot_t *snapshot, size_t *n)
{
    uint64_t                    when;
    unsigned                    i, count;
    prt_slot_head_t            *head;
    prt_naming_info_t          *infos;
    const prt_snapshot_slot_t  *slot;

    *n = 0;

    slot = prt_naming_last(snapshot, &when);
    if (slot == NULL) {
        return NULL;
    }

    infos = calloc(PRT_NAMINGS_MAX, sizeof(prt_naming_info_t));
    if (infos == NULL) {
        return NULL;
    }

    head = slot->memory.head;
    count = atomic_load(&head->nnamings);

    for (i = 0; i < count && i < PRT_NAMINGS_MAX; i++) {
        prt_naming_info(&infos[*n], &slot->memory, &head->namings[i]);

        /* what another process has written is not trusted */

        if (infos[*n].path[0]
            && infos[*n].addresses
            && infos[*n].unnamed <= infos[*n].addresses)
        {
            (*n)++;
        }
    }

    if (atomic_load(&head->named) != when) {
        *n = 0;
    }

    return infos;
}


static const prt_snapshot_slot_t *
prt_naming_last(const prt_snapshot_t *snapshot, uint64_t *when)
{
    unsigned                    i;
    uint64_t                    named;
    const prt_snapshot_slot_t  *last;

    last = NULL;
    *when = 0;

    for (i = 0; i < snapshot->n; i++) {
        named = atomic_load(&snapshot->slots[i].memory.head->named);

        if (named > *when) {
            *when = named;
            last = &snapshot->slots[i];
        }
    }

    return last;
}


static void
prt_naming_info(prt_naming_info_t *info, const prt_slot_t *slot,
    const prt_slot_naming_t *naming)
{
    char         text[PRT_STRING_MAX];
    size_t       len;
    const char  *path;

    path = prt_slot_text(slot, atomic_load(&naming->path), text);
    len = strlen(path);

    if (len >= PRT_NAMING_PATH) {
        path += len - PRT_NAMING_PATH + 1;
        len = PRT_NAMING_PATH - 1;
    }

    memcpy(info->path, path, len + 1);

    info->source = prt_symbols_source(atomic_load(&naming->sources));
    info->advice = prt_symbols_advice(atomic_load(&naming->sources));
    info->addresses = atomic_load(&naming->addresses);
    info->unnamed = atomic_load(&naming->unnamed);
}
