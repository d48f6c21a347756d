/* rows32_i8_avx2.h: what the AVX2 kernels of formats with one scale a weight row and one an activation row share: the
 * panels of rows32_i8_pack.h, products as rows16_avx2.h has them: nibbles narrow, whose int16 sums of 32 k fit without
 * their offset taken out, bytes wide. */
#pragma once
#include "rows16_avx2.h"
#include "rows32_i8_pack.h"

enum { I8_PARTS = 4 /* of 8 rows */, I8_CHUNK = 256, I8_WORDS = I8_CHUNK / 2 };

LB_INLINE const lb_act_i8x2 *i8_act(const void *act, size_t stride, int c) {
    return (const lb_act_i8x2 *)(const void *)((const char *)act + (size_t)c * stride);
}
/* What stands at element k of column c: a byte or an int16 each. */
LB_INLINE const int8_t *i8_at(const i8_format f, const void *act, size_t stride, int64_t k, int c) {
    return i8_act(act, stride, c)->q + (f.bits == 8 ? 2 * k : k);
}

/* (sum * activation's scale) * weights' scale, in this order; 8 rows. */
LB_INLINE void i8_finish(const uint8_t *panel, int part, const lb_act_i8x2 *a, __m256i sum, float *out) {
    __m256 d = _mm256_broadcast_ss(&a->d), s = _mm256_load_ps((const float *)(const void *)panel + 8 * part);
    _mm256_storeu_ps(out, _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), d), s));
}

/* ---- few columns: codes stay in registers, and every weight byte is read once ---- */

/* 32 k of 8 rows. */
LB_INLINE void i8_few_step(const i8_format f, const uint8_t *w, const void *act, size_t stride, int64_t k, int part,
                           __m256i sum[X2_FEW], const int cols) {
    if (f.bits == 8) {
        LB_UNROLL for (int j = 0; j < 8; j++) {
            __m256i v = x2_load_ahead(w + 128 * j + 32 * part), even = x2_even(v), odd = x2_odd(v);
            LB_UNROLL for (int c = 0; c < cols; c++) {
                const int8_t *q = i8_at(f, act, stride, k + 4 * j, c);
                sum[c] = x2_wide(x2_wide(sum[c], even, x2_spread(q)), odd, x2_spread(q + 4));
            }
        }
    } else {
        __m256i some[X2_FEW];
        LB_UNROLL for (int c = 0; c < cols; c++) some[c] = _mm256_setzero_si256();
        LB_UNROLL for (int j = 0; j < 4; j++) {
            __m256i v = x2_load_ahead(w + 128 * j + 32 * part), low = x2_field(v, 0, 0x0f), high = x2_field(v, 4, 0x0f);
            LB_UNROLL for (int c = 0; c < cols; c++) {
                const int8_t *q = i8_at(f, act, stride, k + 8 * j, c);
                some[c] = x2_narrow(x2_narrow(some[c], low, x2_spread(q)), high, x2_spread(q + 4));
            }
        }
        LB_UNROLL for (int c = 0; c < cols; c++) sum[c] = x2_wide(sum[c], some[c], _mm256_set1_epi16(1));
    }
}

#define I8_EACH LB_UNROLL for (int part = 0; part < I8_PARTS; part++) LB_UNROLL for (int c = 0; c < cols; c++)

LB_INLINE void i8_few(const i8_format f, const uint8_t *panel, const void *act, size_t stride, int64_t k, float *out,
                      int64_t out_stride, const int cols) {
    __m256i sum[I8_PARTS][X2_FEW];
    I8_EACH sum[part][c] = _mm256_set1_epi32(-i8_offset(f) * i8_act(act, stride, c)->sum);
    for (int64_t at = 0; at < lb_act_i8x2_padded(k); at += 32)
        LB_UNROLL for (int part = 0; part < I8_PARTS; part++)
            i8_few_step(f, panel + I8_HEAD + i8_codes_bytes(f, at), act, stride, at, part, sum[part], cols);
    I8_EACH i8_finish(panel, part, i8_act(act, stride, c), sum[part][c], out + c * out_stride + 8 * part);
}

/* ---- many columns: 32 x 256 are expanded in L1 once and meet all of them ---- */

/* Of each half of the rows what the products read: bytes (4 bits), or even and odd bytes (8). */
typedef __m256i i8_expanded[2][I8_WORDS][2];

LB_INLINE void i8_expand(const i8_format f, const uint8_t *w, int64_t some, i8_expanded e) {
    for (int64_t j = 0; j < some / (f.bits == 8 ? 4 : 8); j++)
        LB_UNROLL for (int part = 0; part < I8_PARTS; part++) {
            __m256i v = x2_load(w + 128 * j + 32 * part);
            e[part / 2][2 * j][part % 2] = f.bits == 8 ? x2_even(v) : x2_field(v, 0, 0x0f);
            e[part / 2][2 * j + 1][part % 2] = f.bits == 8 ? x2_odd(v) : x2_field(v, 4, 0x0f);
        }
}

