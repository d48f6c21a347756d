/* rows16_g32.h: what the kernels of formats with a scale for each 32 weights share: w = d * (code - offset), codes of
 * 1 to 8 bits; panels of 16 rows; integer dot products with LB_ACT_Q8_32 activations.
 *
 * A panel of 16 x K (as many bytes as native) is one stream of 64-byte vectors, group of 32 k by group: a vector of the
 * 16 rows' f32 scales, then `bits` vectors of codes; where scales are f16, one vector of them stands before every two
 * groups. Lane r of a vector belongs to row r. Vector j (0..7) of a group's eight vectors of codes holds elements
 * 4j..4j+3 of every row, what one vpdpbusd multiplies with 4 broadcast activations; the eight share the stored ones as
 * bit fields:
 *   8 bits: one each.  4: j and j + 4 in vector j % 4, low nibble first.  2: j in vector j % 2, bits 2 (j / 2).
 *   6: two times rows16.h's four in three.  3, 5 and 7: the low 2, 4 or 6 bits so, bit j of the last vector on top.
 *   1: bit j of one vector.
 *
 * Every path forms the same exact int32 sums of a group and the same f32 steps a group, in order of K, so a row's
 * result has the same bits whatever the number of columns. */
#pragma once
#include "act_q8_32_avx512.h"
#include "gemm_panel.h"
#include "rows16.h"

/* A format; always a constant, so that the inlined functions below know it. */
typedef struct g32 {
    int bits;
    int bias;        /* 128 minus the offset, rounded down */
    bool half;       /* the offset is half less than 128 - bias: (2^bits - 1) / 2 */
    bool wide;       /* scales are f32, else f16 */
} g32;

/* Many columns read codes with an offset of 128, so that all formats' sums start at the same numbers. Codes with half
 * an offset are doubled and their scales halved; where doubled codes fit no byte, the half is added to the sums. */
#define G32_DOUBLED(f) ((f).half && (f).bits < 8)

enum { G32_TILE_COLS = 12, G32_GEMV_COLS = 4, G32_SUPER = 8 /* groups expanded together */ };

LB_INLINE float g32_offset(const g32 f) { return (float)(128 - f.bias) - (f.half ? 0.5f : 0.0f); }
LB_INLINE size_t g32_code_bytes(const g32 f) { return (size_t)f.bits * 64; }

/* Where a group's scales and codes stand in a panel. */
LB_INLINE size_t g32_scales_at(const g32 f, int64_t group) {
    size_t g = (size_t)group;
    return f.wide ? g * (64 + g32_code_bytes(f)) : g / 2 * (64 + 2 * g32_code_bytes(f)) + g % 2 * 32;
}
LB_INLINE size_t g32_codes_at(const g32 f, int64_t group) {
    size_t g = (size_t)group;
    return f.wide ? g32_scales_at(f, group) + 64
                  : g / 2 * (64 + 2 * g32_code_bytes(f)) + 64 + g % 2 * g32_code_bytes(f);
}
LB_INLINE size_t g32_panel_bytes(const g32 f, int64_t k) {
    size_t groups = (size_t)(k / 32);
    return groups * g32_code_bytes(f) + (f.wide ? groups : (groups + 1) / 2) * 64;
}

/* `ahead`, a constant: prefetches what is read LB_PREFETCH_BYTES later. */
LB_INLINE __m512i g32_load(const uint8_t *p, const bool ahead) {
    return ahead ? lb_load_ahead(p) : _mm512_load_si512(p);
}

LB_INLINE __m512 g32_scale(const g32 f, const uint8_t *panel, int64_t group, const bool ahead) {
    const uint8_t *p = panel + g32_scales_at(f, group);
    if (ahead) _mm_prefetch((const char *)p + LB_PREFETCH_BYTES, _MM_HINT_T0);
    return f.wide ? _mm512_load_ps((const float *)(const void *)p) : lb_load_f16x16(p);
}

/* w[j] |= bit j of every byte of `top`, at bit `to`. */
LB_INLINE void g32_top_bits(__m512i top, int to, __m512i w[8]) {
    __m512i bit = lb_bytes(1u << to);
    LB_UNROLL for (int j = 0; j < 8; j++) {
        __m512i at = j > to ? _mm512_srli_epi32(top, (unsigned)(j - to)) : _mm512_slli_epi32(top, (unsigned)(to - j));
        w[j] = _mm512_ternarylogic_epi32(w[j], at, bit, 0xf8); /* w | (at & bit) */
    }
}

