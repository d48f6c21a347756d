/* rows16_pack.h: how panels hold 16 rows side by side, whatever the instructions that read them.
 *
 * 16 weight rows are interleaved so that lane r of a vector belongs to row r: vector g (0..63) of a block of 256 holds
 * elements 4g..4g+3 of every row, which is what one vpdpbusd multiplies with 4 broadcast
 * activations. Several vectors of 2- or 4-bit codes share the 64 bytes of one load, as bit fields. The layout is
 * lossless and as large as the native blocks; rows that are missing in a panel's 32 are zero.
 *
 * Scale bytes stand four to a row's dword, sub-blocks (0, 2, 1, 3): sub-block i is one shift and one mask away, and
 * masking by 0x00ff00ff gives the pairs (0, 1) and (2, 3) as two int16, ready for vpdpwssd with pairs of sums. */
#pragma once
#include <stdint.h>
#include <string.h>

#include "../../engine/kernel.h"
#include "../../engine/wide.h"

#define LB_UNROLL _Pragma("GCC unroll 64")

/* The bit position of sub-block i % 4 in its dword of scale bytes. */
LB_INLINE int lb_scale_shift(int i) { return (i & 3) == 1 ? 16 : (i & 3) == 2 ? 8 : (i & 3) * 8; }

/* Row r's dword in vector v of a block. */
static inline uint32_t *lb_lane(uint8_t *block, int v, int r) {
    return (uint32_t *)(void *)block + 16 * v + r;
}

static inline uint32_t lb_code4(const uint8_t *codes, int g) {
    uint32_t v;
    memcpy(&v, codes + 4 * g, 4);
    return v;
}

/* Bytes of sub-blocks 4i..4i+3 in the order that lb_scale_shift expects. */
static inline uint32_t lb_scale4(const uint8_t *s) {
    return (uint32_t)s[0] | (uint32_t)s[2] << 8 | (uint32_t)s[1] << 16 | (uint32_t)s[3] << 24;
}

/* The bit fields of 4 and 8 bytes at p: `mask` of each, shifted down. */
LB_INLINE uint32_t lb_fields4(const uint8_t *p, int shift, uint32_t mask) {
    return lb_code4(p, 0) >> shift & 0x01010101u * mask;
}
LB_INLINE uint64_t lb_fields8(const uint8_t *p, int shift, uint64_t mask) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v >> shift & 0x0101010101010101u * mask;
}

/* The nibbles of 8 bytes at `low` and of 8 at `high`, those below (half 0) or above, as row r's dwords of vectors v and
 * v + 1: the former below the latter. */
LB_INLINE void lb_pack_nibbles(uint8_t *block, int v, int r, const uint8_t *low, const uint8_t *high, const int half) {
    uint64_t two = lb_fields8(low, 4 * half, 15) | lb_fields8(high, 4 * half, 15) << 4;
    *lb_lane(block, v, r) = (uint32_t)two;
    *lb_lane(block, v + 1, r) = (uint32_t)(two >> 32);
}

/* The 128 bytes of nibbles of q4_k, of each 32 those below before those above: of the four vectors of sub-block s
 * vector j has groups 8s + j and 8s + 4 + j. */
LB_INLINE void lb_pack_runs(uint8_t *block, int r, const uint8_t *p) {
    LB_UNROLL for (int s = 0; s < 8; s++)
        LB_UNROLL for (int j = 0; j < 4; j += 2)
            lb_pack_nibbles(block, 4 * s + j, r, p + 32 * (s / 2) + 4 * j, p + 32 * (s / 2) + 16 + 4 * j, s % 2);
}

/* Packs row r's four dwords of 6-bit fields into three dwords: the top two bits of each hold a part of t[3]. */
static inline void lb_pack6(uint8_t *at, int r, const uint32_t t[4]) {
    for (int i = 0; i < 3; i++)
        *lb_lane(at, i, r) = t[i] | ((t[3] >> (2 * i)) & 0x03030303u) << 6;
}

