
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include <stdlib.h>
#include <string.h>

#include "encode/prt_elf_names.h"
#include "encode/prt_pages.h"
#include "encode/prt_symbol.h"


/* How many overlapping symbols a look-up is ready to pass. */
#define PRT_ELF_OVERLAP_MAX  256


static int prt_elf_names_table(prt_elf_names_t *names, const prt_elf_t *file,
    Elf_Scn *scn, const GElf_Shdr *shdr, const uint8_t *executable,
    size_t nsections);
static int prt_elf_names_wanted(const GElf_Sym *sym, const char *name,
    const uint8_t *executable, size_t nsections);
static uint16_t prt_elf_names_rank(const GElf_Sym *sym, const char *name);
static uint8_t *prt_elf_names_executable(const prt_elf_t *file, size_t *n);
static int prt_elf_symbol_cmp(const void *one, const void *two);
static int prt_elf_range_cmp(const void *one, const void *two);
static size_t prt_elf_names_upper(const prt_elf_names_t *names,
    uint64_t vaddr);


int
prt_elf_names_symbols(prt_elf_names_t *names, const prt_elf_t *file,
    unsigned *sources)
{
    int         rc;
    size_t      n, before;
    uint8_t    *executable;
    Elf_Scn    *scn;
    GElf_Shdr   shdr;

    executable = prt_elf_names_executable(file, &n);
    if (executable == NULL) {
        return -1;
    }

    rc = 0;
    scn = NULL;

    while (rc == 0 && (scn = elf_nextscn(file->elf, scn)) != NULL) {

        if (gelf_getshdr(scn, &shdr) == NULL
            || (shdr.sh_type != SHT_SYMTAB && shdr.sh_type != SHT_DYNSYM))
        {
            continue;
        }

        before = names->nsymbols;

        rc = prt_elf_names_table(names, file, scn, &shdr, executable, n);

        if (names->nsymbols > before) {
            *sources |= (shdr.sh_type == SHT_DYNSYM) ? PRT_SYMBOL_DYNSYM
                                                     : PRT_SYMBOL_SYMTAB;
        }
    }

    free(executable);

    return rc;
}


static int
prt_elf_names_table(prt_elf_names_t *names, const prt_elf_t *file,
    Elf_Scn *scn, const GElf_Shdr *shdr, const uint8_t *executable,
    size_t nsections)
{
    size_t             i, n;
    uint64_t           end;
    Elf_Data          *data;
    GElf_Sym           sym;
    const char        *name;
    prt_elf_symbol_t  *symbol;

    data = elf_getdata(scn, NULL);
    if (data == NULL || data->d_buf == NULL) {
        return 0;
    }

    n = data->d_size / sizeof(Elf64_Sym);

    for (i = 1; i < n; i++) {

        if (gelf_getsym(data, (int) i, &sym) == NULL) {
            break;
        }

        name = elf_strptr(file->elf, shdr->sh_link, sym.st_name);

        if (!prt_elf_names_wanted(&sym, name, executable, nsections)
            || __builtin_add_overflow(sym.st_value, sym.st_size, &end))
        {
            continue;
        }

        symbol = prt_elf_names_add(names);
        if (symbol == NULL) {
            return -1;
        }

        symbol->start = sym.st_value;
        symbol->end = end;
        symbol->name = name;
        symbol->rank = prt_elf_names_rank(&sym, name);
        symbol->from = (shdr->sh_type == SHT_DYNSYM) ? PRT_SYMBOL_DYNSYM
                                                     : PRT_SYMBOL_SYMTAB;
    }

    return 0;
}


static int
prt_elf_names_wanted(const GElf_Sym *sym, const char *name,
    const uint8_t *executable, size_t nsections)
{
    unsigned  type;

    type = GELF_ST_TYPE(sym->st_info);

    if (name == NULL || name[0] == '\0'
        || sym->st_value == 0
        || sym->st_shndx >= nsections
        || !executable[sym->st_shndx])
    {
        return 0;
    }

    if (type == STT_FUNC || type == STT_GNU_IFUNC) {
        return 1;
    }

    /* Labels of assembly; not those that mark code and data, or are local. */

    return type == STT_NOTYPE && name[0] != '$' && name[0] != '.';
}


