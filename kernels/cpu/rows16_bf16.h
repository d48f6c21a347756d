/* rows16_bf16.h: what the kernels of weight-only formats share: integer codes, exact in bf16, times bf16 activations,
 * vdpbf16ps with f32 sums; panels of 16 rows.
 *
 * A panel of 16 x K is one stream of 64-byte vectors, a run of 32 k after the other; lane r of a vector is row r's.
 *   8 bits: one vector of the rows' f32 scales, then 8 vectors a run: 16-byte piece 2p + h of a run's 32 holds the
 *     pairs p (elements 2p, 2p + 1) of rows 8h .. 8h + 7, as int8. K is padded with zeros to whole runs.
 *   4 bits: before every group a vector of its scales and zeros (a row's bf16 pair), then 4 vectors a run: nibble i of
 *     a row's two 16-bit words in vector j holds the pair 4j + i.
 * An output is a sum over runs, in order of K: a run's 32 products are added in pairs by 16 vdpbf16ps that start at
 * zero (short chains: the instruction takes 6 cycles), then scaled. No step depends on the number of columns, so a
 * row's result has the same bits in every batch. */
#pragma once
#include "act_bf16_avx512.h"
#include "gemm_panel.h"
#include "rows16.h"

enum { BF16_TILE_COLS = 12, BF16_GEMV_COLS = 4, BF16_SUPER = 8 /* runs expanded together */ };

/* A format; always a constant, so that the inlined functions below know it. */
typedef struct bf16_format {
    int bits;        /* 8: a scale a row; 4: a scale and a zero a group */
} bf16_format;

LB_INLINE size_t bf16_run_bytes(const bf16_format f) { return (size_t)f.bits * 64; }
/* Runs per group: what stands between two vectors of scales. */
LB_INLINE int64_t bf16_group_runs(const bf16_format f, const lb_quantizer *q, int64_t k) {
    return f.bits == 8 ? lb_act_bf16_padded(k) / 32 : q->group / 32;
}
LB_INLINE size_t bf16_panel_bytes(const bf16_format f, const lb_quantizer *q, int64_t k) {
    size_t runs = (size_t)(lb_act_bf16_padded(k) / 32), group = (size_t)bf16_group_runs(f, q, k);
    size_t scales = f.bits == 8 ? 1 : runs / group;
    return scales * 64 + runs * bf16_run_bytes(f);
}

/* acc += w[2p] * a[2p] + w[2p + 1] * a[2p + 1] in each lane, the two activations broadcast by the instruction. */
LB_INLINE __m512 bf16_dot2(__m512 acc, __m512i w, const uint16_t *a) {
    __asm__("vdpbf16ps %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(w), "m"(*(const lb_i32_any *)a));
    return acc;
}

/* 16 int8 to f32: 8 rows, two elements each. */
LB_INLINE __m512 bf16_from_i8(const uint8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_load_si128((const __m128i *)p)));
}

/* q - 8 as bf16, twice: vpermw looks at five bits of its index, and the fifth is the next nibble's. */
LB_INLINE __m512i bf16_nibble_table(void) {
    const __m512i eight = _mm512_set_epi32(0x40e040c0, 0x40a04080, 0x40404000, 0x3f800000, (int)0xbf80c000,
                                           (int)0xc040c080, (int)0xc0a0c0c0, (int)0xc0e0c100, 0x40e040c0, 0x40a04080,
                                           0x40404000, 0x3f800000, (int)0xbf80c000, (int)0xc040c080, (int)0xc0a0c0c0,
                                           (int)0xc0e0c100);
    return eight;
}

