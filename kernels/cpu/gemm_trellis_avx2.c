/* gemm_trellis_avx2.c: gemm over trellis-2, -3 and -4 in panels of 32 rows (rows32_trellis_pack.h) with AVX2, as with
 * AVX-512: activations take the transform, once. Four states of four rows are cut out of their pieces by shifts and
 * blends, hashed in products of 16 bits; vpmaddwd. Sums are exact, so that a row has the same bits in every batch. */
#include <immintrin.h>
#include <math.h>

#include "rows16_avx2.h"
#include "rows32_trellis_pack.h"

enum { GROUPS = 8 /* of 4 rows */, PARTS = 4 /* of 8 rows */ };

/* A block with NaN or Inf has codes of 0 and a scale of NaN. */
static void act_prepare(const lb_quantizer *q, const float *x, int64_t k, void *act) {
    (void)q;
    act_block *b = act;
    for (int64_t at = 0; at < k; at += BLOCK, b++) {
        float v[BLOCK], amax = 0;
        int32_t sum = 0, bad = 0;
        for (int i = 0; i < BLOCK; i++) v[i] = x[at + i] * lb_trellis_sign(at + i);
        lb_trellis_hadamard(v);
        for (int i = 0; i < BLOCK; i++) {
            float a = fabsf(v[i]);
            bad |= !(a < INFINITY);
            amax = a > amax ? a : amax;
        }
        float step = bad ? 0 : amax / 32767.0f, inverse = step > 1e-38f ? 1.0f / step : 0;
        for (int i = 0; i < BLOCK; i += 8) {
            __m256i code = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(v + i), _mm256_set1_ps(inverse)));
            if (bad) code = _mm256_setzero_si256();
            __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1));
            _mm_storeu_si128((__m128i *)(void *)(b->q + i), words);
        }
        for (int i = 0; i < BLOCK; i++) sum += b->q[i];
        b->d = bad ? NAN : step;
        b->start = -CENTRE * sum;
    }
}

/* ---- states and hashes ---- */

/* The state of weight i of four number p of a period: 16 bits of the piece, brought to word i. */
LB_INLINE __m256i word_of(const int bits, const int p, const int i, __m256i piece) {
    const int end = 64 * (piece_of(bits, p) + 1) - (straddles(bits, p) ? 32 : 0);
    const int by = end - (4 * p + 1 + i) * bits - 16 * i;
    return by >= 0 ? _mm256_srli_epi64(piece, by) : _mm256_slli_epi64(piece, -by);
}

/* The sums of the hashes' bytes: four int16 of each of the 4 rows whose piece it is. */
LB_INLINE __m256i levels(const int bits, const int p, __m256i piece, __m256i mask) {
    const __m256i low = _mm256_set1_epi16((short)0xD12D), high = _mm256_set1_epi16((short)0x83DC);
    const __m256i one = _mm256_set1_epi8(1);
    __m256i even = _mm256_blend_epi16(word_of(bits, p, 0, piece), word_of(bits, p, 2, piece), 0x44);
    __m256i odd = _mm256_blend_epi16(word_of(bits, p, 1, piece), word_of(bits, p, 3, piece), 0x88);
    __m256i state = _mm256_and_si256(_mm256_blend_epi16(even, odd, 0xaa), mask);
    __m256i upper = _mm256_add_epi16(_mm256_mulhi_epu16(state, low), _mm256_mullo_epi16(state, high));
    __m256i lower = _mm256_mullo_epi16(state, low);
    return _mm256_add_epi16(_mm256_maddubs_epi16(lower, one), _mm256_maddubs_epi16(upper, one));
}

LB_INLINE __m256i mask_of(const lb_quantizer *q) { return _mm256_set1_epi16((short)((1 << q->param[1]) - 1)); }

/* Of 4 rows: the last half of the piece before, and the first of this one. */
LB_INLINE __m256i between(const uint8_t *before, __m256i now) {
    return _mm256_shuffle_epi32(_mm256_blend_epi32(now, x2_load(before), 0x55), 0xb1);
}

/* Pieces of a tile; the streams are cyclic: before the first is the last. */
LB_INLINE const uint8_t *piece_before(const int bits, const uint8_t *tile, int64_t i) {
    return tile + (i ? i - 1 : 4 * bits - 1) * PIECE;
}

/* ---- one column ---- */