/*
 * Among several names of one function people know the exported one without
 * underscores: "write", and neither "__write" nor "__GI___libc_write".
 */

static uint16_t
prt_elf_names_rank(const GElf_Sym *sym, const char *name)
{
    size_t    len;
    unsigned  underscores, local, weak;

    for (underscores = 0; underscores < 3 && name[underscores] == '_'; ) {
        underscores++;
    }

    local = (GELF_ST_BIND(sym->st_info) == STB_LOCAL);
    weak = (GELF_ST_BIND(sym->st_info) == STB_WEAK);

    len = strnlen(name, 255);

    return (uint16_t) (local << 11 | underscores << 9 | weak << 8 | len);
}


static uint8_t *
prt_elf_names_executable(const prt_elf_t *file, size_t *n)
{
    size_t      i;
    uint8_t    *executable;
    Elf_Scn    *scn;
    GElf_Shdr   shdr;

    if (elf_getshdrnum(file->elf, n) != 0) {
        *n = 0;
    }

    executable = calloc(*n + 1, 1);
    if (executable == NULL) {
        return NULL;
    }

    for (i = 1; i < *n; i++) {
        scn = elf_getscn(file->elf, i);

        if (scn && gelf_getshdr(scn, &shdr) != NULL
            && (shdr.sh_flags & SHF_ALLOC)
            && (shdr.sh_flags & SHF_EXECINSTR))
        {
            executable[i] = 1;
        }
    }

    return executable;
}


prt_elf_symbol_t *
prt_elf_names_add(prt_elf_names_t *names)
{
    void    *p;
    size_t   n;

    if (names->nsymbols == names->asymbols) {
        n = names->asymbols ? names->asymbols * 2 : 1024;

        p = prt_pages_grow(names->symbols,
                           names->asymbols * sizeof(prt_elf_symbol_t),
                           n * sizeof(prt_elf_symbol_t));
        if (p == NULL) {
            return NULL;
        }

        names->symbols = p;
        names->asymbols = n;
    }

    return &names->symbols[names->nsymbols++];
}


prt_elf_range_t *
prt_elf_names_add_fde(prt_elf_names_t *names)
{
    void    *p;
    size_t   n;

    if (names->nfdes == names->afdes) {
        n = names->afdes ? names->afdes * 2 : 1024;

        p = prt_pages_grow(names->fdes,
                           names->afdes * sizeof(prt_elf_range_t),
                           n * sizeof(prt_elf_range_t));
        if (p == NULL) {
            return NULL;
        }

        names->fdes = p;
        names->afdes = n;
    }

    return &names->fdes[names->nfdes++];
}


void
prt_elf_names_sort(prt_elf_names_t *names)
{
    size_t             i;
    uint64_t           reach;
    prt_elf_symbol_t  *symbols;

    symbols = names->symbols;

    if (names->nfdes) {
        qsort(names->fdes, names->nfdes, sizeof(prt_elf_range_t),
              prt_elf_range_cmp);
    }

    if (names->nsymbols) {
        qsort(symbols, names->nsymbols, sizeof(prt_elf_symbol_t),
              prt_elf_symbol_cmp);
    }

    reach = 0;

    for (i = 0; i < names->nsymbols; i++) {
        if (symbols[i].end > reach) {
            reach = symbols[i].end;
        }

        symbols[i].reach = reach;
    }
}


/* Of those that start together the best is the last: look-ups go backwards. */

static int
prt_elf_symbol_cmp(const void *one, const void *two)
{
    const prt_elf_symbol_t  *a, *b;

    a = one;
    b = two;

    if (a->start != b->start) {
        return a->start < b->start ? -1 : 1;
    }

    if (a->rank != b->rank) {
        return a->rank > b->rank ? -1 : 1;
    }

    if (a->from != b->from) {
        return a->from < b->from ? -1 : 1;
    }

    return strcmp(b->name, a->name);
}


