
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Names of PLT entries.  An entry jumps through a slot of the GOT, and the
 * slot's relocation says for which function.
 */


#include <stdlib.h>
#include <string.h>

#include "encode/prt_elf_names.h"
#include "encode/prt_symbol.h"


#define PRT_PLT_ENTRY_MAX    24          /* bytes */
#define PRT_PLT_SIZE_MAX     (16u * 1024 * 1024)


typedef struct {
    uint64_t           address;
    const char        *name;
} prt_plt_slot_t;


typedef struct {
    prt_plt_slot_t    *slots;            /* sorted by address */
    size_t             nslots;
    size_t             aslots;
    unsigned           machine;          /* EM_* */
    size_t             entry;            /* bytes, an entry of this section */
    size_t             step;             /* entries start at multiples of it */
} prt_plt_t;


static int prt_plt_slots(prt_plt_t *plt, const prt_elf_t *file,
    const prt_elf_names_t *names);
static int prt_plt_relocations(prt_plt_t *plt, const prt_elf_t *file,
    Elf_Scn *scn, const GElf_Shdr *shdr, const prt_elf_names_t *names);
static const char *prt_plt_target(const prt_elf_t *file,
    const GElf_Rela *rela, Elf_Data *symbols, size_t strings,
    const prt_elf_names_t *names);
static int prt_plt_entries(const prt_plt_t *plt, prt_elf_names_t *names,
    const uint8_t *p, size_t size, uint64_t vaddr);
static int prt_plt_entry_slot(const prt_plt_t *plt, const uint8_t *p,
    size_t size, uint64_t vaddr, uint64_t *slot);
static int prt_plt_x86_64_slot(const uint8_t *p, size_t size, uint64_t vaddr,
    uint64_t *slot);
static int prt_plt_aarch64_slot(const uint8_t *p, size_t size,
    uint64_t vaddr, uint64_t *slot);
static const char *prt_plt_slot_name(const prt_plt_t *plt, uint64_t address);
static int prt_plt_slot_cmp(const void *one, const void *two);


int
prt_elf_names_plt(prt_elf_names_t *names, const prt_elf_t *file,
    unsigned *sources)
{
    int           rc;
    size_t        i, before;
    Elf_Scn      *scn;
    Elf_Data     *data;
    prt_plt_t     plt;
    GElf_Ehdr     ehdr;
    GElf_Shdr     shdr;

    static const struct {
        const char  *name;
        size_t       entry;              /* the default size of one */
    } sections[] = {
        { ".plt", 16 },
        { ".plt.sec", 16 },
        { ".plt.got", 8 },
        { ".iplt", 16 }
    };

    if (gelf_getehdr(file->elf, &ehdr) == NULL
        || (ehdr.e_machine != EM_X86_64 && ehdr.e_machine != EM_AARCH64))
    {
        return 0;
    }

    memset(&plt, 0, sizeof(prt_plt_t));
    plt.machine = ehdr.e_machine;

    rc = prt_plt_slots(&plt, file, names);
    before = names->nsymbols;

    for (i = 0; rc == 0 && i < sizeof(sections) / sizeof(sections[0]); i++) {
        scn = prt_elf_section(file, sections[i].name, &shdr);

        if (scn == NULL
            || (data = elf_rawdata(scn, NULL)) == NULL
            || data->d_buf == NULL
            || data->d_size > PRT_PLT_SIZE_MAX)
        {
            continue;
        }

        plt.entry = shdr.sh_entsize;

        if (plt.entry < 8 || plt.entry > PRT_PLT_ENTRY_MAX
            || plt.entry % 8 != 0)
        {
            plt.entry = sections[i].entry;
        }

        /* The first entry may be longer than the others. */

        plt.step = (plt.machine == EM_AARCH64) ? 8 : plt.entry;

        rc = prt_plt_entries(&plt, names, data->d_buf, data->d_size,
                             shdr.sh_addr);
    }

    free(plt.slots);

    if (names->nsymbols > before) {
        *sources |= PRT_SYMBOL_PLT;
    }

    return rc;
}