/* The sums of 8 rows in their order: those of groups g and g + 2, of which every row has two halves. */
LB_INLINE __m256i rows_of(const __m256i *sum, int part) {
    const int g = 4 * (part / 2) + part % 2;
    __m256i a = _mm256_add_epi32(sum[g], _mm256_shuffle_epi32(sum[g], 0xb1));
    __m256i b = _mm256_add_epi32(sum[g + 2], _mm256_shuffle_epi32(sum[g + 2], 0xb1));
    return _mm256_castps_si256(_mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0x88));
}

/* Piece i of a tile, number `of` of a period, whose activations begin at q. */
LB_INLINE void one_piece(const int bits, const int of, const uint8_t *tile, int64_t i, const int16_t *q, __m256i mask,
                         __m256i sum[GROUPS]) {
    const uint8_t *w = tile + i * PIECE, *before = piece_before(bits, tile, i);
    for (int g = 0; g < GROUPS; g++) {
        __m256i now = x2_load_ahead(w + 32 * g), mid = between(before + 32 * g, now), s = sum[g];
        LB_UNROLL for (int p = first_four(bits, of); p < first_four(bits, of + 1); p++) {
            int64_t x;
            memcpy(&x, q + 4 * p, sizeof x);
            s = x2_wide(s, levels(bits, p, straddles(bits, p) ? mid : now, mask), _mm256_set1_epi64x(x));
        }
        sum[g] = s;
    }
}

LB_INLINE __m256 scale_of(const uint8_t *panel, int part) {
    return _mm256_load_ps((const float *)(const void *)panel + 8 * part);
}

LB_INLINE void one(const lb_quantizer *q, const int bits, const uint8_t *panel, const act_block *b, int64_t k,
                   float *out) {
    const __m256i mask = mask_of(q);
    __m256 total[PARTS];
    LB_UNROLL for (int part = 0; part < PARTS; part++) total[part] = _mm256_setzero_ps();
    for (int64_t at = 0; at < k / BLOCK; at++, b++) {
        const uint8_t *tile = panel + HEAD + (at / 2) * (4 * bits * PIECE);
        __m256i sum[GROUPS];
        for (int g = 0; g < GROUPS; g++) sum[g] = _mm256_set1_epi64x((int64_t)(uint32_t)b->start);
        int64_t i = at % 2 * (2 * bits);
        for (int p = 0; p < BLOCK / 4; p += period_fours(bits))
            LB_UNROLL for (int of = 0; of < period_pieces(bits); of++)
                one_piece(bits, of, tile, i++, b->q + 4 * p, mask, sum);
        LB_UNROLL for (int part = 0; part < PARTS; part++)
            total[part] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(rows_of(sum, part)), _mm256_set1_ps(b->d), total[part]);
    }
    LB_UNROLL for (int part = 0; part < PARTS; part++)
        _mm256_storeu_ps(out + 8 * part, _mm256_mul_ps(total[part], scale_of(panel, part)));
}

/* ---- more: 32 rows by 256 become int16 in L1 once and meet all columns ---- */

typedef __m256i expanded[LB_TRELLIS_TILE / 2][PARTS]; /* pairs of k of 8 rows */

LB_INLINE void expand(const int bits, __m256i mask, const uint8_t *tile, expanded e) {
    for (int64_t i = 0, at = 0; at < LB_TRELLIS_TILE / 4; at += period_fours(bits))
        LB_UNROLL for (int of = 0; of < period_pieces(bits); of++, i++) {
            const uint8_t *w = tile + i * PIECE, *before = piece_before(bits, tile, i);
            for (int part = 0; part < PARTS; part++) {
                const int g = 4 * (part / 2) + part % 2;
                __m256i now[2], mid[2];
                for (int j = 0; j < 2; j++) {
                    now[j] = x2_load(w + 32 * (g + 2 * j));
                    mid[j] = between(before + 32 * (g + 2 * j), now[j]);
                }
                LB_UNROLL for (int p = first_four(bits, of); p < first_four(bits, of + 1); p++) {
                    __m256 v[2];
                    for (int j = 0; j < 2; j++) {
                        __m256i sums = levels(bits, p, straddles(bits, p) ? mid[j] : now[j], mask);
                        v[j] = _mm256_castsi256_ps(_mm256_sub_epi16(sums, _mm256_set1_epi16(CENTRE)));
                    }
                    e[2 * (at + p)][part] = _mm256_castps_si256(_mm256_shuffle_ps(v[0], v[1], 0x88));
                    e[2 * (at + p) + 1][part] = _mm256_castps_si256(_mm256_shuffle_ps(v[0], v[1], 0xdd));
                }
            }
        }
}

