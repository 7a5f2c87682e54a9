
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdlib.h>
#include <string.h>

#include "encode/prt_dwarf_unit.h"


#define PRT_DWARF_UNITS      1000000
#define PRT_DWARF_OVERLAP    64


static int prt_dwarf_common(prt_dwarf_t *dwarf, const prt_elf_t *common);
static size_t prt_dwarf_size(const prt_elf_t *file);
static int prt_dwarf_sections(prt_dwarf_sections_t *sections,
    prt_dwarf_programs_t *programs, const prt_elf_t *file);
static int prt_dwarf_units(prt_dwarf_t *dwarf);
static int prt_dwarf_add_unit(prt_dwarf_t *dwarf, Dwarf_Die *die);
static void prt_dwarf_language(prt_dwarf_unit_t *unit);
static int prt_dwarf_add_ranges(prt_dwarf_ranges_t *ranges, Dwarf_Die *die,
    Dwarf_Off place);
static int prt_dwarf_add_range(prt_dwarf_ranges_t *ranges, uint64_t start,
    uint64_t end, Dwarf_Off place);
static int prt_dwarf_functions(prt_dwarf_t *dwarf, prt_dwarf_unit_t *unit,
    Dwarf_Die *parent, unsigned depth);
static int prt_dwarf_range_cmp(const void *one, const void *two);


int
prt_dwarf_has(const prt_elf_t *file)
{
    return prt_dwarf_size(file) != 0;
}


prt_dwarf_t *
prt_dwarf_open(prt_elf_t *file, prt_elf_t *common)
{
    size_t        size;
    prt_dwarf_t  *dwarf;

    /* Neither file makes libdw open another one. */

    if ((common->elf && prt_elf_drop_sharedlink(common) != 0)
        || prt_elf_drop_sharedlink(file) != 0)
    {
        return NULL;
    }

    size = prt_dwarf_size(file);

    if (size == 0
        || size + (common->elf ? prt_dwarf_size(common) : 0)
           > PRT_DWARF_SIZE_MAX)
    {
        return NULL;
    }

    dwarf = calloc(1, sizeof(prt_dwarf_t));
    if (dwarf == NULL) {
        return NULL;
    }

    dwarf->steps = PRT_DWARF_STEPS;
    dwarf->dwarf = dwarf_begin_elf(file->elf, DWARF_C_READ, NULL);

    if (dwarf->dwarf == NULL
        || prt_dwarf_sections(&dwarf->sections[0], &dwarf->programs, file)
           != 0
        || prt_dwarf_common(dwarf, common) != 0
        || prt_dwarf_units(dwarf) != 0
        || dwarf->ranges.nelts == 0)
    {
        prt_dwarf_close(dwarf);
        return NULL;
    }

    return dwarf;
}


static int
prt_dwarf_common(prt_dwarf_t *dwarf, const prt_elf_t *common)
{
    prt_dwarf_programs_t  ignored;

    if (common->elf == NULL) {
        return 0;
    }

    if (prt_dwarf_size(common) == 0
        || prt_dwarf_sections(&dwarf->sections[1], &ignored, common) != 0)
    {
        return -1;
    }

    dwarf->common = dwarf_begin_elf(common->elf, DWARF_C_READ, NULL);

    if (dwarf->common == NULL) {
        return -1;
    }

    dwarf_setalt(dwarf->dwarf, dwarf->common);

    return 0;
}


void
prt_dwarf_close(prt_dwarf_t *dwarf)
{
    size_t  i;

    for (i = 0; i < dwarf->nunits; i++) {
        free(dwarf->units[i].functions.elts);
    }

    free(dwarf->units);
    free(dwarf->ranges.elts);
    prt_pages_free(&dwarf->pages);

    if (dwarf->dwarf) {
        (void) dwarf_end(dwarf->dwarf);
    }

    if (dwarf->common) {
        (void) dwarf_end(dwarf->common);
    }

    free(dwarf);
}


/* The size of all debug sections, inflated; 0 when there is no .debug_info. */

static size_t
prt_dwarf_size(const prt_elf_t *file)
{
    int          info;
    size_t       size, strings;
    Elf_Scn     *scn;
    GElf_Shdr    shdr;
    GElf_Chdr    chdr;
    const char  *name;

    if (elf_getshdrstrndx(file->elf, &strings) != 0) {
        return 0;
    }

    scn = NULL;
    info = 0;
    size = 0;

    while ((scn = elf_nextscn(file->elf, scn)) != NULL) {

        if (gelf_getshdr(scn, &shdr) == NULL || shdr.sh_type == SHT_NOBITS) {
            continue;
        }

        name = elf_strptr(file->elf, strings, shdr.sh_name);

        if (name == NULL) {
            continue;
        }

        /* Compressed in the old way: of a size that nobody has checked. */

        if (strncmp(name, ".zdebug_", 8) == 0
            || strncmp(name, ".gnu.debuglto_", 14) == 0)
        {
            return 0;
        }

        if (strncmp(name, ".debug_", 7) != 0) {
            continue;
        }

        info |= (strcmp(name, ".debug_info") == 0);

        size += ((shdr.sh_flags & SHF_COMPRESSED)
                 && gelf_getchdr(scn, &chdr) != NULL)
                ? chdr.ch_size : shdr.sh_size;
    }

    return info ? size : 0;
}