static int
prt_plt_slots(prt_plt_t *plt, const prt_elf_t *file,
    const prt_elf_names_t *names)
{
    Elf_Scn    *scn;
    GElf_Shdr   shdr;

    scn = NULL;

    while ((scn = elf_nextscn(file->elf, scn)) != NULL) {

        if (gelf_getshdr(scn, &shdr) != NULL
            && shdr.sh_type == SHT_RELA
            && (shdr.sh_flags & SHF_ALLOC)
            && prt_plt_relocations(plt, file, scn, &shdr, names) != 0)
        {
            return -1;
        }
    }

    if (plt->nslots) {
        qsort(plt->slots, plt->nslots, sizeof(prt_plt_slot_t),
              prt_plt_slot_cmp);
    }

    return 0;
}


static int
prt_plt_relocations(prt_plt_t *plt, const prt_elf_t *file, Elf_Scn *scn,
    const GElf_Shdr *shdr, const prt_elf_names_t *names)
{
    size_t           i, n;
    Elf_Scn         *table;
    Elf_Data        *data, *symbols;
    GElf_Rela        rela;
    GElf_Shdr        symtab;
    const char      *name;
    prt_plt_slot_t  *slots;

    data = elf_getdata(scn, NULL);
    if (data == NULL || data->d_buf == NULL) {
        return 0;
    }

    /* A static executable has no symbols there, only IRELATIVE ones. */

    symbols = NULL;
    symtab.sh_link = 0;

    table = shdr->sh_link ? elf_getscn(file->elf, shdr->sh_link) : NULL;

    if (table && gelf_getshdr(table, &symtab) != NULL
        && (symtab.sh_type == SHT_DYNSYM || symtab.sh_type == SHT_SYMTAB))
    {
        symbols = elf_getdata(table, NULL);
    }

    n = data->d_size / sizeof(Elf64_Rela);

    for (i = 0; i < n; i++) {

        if (gelf_getrela(data, (int) i, &rela) == NULL) {
            break;
        }

        name = prt_plt_target(file, &rela, symbols, symtab.sh_link, names);

        if (name == NULL || name[0] == '\0') {
            continue;
        }

        if (plt->nslots == plt->aslots) {
            plt->aslots = plt->aslots ? plt->aslots * 2 : 256;

            slots = realloc(plt->slots,
                            plt->aslots * sizeof(prt_plt_slot_t));
            if (slots == NULL) {
                return -1;
            }

            plt->slots = slots;
        }

        plt->slots[plt->nslots].address = rela.r_offset;
        plt->slots[plt->nslots].name = name;
        plt->nslots++;
    }

    return 0;
}


static const char *
prt_plt_target(const prt_elf_t *file, const GElf_Rela *rela,
    Elf_Data *symbols, size_t strings, const prt_elf_names_t *names)
{
    unsigned   type;
    GElf_Sym   sym;

    type = (unsigned) GELF_R_TYPE(rela->r_info);

    switch (type) {

    case R_X86_64_JUMP_SLOT:
    case R_X86_64_GLOB_DAT:
    case R_AARCH64_JUMP_SLOT:
    case R_AARCH64_GLOB_DAT:

        if (symbols == NULL
            || gelf_getsym(symbols, (int) GELF_R_SYM(rela->r_info), &sym)
               == NULL)
        {
            return NULL;
        }

        return elf_strptr(file->elf, strings, sym.st_name);

    case R_X86_64_IRELATIVE:
    case R_AARCH64_IRELATIVE:

        /* What a resolver decides for has the resolver's name. */

        return prt_elf_names_at(names, (uint64_t) rela->r_addend,
                                PRT_SYMBOL_DYNSYM|PRT_SYMBOL_SYMTAB);

    default:
        return NULL;
    }
}