/* acc[c][32] += a tile's products of 16 rows, each block's times its scale. */
LB_INLINE void meet(const expanded e, int half, const char *act, size_t stride, float *acc, const int cols) {
    for (int block = 0; block < LB_TRELLIS_TILE / BLOCK; block++) {
        const act_block *b[X2_COLS];
        __m256i sum[X2_COLS][2];
        LB_UNROLL for (int c = 0; c < cols; c++) {
            b[c] = (const act_block *)(const void *)(act + (size_t)c * stride) + block;
            sum[c][0] = sum[c][1] = _mm256_setzero_si256();
        }
        for (int i = 0; i < BLOCK / 2; i++) {
            const __m256i *w = e[BLOCK / 2 * block + i] + 2 * half;
            LB_UNROLL for (int c = 0; c < cols; c++) {
                __m256i x = x2_spread(b[c]->q + 2 * i);
                sum[c][0] = x2_wide(sum[c][0], w[0], x);
                sum[c][1] = x2_wide(sum[c][1], w[1], x);
            }
        }
        LB_UNROLL for (int c = 0; c < cols; c++)
            LB_UNROLL for (int i = 0; i < 2; i++) {
                float *to = acc + 32 * c + 16 * half + 8 * i;
                __m256 d = _mm256_set1_ps(b[c]->d);
                _mm256_store_ps(to, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[c][i]), d, _mm256_load_ps(to)));
            }
    }
}

static __attribute__((noinline)) void meet_some(const expanded e, const char *act, size_t stride, float *acc,
                                                int cols) {
    for (int half = 0; half < 2; half++)
        switch (cols) {
        case 1: meet(e, half, act, stride, acc, 1); break;
        case 2: meet(e, half, act, stride, acc, 2); break;
        case 3: meet(e, half, act, stride, acc, 3); break;
        default: meet(e, half, act, stride, acc, 4);
        }
}

LB_INLINE void many(const lb_quantizer *q, const int bits, const uint8_t *panel, const char *act, size_t stride,
                    int64_t k, int cols, float *out, int64_t out_stride) {
    float *acc = lb_panel_sums_take(cols);
    expanded e;
    memset(acc, 0, (size_t)cols * 32 * sizeof *acc);
    for (int64_t at = 0; at < k / LB_TRELLIS_TILE; at++, act += LB_TRELLIS_TILE / BLOCK * sizeof(act_block)) {
        const uint8_t *tile = panel + HEAD + at * (4 * bits * PIECE);
        expand(bits, mask_of(q), tile, e);
        for (int c = 0; c < cols; c += X2_COLS) { /* what is expanded next comes between them */
            _mm_prefetch((const char *)tile + 4 * bits * PIECE + 16 * c, _MM_HINT_T0);
            meet_some(e, act + (size_t)c * stride, stride, acc + 32 * c, cols - c < X2_COLS ? cols - c : X2_COLS);
        }
    }
    for (int c = 0; c < cols; c++)
        for (int part = 0; part < PARTS; part++)
            _mm256_storeu_ps(out + c * out_stride + 8 * part,
                             _mm256_mul_ps(_mm256_load_ps(acc + 32 * c + 8 * part), scale_of(panel, part)));
    lb_panel_sums_give(acc, cols);
}

#define TRELLIS_RUN(bits)                                                                                            \
    static void run_##bits(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k,      \
                           int cols, float *out, int64_t out_stride) {                                               \
        if (cols == 1) one(q, bits, panel, act, k, out);                                                             \
        else many(q, bits, panel, act, stride, k, cols, out, out_stride);                                            \
    }
TRELLIS_RUN(2)
TRELLIS_RUN(3)
TRELLIS_RUN(4)

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    (q->bits == 2 ? run_2 : q->bits == 3 ? run_3 : run_4)(q, panel, act, stride, k, cols, out, out_stride);
}

LB_ROWS32_PANEL(act_prepare, act_bytes, "trellis/i16 avx2")

const lb_kernel lb_kernel_gemm_trellis_avx2 = {
    .name = "gemm.trellis.avx2",
    .about = "panels of 32 rows; activations take the signs and the transform, and are int16 with a scale for each "
             "128; states by shifts and blends, hashed by products of 16 bits; vpmaddwd",
    .format = "trellis",
    LB_ROWS32_KERNEL,
    .isa = LB_ISA_AVX2,
    .act = LB_ACT_F32,
    .acc = LB_ACC_I32_F32,
    .compute = LB_COMPUTE_F32,
    .tolerance = 2e-8,
    .tolerance_why = "transformed activations are rounded to int16, a step of the largest of 128 over 32767: NMSE of "
                     "about 1e-9, 1e-8 where one of them has all the weight",
};
