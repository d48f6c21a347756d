/* rows32_g32_pack.h: panels of 32 rows of integer formats with a scale for each 32 weights, as rows32_g32.h (AVX-512)
 * and rows32_g32_avx2.h read them.
 *
 * A panel is one stream: before each group of 32 k (with 8-bit scales: before each two) a vector of the rows' scales
 * (two of f32), then one of their minima where the format has them, then `bits` vectors of codes of rows 0..15 and as
 * many of rows 16..31. Lane r of a vector belongs to row r; vector j (0..7) of the eight that vpdpbusd multiplies has
 * elements 4j..4j+3. The eight share the stored ones as bit fields: 8 bits: one each.  4: j and j + 4 in vector j % 4,
 * low nibble first.  2: j in vector j % 2, bits 2 (j / 2). 6: two times rows16.h's four in three.  3, 5 and 7: the low
 * 2, 4 or 6 bits so, bit j of the last vector on top. */
#pragma once
#include "rows32.h"

/* A file that defines H32_SHARED as 1 has activations whose scale is the same for 256 k. */
#ifndef H32_SHARED
#define H32_SHARED 0
#endif

enum { H32_F16, H32_F32, H32_E8M0 /* half of 2^(e - 127) */ };

/* A format; always a constant, so that the inlined functions below know it. */
typedef struct h32 {
    int bits;                 /* 2 to 8 */
    int offset;               /* what a code, or the byte that it names, is more than its level, rounded down */
    bool half;                /* it is half more */
    const uint8_t *levels;    /* 16 bytes that 4-bit codes are indexes of, offset 128; NULL = codes are levels */
    bool min;                 /* w = d * level + m, else d * level */
    int scales;               /* H32_F16, ... */
} h32;

LB_INLINE size_t h32_half_bytes(const h32 f) { return (size_t)f.bits * 64; }
LB_INLINE size_t h32_head_bytes(const h32 f) { return f.min || f.scales == H32_F32 ? 128 : 64; }
LB_INLINE size_t h32_scales_at(const h32 f, int64_t group) {
    size_t g = (size_t)group;
    return f.scales == H32_E8M0 ? g / 2 * (64 + 4 * h32_half_bytes(f)) + g % 2 * 32
                                : g * (h32_head_bytes(f) + 2 * h32_half_bytes(f));
}
LB_INLINE size_t h32_codes_at(const h32 f, int64_t group) {
    size_t g = (size_t)group;
    return f.scales == H32_E8M0 ? g / 2 * (64 + 4 * h32_half_bytes(f)) + 64 + g % 2 * 2 * h32_half_bytes(f)
                                : h32_scales_at(f, group) + h32_head_bytes(f);
}
LB_INLINE size_t h32_panel_bytes(const h32 f, int64_t k) {
    size_t groups = (size_t)(k / 32), heads = f.scales == H32_E8M0 ? (groups + 1) / 2 : groups;
    return heads * h32_head_bytes(f) + groups * 2 * h32_half_bytes(f);
}

/* Splits one native block of 32 into codes and the bytes of its scale (2, or as many as they have) and minimum (2). */
typedef void (*h32_unpack)(const h32 f, const uint8_t *block, uint8_t codes[32], uint8_t *scale, uint8_t *min);

/* Row r's 32 codes (bytes) to its lanes of 16 rows of a group. */
static inline void h32_pack_codes(const h32 f, const uint8_t codes[32], int r, uint8_t *half) {
    uint32_t t[8], top = 0, low = f.bits == 8 ? 8 : f.bits & 6;
    for (int j = 0; j < 8; j++) {
        uint32_t mask = (0xffu >> (8 - low)) * 0x01010101u, four = lb_code4(codes, j);
        t[j] = four & mask;
        top |= (four & ~mask) >> low << j;
    }
    if (low == 8) {
        for (int j = 0; j < 8; j++) *lb_lane(half, j, r) = t[j];
    } else if (low == 6) {
        lb_pack6(half, r, t);
        lb_pack6(half + 192, r, t + 4);
    } else if (low == 4) {
        for (int j = 0; j < 4; j++) *lb_lane(half, j, r) = t[j] | t[j + 4] << 4;
    } else {
        for (int j = 0; j < 2; j++) *lb_lane(half, j, r) = t[j] | t[j + 2] << 2 | t[j + 4] << 4 | t[j + 6] << 6;
    }
    if (f.bits & 1) *lb_lane(half, (int)low, r) = top;
}

/* 32 codes of b bits, the first in the lowest bits. */
static inline void h32_stream_codes(int bits, const uint8_t *from, uint8_t codes[32]) {
    for (int i = 0; i < 32; i++) {
        int bit = i * bits, high = bit % 8 + bits > 8; /* may straddle two bytes */
        uint32_t two = from[bit / 8] | (high ? (uint32_t)from[bit / 8 + 1] << 8 : 0);
        codes[i] = (uint8_t)(two >> bit % 8 & ((1u << bits) - 1));
    }
}