/* Strings are trusted to have an end. */

static int
prt_dwarf_sections(prt_dwarf_sections_t *sections,
    prt_dwarf_programs_t *programs, const prt_elf_t *file)
{
    size_t      i;
    Elf_Scn    *scn;
    Elf_Data   *data;
    GElf_Shdr   shdr;

    const struct {
        const char      *name;
        const uint8_t  **start;
        size_t          *size;
        unsigned         strings;
    } wanted[] = {
        { ".debug_info", &sections->info, &sections->info_size, 0 },
        { ".debug_str", &sections->str, &sections->str_size, 1 },
        { ".debug_line", &programs->line, &programs->line_size, 0 },
        { ".debug_line_str", &programs->line_str, &programs->line_str_size,
          1 }
    };

    for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        scn = prt_elf_section(file, wanted[i].name, &shdr);

        if (scn == NULL
            || (data = elf_rawdata(scn, NULL)) == NULL
            || data->d_buf == NULL
            || data->d_size == 0)
        {
            continue;
        }

        *wanted[i].start = data->d_buf;
        *wanted[i].size = data->d_size;

        if (wanted[i].strings
            && ((const char *) data->d_buf)[data->d_size - 1] != '\0')
        {
            return -1;
        }
    }

    programs->str = sections->str;
    programs->str_size = sections->str_size;
    programs->budget = (uint64_t) programs->line_size * PRT_DWARF_PROGRAMS;

    return sections->info ? 0 : -1;
}


static int
prt_dwarf_units(prt_dwarf_t *dwarf)
{
    Dwarf_CU   *cu;
    Dwarf_Die   die;

    cu = NULL;

    /* What comes behind a damaged unit is not reached; what we have is good. */

    while (dwarf_get_units(dwarf->dwarf, cu, &cu, NULL, NULL, &die, NULL)
           == 0)
    {
        if (dwarf_tag(&die) != DW_TAG_compile_unit) {
            continue;
        }

        if (dwarf->nunits == PRT_DWARF_UNITS) {
            break;
        }

        if (prt_dwarf_add_unit(dwarf, &die) != 0) {
            return -1;
        }
    }

    if (dwarf->ranges.nelts) {
        qsort(dwarf->ranges.elts, dwarf->ranges.nelts,
              sizeof(prt_dwarf_range_t), prt_dwarf_range_cmp);
    }

    return 0;
}


static int
prt_dwarf_add_unit(prt_dwarf_t *dwarf, Dwarf_Die *die)
{
    size_t              i, n;
    prt_dwarf_unit_t   *units, *unit;
    prt_dwarf_range_t  *function;

    if (dwarf->nunits == dwarf->aunits) {
        n = dwarf->aunits ? dwarf->aunits * 2 : 64;

        units = realloc(dwarf->units, n * sizeof(prt_dwarf_unit_t));
        if (units == NULL) {
            return -1;
        }

        dwarf->units = units;
        dwarf->aunits = n;
    }

    unit = &dwarf->units[dwarf->nunits];

    memset(unit, 0, sizeof(prt_dwarf_unit_t));
    unit->die = *die;
    prt_dwarf_language(unit);

    n = dwarf->ranges.nelts;

    if (prt_dwarf_add_ranges(&dwarf->ranges, die, dwarf->nunits) != 0) {
        return -1;
    }

    dwarf->nunits++;

    if (dwarf->ranges.nelts != n) {
        return 0;
    }

    /* A unit may say nothing of its own, then its functions do. */

    prt_dwarf_index(dwarf, unit);

    for (i = 0; i < unit->functions.nelts; i++) {
        function = &unit->functions.elts[i];

        if (prt_dwarf_add_range(&dwarf->ranges, function->start,
                                function->end, dwarf->nunits - 1)
            != 0)
        {
            return -1;
        }
    }

    return 0;
}


static void
prt_dwarf_language(prt_dwarf_unit_t *unit)
{
    switch (dwarf_srclang(&unit->die)) {

    case DW_LANG_C:
    case DW_LANG_C89:
    case DW_LANG_C99:
    case DW_LANG_C11:
    case DW_LANG_Mips_Assembler:
        break;

    default:
        unit->mangled = 1;
        unit->nested = 1;
    }
}


