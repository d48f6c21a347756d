/* rows16_q3_k.h: q3_k weights in panels of 32 rows: w = d * (sc - 32) * (q - 4), 3-bit q, 6-bit sc,
 * sub-blocks of 16.
 *
 * A panel's head holds d, 16 f16 a block. A block of 16 x 256 (1728 bytes; with its d as large as native): 6 vectors
 * for sub-blocks 4t..4t+3, in the order of their use: third bits, two bits, two bits, and so again; then 3 vectors of
 * 6-bit scales. Of two bits, vector j holds group j of the four, each at a place of its own in the byte; third bits
 * serve the vectors j and j + 1 behind them, and lie so that they complete the 3-bit fields with one select:
 *
 *     sub-block      4t     4t+1   4t+2   4t+3
 *     two bits       0-1    4-5    2-3    6-7
 *     third          2      6      1      5        for j + 1, of that vector rotated right by 2 in its dwords
 *
 * Where the third bit is below the two it is the code's lowest, else its highest. */
#pragma once
#include "rows16_pack.h"

enum { SCALES = 24 * 64 };
static const lb_rows16_shape shape = { .native_bytes = 110, .block_bytes = 108 * 16, .head = true };

/* The place of the third bit of sub-block s (of 16), and of the two others. */
LB_INLINE int third_bit(int s) { return s % 4 == 0 ? 2 : s % 4 == 1 ? 6 : s % 4 == 2 ? 1 : 5; }
LB_INLINE int two_bits(int s) { return s % 4 == 1 ? 4 : s % 4 == 2 ? 2 : s % 4 * 2; }

/* Which vector of the block is number j of the two bits, and has the third ones (rotated if j is odd), for sub-blocks
 * s / 4 * 4 to s / 4 * 4 + 3. */
LB_INLINE int two_vector(int s, int j) { return 6 * (s / 4) + 3 * (j / 2) + 1 + j % 2; }
LB_INLINE int third_vector(int s, int j) { return 6 * (s / 4) + 3 * (j / 2); }

static void pack_row(const uint8_t *native, int r, uint8_t *block, uint8_t *head) {
    uint8_t codes[256], sc[16];
    for (int e = 0; e < 256; e++)
        codes[e] = (uint8_t)((native[32 + 32 * (e / 128) + e % 32] >> (e % 128 / 32 * 2) & 3)
                             | (native[e % 32] >> (e / 32) & 1) << 2);
    for (int g = 0; g < 64; g++) {
        int s = g / 4, j = g % 4;
        bool lowest = third_bit(s) < two_bits(s);
        uint32_t v = lb_code4(codes, g), two = (lowest ? v >> 1 : v) & 0x03030303u;
        uint32_t third = ((lowest ? v : v >> 2) & 0x01010101u) << third_bit(s);
        *lb_lane(block, two_vector(s, j), r) |= two << two_bits(s);
        *lb_lane(block, third_vector(s, j), r) |= j % 2 ? third << 2 | third >> 30 : third;
    }
    for (int j = 0; j < 16; j++)
        sc[j] = (uint8_t)((native[96 + j % 8] >> (j / 8 * 4) & 15) | (native[104 + j % 4] >> (j / 4 * 2) & 3) << 4);
    const uint32_t fields[4] = { lb_scale4(sc), lb_scale4(sc + 4), lb_scale4(sc + 8), lb_scale4(sc + 12) };
    lb_pack6(block + SCALES, r, fields);
    memcpy(head + 2 * r, native + 108, 2);
}
