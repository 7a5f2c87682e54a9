
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The bounds of functions, from .eh_frame, and the symbols in .gnu_debugdata.
 */


#include <stdlib.h>
#include <string.h>

#include <elfutils/libdw.h>
#include <lzma.h>

#include "encode/prt_elf_names.h"
#include "encode/prt_symbol.h"


#define PRT_EH_PE_FORMAT     0x0f
#define PRT_EH_PE_UDATA2     0x02
#define PRT_EH_PE_UDATA4     0x03
#define PRT_EH_PE_UDATA8     0x04
#define PRT_EH_PE_SDATA2     0x0a
#define PRT_EH_PE_SDATA4     0x0b
#define PRT_EH_PE_SDATA8     0x0c
#define PRT_EH_PE_APPLY      0xf0
#define PRT_EH_PE_PCREL      0x10
#define PRT_EH_PE_UNKNOWN    0xff

#define PRT_ELF_MINI_MIN     (1024u * 1024)        /* bytes, inflated */
#define PRT_ELF_MINI_MAX     (64u * 1024 * 1024)


typedef struct {
    const uint8_t     *data;             /* .eh_frame */
    size_t             size;
    uint64_t           vaddr;            /* of it */
    Dwarf_Off          cie;              /* the last one seen */
    uint8_t            encoding;         /* its FDEs' */
} prt_elf_frames_t;


static int prt_elf_fde_range(prt_elf_frames_t *frames,
    const Dwarf_FDE *fde, uint64_t *start, uint64_t *end);
static uint8_t prt_elf_cie_encoding(const Dwarf_CIE *cie);
static int prt_elf_encoded(const uint8_t **p, const uint8_t *last,
    uint8_t encoding, uint64_t *value);


int
prt_elf_names_fdes(prt_elf_names_t *names, const prt_elf_t *file,
    unsigned *sources)
{
    int                rc;
    uint64_t           start, end;
    Elf_Scn           *scn;
    Elf_Data          *data;
    GElf_Ehdr          ehdr;
    GElf_Shdr          shdr;
    Dwarf_Off          offset, next, ignored;
    Dwarf_CFI_Entry    entry, cie;
    prt_elf_range_t   *range;
    prt_elf_frames_t   frames;

    scn = prt_elf_section(file, ".eh_frame", &shdr);

    if (scn == NULL
        || gelf_getehdr(file->elf, &ehdr) == NULL
        || (data = elf_rawdata(scn, NULL)) == NULL
        || data->d_buf == NULL)
    {
        return 0;
    }

    frames.data = data->d_buf;
    frames.size = data->d_size;
    frames.vaddr = shdr.sh_addr;
    frames.cie = (Dwarf_Off) -1;
    frames.encoding = PRT_EH_PE_UNKNOWN;

    for (offset = 0; offset < frames.size; offset = next) {

        rc = dwarf_next_cfi(ehdr.e_ident, data, true, offset, &next, &entry);

        if (rc > 0 || next <= offset || next == (Dwarf_Off) -1) {
            break;
        }

        if (rc < 0) {
            continue;
        }

        if (dwarf_cfi_cie_p(&entry)) {
            frames.cie = offset;
            frames.encoding = prt_elf_cie_encoding(&entry.cie);
            continue;
        }

        if (frames.cie != entry.fde.CIE_pointer) {
            frames.cie = entry.fde.CIE_pointer;
            frames.encoding = PRT_EH_PE_UNKNOWN;

            if (dwarf_next_cfi(ehdr.e_ident, data, true, frames.cie,
                               &ignored, &cie) == 0
                && dwarf_cfi_cie_p(&cie))
            {
                frames.encoding = prt_elf_cie_encoding(&cie.cie);
            }
        }

        if (prt_elf_fde_range(&frames, &entry.fde, &start, &end) != 0) {
            continue;
        }

        range = prt_elf_names_add_fde(names);
        if (range == NULL) {
            return -1;
        }

        range->start = start;
        range->end = end;
    }

    if (names->nfdes) {
        *sources |= PRT_SYMBOL_FDE;
    }

    return 0;
}


static int
prt_elf_fde_range(prt_elf_frames_t *frames, const Dwarf_FDE *fde,
    uint64_t *start, uint64_t *end)
{
    uint8_t         encoding;
    uint64_t        place, size;
    const uint8_t  *p;

    encoding = frames->encoding;
    p = fde->start;

    place = frames->vaddr + (uint64_t) (p - frames->data);

    if (prt_elf_encoded(&p, fde->end, encoding, start) != 0
        || prt_elf_encoded(&p, fde->end, encoding & PRT_EH_PE_FORMAT, &size)
           != 0)
    {
        return -1;
    }

    switch (encoding & PRT_EH_PE_APPLY) {

    case 0:
        break;

    case PRT_EH_PE_PCREL:
        *start += place;
        break;

    default:
        return -1;
    }

    /* A function that the linker threw away lies at 0. */

    if (*start == 0 || size == 0
        || __builtin_add_overflow(*start, size, end))
    {
        return -1;
    }

    return 0;
}


