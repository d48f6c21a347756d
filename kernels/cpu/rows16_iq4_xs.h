/* rows16_iq4_xs.h: iq4_xs weights in panels of 32 rows: w = d * (sc - 32) * T[q], 4-bit q, sub-blocks of 32.
 *
 * A panel's head holds d, 16 f16 a block. A block of 16 x 256 (2176 bytes; with its d 32 more than native, whose scales
 * have 6 bits): 32 vectors of codes, vector 4s + j holding groups 8s + j (low nibble) and 8s + 4 + j (high) of
 * sub-block s; 2 vectors of 8-bit scales (sc - 32). */
#pragma once
#include "rows16_pack.h"

/* T + 128 */
static const uint8_t levels[16] = { 1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241 };

enum { SCALES = 32 * 64 };
static const lb_rows16_shape shape = { .native_bytes = 136, .block_bytes = 34 * 64, .head = true };

static void pack_row(const uint8_t *native, int r, uint8_t *block, uint8_t *head) {
    uint8_t codes[256], scales[8];
    uint16_t high;
    memcpy(&high, native + 2, 2);
    for (int s = 0; s < 8; s++) {
        scales[s] = (uint8_t)(((native[4 + s / 2] >> (s % 2 * 4) & 15) | (high >> (2 * s) & 3) << 4) - 32);
        for (int i = 0; i < 16; i++) {
            codes[32 * s + i] = native[8 + 16 * s + i] & 15;
            codes[32 * s + 16 + i] = native[8 + 16 * s + i] >> 4;
        }
    }
    for (int s = 0; s < 8; s++)
        for (int j = 0; j < 4; j++)
            *lb_lane(block, 4 * s + j, r) = lb_code4(codes, 8 * s + j) | lb_code4(codes, 8 * s + 4 + j) << 4;
    for (int i = 0; i < 2; i++) *lb_lane(block + SCALES, i, r) = lb_scale4(scales + 4 * i);
    memcpy(head + 2 * r, native, 2);
}
