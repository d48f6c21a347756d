/* iq4.h: the levels that iq4_nl and iq4_xs share. */
#pragma once
#include "kquant.h"

static const float lb_iq4_levels[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };

/* 32 weights d * T[q] from 16 bytes: byte j holds the code of element j (low nibble) and of j + 16 (high). */
LB_INLINE void lb_iq4_values(const uint8_t *codes, float d, float *dst) {
    for (int i = 0; i < 16; i++) {
        dst[i] = d * lb_iq4_levels[codes[i] & 15];
        dst[i + 16] = d * lb_iq4_levels[codes[i] >> 4];
    }
}