/* Pair `p` (0..15) of the run at `from`, of all rows. `ahead`, a constant: prefetches what is read later. */
LB_INLINE __m512i bf16_pair(const bf16_format f, const uint8_t *from, int p, __m512i table, const bool ahead) {
    if (f.bits == 8) {
        if (ahead && p % 2 == 0) _mm_prefetch((const char *)from + 32 * p + LB_PREFETCH_BYTES, _MM_HINT_T0);
        return (__m512i)_mm512_cvtne2ps_pbh(bf16_from_i8(from + 32 * p + 16), bf16_from_i8(from + 32 * p));
    }
    if (ahead && p % 4 == 0) _mm_prefetch((const char *)from + 16 * p + LB_PREFETCH_BYTES, _MM_HINT_T0);
    __m512i v = _mm512_load_si512(from + 64 * (p / 4));
    return _mm512_permutexvar_epi16(_mm512_srli_epi16(v, (unsigned)(p % 4 * 4)), table);
}

/* Scales and zeros of a group: a row's dword is the scale's bf16 (low) and the zero's. */
LB_INLINE __m512 bf16_scale_of(__m512i sz) { return _mm512_castsi512_ps(_mm512_slli_epi32(sz, 16)); }
LB_INLINE __m512 bf16_zero_of(__m512i sz) {
    return _mm512_castsi512_ps(_mm512_and_si512(sz, _mm512_set1_epi32((int)0xffff0000)));
}

/* A run's sum, scaled, onto the total. */
LB_INLINE __m512 bf16_add_run(const bf16_format f, __m512 total, __m512 run, __m512 scale, __m512 zero, float sum) {
    if (f.bits == 8) return _mm512_add_ps(total, run);
    return _mm512_fmadd_ps(zero, _mm512_set1_ps(sum), _mm512_fmadd_ps(run, scale, total));
}

LB_INLINE const uint16_t *bf16_act(const void *act, size_t stride, int64_t run, int c) {
    return (const uint16_t *)(const void *)((const char *)act + (size_t)c * stride) + 32 * run;
}
LB_INLINE float bf16_act_sum(const void *act, size_t stride, int64_t padded, int64_t run, int c) {
    return ((const float *)(const void *)(bf16_act(act, stride, 0, c) + padded))[run];
}

/* ---- few columns: every weight byte is read once, codes stay in registers ---- */

LB_INLINE void bf16_few(const bf16_format f, const lb_quantizer *q, const uint8_t *panel, const void *act,
                        size_t stride, int64_t k, float *out, int64_t out_stride, const int cols) {
    const __m512i table = bf16_nibble_table();
    int64_t padded = lb_act_bf16_padded(k), group = bf16_group_runs(f, q, k), run = 0;
    __m512 total[BF16_GEMV_COLS], scale = _mm512_setzero_ps(), zero = _mm512_setzero_ps();
    LB_UNROLL for (int c = 0; c < cols; c++) total[c] = _mm512_setzero_ps();
    while (run < padded / 32) {
        __m512i sz = lb_load_ahead(panel);
        scale = f.bits == 8 ? _mm512_castsi512_ps(sz) : bf16_scale_of(sz);
        zero = bf16_zero_of(sz);
        panel += 64;
        for (int64_t end = run + group; run < end; run++, panel += bf16_run_bytes(f)) {
            __m512 sum[BF16_GEMV_COLS];
            LB_UNROLL for (int c = 0; c < cols; c++) sum[c] = _mm512_setzero_ps();
            LB_UNROLL for (int p = 0; p < 16; p++) {
                __m512i w = bf16_pair(f, panel, p, table, true);
                LB_UNROLL for (int c = 0; c < cols; c++)
                    sum[c] = bf16_dot2(sum[c], w, bf16_act(act, stride, run, c) + 2 * p);
            }
            LB_UNROLL for (int c = 0; c < cols; c++)
                total[c] = bf16_add_run(f, total[c], sum[c], scale, zero, bf16_act_sum(act, stride, padded, run, c));
        }
    }
    LB_UNROLL for (int c = 0; c < cols; c++)
        _mm512_storeu_ps(out + c * out_stride, f.bits == 8 ? _mm512_mul_ps(total[c], scale) : total[c]);
}