static int
prt_plt_entries(const prt_plt_t *plt, prt_elf_names_t *names,
    const uint8_t *p, size_t size, uint64_t vaddr)
{
    size_t             i, len;
    uint64_t           slot;
    const char        *name;
    prt_elf_symbol_t  *symbol;

    for (i = 0; i < size; i += plt->step) {

        len = size - i < PRT_PLT_ENTRY_MAX ? size - i : PRT_PLT_ENTRY_MAX;

        if (prt_plt_entry_slot(plt, p + i, len, vaddr + i, &slot) != 0) {
            continue;
        }

        name = prt_plt_slot_name(plt, slot);
        if (name == NULL) {
            continue;
        }

        symbol = prt_elf_names_add(names);
        if (symbol == NULL) {
            return -1;
        }

        symbol->start = vaddr + i;
        symbol->end = symbol->start + plt->entry;
        symbol->name = name;
        symbol->rank = 0;
        symbol->from = PRT_SYMBOL_PLT;
    }

    return 0;
}


static int
prt_plt_entry_slot(const prt_plt_t *plt, const uint8_t *p, size_t size,
    uint64_t vaddr, uint64_t *slot)
{
    if (plt->machine == EM_X86_64) {
        return prt_plt_x86_64_slot(p, size, vaddr, slot);
    }

    return prt_plt_aarch64_slot(p, size, vaddr, slot);
}


/* [endbr64] [bnd] jmp *slot(%rip) */

static int
prt_plt_x86_64_slot(const uint8_t *p, size_t size, uint64_t vaddr,
    uint64_t *slot)
{
    size_t   i;
    int32_t  offset;

    static const uint8_t  endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };

    i = 0;

    if (size >= sizeof(endbr64) && memcmp(p, endbr64, sizeof(endbr64)) == 0) {
        i = sizeof(endbr64);
    }

    if (i < size && p[i] == 0xf2) {
        i++;
    }

    if (size < i + 6 || p[i] != 0xff || p[i + 1] != 0x25) {
        return -1;
    }

    memcpy(&offset, p + i + 2, sizeof(offset));

    *slot = vaddr + i + 6 + (uint64_t) (int64_t) offset;

    return 0;
}


/* [bti c]; adrp x16, page; ldr x17, [x16, offset]; ... */

static int
prt_plt_aarch64_slot(const uint8_t *p, size_t size, uint64_t vaddr,
    uint64_t *slot)
{
    size_t    i;
    uint64_t  page;
    uint32_t  insn[2];

    i = 0;

    if (size >= 12) {
        memcpy(insn, p, 4);

        if (insn[0] == 0xd503245f) {
            i = 4;
        }
    }

    if (size < i + 8) {
        return -1;
    }

    memcpy(insn, p + i, sizeof(insn));

    if ((insn[0] & 0x9f00001f) != 0x90000010
        || (insn[1] & 0xffc003ff) != 0xf9400211)
    {
        return -1;
    }

    /* 21 bits of pages, signed: the low 2 apart from the high 19 */

    page = ((insn[0] >> 29) & 3) | (((insn[0] >> 5) & 0x7ffff) << 2);
    page = (uint64_t) (((int64_t) (page << 43)) >> 43) << 12;

    *slot = ((vaddr + i) & ~0xfffull) + page
            + ((uint64_t) ((insn[1] >> 10) & 0xfff) << 3);

    return 0;
}


static const char *
prt_plt_slot_name(const prt_plt_t *plt, uint64_t address)
{
    size_t  low, high, mid;

    low = 0;
    high = plt->nslots;

    while (low < high) {
        mid = low + (high - low) / 2;

        if (plt->slots[mid].address < address) {
            low = mid + 1;

        } else {
            high = mid;
        }
    }

    if (low == plt->nslots || plt->slots[low].address != address) {
        return NULL;
    }

    return plt->slots[low].name;
}


static int
prt_plt_slot_cmp(const void *one, const void *two)
{
    const prt_plt_slot_t  *a, *b;

    a = one;
    b = two;

    return a->address < b->address ? -1 : a->address > b->address;
}