/* The 6-bit scales and minima of q4_k and q5_k from their 12 bytes. */
static inline void lb_scales12(const uint8_t *s, uint8_t sc[8], uint8_t m[8]) {
    for (int j = 0; j < 4; j++) {
        sc[j] = s[j] & 63;
        m[j] = s[j + 4] & 63;
        sc[j + 4] = (uint8_t)((s[j + 8] & 15) | (s[j] >> 6) << 4);
        m[j + 4] = (uint8_t)((s[j + 8] >> 4) | (s[j + 4] >> 6) << 4);
    }
}

/* Packs row r of one block: the native block to its lanes of the packed one. `head` is the block's 32 bytes in the
 * panel's head (formats whose block is no multiple of 64 bytes keep d there), else NULL. */
typedef void (*lb_rows16_pack)(const uint8_t *native, int r, uint8_t *block, uint8_t *head);

typedef struct lb_rows16_shape {
    size_t native_bytes;   /* of one block of 256 */
    size_t block_bytes;    /* of 16 rows of it, without the head's share */
    bool head;
} lb_rows16_shape;

/* A panel is 32 rows: rows 0..15, then rows 16..31, each half a head and its blocks. One row of x reads the halves one
 * after the other, as one stream (blocks by turns cost it an eighth); a tile of many columns reads both at once. */
enum { LB_PANEL_HALVES = 2, LB_PANEL_ROWS = 16 * LB_PANEL_HALVES };

LB_INLINE size_t lb_rows16_head_bytes(lb_rows16_shape s, int64_t k) {
    return s.head ? ((size_t)(k / 256) * 32 + 63) / 64 * 64 : 0;
}

LB_INLINE size_t lb_rows16_half_bytes(lb_rows16_shape s, int64_t k) {
    return lb_rows16_head_bytes(s, k) + (size_t)(k / 256) * s.block_bytes;
}

LB_INLINE size_t lb_rows32_panel_bytes(lb_rows16_shape s, int64_t k) {
    return LB_PANEL_HALVES * lb_rows16_half_bytes(s, k);
}

/* Block b of half h, and its 32 bytes of the head. */
LB_INLINE size_t lb_rows32_block_at(lb_rows16_shape s, int64_t k, int64_t b, int h) {
    return (size_t)h * lb_rows16_half_bytes(s, k) + lb_rows16_head_bytes(s, k) + (size_t)b * s.block_bytes;
}
LB_INLINE size_t lb_rows32_head_at(lb_rows16_shape s, int64_t k, int64_t b, int h) {
    return (size_t)h * lb_rows16_half_bytes(s, k) + (size_t)(32 * b);
}

/* Rows [row0, row1) of a native matrix; missing rows are zero. */
LB_INLINE void lb_rows32_repack(lb_rows16_shape s, lb_rows16_pack pack, const void *native, int64_t n, int64_t k,
                                int64_t row0, int64_t row1, void *dst) {
    size_t row_bytes = (size_t)(k / 256) * s.native_bytes, panel_bytes = lb_rows32_panel_bytes(s, k);
    for (int64_t row = row0; row < row1; row += LB_PANEL_ROWS) {
        uint8_t *panel = (uint8_t *)dst + (size_t)(row / LB_PANEL_ROWS) * panel_bytes;
        memset(panel, 0, panel_bytes);
        const uint8_t *src = (const uint8_t *)native + (size_t)row * row_bytes;
        for (int64_t b = 0; b < k / 256; b++, src += s.native_bytes) /* so that 16 rows of a block are in L1 */
            for (int r = 0; r < LB_PANEL_ROWS && row + r < n; r++)
                pack(src + (size_t)r * row_bytes, r % 16, panel + lb_rows32_block_at(s, k, b, r / 16),
                     panel + lb_rows32_head_at(s, k, b, r / 16));
    }
}
