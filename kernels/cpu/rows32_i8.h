/* rows32_i8.h: what the kernels of formats with one scale a weight row and one an activation row share: int8 dot
 * products over the whole of K, no scale in the inner loop.
 *
 * The offset is taken out by starting each sum at -offset times the sum of the activations' codes (with AMX's tiles, at
 * the end). Sums are exact in
 * int32 whatever the order (K below 2^17: supports() asks), so a row's result has the same bits in every batch.
 *
 * Files of sparse formats, which have products of many columns of their own, define I8_SPARSE. */
#pragma once
#include "act_i8_token_avx512.h"
#include "rows32.h"
#include "rows32_i8_pack.h"

enum { I8_GEMV_COLS = 4, I8_BLOCK_K = 512 };

LB_INLINE const lb_act_i8_token *i8_act(const void *act, size_t stride, int c) {
    return (const lb_act_i8_token *)(const void *)((const char *)act + (size_t)c * stride);
}

/* (sum * activation's scale) * weights' scale, in this order. */
LB_INLINE void i8_finish(const uint8_t *panel, const lb_act_i8_token *a, __m512i low, __m512i high, float *out) {
    const float *scales = (const float *)(const void *)panel;
    __m512 d = _mm512_set1_ps(a->d);
    _mm512_storeu_ps(out, _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(low), d), _mm512_load_ps(scales)));
    _mm512_storeu_ps(out + 16, _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(high), d), _mm512_load_ps(scales + 16)));
}

/* ---- few columns: codes stay in registers, and every weight byte is read once ---- */

/* 8 or 16 k: what two loads (8 bits: four) bring. Sums of alternate steps are apart, for shorter chains. */
LB_INLINE void i8_few_step(const i8_format f, const uint8_t *w, const int8_t *a, size_t stride,
                           __m512i sum[I8_GEMV_COLS][2][2], const int cols) {
    LB_UNROLL for (int i = 0; i < 2; i++) {
        LB_UNROLL for (int h = 0; h < 2; h++) {
            __m512i v = lb_load_ahead(w + 128 * i + 64 * h);
            LB_UNROLL for (int c = 0; c < cols; c++) {
                const int8_t *at = a + (size_t)c * stride;
                if (f.bits == 8) {
                    sum[c][i][h] = lb_dot4(sum[c][i][h], v, at + 4 * i);
                } else {
                    sum[c][0][h] = lb_dot4(sum[c][0][h], lb_field(v, 0, 0x0f), at + 8 * i);
                    sum[c][1][h] = lb_dot4(sum[c][1][h], lb_field(v, 4, 0x0f), at + 8 * i + 4);
                }
            }
        }
    }
}

LB_INLINE void i8_few(const i8_format f, const uint8_t *panel, const void *act, size_t stride, int64_t k, float *out,
                      int64_t out_stride, const int cols) {
    enum { STEP_BYTES = 256 };
    const uint8_t *w = panel + I8_HEAD, *end = w + i8_codes_bytes(f, lb_act_i8_token_padded(k));
    const int8_t *a = i8_act(act, stride, 0)->q;
    __m512i sum[I8_GEMV_COLS][2][2];
    LB_UNROLL for (int c = 0; c < cols; c++)
        LB_UNROLL for (int h = 0; h < 2; h++) {
            sum[c][0][h] = _mm512_set1_epi32(-i8_offset(f) * i8_act(act, stride, c)->sum);
            sum[c][1][h] = _mm512_setzero_si512();
        }
    for (; w < end; w += STEP_BYTES, a += f.bits == 8 ? 8 : 16) i8_few_step(f, w, a, stride, sum, cols);
    LB_UNROLL for (int c = 0; c < cols; c++)
        i8_finish(panel, i8_act(act, stride, c), _mm512_add_epi32(sum[c][0][0], sum[c][1][0]),
                  _mm512_add_epi32(sum[c][0][1], sum[c][1][1]), out + c * out_stride);
}

/* `k` columns' nibbles to bytes. */
LB_INLINE void i8_expand(const uint8_t *from, int64_t k, uint8_t *to) {
    for (int64_t i = 0; i < k; i += 8, from += 128, to += 256)
        LB_UNROLL for (int h = 0; h < 2; h++) {
            __m512i v = _mm512_load_si512(from + 64 * h);
            _mm512_store_si512(to + 64 * h, lb_field(v, 0, 0x0f));
            _mm512_store_si512(to + 128 + 64 * h, lb_field(v, 4, 0x0f));
        }
}

#if defined(I8_SPARSE) && defined(__AMX_INT8__)
#define I8_ISA (LB_ISA_AVX512 | LB_ISA_AVX512_VNNI | LB_ISA_AMX_INT8)
#elif defined(__AMX_INT8__)
#include "rows32_i8_amx.h"
#else
#include "rows32_i8_many.h"
#endif

#if !defined(I8_SPARSE)
LB_INLINE void i8_run(const i8_format f, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                      float *out, int64_t out_stride) {
    switch (cols) {
    case 1: i8_few(f, panel, act, stride, k, out, out_stride, 1); break;
    case 2: i8_few(f, panel, act, stride, k, out, out_stride, 2); break;
    case 3: i8_few(f, panel, act, stride, k, out, out_stride, 3); break;
    case 4: i8_few(f, panel, act, stride, k, out, out_stride, 4); break;
    default: i8_many(f, panel, act, stride, k, cols, out, out_stride);
    }
}
#endif

#define I8_ACT_8 lb_act_i8_token_prepare, lb_act_i8_token_bytes, LB_ACT_KIND_I8_TOKEN
#define I8_ACT_4 I8_ACT_8
