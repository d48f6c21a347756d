/* rows16_q6_k.h: q6_k weights in panels of 32 rows: w = d * sc * (q - 32), 6-bit q, int8 sc, sub-blocks
 * of 16.
 *
 * A panel's head holds d, 16 f16 a block. A block of 16 x 256 (3328 bytes; with its d as large as native): 3 vectors a
 * sub-block s, in the order of their use, with groups 4s to 4s + 3 as lb_pack6 packs them; then 4 vectors of scales. */
#pragma once
#include "rows16_pack.h"

enum { SCALES = 48 * 64 };
static const lb_rows16_shape shape = { .native_bytes = 210, .block_bytes = 208 * 16, .head = true };

static void pack_row(const uint8_t *native, int r, uint8_t *block, uint8_t *head) {
    LB_UNROLL for (int s = 0; s < 16; s++) {
        const int two = s % 8 / 2; /* of the four that share high bits */
        const uint8_t *low = native + 64 * (s / 8) + 32 * (two % 2) + 16 * (s % 2);
        const uint8_t *high = native + 128 + 32 * (s / 8) + 16 * (s % 2);
        uint32_t v[4];
        LB_UNROLL for (int j = 0; j < 4; j++)
            v[j] = lb_fields4(low + 4 * j, two / 2 * 4, 15) | lb_fields4(high + 4 * j, 2 * two, 3) << 4;
        lb_pack6(block + 192 * s, r, v);
    }
    for (int i = 0; i < 4; i++) *lb_lane(block + SCALES, i, r) = lb_scale4(native + 192 + 4 * i);
    memcpy(head + 2 * r, native + 208, 2);
}