/* The eight vectors of codes of the group at `p`. */
LB_INLINE void g32_codes(const g32 f, const uint8_t *p, __m512i w[8], const bool ahead) {
    if (f.bits == 8) {
        LB_UNROLL for (int j = 0; j < 8; j++) w[j] = g32_load(p + 64 * j, ahead);
    } else if (f.bits == 6 || f.bits == 7) {
        LB_UNROLL for (int i = 0; i < 2; i++) { /* as lb_unpack6 */
            __m512i p0 = g32_load(p + 192 * i, ahead), p1 = g32_load(p + 192 * i + 64, ahead);
            __m512i p2 = g32_load(p + 192 * i + 128, ahead), *t = w + 4 * i;
            t[0] = lb_field(p0, 0, 0x3f);
            t[1] = lb_field(p1, 0, 0x3f);
            t[2] = lb_field(p2, 0, 0x3f);
            t[3] = _mm512_or_si512(lb_field(p1, 4, 0x0c), lb_field(p2, 2, 0x30));
            t[3] = _mm512_or_si512(lb_field(p0, 6, 0x03), t[3]);
        }
        if (f.bits == 7) g32_top_bits(g32_load(p + 384, ahead), 6, w);
    } else if (f.bits >= 4) {
        LB_UNROLL for (int j = 0; j < 4; j++) {
            __m512i x = g32_load(p + 64 * j, ahead);
            w[j] = lb_field(x, 0, 0x0f);
            w[j + 4] = lb_field(x, 4, 0x0f);
        }
        if (f.bits == 5) g32_top_bits(g32_load(p + 256, ahead), 4, w);
    } else if (f.bits == 1) {
        __m512i x = g32_load(p, ahead);
        LB_UNROLL for (int j = 0; j < 8; j++) w[j] = lb_field(x, j, 0x01);
    } else {
        LB_UNROLL for (int j = 0; j < 2; j++) {
            __m512i x = g32_load(p + 64 * j, ahead);
            LB_UNROLL for (int i = 0; i < 4; i++) w[j + 2 * i] = lb_field(x, 2 * i, 0x03);
        }
        if (f.bits == 3) g32_top_bits(g32_load(p + 128, ahead), 2, w);
    }
}

LB_INLINE const lb_act_q8_32 *g32_act(const void *act, size_t stride, int64_t group, int c) {
    return (const lb_act_q8_32 *)((const char *)act + (size_t)c * stride) + group;
}

/* ---- few columns: codes stay in registers, and every weight byte is read once ---- */

LB_INLINE void g32_few(const g32 f, const uint8_t *panel, const void *act, size_t stride, int64_t k, float *out,
                       int64_t out_stride, const int cols) {
    const __m512 offset = _mm512_set1_ps(g32_offset(f));
    __m512 acc[G32_GEMV_COLS];
    LB_UNROLL for (int c = 0; c < cols; c++) acc[c] = _mm512_setzero_ps();
    for (int64_t g = 0; g < k / 32; g++) {
        __m512i w[8], sum[G32_GEMV_COLS];
        g32_codes(f, panel + g32_codes_at(f, g), w, true);
        __m512 d = g32_scale(f, panel, g, true);
        LB_UNROLL for (int c = 0; c < cols; c++) sum[c] = _mm512_setzero_si512();
        LB_UNROLL for (int j = 0; j < 8; j++)
            LB_UNROLL for (int c = 0; c < cols; c++)
                sum[c] = lb_dot4(sum[c], w[j], g32_act(act, stride, g, c)->q + 4 * j);
        LB_UNROLL for (int c = 0; c < cols; c++) {
            const lb_act_q8_32 *a = g32_act(act, stride, g, c);
            /* below 2^21 and a multiple of 1/2: the offset's part is taken off exactly */
            __m512 t = _mm512_fnmadd_ps(_mm512_set1_ps(a->sum), offset, _mm512_cvtepi32_ps(sum[c]));
            acc[c] = _mm512_fmadd_ps(t, _mm512_mul_ps(d, _mm512_set1_ps(a->d)), acc[c]);
        }
    }
    LB_UNROLL for (int c = 0; c < cols; c++) _mm512_storeu_ps(out + c * out_stride, acc[c]);
}

/* ---- many columns: 16 x 256 are expanded to bytes in L1 once and meet all of them ---- */

typedef struct g32_expanded {
    __m512i w[8 * G32_SUPER];   /* codes with an offset of 128; of 127.5 where `half` is added */
    __m512 d[G32_SUPER];
    int groups;
} g32_expanded;

