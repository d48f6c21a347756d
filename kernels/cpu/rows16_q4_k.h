/* rows16_q4_k.h: q4_k weights in panels of 32 rows: w = d * sc * q - dmin * m, 4-bit q, sub-blocks
 * of 32.
 *
 * A block of 16 x 256 (2304 bytes, as native): 32 vectors of codes, vector 4s + j holding groups 8s + j (low nibble)
 * and 8s + 4 + j (high) of sub-block s; 3 vectors of 6-bit scales and minima; d and dmin, 16 f16 each. */
#pragma once
#include "rows16_pack.h"

enum { SCALES = 32 * 64, D = 35 * 64 };
static const lb_rows16_shape shape = { .native_bytes = 144, .block_bytes = 144 * 16 };

static void pack_row(const uint8_t *native, int r, uint8_t *block, uint8_t *head) {
    (void)head;
    uint8_t sc[8], m[8];
    lb_pack_runs(block, r, native + 16);
    lb_scales12(native + 4, sc, m);
    lb_pack6(block + SCALES, r, (uint32_t[4]){ lb_scale4(sc), lb_scale4(sc + 4), lb_scale4(m), lb_scale4(m + 4) });
    memcpy(block + D + 2 * r, native, 2);
    memcpy(block + D + 32 + 2 * r, native + 2, 2);
}
