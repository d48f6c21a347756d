/* rows32_blocks_avx2.h: block-sparse floats over panels of 32 rows (rows32_blocks_pack.h) with AVX2: kept blocks one
 * after the other, multiply-adds in f32 with the activations of their columns. A block's sums start at zero and are
 * scaled onto the total, whatever the number of columns. */
#pragma once
#define F32_ZEROS 0
#include "f32_tile_avx2.h"
#include "mini_avx2.h"
#include "rows32_blocks_pack.h"

enum { BLOCKS_PARTS = 4 /* of 8 rows */, BLOCKS_FOURS = BLOCK_K / 4 };

/* Four k of 8 rows of a block of bf16, or of e4m3. */
LB_INLINE void blocks_decode(const int bytes, const uint8_t *block, int four, int part, __m256 w[4]) {
    if (bytes == 1) {
        block += (size_t)(four / 8 * 2 + part / 2) * float_half_bytes(8);
        mini_four(3, block + four % 8 * 64 + 32 * (part % 2), w);
        return;
    }
    LB_UNROLL for (int i = 0; i < 2; i++) {
        __m256i v = x2_load_ahead(block + 256 * four + 128 * i + 32 * part);
        w[2 * i] = _mm256_castsi256_ps(_mm256_slli_epi32(v, 16));
        w[2 * i + 1] = _mm256_castsi256_ps(_mm256_and_si256(v, _mm256_set1_epi32((int)0xffff0000)));
    }
}

LB_INLINE __m256 blocks_scale(const uint8_t *panel, int part) {
    return _mm256_load_ps((const float *)(const void *)panel + 8 * part);
}

/* The first of the BLOCK_K columns of block i. */
LB_INLINE int64_t blocks_at(const uint8_t *panel, int64_t i) { return BLOCK_K * (int64_t)blocks_columns(panel)[i]; }

LB_INLINE void blocks_one(const int bytes, const uint8_t *panel, const void *act, int64_t k, float *out) {
    const uint8_t *block = panel + blocks_head(k);
    __m256 total[BLOCKS_PARTS];
    LB_UNROLL for (int part = 0; part < BLOCKS_PARTS; part++) total[part] = _mm256_setzero_ps();
    for (int64_t i = 0; i < blocks_kept(k); i++, block += block_bytes(bytes)) {
        const int64_t at = blocks_at(panel, i);
        __m256 sum[BLOCKS_PARTS];
        LB_UNROLL for (int part = 0; part < BLOCKS_PARTS; part++) sum[part] = _mm256_setzero_ps();
        for (int four = 0; four < BLOCK_K / 4; four++) {
            const float *x = f32_act(act, 0, at + 4 * four, 0);
            LB_UNROLL for (int part = 0; part < BLOCKS_PARTS; part++) {
                __m256 w[4];
                blocks_decode(bytes, block, four, part, w);
                LB_UNROLL for (int j = 0; j < 4; j++) sum[part] = f32_fma(sum[part], w[j], _mm256_broadcast_ss(x + j));
            }
        }
        LB_UNROLL for (int part = 0; part < BLOCKS_PARTS; part++)
            total[part] = _mm256_fmadd_ps(sum[part], blocks_scale(panel, part), total[part]);
    }
    LB_UNROLL for (int part = 0; part < BLOCKS_PARTS; part++) _mm256_storeu_ps(out + 8 * part, total[part]);
}

LB_INLINE void blocks_many(const int bytes, const uint8_t *panel, const void *act, size_t stride, int64_t k, int cols,
                           float *out, int64_t out_stride) {
    float *acc = lb_panel_sums_take(cols);
    const uint8_t *block = panel + blocks_head(k);
    const int count = (cols + F32_COLS - 1) / F32_COLS, lines = (int)(block_bytes(bytes) / 128);
    f32_expanded e;
    memset(acc, 0, (size_t)cols * F32_ROWS * sizeof *acc);
    for (int64_t i = 0; i < blocks_kept(k); i++, block += block_bytes(bytes)) {
        const int64_t at = blocks_at(panel, i);
        for (int half = 0; half < 2; half++) {
            LB_UNROLL for (int p = 0; p < 2; p++) {
                for (int four = 0; four < BLOCK_K / 4; four++) {
                    __m256 w[4];
                    blocks_decode(bytes, block, four, 2 * half + p, w);
                    LB_UNROLL for (int j = 0; j < 4; j++) e.w[4 * four + j][p] = w[j];
                }
                e.s[0][p] = blocks_scale(panel, 2 * half + p);
                e.z[0][p] = _mm256_setzero_ps();
            }
            for (int t = 0; t < count; t++) { /* the next block comes between the tiles */
                int c0 = cols * t / count, c1 = cols * (t + 1) / count;
                for (int l = lines * t / count; l < lines * (t + 1) / count; l++)
                    _mm_prefetch((const char *)block + block_bytes(bytes) + 64 * (l + half * lines), _MM_HINT_T0);
                f32_tiles[c1 - c0](&e, (const char *)act + (size_t)c0 * stride, stride, k, at, BLOCK_K, BLOCK_K,
                                   acc + F32_ROWS * c0 + 16 * half);
            }
        }
    }
    for (int c = 0; c < cols; c++) memcpy(out + c * out_stride, acc + F32_ROWS * c, F32_ROWS * sizeof *out);
    lb_panel_sums_give(acc, cols);
}

/* run(), panel_bytes() and repack() of a file. */
#define BLOCKS_FUNCTIONS(BYTES)                                                                                      \
    static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,   \
                    float *out, int64_t out_stride) {                                                                \
        (void)q;                                                                                                     \
        if (cols == 1) blocks_one(BYTES, panel, act, k, out);                                                        \
        else blocks_many(BYTES, panel, act, stride, k, cols, out, out_stride);                                       \
    }                                                                                                                \
    LB_BLOCKS_LAYOUT(BYTES, false)
