/* rows16_q5_k.h: q5_k weights in panels of 32 rows: w = d * sc * q - dmin * m, 5-bit q, sub-blocks
 * of 32.
 *
 * A block of 16 x 256 (2816 bytes, as native): 5 vectors a sub-block s, in the order of their use: the lower five bits
 * of vector j have group 8s + j; of groups 8s + 5, 6 and 7 the lower three bits stand above those of the first three,
 * the upper two above the last two's: those of group 5 in vector 3, of group 6 in vector 4, of group 7 one in each,
 * below the others. Then 3 vectors of 6-bit scales and minima; d and dmin, 16 f16 each. */
#pragma once
#include "rows16_pack.h"

enum { SCALES = 40 * 64, D = 43 * 64 };
static const lb_rows16_shape shape = { .native_bytes = 176, .block_bytes = 176 * 16 };

static void pack_row(const uint8_t *native, int r, uint8_t *block, uint8_t *head) {
    (void)head;
    uint8_t sc[8], m[8];
    LB_UNROLL for (int s = 0; s < 8; s++) {
        uint32_t c[8];
        LB_UNROLL for (int b = 0; b < 8; b++)
            c[b] = lb_fields4(native + 48 + 32 * (s / 2) + 4 * b, s % 2 * 4, 15) |
                   lb_fields4(native + 16 + 4 * b, s, 1) << 4;
        LB_UNROLL for (int j = 0; j < 3; j++) *lb_lane(block, 5 * s + j, r) = c[j] | (c[5 + j] & 0x07070707u) << 5;
        LB_UNROLL for (int j = 0; j < 2; j++)
            *lb_lane(block, 5 * s + 3 + j, r) = c[3 + j] | (c[5 + j] & 0x18181818u) << 3 |
                                                (c[7] >> (3 + j) & 0x01010101u) << 5;
    }
    lb_scales12(native + 4, sc, m);
    lb_pack6(block + SCALES, r, (uint32_t[4]){ lb_scale4(sc), lb_scale4(sc + 4), lb_scale4(m), lb_scale4(m + 4) });
    memcpy(block + D + 2 * r, native, 2);
    memcpy(block + D + 32 + 2 * r, native + 2, 2);
}