static int
prt_elf_range_cmp(const void *one, const void *two)
{
    const prt_elf_range_t  *a, *b;

    a = one;
    b = two;

    if (a->start != b->start) {
        return a->start < b->start ? -1 : 1;
    }

    return a->end < b->end ? -1 : a->end > b->end;
}


void
prt_elf_names_free(prt_elf_names_t *names)
{
    prt_pages_drop(names->symbols,
                   names->asymbols * sizeof(prt_elf_symbol_t));
    prt_pages_drop(names->fdes, names->afdes * sizeof(prt_elf_range_t));

    memset(names, 0, sizeof(prt_elf_names_t));
}


int
prt_elf_names_fde(const prt_elf_names_t *names, uint64_t vaddr,
    prt_elf_range_t *range)
{
    size_t    low, high, mid;
    uint64_t  reach;

    low = 0;
    high = names->nfdes;

    while (low < high) {
        mid = low + (high - low) / 2;

        if (names->fdes[mid].start <= vaddr) {
            low = mid + 1;

        } else {
            high = mid;
        }
    }

    if (low == 0) {
        return -1;
    }

    *range = names->fdes[low - 1];

    if (vaddr < range->end) {
        return 1;
    }

    if (low == names->nfdes) {
        return -1;
    }

    /* A gap: behind the FDE, and behind all symbols that end in it. */

    range->start = range->end;
    range->end = names->fdes[low].start;

    mid = prt_elf_names_upper(names, vaddr);
    reach = mid ? names->symbols[mid - 1].reach : 0;

    if (reach > range->start && reach <= vaddr) {
        range->start = reach;
    }

    return 0;
}


const prt_elf_symbol_t *
prt_elf_names_symbol(const prt_elf_names_t *names, uint64_t vaddr)
{
    size_t                   i, n;
    prt_elf_range_t          fde;
    const prt_elf_symbol_t  *symbol, *label;

    i = prt_elf_names_upper(names, vaddr);
    if (i == 0) {
        return NULL;
    }

    /*
     * Only the next symbol below may be a label before the address, and only
     * when no other symbol that starts there knows the size.
     */

    label = &names->symbols[i - 1];

    for (n = 0; i > 0 && n < PRT_ELF_OVERLAP_MAX; i--, n++) {
        symbol = &names->symbols[i - 1];

        if (vaddr < symbol->end) {
            return symbol;
        }

        if (label && symbol->start == label->start
            && symbol->end != symbol->start)
        {
            label = NULL;
        }

        if (symbol->reach <= vaddr
            && (label == NULL || symbol->start != label->start))
        {
            break;
        }
    }

    if (label == NULL) {
        return NULL;
    }

    if (label->start == vaddr) {
        return label;
    }

    if (prt_elf_names_fde(names, vaddr, &fde) == 1
        && label->start >= fde.start)
    {
        return label;
    }

    return NULL;
}


const char *
prt_elf_names_at(const prt_elf_names_t *names, uint64_t start, unsigned from)
{
    size_t                   i;
    const prt_elf_symbol_t  *symbol;

    for (i = prt_elf_names_upper(names, start); i > 0; i--) {
        symbol = &names->symbols[i - 1];

        if (symbol->start != start) {
            break;
        }

        if (symbol->from & from) {
            return symbol->name;
        }
    }

    return NULL;
}


/* The number of symbols that start at the address or below. */

static size_t
prt_elf_names_upper(const prt_elf_names_t *names, uint64_t vaddr)
{
    size_t  low, high, mid;

    low = 0;
    high = names->nsymbols;

    while (low < high) {
        mid = low + (high - low) / 2;

        if (names->symbols[mid].start <= vaddr) {
            low = mid + 1;

        } else {
            high = mid;
        }
    }

    return low;
}


size_t
prt_elf_names_memory(const prt_elf_names_t *names)
{
    return names->asymbols * sizeof(prt_elf_symbol_t)
           + names->afdes * sizeof(prt_elf_range_t);
}