LB_INLINE void g32_expand(const g32 f, const uint8_t *panel, int64_t first, int groups, g32_expanded *e) {
    const int bias = G32_DOUBLED(f) ? 2 * f.bias - 127 : f.bias; /* 128 - (2^bits - 1), or 128 - offset */
    e->groups = groups;
    for (int g = 0; g < groups; g++) {
        __m512i w[8];
        g32_codes(f, panel + g32_codes_at(f, first + g), w, false);
        LB_UNROLL for (int j = 0; j < 8; j++) {
            if (G32_DOUBLED(f)) w[j] = _mm512_add_epi8(w[j], w[j]);
            e->w[8 * g + j] = bias ? _mm512_add_epi8(w[j], _mm512_set1_epi8((char)bias)) : w[j];
        }
        __m512 d = g32_scale(f, panel, first + g, false);
        e->d[g] = G32_DOUBLED(f) ? _mm512_mul_ps(d, _mm512_set1_ps(0.5f)) : d;
    }
}

/* Adds the groups' products of `cols` columns to acc[c][16]. */
LB_INLINE void g32_tile(const g32_expanded *e, const lb_act_q8_32 *act, size_t stride, float *acc, const bool half,
                        const int cols) {
    __m512 total[G32_TILE_COLS];
    LB_UNROLL for (int c = 0; c < cols; c++) total[c] = _mm512_load_ps(acc + 16 * c);
    for (int g = 0; g < e->groups; g++, act++) {
        __m512i sum[G32_TILE_COLS];
        LB_UNROLL for (int c = 0; c < cols; c++) sum[c] = _mm512_set1_epi32(g32_act(act, stride, 0, c)->start);
        LB_UNROLL for (int j = 0; j < 8; j++) {
            __m512i w = e->w[8 * g + j];
            LB_UNROLL for (int c = 0; c < cols; c++) sum[c] = lb_dot4(sum[c], w, g32_act(act, stride, 0, c)->q + 4 * j);
        }
        __m512 d = e->d[g];
        LB_UNROLL for (int c = 0; c < cols; c++) {
            const lb_act_q8_32 *a = g32_act(act, stride, 0, c);
            __m512 t = _mm512_cvtepi32_ps(sum[c]);
            if (half) t = _mm512_add_ps(t, _mm512_set1_ps(a->half));
            total[c] = _mm512_fmadd_ps(t, _mm512_mul_ps(d, _mm512_set1_ps(a->d)), total[c]);
        }
    }
    LB_UNROLL for (int c = 0; c < cols; c++) _mm512_store_ps(acc + 16 * c, total[c]);
}

typedef void (*g32_tile_fn)(const g32_expanded *, const lb_act_q8_32 *, size_t, float *);

/* Defines NAME[], indexed by columns, with or without the half. */
#define G32_TILE(NAME, n, half)                                                                                      \
    static __attribute__((noinline)) void NAME##_##n(const g32_expanded *e, const lb_act_q8_32 *act, size_t stride,  \
                                                     float *acc) {                                                   \
        g32_tile(e, act, stride, acc, half, n);                                                                      \
    }
