
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * dwarf_getscopes() walks a compilation unit from its start for every
 * address.  Here a unit's functions are indexed when the first address falls
 * into it, and only the one function is walked.
 */


#include <stdlib.h>
#include <string.h>

#include "encode/prt_dwarf_unit.h"


/* the scopes around an address, outermost first */

typedef struct {
    Dwarf_Die            dies[PRT_SYMBOL_INLINES];
    unsigned             n;
} prt_dwarf_scopes_t;


static uint64_t prt_dwarf_start(Dwarf_Die *die);
static int prt_dwarf_scopes(prt_dwarf_t *dwarf, Dwarf_Die *parent,
    uint64_t vaddr, prt_dwarf_scopes_t *scopes, unsigned depth);
static int prt_dwarf_inside(prt_dwarf_t *dwarf, Dwarf_Die *die,
    uint64_t vaddr);
static unsigned prt_dwarf_line(prt_dwarf_t *dwarf, prt_dwarf_unit_t *unit,
    uint64_t vaddr, prt_symbol_t *symbol);
static void prt_dwarf_read_lines(prt_dwarf_t *dwarf, prt_dwarf_unit_t *unit);
static void prt_dwarf_forget_lines(prt_dwarf_t *dwarf);
static void prt_dwarf_function(prt_dwarf_t *dwarf, prt_dwarf_unit_t *unit,
    Dwarf_Die *die, prt_symbol_t *symbol);
static void prt_dwarf_call(prt_dwarf_t *dwarf, prt_dwarf_unit_t *unit,
    Dwarf_Die *die, prt_symbol_t *symbol);
static const char *prt_dwarf_string(prt_dwarf_t *dwarf, Dwarf_Die *die,
    unsigned name);
static uint32_t prt_dwarf_number(Dwarf_Die *die, unsigned name);


unsigned
prt_dwarf_lookup(prt_dwarf_t *dwarf, uint64_t vaddr, prt_symbol_t *out,
    unsigned max)
{
    uint64_t                  start;
    unsigned                  i, n, lined;
    Dwarf_Die                *die;
    prt_symbol_t              line, call;
    prt_dwarf_unit_t         *unit;
    prt_dwarf_scopes_t        scopes;
    const prt_dwarf_range_t  *range;

    range = prt_dwarf_find(&dwarf->ranges, vaddr);
    if (range == NULL) {
        return 0;
    }

    /* Not later: names of files are in there. */

    if (dwarf->pages.size > PRT_DWARF_LINES) {
        prt_dwarf_forget_lines(dwarf);
    }

    unit = &dwarf->units[range->place];

    if (!unit->indexed) {
        prt_dwarf_index(dwarf, unit);
    }

    memset(&line, 0, sizeof(prt_symbol_t));
    line.from = PRT_SYMBOL_DEBUG;

    lined = prt_dwarf_line(dwarf, unit, vaddr, &line);

    range = prt_dwarf_find(&unit->functions, vaddr);

    if (range == NULL
        || dwarf_offdie(dwarf->dwarf, range->place, &scopes.dies[0]) == NULL)
    {
        if (lined) {
            *out = line;
        }

        return lined;
    }

    start = prt_dwarf_start(&scopes.dies[0]);

    scopes.n = 1;
    prt_dwarf_walk(dwarf);

    (void) prt_dwarf_scopes(dwarf, &scopes.dies[0], vaddr, &scopes, 0);

    /* With a walk cut short the line may be of a function inlined in there. */

    if (dwarf->entries == 0) {
        line.file = NULL;
        line.line = 0;
    }

    /* The place in an inlined function's caller is the place of the call. */

    call = line;

    for (i = scopes.n, n = 0; i > 0 && n < max; i--, n++) {
        die = &scopes.dies[i - 1];

        out[n] = call;
        out[n].start = start;
        prt_dwarf_function(dwarf, unit, die, &out[n]);

        if (i > 1) {
            prt_dwarf_call(dwarf, unit, die, &call);
        }
    }

    return n;
}