/* ---- many columns: 16 x 256 are expanded to bf16 in L1 once and meet all of them ---- */

typedef struct bf16_expanded {
    __m512i w[16 * BF16_SUPER];
    __m512 scale[BF16_SUPER], zero[BF16_SUPER];
    int runs;
} bf16_expanded;

/* Expands runs [first, first + runs). */
LB_INLINE void bf16_expand(const bf16_format f, const uint8_t *panel, int64_t group, int64_t first, int runs,
                           bf16_expanded *e) {
    const __m512i table = bf16_nibble_table();
    e->runs = runs;
    for (int i = 0; i < runs; i++) {
        size_t run = (size_t)(first + i), scales = run / (size_t)group;
        const uint8_t *from = panel + (scales + 1) * 64 + run * bf16_run_bytes(f);
        __m512i sz = _mm512_load_si512(panel + scales * (64 + (size_t)group * bf16_run_bytes(f)));
        e->scale[i] = bf16_scale_of(sz);
        e->zero[i] = bf16_zero_of(sz);
        LB_UNROLL for (int p = 0; p < 16; p++) e->w[16 * i + p] = bf16_pair(f, from, p, table, false);
    }
}

/* Adds the runs' products of `cols` columns to acc[c][16]. */
LB_INLINE void bf16_tile(const bf16_format f, const bf16_expanded *e, const uint16_t *act, const float *sums,
                         size_t stride, float *acc, const int cols) {
    __m512 total[BF16_TILE_COLS];
    LB_UNROLL for (int c = 0; c < cols; c++) total[c] = _mm512_load_ps(acc + 16 * c);
    for (int i = 0; i < e->runs; i++, act += 32) {
        __m512 sum[BF16_TILE_COLS];
        LB_UNROLL for (int c = 0; c < cols; c++) sum[c] = _mm512_setzero_ps();
        for (int p = 0; p < 16; p += 4)
            LB_UNROLL for (int j = 0; j < 4; j++) {
                __m512i w = e->w[16 * i + p + j];
                LB_UNROLL for (int c = 0; c < cols; c++)
                    sum[c] = bf16_dot2(sum[c], w, bf16_act(act, stride, 0, c) + 2 * (p + j));
            }
        LB_UNROLL for (int c = 0; c < cols; c++) {
            float s = *(const float *)(const void *)((const char *)(sums + i) + (size_t)c * stride);
            total[c] = bf16_add_run(f, total[c], sum[c], e->scale[i], e->zero[i], s);
        }
    }
    LB_UNROLL for (int c = 0; c < cols; c++) _mm512_store_ps(acc + 16 * c, total[c]);
}

typedef void (*bf16_tile_fn)(const bf16_expanded *, const uint16_t *, const float *, size_t, float *);
#define BF16_TILE(n, f)                                                                                              \
    static __attribute__((noinline)) void tile_##n(const bf16_expanded *e, const uint16_t *act, const float *sums,   \
                                                   size_t stride, float *acc) {                                      \
        bf16_tile(f, e, act, sums, stride, acc, n);                                                                  \
    }
/* Defines `tiles`, indexed by columns. */
#define BF16_TILES(f)                                                                                                \
    BF16_TILE(1, f) BF16_TILE(2, f) BF16_TILE(3, f) BF16_TILE(4, f) BF16_TILE(5, f) BF16_TILE(6, f) BF16_TILE(7, f)  \
    BF16_TILE(8, f) BF16_TILE(9, f) BF16_TILE(10, f) BF16_TILE(11, f) BF16_TILE(12, f)                               \
    static const bf16_tile_fn tiles[] = { NULL, tile_1, tile_2, tile_3, tile_4, tile_5, tile_6, tile_7, tile_8,      \
                                          tile_9, tile_10, tile_11, tile_12 };

