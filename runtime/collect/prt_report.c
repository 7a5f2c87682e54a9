
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#include "collect/prt_report.h"


const prt_image_t *
prt_report_image(const prt_image_t *images, size_t nimages, uint64_t address)
{
    size_t  low, high, mid;

    low = 0;
    high = nimages;

    while (low < high) {
        mid = low + (high - low) / 2;

        if (images[mid].base <= address) {
            low = mid + 1;

        } else {
            high = mid;
        }
    }

    if (low == 0 || address >= images[low - 1].limit) {
        return NULL;
    }

    return &images[low - 1];
}