/* The first range is the one that is entered, others are its cold parts. */

static uint64_t
prt_dwarf_start(Dwarf_Die *die)
{
    Dwarf_Addr  base, start, end;

    if (dwarf_entrypc(die, &start) == 0
        || dwarf_ranges(die, 0, &base, &start, &end) > 0)
    {
        return start;
    }

    return 0;
}


/*
 * Only scopes that the address lies in are entered.  A lexical block without
 * addresses may still have inner ones with them.
 */

static int
prt_dwarf_scopes(prt_dwarf_t *dwarf, Dwarf_Die *parent, uint64_t vaddr,
    prt_dwarf_scopes_t *scopes, unsigned depth)
{
    int        rc, tag, inside;
    Dwarf_Die  die;

    if (depth == PRT_DWARF_DEPTH) {
        return 0;
    }

    for (rc = dwarf_child(parent, &die);
         rc == 0;
         rc = dwarf_siblingof(&die, &die))
    {
        if (!prt_dwarf_step(dwarf)) {
            return 0;
        }

        tag = dwarf_tag(&die);

        if (tag != DW_TAG_inlined_subroutine
            && tag != DW_TAG_lexical_block
            && tag != DW_TAG_try_block
            && tag != DW_TAG_catch_block
            && tag != DW_TAG_with_stmt)
        {
            continue;
        }

        inside = prt_dwarf_inside(dwarf, &die, vaddr);

        if (tag == DW_TAG_inlined_subroutine) {

            if (!inside) {
                continue;
            }

            if (scopes->n < PRT_SYMBOL_INLINES) {
                scopes->dies[scopes->n++] = die;
                (void) prt_dwarf_scopes(dwarf, &die, vaddr, scopes,
                                        depth + 1);
            }

            return 1;
        }

        if (!inside
            && (dwarf_hasattr(&die, DW_AT_low_pc)
                || dwarf_hasattr(&die, DW_AT_ranges)))
        {
            continue;
        }

        if (prt_dwarf_scopes(dwarf, &die, vaddr, scopes, depth + 1)) {
            return 1;
        }
    }

    return 0;
}


/* dwarf_haspc() with an end: hostile lists are long, and many share one. */

static int
prt_dwarf_inside(prt_dwarf_t *dwarf, Dwarf_Die *die, uint64_t vaddr)
{
    unsigned    n;
    ptrdiff_t   offset;
    Dwarf_Addr  base, start, end;

    offset = 0;

    for (n = 0; n < PRT_DWARF_RANGES && prt_dwarf_step(dwarf); n++) {

        offset = dwarf_ranges(die, offset, &base, &start, &end);
        if (offset <= 0) {
            break;
        }

        if (vaddr >= start && vaddr < end) {
            return 1;
        }
    }

    return 0;
}


static unsigned
prt_dwarf_line(prt_dwarf_t *dwarf, prt_dwarf_unit_t *unit, uint64_t vaddr,
    prt_symbol_t *symbol)
{
    uint32_t  file, line;

    if (!unit->lined) {
        prt_dwarf_read_lines(dwarf, unit);
    }

    if (unit->lines == NULL
        || !prt_dwarf_lines_find(unit->lines, vaddr, &file, &line))
    {
        return 0;
    }

    symbol->file = prt_dwarf_lines_file(unit->lines, file, &dwarf->pages);

    if (symbol->file == NULL) {
        return 0;
    }

    symbol->line = line;

    return 1;
}


static void
prt_dwarf_read_lines(prt_dwarf_t *dwarf, prt_dwarf_unit_t *unit)
{
    Dwarf_Word       offset;
    Dwarf_Attribute  attribute;

    unit->lined = 1;

    if (dwarf_attr(&unit->die, DW_AT_stmt_list, &attribute) == NULL
        || dwarf_formudata(&attribute, &offset) != 0)
    {
        return;
    }

    unit->lines = prt_dwarf_lines_read(&dwarf->programs, offset,
                                       prt_dwarf_string(dwarf, &unit->die,
                                                        DW_AT_comp_dir),
                                       &dwarf->pages);
}