/* Columns in tiles of equal size, so that none is left with a thin one. What is expanded next (of this panel, or the
 * one behind it) is prefetched between the tiles: all at once would fill the core's miss queue and stall it. */
LB_INLINE void bf16_many(const bf16_format f, const bf16_tile_fn *tiles, const lb_quantizer *q, const uint8_t *panel,
                         const void *act, size_t stride, int64_t k, int cols, float *out, int64_t out_stride) {
    int64_t padded = lb_act_bf16_padded(k), group = bf16_group_runs(f, q, k);
    float acc[16 * LB_PANEL_MAX_COLS] __attribute__((aligned(64)));
    memset(acc, 0, (size_t)cols * 64);
    int count = (cols + BF16_TILE_COLS - 1) / BF16_TILE_COLS;
    for (int64_t run = 0; run < padded / 32; run += BF16_SUPER) {
        bf16_expanded e;
        bf16_expand(f, panel, group, run, (int)(padded / 32 - run < BF16_SUPER ? padded / 32 - run : BF16_SUPER), &e);
        size_t at = (size_t)run + BF16_SUPER, scales = at / (size_t)group;
        const char *next = (const char *)panel + (scales + 1) * 64 + at * bf16_run_bytes(f);
        int lines = BF16_SUPER * (f.bits + 1); /* a vector of scales a run at most */
        for (int t = 0; t < count; t++) {
            int c0 = cols * t / count, c1 = cols * (t + 1) / count;
            for (int i = lines * t / count; i < lines * (t + 1) / count; i++) _mm_prefetch(next + 64 * i, _MM_HINT_T0);
            const float *sums = (const float *)(const void *)(bf16_act(act, stride, 0, c0) + padded) + run;
            tiles[c1 - c0](&e, bf16_act(act, stride, run, c0), sums, stride, acc + 16 * c0);
        }
    }
    for (int c = 0; c < cols; c++) {
        __m512 total = _mm512_load_ps(acc + 16 * c);
        if (f.bits == 8) total = _mm512_mul_ps(total, _mm512_load_ps((const float *)(const void *)panel));
        _mm512_storeu_ps(out + c * out_stride, total);
    }
}

LB_INLINE void bf16_run(const bf16_format f, const bf16_tile_fn *tiles, const lb_quantizer *q, const void *panel,
                        const void *act, size_t stride, int64_t k, int cols, float *out, int64_t out_stride) {
    switch (cols) {
    case 1: bf16_few(f, q, panel, act, stride, k, out, out_stride, 1); break;
    case 2: bf16_few(f, q, panel, act, stride, k, out, out_stride, 2); break;
    case 3: bf16_few(f, q, panel, act, stride, k, out, out_stride, 3); break;
    case 4: bf16_few(f, q, panel, act, stride, k, out, out_stride, 4); break;
    default: bf16_many(f, tiles, q, panel, act, stride, k, cols, out, out_stride);
    }
}

/* ---- packing ---- */

/* The int8 plane [N][K], then at a multiple of 64 bytes the f32 scales [N]. */
static inline void bf16_repack_int8(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0,
                                    int64_t row1, void *dst) {
    const uint8_t *codes = native;
    const float *scales = (const float *)(const void *)(codes + ((size_t)(n * k) + 63) / 64 * 64);
    size_t bytes = bf16_panel_bytes((bf16_format){ .bits = 8 }, q, k);
    for (int64_t row = row0; row < row1; row += 16) {
        uint8_t *panel = (uint8_t *)dst + (size_t)(row / 16) * bytes;
        memset(panel, 0, bytes);
        for (int r = 0; r < 16 && row + r < n; r++) {
            memcpy(panel + 4 * r, scales + row + r, 4);
            for (int64_t i = 0; i < k; i++)
                panel[64 + i / 2 * 32 + r / 8 * 16 + r % 8 * 2 + i % 2] = codes[(row + r) * k + i];
        }
    }
}
