/* rows16_q2_k.h: q2_k weights in panels of 32 rows: w = d * sc * q - dmin * m, 2-bit q, 4-bit sc and m,
 * sub-blocks of 16.
 *
 * A block of 16 x 256 (1344 bytes, as native): 16 vectors of codes, bits 2j of vector 4t + i holding group i of
 * sub-block 4t + j, so that a sub-block has one place in the byte; 4 vectors of scale bytes (sc low, m high) of
 * sub-blocks 4i..4i+3; d and dmin, 16 f16 each. */
#pragma once
#include "rows16_pack.h"

enum { SCALES = 16 * 64, D = 20 * 64 };
static const lb_rows16_shape shape = { .native_bytes = 84, .block_bytes = 84 * 16 };

static void pack_row(const uint8_t *native, int r, uint8_t *block, uint8_t *head) {
    (void)head;
    uint8_t codes[256];
    for (int e = 0; e < 256; e++) codes[e] = (uint8_t)(native[16 + 32 * (e / 128) + e % 32] >> (e % 128 / 32 * 2) & 3);
    for (int v = 0; v < 16; v++)
        for (int j = 0; j < 4; j++) *lb_lane(block, v, r) |= lb_code4(codes, 4 * (v / 4 * 4 + j) + v % 4) << (2 * j);
    for (int i = 0; i < 4; i++) *lb_lane(block + SCALES, i, r) = lb_scale4(native + 4 * i);
    memcpy(block + D + 2 * r, native + 80, 2);
    memcpy(block + D + 32 + 2 * r, native + 82, 2);
}
