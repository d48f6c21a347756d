/* rows16_q5_k.h: q5_k weights in panels of 32 rows: w = d * sc * q - dmin * m, 5-bit q, sub-blocks
 * of 32.
 *
 * A block of 16 x 256 (2816 bytes, as native): 5 vectors a sub-block s, in the order of their use: 4 of low bits,
 * vector j holding groups 8s + j (low nibble) and 8s + 4 + j (high), and one of fifth bits, bit b for group 8s + b;
 * then 3 vectors of 6-bit scales and minima; d and dmin, 16 f16 each. */
#pragma once
#include "rows16_pack.h"

enum { SCALES = 40 * 64, D = 43 * 64 };
static const lb_rows16_shape shape = { .native_bytes = 176, .block_bytes = 176 * 16 };

static void pack_row(const uint8_t *native, int r, uint8_t *block, uint8_t *head) {
    (void)head;
    uint8_t sc[8], m[8];
    lb_pack_runs(block, 5, r, native + 48);
    LB_UNROLL for (int s = 0; s < 8; s++) {
        uint32_t high = 0;
        LB_UNROLL for (int b = 0; b < 8; b++) high |= lb_fields4(native + 16 + 4 * b, s, 1) << b;
        *lb_lane(block, 5 * s + 4, r) = high;
    }
    lb_scales12(native + 4, sc, m);
    lb_pack6(block + SCALES, r, (uint32_t[4]){ lb_scale4(sc), lb_scale4(sc + 4), lb_scale4(m), lb_scale4(m + 4) });
    memcpy(block + D + 2 * r, native, 2);
    memcpy(block + D + 32 + 2 * r, native + 2, 2);
}