/* acc[c][32] += the products of 16 rows and `some` k (a multiple of 32). */
LB_INLINE void i8_tile(const i8_format f, const __m256i (*w)[2], const void *act, size_t stride, int64_t at,
                       int64_t some, int32_t *acc, const int cols) {
    __m256i sum[X2_COLS][2];
    const int8_t *q[X2_COLS];
    LB_UNROLL for (int c = 0; c < cols; c++) {
        q[c] = i8_at(f, act, stride, at, c);
        LB_UNROLL for (int i = 0; i < 2; i++)
            sum[c][i] = _mm256_load_si256((const __m256i *)(const void *)(acc + I8_ROWS * c + 8 * i));
    }
    for (int64_t k = 0; k < some; k += f.bits == 8 ? 16 : 32) {
        __m256i part[X2_COLS][2];
        LB_UNROLL for (int c = 0; c < cols; c++)
            LB_UNROLL for (int i = 0; i < 2; i++) part[c][i] = f.bits == 8 ? sum[c][i] : _mm256_setzero_si256();
        LB_UNROLL for (int j = 0; j < 8; j++, w++) {
            __m256i w0 = w[0][0], w1 = w[0][1];
            LB_UNROLL for (int c = 0; c < cols; c++) {
                __m256i x = x2_spread(q[c] + 4 * j);
                part[c][0] = f.bits == 8 ? x2_wide(part[c][0], w0, x) : x2_narrow(part[c][0], w0, x);
                part[c][1] = f.bits == 8 ? x2_wide(part[c][1], w1, x) : x2_narrow(part[c][1], w1, x);
            }
        }
        LB_UNROLL for (int c = 0; c < cols; c++) {
            q[c] += 32;
            LB_UNROLL for (int i = 0; i < 2; i++)
                sum[c][i] = f.bits == 8 ? part[c][i] : x2_wide(sum[c][i], part[c][i], _mm256_set1_epi16(1));
        }
    }
    LB_UNROLL for (int c = 0; c < cols; c++)
        LB_UNROLL for (int i = 0; i < 2; i++)
            _mm256_store_si256((__m256i *)(void *)(acc + I8_ROWS * c + 8 * i), sum[c][i]);
}

/* The same of 32 rows and up to X2_COLS columns. */
LB_INLINE void i8_meet(const i8_format f, i8_expanded e, const void *act, size_t stride, int64_t at, int64_t some,
                       int cols, int32_t *acc) {
    for (int half = 0; half < 2; half++, acc += 16)
        switch (cols) {
        case 1: i8_tile(f, e[half], act, stride, at, some, acc, 1); break;
        case 2: i8_tile(f, e[half], act, stride, at, some, acc, 2); break;
        case 3: i8_tile(f, e[half], act, stride, at, some, acc, 3); break;
        default: i8_tile(f, e[half], act, stride, at, some, acc, 4);
        }
}

LB_INLINE void i8_finish_all(const uint8_t *panel, const void *act, size_t stride, const int32_t *acc, int cols,
                             float *out, int64_t out_stride) {
    for (int c = 0; c < cols; c++)
        for (int part = 0; part < I8_PARTS; part++)
            i8_finish(panel, part, i8_act(act, stride, c),
                      _mm256_load_si256((const __m256i *)(const void *)(acc + I8_ROWS * c + 8 * part)),
                      out + c * out_stride + 8 * part);
}

LB_INLINE void i8_many(const i8_format f, const uint8_t *panel, const void *act, size_t stride, int64_t k, int cols,
                       float *out, int64_t out_stride) {
    i8_expanded e;
    int32_t *acc = lb_panel_sums_take(cols);
    int64_t padded = lb_act_i8x2_padded(k);
    int count = (cols + X2_COLS - 1) / X2_COLS;
    for (int c = 0; c < cols; c++)
        for (int r = 0; r < I8_ROWS; r++) acc[I8_ROWS * c + r] = -i8_offset(f) * i8_act(act, stride, c)->sum;
    for (int64_t at = 0; at < padded; at += I8_CHUNK) {
        int64_t some = padded - at < I8_CHUNK ? padded - at : I8_CHUNK;
        const uint8_t *w = panel + I8_HEAD + i8_codes_bytes(f, at);
        i8_expand(f, w, some, e);
        const char *next = (const char *)w + i8_codes_bytes(f, some);
        int lines = (int)(i8_codes_bytes(f, some) / 64);
        for (int t = 0; t < count; t++) {
            int c0 = cols * t / count, c1 = cols * (t + 1) / count;
            const char *a = (const char *)act + (size_t)c0 * stride;
            for (int l = lines * t / count; l < lines * (t + 1) / count; l++) _mm_prefetch(next + 64 * l, _MM_HINT_T0);
            i8_meet(f, e, a, stride, at, some, c1 - c0, acc + I8_ROWS * c0);
        }
    }
    i8_finish_all(panel, act, stride, acc, cols, out, out_stride);
    lb_panel_sums_give(acc, cols);
}

LB_INLINE void i8_run(const i8_format f, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                      float *out, int64_t out_stride) {
    switch (cols) {
    case 1: i8_few(f, panel, act, stride, k, out, out_stride, 1); break;
    case 2: i8_few(f, panel, act, stride, k, out, out_stride, 2); break;
    default: i8_many(f, panel, act, stride, k, cols, out, out_stride);
    }
}

#define I8_WITH "vpmaddubsw or vpmaddwd"
#define I8_ISA LB_ISA_AVX2
#define I8_ACT_8 lb_act_i8x2_prepare_wide, lb_act_i8x2_wide_bytes, LB_ACT_KIND_I8_TOKEN_X2_WIDE
#define I8_ACT_4 lb_act_i8x2_prepare, lb_act_i8x2_bytes, LB_ACT_KIND_I8_TOKEN_X2
