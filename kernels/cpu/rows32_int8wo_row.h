/* rows32_int8wo_row.h: what the kernels of int8 weights with a scale a row and one row of x share: w = q * s, by tiles
 * of x's digits. */
#pragma once
#include "digits_amx.h"
#include "rows32.h"
#include "rows32_float_pack.h"

enum { AHEAD = 8192, RUN_BYTES = 512 /* 32 k of 16 rows */, K_BELOW = 1 << 17 /* sums of 2^14 in int32 */ };

/* 16 rows of a run, from magnitudes with signs in pairs of four rows to bytes of two's complement row by row. */
LB_INLINE void expand_run(const uint8_t *p, int8_t *to) {
    const __m512i pairs = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15));
    const __m512i sign = lb_bytes(0x80);
    LB_UNROLL for (int i = 0; i < 8; i++) {
        lb_ask(p + 64 * i, AHEAD);
        const __m512i v = _mm512_shuffle_epi8(_mm512_load_si512(p + 64 * i), pairs);
        const __m512i w = _mm512_mask_sub_epi8(v, _mm512_movepi8_mask(v), sign, v);
        _mm512_store_si512(to + 64 * i, _mm512_mask_mov_epi8(w, _mm512_cmpeq_epi8_mask(v, sign), sign)); /* -128 */
    }
}

/* 64 k of 32 rows, of which `runs` times 32 exist. */
LB_INLINE void expand(const uint8_t *p, int64_t runs, digits_codes *to) {
    LB_UNROLL for (int i = 0; i < 2; i++)
        LB_UNROLL for (int h = 0; h < 2; h++) {
            int8_t *half = to->of[h] + i * (DIGITS_HALF / 2);
            if (i < runs) expand_run(p + (2 * i + h) * RUN_BYTES, half);
            else memset(half, 0, DIGITS_HALF / 2);
        }
}

/* x that its digits do not hold. */
static __attribute__((noinline)) void run_plain(const lb_quantizer *q, const void *panel, const void *act, int64_t k,
                                                float *out) {
    const uint8_t *p = (const uint8_t *)panel + float_row_head(q, k);
    const uint16_t *x = act;
    digits_codes codes;
    digits_plain sums = { 0 };
    for (int64_t left = lb_act_bf16_padded(k) / 32; left > 0; left -= 2, x += LB_DIGITS_STEP, p += 4 * RUN_BYTES) {
        expand(p, left, &codes);
        digits_plain_step(x, left > 1 ? 64 : 32, lb_act_digits_order, &codes, 0, &sums);
    }
    for (int h = 0; h < 2; h++) {
        const __m512 scale = _mm512_load_ps((const float *)panel + 16 * h);
        _mm512_storeu_ps(out + 16 * h, _mm512_mul_ps(digits_plain_total(&sums, h), scale));
    }
}

/* `count`, a constant: of x's digits. */
LB_INLINE void run_digits(const lb_quantizer *q, const void *panel, const void *act, int64_t k, const int count,
                          float *out) {
    const uint8_t *p = (const uint8_t *)panel + float_row_head(q, k);
    const int8_t *x = lb_act_digits_tiles(act, k);
    const int64_t runs = lb_act_bf16_padded(k) / 32, steps = (runs + 1) / 2;
    digits_codes codes[2];
    digits_sums sums;
    lb_tiles_open(digits_shape(count, LB_DIGITS_STEP));
    digits_zero(0);
    for (int64_t i = 0; i <= steps; i++, p += 4 * RUN_BYTES) {
        if (i < steps) expand(p, runs - 2 * i, &codes[i % 2]);
        if (i > 0) digits_step(0, x + (i - 1) * lb_act_digits_tile(count), &codes[(i - 1) % 2]);
    }
    digits_store(0, &sums);
    lb_tiles_close();
    const __m512 exponent = _mm512_set1_ps(lb_act_digits_of(act, k)->exponent);
    for (int h = 0; h < 2; h++) {
        const __m512 scale = _mm512_load_ps((const float *)panel + 16 * h);
        _mm512_storeu_ps(out + 16 * h, _mm512_mul_ps(digits_total(&sums, h, 0, count, exponent), scale));
    }
}

static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,
                float *out, int64_t out_stride) {
    (void)stride, (void)cols, (void)out_stride;
    if (digits_miss(act, k)) run_plain(q, panel, act, k, out);
    else if (lb_act_digits_of(act, k)->count == LB_DIGITS_FEW) run_digits(q, panel, act, k, LB_DIGITS_FEW, out);
    else run_digits(q, panel, act, k, LB_DIGITS, out);
}

/* int8 [N][K], then at a multiple of 64 bytes the f32 scales [N]. */
static void unpack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row, int64_t at,
                   uint8_t codes[32]) {
    (void)q, (void)n;
    float_unpack_int8(native, k, row, at, codes);
}
static size_t panel_bytes(const lb_quantizer *q, int64_t k) {
    return float_row_head(q, k) + (size_t)(lb_act_bf16_padded(k) / 32) * 2 * RUN_BYTES;
}
static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    float_repack(8, float_row_head(q, k), unpack, float_put_row_scale, q, native, n, k, row0, row1, dst);
}

static bool supports(const lb_args *a, const char **why) {
    *why = "tiles of x's digits are for one row of activations and K below 2^17";
    return lb_arg(a, LB_GEMM_X)->dims[0] == 1 && lb_arg(a, LB_GEMM_X)->dims[1] < K_BELOW;
}

LB_ROWS32_PANEL(lb_act_digits_prepare, lb_act_digits_bytes, LB_ACT_KIND_DIGITS)

#define INT8WO_ROW_KERNEL                                                                                            \
    LB_ROWS32_KERNEL, DIGITS_KERNEL, .supports = supports, .tolerance = 1e-12,                                       \
    .tolerance_why = "sums are exact, or in f64 where x's digits do not hold it; their total in f32"
