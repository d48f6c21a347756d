/* digits_amx.h: one row of x by panels of 32 rows of integer codes, by tiles of int8: x's digits (act_digits_avx512.h)
 * are the tile's rows. A byte is half of what storing and loading bf16 takes, and sums are exact. */
#pragma once
#include "act_digits_avx512.h"
#include "amx.h"
#include "rows16.h"

enum { DIGITS_HALF = 1024 /* bytes of a tile of weights: 64 k of 16 rows */ };

/* tmm0, tmm1: sums of rows 0..15 and 16..31 of a panel, tmm2, tmm3 a second set; tmm4: x; tmm6, tmm7: weights. */
#define DIGITS_SHAPE(sums, k)                                                                                        \
    { .palette = 1, .row_bytes = { 64, 64, 64, 64, k, 0, 64, 64 },                                                   \
      .rows = { sums, sums, sums, sums, sums, 0, (k) / 4, (k) / 4 } }
/* For x of so many rows (digits, of one group or several) and a step of 64 k, or half of it. */
LB_INLINE const lb_tiles *digits_shape(const int rows, const int k) {
    static const lb_tiles all[3][2] = {
        { DIGITS_SHAPE(LB_DIGITS_FEW, 32), DIGITS_SHAPE(LB_DIGITS_FEW, 64) },
        { DIGITS_SHAPE(LB_DIGITS, 32), DIGITS_SHAPE(LB_DIGITS, 64) },
        { DIGITS_SHAPE(16, 32), DIGITS_SHAPE(16, 64) },
    };
    return &all[rows == LB_DIGITS_FEW ? 0 : rows == LB_DIGITS ? 1 : 2][k == LB_DIGITS_STEP];
}

/* A step of a panel, for either half a tile: dword n of its row i has four k of weights' row n, 4i the first. */
typedef struct digits_codes { int8_t of[2][DIGITS_HALF]; } __attribute__((aligned(64))) digits_codes;
/* Sums by digit, of either half; as many as x has rows. */
typedef struct digits_half { int32_t of[16][16]; } __attribute__((aligned(64))) digits_half;
typedef struct digits_sums { digits_half half[2]; } digits_sums;

/* Sums of two sets, 0 and 1, take turns where they leave their tiles often: a set's products have ended before they are
 * stored, while the other's go on. */
LB_INLINE void digits_zero(int set) {
    if (set) {
        LB_TILE_ZERO(2);
        LB_TILE_ZERO(3);
    } else {
        LB_TILE_ZERO(0);
        LB_TILE_ZERO(1);
    }
}
/* The set's sums += a step of x times that of a panel. */
LB_INLINE void digits_step(int set, const int8_t *x, const digits_codes *w) {
    LB_TILE_LOAD(4, x, 64);
    LB_TILE_LOAD(6, w->of[0], 64);
    LB_TILE_LOAD(7, w->of[1], 64);
    if (set) {
        LB_TILE_SS(2, 4, 6);
        LB_TILE_SS(3, 4, 7);
    } else {
        LB_TILE_SS(0, 4, 6);
        LB_TILE_SS(1, 4, 7);
    }
}
LB_INLINE void digits_store(int set, digits_sums *to) {
    if (set) {
        LB_TILE_STORE(2, to->half[0].of, 64);
        LB_TILE_STORE(3, to->half[1].of, 64);
    } else {
        LB_TILE_STORE(0, to->half[0].of, 64);
        LB_TILE_STORE(1, to->half[1].of, 64);
    }
}

/* Half's sums from row `first` on as they are in f32; `count` digits of x, a constant, and the exponent of x. */
LB_INLINE __m512 digits_total(const digits_sums *s, int half, int first, const int count, __m512 exponent) {
    const int32_t(*of)[16] = s->half[half].of + first;
    __m512 t = _mm512_cvtepi32_ps(_mm512_load_si512(of[count - 1]));
    LB_UNROLL for (int d = count - 2; d >= 0; d--)
        t = _mm512_fmadd_ps(t, _mm512_set1_ps(256), _mm512_cvtepi32_ps(_mm512_load_si512(of[d])));
    return _mm512_scalef_ps(t, exponent);
}

/* ---- rows that their digits do not hold: slow and exact to f64, for no common model has activations like that ---- */

/* Sums of rows 8i..8i+7 of a panel. */
typedef struct digits_plain { __m512d of[4]; } digits_plain;

/* Whether so; `act` is a prepared row. */
LB_INLINE bool digits_miss(const void *act, int64_t k) { return isnan(lb_act_digits_of(act, k)->exponent); }

/* The sums += `count` values of x times the step's codes shifted right by `shift`; `order` is that of the codes. */
LB_INLINE void digits_plain_step(const uint16_t *x, int count, const uint8_t order[8], const digits_codes *w,
                                 unsigned shift, digits_plain *sums) {
    for (int t = 0; t < count; t++) {
        const __m512d v = _mm512_set1_pd((double)lb_bf16_to_f32(x[t / 8 * 8 + order[t % 8]]));
        LB_UNROLL for (int h = 0; h < 2; h++) {
            const __m512i four = _mm512_load_si512(w->of[h] + t / 4 * 64);
            const __m512i top = _mm512_sll_epi32(four, _mm_cvtsi32_si128(24 - 8 * (t % 4)));
            const __m512i code = _mm512_srai_epi32(top, 24 + shift);
            const __m512d low = _mm512_cvtepi32_pd(_mm512_castsi512_si256(code));
            const __m512d high = _mm512_cvtepi32_pd(_mm512_extracti64x4_epi64(code, 1));
            sums->of[2 * h] = _mm512_fmadd_pd(v, low, sums->of[2 * h]);
            sums->of[2 * h + 1] = _mm512_fmadd_pd(v, high, sums->of[2 * h + 1]);
        }
    }
}
/* Half's sums in f32. */
LB_INLINE __m512 digits_plain_total(const digits_plain *s, int half) {
    const __m256 low = _mm512_cvtpd_ps(s->of[2 * half]), high = _mm512_cvtpd_ps(s->of[2 * half + 1]);
    return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}

/* The fields of a descriptor that follow. */
#define DIGITS_KERNEL                                                                                                \
    .act = LB_ACT_BF16, .isa = LB_ISA_AVX512 | LB_ISA_AVX512_VBMI | LB_ISA_AMX_INT8, .acc = LB_ACC_I32_F32,          \
    .compute = LB_COMPUTE_INT8