/* How the addresses of a CIE's FDEs are written: LSB, "Eh_frame augmentation". */

static uint8_t
prt_elf_cie_encoding(const Dwarf_CIE *cie)
{
    uint64_t        ignored;
    const char     *s;
    const uint8_t  *p, *last;

    s = cie->augmentation;

    if (*s == '\0') {
        return 0;
    }

    if (*s++ != 'z' || cie->augmentation_data == NULL) {
        return PRT_EH_PE_UNKNOWN;
    }

    p = cie->augmentation_data;
    last = p + cie->augmentation_data_size;

    for ( ; *s; s++) {

        switch (*s) {

        case 'R':
            return p < last ? *p : PRT_EH_PE_UNKNOWN;

        case 'L':
            p++;
            break;

        case 'P':
            if (p >= last) {
                return PRT_EH_PE_UNKNOWN;
            }

            p++;

            if (prt_elf_encoded(&p, last, p[-1] & PRT_EH_PE_FORMAT, &ignored)
                != 0)
            {
                return PRT_EH_PE_UNKNOWN;
            }

            break;

        case 'S':
        case 'B':
            break;

        default:
            return PRT_EH_PE_UNKNOWN;
        }
    }

    return 0;
}


static int
prt_elf_encoded(const uint8_t **p, const uint8_t *last, uint8_t encoding,
    uint64_t *value)
{
    size_t    size;
    int16_t   s2;
    int32_t   s4;
    uint16_t  u2;
    uint32_t  u4;

    switch (encoding & PRT_EH_PE_FORMAT) {

    case PRT_EH_PE_UDATA2:
    case PRT_EH_PE_SDATA2:
        size = 2;
        break;

    case PRT_EH_PE_UDATA4:
    case PRT_EH_PE_SDATA4:
        size = 4;
        break;

    case 0:
    case PRT_EH_PE_UDATA8:
    case PRT_EH_PE_SDATA8:
        size = 8;
        break;

    default:
        return -1;
    }

    if (last < *p || (size_t) (last - *p) < size) {
        return -1;
    }

    switch (encoding & PRT_EH_PE_FORMAT) {

    case PRT_EH_PE_UDATA2:
        memcpy(&u2, *p, sizeof(u2));
        *value = u2;
        break;

    case PRT_EH_PE_SDATA2:
        memcpy(&s2, *p, sizeof(s2));
        *value = (uint64_t) (int64_t) s2;
        break;

    case PRT_EH_PE_UDATA4:
        memcpy(&u4, *p, sizeof(u4));
        *value = u4;
        break;

    case PRT_EH_PE_SDATA4:
        memcpy(&s4, *p, sizeof(s4));
        *value = (uint64_t) (int64_t) s4;
        break;

    default:
        memcpy(value, *p, sizeof(uint64_t));
    }

    *p += size;

    return 0;
}


int
prt_elf_debugdata(const prt_elf_t *file, prt_elf_t *mini)
{
    size_t      in, out, size;
    Elf_Scn    *scn;
    Elf_Data   *data;
    uint64_t    memory;
    lzma_ret    rc;
    GElf_Shdr   shdr;

    memset(mini, 0, sizeof(prt_elf_t));

    scn = prt_elf_section(file, ".gnu_debugdata", &shdr);

    if (scn == NULL
        || (data = elf_rawdata(scn, NULL)) == NULL
        || data->d_buf == NULL
        || data->d_size == 0)
    {
        return -1;
    }

    /* Only the end of the stream tells how much it is. */

    for (size = PRT_ELF_MINI_MIN; size <= PRT_ELF_MINI_MAX; size *= 4) {

        if (prt_elf_reserve(mini, size) != 0) {
            return -1;
        }

        in = 0;
        out = 0;
        memory = PRT_ELF_MINI_MAX;

        rc = lzma_stream_buffer_decode(&memory, 0, NULL, data->d_buf, &in,
                                       data->d_size, mini->memory, &out,
                                       size);
        if (rc == LZMA_OK) {
            return prt_elf_start(mini, out);
        }

        prt_elf_close(mini);

        if (rc != LZMA_BUF_ERROR) {
            break;
        }
    }

    return -1;
}