#define G32_TILES(NAME, half)                                                                                        \
    G32_TILE(NAME, 1, half) G32_TILE(NAME, 2, half) G32_TILE(NAME, 3, half) G32_TILE(NAME, 4, half)                  \
    G32_TILE(NAME, 5, half) G32_TILE(NAME, 6, half) G32_TILE(NAME, 7, half) G32_TILE(NAME, 8, half)                  \
    G32_TILE(NAME, 9, half) G32_TILE(NAME, 10, half) G32_TILE(NAME, 11, half) G32_TILE(NAME, 12, half)               \
    static const g32_tile_fn NAME[] = { NULL, NAME##_1, NAME##_2, NAME##_3, NAME##_4, NAME##_5, NAME##_6, NAME##_7,  \
                                        NAME##_8, NAME##_9, NAME##_10, NAME##_11, NAME##_12 };

/* Columns in tiles of equal size, so that none is left with a thin one. What is expanded next (of this panel, or the
 * one behind it) is prefetched between the tiles: all at once would fill the core's miss queue and stall it. */
LB_INLINE void g32_many(const g32 f, const g32_tile_fn *tiles, const uint8_t *panel, const void *act, size_t stride,
                        int64_t k, int cols, float *out, int64_t out_stride) {
    float acc[16 * LB_PANEL_MAX_COLS] __attribute__((aligned(64)));
    memset(acc, 0, (size_t)cols * 64);
    int count = (cols + G32_TILE_COLS - 1) / G32_TILE_COLS;
    for (int64_t g = 0; g < k / 32; g += G32_SUPER) {
        g32_expanded e;
        int groups = (int)(k / 32 - g < G32_SUPER ? k / 32 - g : G32_SUPER);
        g32_expand(f, panel, g, groups, &e);
        const char *next = (const char *)panel + g32_scales_at(f, g + groups);
        int lines = (int)(g32_scales_at(f, G32_SUPER) / 64);
        for (int t = 0; t < count; t++) {
            int c0 = cols * t / count, c1 = cols * (t + 1) / count;
            for (int i = lines * t / count; i < lines * (t + 1) / count; i++) _mm_prefetch(next + 64 * i, _MM_HINT_T0);
            tiles[c1 - c0](&e, g32_act(act, stride, g, c0), stride, acc + 16 * c0);
        }
    }
    for (int c = 0; c < cols; c++) _mm512_storeu_ps(out + c * out_stride, _mm512_load_ps(acc + 16 * c));
}

LB_INLINE void g32_run(const g32 f, const g32_tile_fn *tiles, const void *panel, const void *act, size_t stride,
                       int64_t k, int cols, float *out, int64_t out_stride) {
    switch (cols) {
    case 1: g32_few(f, panel, act, stride, k, out, out_stride, 1); break;
    case 2: g32_few(f, panel, act, stride, k, out, out_stride, 2); break;
    case 3: g32_few(f, panel, act, stride, k, out, out_stride, 3); break;
    case 4: g32_few(f, panel, act, stride, k, out, out_stride, 4); break;
    default: g32_many(f, tiles, panel, act, stride, k, cols, out, out_stride);
    }
}

/* ---- packing ---- */

/* Row r's 32 codes (bytes) to its lanes of a group. */
static inline void g32_pack_codes(const g32 f, const uint8_t codes[32], int r, uint8_t *group) {
    uint32_t t[8], top = 0, all = 0xffffffffu;
    uint32_t low = f.bits == 3 ? 0x03030303u : f.bits == 5 ? 0x0f0f0f0fu : f.bits == 7 ? 0x3f3f3f3fu : all;
    for (int j = 0; j < 8; j++) {
        t[j] = lb_code4(codes, j);
        if (low != all) top |= (t[j] & ~low) >> (f.bits - 1) << j;
        t[j] &= low;
    }
    if (f.bits == 8) {
        for (int j = 0; j < 8; j++) *lb_lane(group, j, r) = t[j];
    } else if (f.bits == 6 || f.bits == 7) {
        lb_pack6(group, r, t);
        lb_pack6(group + 192, r, t + 4);
        if (f.bits == 7) *lb_lane(group, 6, r) = top;
    } else if (f.bits >= 4) {
        for (int j = 0; j < 4; j++) *lb_lane(group, j, r) = t[j] | t[j + 4] << 4;
        if (f.bits == 5) *lb_lane(group, 4, r) = top;
    } else if (f.bits == 1) {
        for (int j = 0; j < 8; j++) *lb_lane(group, 0, r) |= t[j] << j;
    } else {
        for (int j = 0; j < 2; j++) *lb_lane(group, j, r) = t[j] | t[j + 2] << 2 | t[j + 4] << 4 | t[j + 6] << 6;
        if (f.bits == 3) *lb_lane(group, 2, r) = top;
    }
}

/* Splits one native block of 32 into codes and the bytes of its scale (2 or 4). */
typedef void (*g32_unpack)(const g32 f, const uint8_t *block, uint8_t codes[32], uint8_t *scale);

/* Rows [row0, row1) of a native matrix whose blocks of `block_bytes` stand row after row. Missing rows are zero. */
static inline void g32_repack(const g32 f, g32_unpack unpack, size_t block_bytes, const void *native, int64_t n,
                              int64_t k, int64_t row0, int64_t row1, void *dst) {
    size_t bytes = g32_panel_bytes(f, k), scale = f.wide ? 4 : 2;
    for (int64_t row = row0; row < row1; row += 16) {
        uint8_t *panel = (uint8_t *)dst + (size_t)(row / 16) * bytes;
        memset(panel, 0, bytes);
        for (int r = 0; r < 16 && row + r < n; r++)
            for (int64_t g = 0; g < k / 32; g++) {
                uint8_t codes[32];
                unpack(f, (const uint8_t *)native + (size_t)((row + r) * (k / 32) + g) * block_bytes, codes,
                       panel + g32_scales_at(f, g) + (size_t)r * scale);
                g32_pack_codes(f, codes, r, panel + g32_codes_at(f, g));
            }
    }
}

#define G32_TOLERANCE                                                                                                \
    .tolerance = 1e-10,                                                                                              \
    .tolerance_why = "sums of 32 are exact in int32 and f32; K / 32 f32 steps of two roundings each: about 1e-14, "  \
                     "more where groups cancel"