/* Rows [row0, row1) of a native matrix whose blocks of `block_bytes` stand row after row. Missing rows are zero. */
static inline void h32_repack(const h32 f, h32_unpack unpack, size_t block_bytes, const void *native, int64_t n,
                              int64_t k, int64_t row0, int64_t row1, void *dst) {
    size_t bytes = h32_panel_bytes(f, k), scale = f.scales == H32_E8M0 ? 1 : f.scales == H32_F32 ? 4 : 2;
    for (int64_t row = row0; row < row1; row += 32) {
        uint8_t *panel = (uint8_t *)dst + (size_t)(row / 32) * bytes;
        memset(panel, 0, bytes);
        for (int r = 0; r < 32 && row + r < n; r++)
            for (int64_t g = 0; g < k / 32; g++) {
                uint8_t codes[32], *scales = panel + h32_scales_at(f, g) + (size_t)r * scale;
                unpack(f, (const uint8_t *)native + (size_t)((row + r) * (k / 32) + g) * block_bytes, codes, scales,
                       scales + 64);
                h32_pack_codes(f, codes, r % 16, panel + h32_codes_at(f, g) + (size_t)(r / 16) * h32_half_bytes(f));
            }
    }
}

/* Groups that one row's share of a panel takes before the next row's: runs of a KiB are read, what is written
 * stays near. */
enum { H32_GROUPS_AT_ONCE = 64 };

/* Groups [g0, g1) of row r of a panel, from the row's blocks, which end with the codes' dwords as lanes have them, each
 * ^ flip; the scale stands before, then the minimum where the format has them. */
LB_INLINE void h32_place_stored(const h32 f, const uint32_t flip, const size_t block_bytes, const uint8_t *row, int r,
                                int64_t g0, int64_t g1, uint8_t *panel) {
    const size_t scale = f.scales == H32_E8M0 ? 1 : f.scales == H32_F32 ? 4 : 2;
    for (int64_t g = g0; g < g1; g++) {
        const uint8_t *block = row + (size_t)g * block_bytes, *codes = block + block_bytes - 4 * (size_t)f.bits;
        uint8_t *scales = panel + h32_scales_at(f, g) + (size_t)r * scale;
        uint8_t *half = panel + h32_codes_at(f, g) + (size_t)(r / 16) * h32_half_bytes(f);
        memcpy(scales, block, scale);
        if (f.min) memcpy(scales + 64, block + scale, 2);
        LB_UNROLL for (int j = 0; j < f.bits; j++) *lb_lane(half, j, r % 16) = lb_code4(codes, j) ^ flip;
    }
}

/* h32_repack of 4 or 8 bits for such formats: q4_0 in a fifth of the time. */
static inline void h32_repack_stored(const h32 f, const uint32_t flip, const size_t block_bytes, const void *native,
                                     int64_t n, int64_t k, int64_t row0, int64_t row1, void *dst) {
    const size_t bytes = h32_panel_bytes(f, k), row_bytes = (size_t)(k / 32) * block_bytes;
    for (int64_t row = row0; row < row1; row += 32) {
        uint8_t *panel = (uint8_t *)dst + (size_t)(row / 32) * bytes;
        const uint8_t *from = (const uint8_t *)native + (size_t)row * row_bytes;
        int rows = n - row < 32 ? (int)(n - row) : 32;
        if (rows < 32 || f.scales == H32_E8M0) memset(panel, 0, bytes); /* else every byte is written */
        for (int64_t g = 0; g < k / 32; g += H32_GROUPS_AT_ONCE) {
            int64_t end = g + H32_GROUPS_AT_ONCE < k / 32 ? g + H32_GROUPS_AT_ONCE : k / 32;
            for (int r = 0; r < rows; r++)
                h32_place_stored(f, flip, block_bytes, from + (size_t)r * row_bytes, r, g, end, panel);
        }
    }
}

/* A file that defines H32_STORED before it includes this has blocks that end so, each dword ^ H32_STORED. */
#ifdef H32_STORED
#define H32_REPACK(...) h32_repack_stored(FORMAT, H32_STORED, BLOCK_BYTES, __VA_ARGS__)
#else
#define H32_REPACK(...) h32_repack(FORMAT, unpack, BLOCK_BYTES, __VA_ARGS__)
#endif

/* The functions of a file from FORMAT, BLOCK_BYTES and unpack() or H32_STORED. */
#define LB_H32_PANEL                                                                                                 \
    static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,   \
                    float *out, int64_t out_stride) {                                                                \
        (void)q;                                                                                                     \
        H32_RUN(FORMAT, panel, act, stride, k, cols, out, out_stride);                                               \
    }                                                                                                                \
    static size_t panel_bytes(const lb_quantizer *q, int64_t k) {                                                    \
        (void)q;                                                                                                     \
        return h32_panel_bytes(FORMAT, k);                                                                           \
    }                                                                                                                \
    static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,  \
                       void *dst) {                                                                                  \
        (void)q;                                                                                                     \
        H32_REPACK(native, n, k, row0, row1, dst);                                                                   \
    }                                                                                                                \
    H32_PANELS(H32_ACT)

/* The descriptor, but for name, format, about and activations. */
#define LB_H32_ARITHMETIC                                                                                            \
    LB_ROWS32_KERNEL, .isa = H32_ISA, .acc = LB_ACC_I32_F32,                                                         \
    .compute = LB_COMPUTE_INT8, .tolerance = 1e-10, .tolerance_why = H32_EXACT
#ifdef LB_PLANES
#define H32_EXACT                                                                                                    \
    "sums of 256 are exact in int32, of each plane; K / 256 f32 steps of two or three roundings each: about 1e-14, " \
    "more where groups cancel"
#else
#define H32_EXACT                                                                                                    \
    "sums of 32 are exact in int32 and f32; K / 32 f32 steps of two or three roundings each: about 1e-14, more "     \
    "where groups or minima cancel"
#endif
#define LB_H32_KERNEL LB_H32_ARITHMETIC, .act = H32_SHARED ? LB_ACT_Q8_256 : LB_ACT_Q8_32
