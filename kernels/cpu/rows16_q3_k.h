/* rows16_q3_k.h: q3_k weights in panels of 32 rows: w = d * (sc - 32) * (q - 4), 3-bit q, 6-bit sc,
 * sub-blocks of 16.
 *
 * A panel's head holds d, 16 f16 a block. A block of 16 x 256 (1728 bytes; with its d as large as native): 16 vectors
 * of two bits, 8 of the third, 3 vectors of 6-bit scales. Vector 4t + j holds group j of sub-blocks 4t..4t+3, each at
 * a place of its own in the byte, and the third bits lie so that they complete the 3-bit fields with one select:
 *
 *     sub-block      4t     4t+1   4t+2   4t+3
 *     two bits       0-1    4-5    2-3    6-7      of vector 4t + j
 *     t even, third  2      3      1      5        of vector 4(t / 2) + j
 *     t odd, third   2      6      4      5        of that vector rotated left by 6, over the bytes of a dword
 *
 * Where the third bit is below the two it is the code's lowest, else its highest. */
#pragma once
#include "rows16_pack.h"

enum { SCALES = 24 * 64 };
static const lb_rows16_shape shape = { .native_bytes = 110, .block_bytes = 108 * 16, .head = true };

/* The place of the third bit of sub-block s (of 16), and of the two others. */
LB_INLINE int third_bit(int s) {
    static const uint8_t at[8] = { 2, 3, 1, 5, 2, 6, 4, 5 };
    return at[s % 8];
}
LB_INLINE int two_bits(int s) { return s % 4 == 1 ? 4 : s % 4 == 2 ? 2 : s % 4 * 2; }

/* Which vector of the block is number j of the two bits, and of the third ones, for sub-blocks s / 4 * 4 to
 * s / 4 * 4 + 3: in the order of their use, third bits lie between the two vectors of two bits that they serve. */
LB_INLINE int two_vector(int s, int j) { return 12 * (s / 8) + 8 * (s / 4 % 2) + j; }
LB_INLINE int third_vector(int s, int j) { return 12 * (s / 8) + 4 + j; }

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
        *lb_lane(block, third_vector(s, j), r) |= s / 4 % 2 ? third >> 6 | third << 26 : third;
    }
    for (int j = 0; j < 16; j++)
        sc[j] = (uint8_t)((native[96 + j % 8] >> (j / 8 * 4) & 15) | (native[104 + j % 4] >> (j / 4 * 2) & 3) << 4);
    const uint32_t fields[4] = { lb_scale4(sc), lb_scale4(sc + 4), lb_scale4(sc + 8), lb_scale4(sc + 12) };
    lb_pack6(block + SCALES, r, fields);
    memcpy(head + 2 * r, native + 108, 2);
}