static void
prt_dwarf_forget_lines(prt_dwarf_t *dwarf)
{
    size_t  i;

    for (i = 0; i < dwarf->nunits; i++) {
        dwarf->units[i].lines = NULL;
        dwarf->units[i].lined = 0;
    }

    prt_pages_free(&dwarf->pages);
}


static void
prt_dwarf_function(prt_dwarf_t *dwarf, prt_dwarf_unit_t *unit,
    Dwarf_Die *die, prt_symbol_t *symbol)
{
    symbol->name = NULL;

    if (unit->mangled) {
        symbol->name = prt_dwarf_string(dwarf, die, DW_AT_linkage_name);

        if (symbol->name == NULL) {
            symbol->name = prt_dwarf_string(dwarf, die,
                                            DW_AT_MIPS_linkage_name);
        }
    }

    if (symbol->name == NULL) {
        symbol->name = prt_dwarf_string(dwarf, die, DW_AT_name);
    }

    symbol->start_line = prt_dwarf_number(die, DW_AT_decl_line);
}


static void
prt_dwarf_call(prt_dwarf_t *dwarf, prt_dwarf_unit_t *unit, Dwarf_Die *die,
    prt_symbol_t *symbol)
{
    uint32_t    file;
    Dwarf_Half  version;

    symbol->file = NULL;
    symbol->line = prt_dwarf_number(die, DW_AT_call_line);

    file = prt_dwarf_number(die, DW_AT_call_file);

    if (unit->lines == NULL
        || dwarf_cu_info(unit->die.cu, &version, NULL, NULL, NULL, NULL, NULL,
                         NULL) != 0)
    {
        return;
    }

    /* Files are counted from 0 since DWARF 5, where 0 was "none" before. */

    if (file == 0 && version < 5) {
        return;
    }

    symbol->file = prt_dwarf_lines_file(unit->lines, file, &dwarf->pages);
}


/*
 * libdw checks offsets of strings, but not that a string in place has an end
 * before .debug_info has, nor an offset that comes from a table.
 */

static const char *
prt_dwarf_string(prt_dwarf_t *dwarf, Dwarf_Die *die, unsigned name)
{
    size_t                 i;
    const char            *s;
    const uint8_t         *p, *end;
    Dwarf_Attribute        attribute;
    prt_dwarf_sections_t  *sections;

    if (dwarf_attr_integrate(die, name, &attribute) == NULL) {
        return NULL;
    }

    s = dwarf_formstring(&attribute);
    p = (const uint8_t *) s;

    if (s == NULL || s[0] == '\0') {
        return NULL;
    }

    for (i = 0; i < 2; i++) {
        sections = &dwarf->sections[i];

        switch (dwarf_whatform(&attribute)) {

        case DW_FORM_string:
            end = sections->info + sections->info_size;

            if (p >= sections->info && p < end
                && memchr(p, '\0', (size_t) (end - p)))
            {
                return s;
            }

            break;

        case DW_FORM_strx:
        case DW_FORM_strx1:
        case DW_FORM_strx2:
        case DW_FORM_strx3:
        case DW_FORM_strx4:
        case DW_FORM_GNU_str_index:

            if (p >= sections->str
                && p < sections->str + sections->str_size)
            {
                return s;
            }

            break;

        default:
            return s;
        }
    }

    return NULL;
}


static uint32_t
prt_dwarf_number(Dwarf_Die *die, unsigned name)
{
    Dwarf_Word       value;
    Dwarf_Attribute  attribute;

    if (dwarf_attr_integrate(die, name, &attribute) == NULL
        || dwarf_formudata(&attribute, &value) != 0
        || value > INT32_MAX)
    {
        return 0;
    }

    return (uint32_t) value;
}