static int
prt_dwarf_add_ranges(prt_dwarf_ranges_t *ranges, Dwarf_Die *die,
    Dwarf_Off place)
{
    unsigned    n;
    ptrdiff_t   offset;
    Dwarf_Addr  base, start, end;

    offset = 0;

    for (n = 0; n < PRT_DWARF_RANGES; n++) {

        offset = dwarf_ranges(die, offset, &base, &start, &end);
        if (offset <= 0) {
            break;
        }

        /* What the linker threw away lies at 0. */

        if (start != 0 && start < end
            && prt_dwarf_add_range(ranges, start, end, place) != 0)
        {
            return -1;
        }
    }

    return 0;
}


static int
prt_dwarf_add_range(prt_dwarf_ranges_t *ranges, uint64_t start, uint64_t end,
    Dwarf_Off place)
{
    size_t              n;
    prt_dwarf_range_t  *elts;

    if (ranges->nelts == ranges->aelts) {
        n = ranges->aelts ? ranges->aelts * 2 : 16;

        elts = realloc(ranges->elts, n * sizeof(prt_dwarf_range_t));
        if (elts == NULL) {
            return -1;
        }

        ranges->elts = elts;
        ranges->aelts = n;
    }

    elts = &ranges->elts[ranges->nelts++];

    elts->start = start;
    elts->end = end;
    elts->place = place;

    return 0;
}


void
prt_dwarf_walk(prt_dwarf_t *dwarf)
{
    dwarf->entries = dwarf->steps < PRT_DWARF_ENTRIES ? dwarf->steps
                                                      : PRT_DWARF_ENTRIES;
}


int
prt_dwarf_step(prt_dwarf_t *dwarf)
{
    if (dwarf->entries == 0) {
        return 0;
    }

    dwarf->entries--;
    dwarf->steps--;

    return 1;
}


void
prt_dwarf_index(prt_dwarf_t *dwarf, prt_dwarf_unit_t *unit)
{
    prt_dwarf_ranges_t  *functions;

    unit->indexed = 1;
    prt_dwarf_walk(dwarf);

    (void) prt_dwarf_functions(dwarf, unit, &unit->die, 0);

    functions = &unit->functions;

    if (functions->nelts) {
        qsort(functions->elts, functions->nelts, sizeof(prt_dwarf_range_t),
              prt_dwarf_range_cmp);
    }

    dwarf->grown += functions->aelts * sizeof(prt_dwarf_range_t);
}


static int
prt_dwarf_functions(prt_dwarf_t *dwarf, prt_dwarf_unit_t *unit,
    Dwarf_Die *parent, unsigned depth)
{
    int        rc;
    Dwarf_Die  die;

    for (rc = dwarf_child(parent, &die);
         rc == 0;
         rc = dwarf_siblingof(&die, &die))
    {
        if (!prt_dwarf_step(dwarf)) {
            return -1;
        }

        switch (dwarf_tag(&die)) {

        case DW_TAG_subprogram:

            if (prt_dwarf_add_ranges(&unit->functions, &die,
                                     dwarf_dieoffset(&die))
                != 0)
            {
                return -1;
            }

            break;

        case DW_TAG_namespace:
        case DW_TAG_module:
        case DW_TAG_class_type:
        case DW_TAG_structure_type:
        case DW_TAG_union_type:
        case DW_TAG_enumeration_type:

            if (unit->nested && depth < PRT_DWARF_DEPTH
                && prt_dwarf_functions(dwarf, unit, &die, depth + 1) != 0)
            {
                return -1;
            }

            break;
        }
    }

    return 0;
}


const prt_dwarf_range_t *
prt_dwarf_find(const prt_dwarf_ranges_t *ranges, uint64_t vaddr)
{
    size_t    low, high, mid;
    unsigned  n;

    low = 0;
    high = ranges->nelts;

    while (low < high) {
        mid = low + (high - low) / 2;

        if (ranges->elts[mid].start <= vaddr) {
            low = mid + 1;

        } else {
            high = mid;
        }
    }

    for (n = 0; low > 0 && n < PRT_DWARF_OVERLAP; low--, n++) {

        if (vaddr < ranges->elts[low - 1].end) {
            return &ranges->elts[low - 1];
        }
    }

    return NULL;
}


/* Of those that start together the smallest is the last. */

static int
prt_dwarf_range_cmp(const void *one, const void *two)
{
    const prt_dwarf_range_t  *a, *b;

    a = one;
    b = two;

    if (a->start != b->start) {
        return a->start < b->start ? -1 : 1;
    }

    if (a->end != b->end) {
        return a->end > b->end ? -1 : 1;
    }

    return a->place > b->place ? -1 : a->place < b->place;
}


size_t
prt_dwarf_memory(prt_dwarf_t *dwarf, size_t *grown)
{
    *grown = dwarf->grown + dwarf->pages.size;

    return *grown
           + dwarf->aunits * sizeof(prt_dwarf_unit_t)
           + dwarf->ranges.aelts * sizeof(prt_dwarf_range_t);
}
