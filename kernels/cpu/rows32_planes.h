/* rows32_planes.h: weights of integer formats with an f16 scale for each 32 as whole numbers, split into planes of a
 * byte each, for tiles of int8: 32 rows by 256 at a time.
 *
 * A scale is a whole number m of 11 bits and a sign times a power of two. In 256 weights of a row the largest power
 * sets the row's unit: then a weight, code * m shifted, has its upper 16 bits in planes 0 (signed bytes) and 1, and
 * what is below the unit, where the codes have eight bits or a scale is small beside the largest, in as many planes
 * more as it takes, 8 bits further down each. Nothing is rounded: a weight is the sum of its planes, each times its
 * power.
 *
 * A row with a scale of Inf or NaN has a unit of NaN. */
#pragma once
#include <math.h>

#include "rows32_g32_codes.h"

enum { PLANES_GROUPS = 8, PLANES_STEPS = 4 /* of 64 k */, PLANES_MORE = 4 /* f16 is whole times 2^-24 */ };

/* 32 rows by 256: tiles of 16 rows by 64 k. */
typedef struct planes_block {
    __m512i w[LB_PANEL_HALVES][PLANES_STEPS][2][16];              /* planes 0 and 1 */
    __m512i more[PLANES_MORE][PLANES_STEPS][LB_PANEL_HALVES][16]; /* plane 2, ... */
    __m512 unit[LB_PANEL_HALVES];
    int planes, steps[PLANES_MORE]; /* how many there are in `more`, and which steps of each are not all zero */
} planes_block;

/* Codes of eight bits and a sign. */
LB_INLINE bool planes_wide(const h32 f) { return f.bits == 8 || f.levels; }
/* By how many places a code times the largest scale's m is shifted to the left to fill 16 bits. */
LB_INLINE int planes_top(const h32 f) { return planes_wide(f) ? -3 : f.bits == 5 ? 0 : 1; }

/* What the scales of 16 rows are to their groups. */
typedef struct planes_scales {
    __m512i m[PLANES_GROUPS];     /* with the scale's sign; 0 where the row has no scale */
    __m512i shift[PLANES_GROUPS]; /* places to the left that code * m is shifted by in the row's unit */
    int more[PLANES_GROUPS];      /* planes behind the first two that it reaches into */
    bool down[PLANES_GROUPS];     /* a shift is to the right */
    bool far[PLANES_GROUPS];      /* and by more than PLANES_NEAR further than that of the largest scale */
    __m512 unit;
} planes_scales;
enum { PLANES_NEAR = 4 };

LB_INLINE int planes_needed(__m512i below) {
    if (!_mm512_cmpgt_epi32_mask(below, _mm512_setzero_si512())) return 0;
    if (!_mm512_cmpgt_epi32_mask(below, _mm512_set1_epi32(8))) return 1;
    return (_mm512_reduce_max_epi32(below) + 7) / 8;
}

/* scale[g]: of 16 rows, f16 as f32. */
LB_INLINE void planes_open(const h32 f, const __m512 scale[PLANES_GROUPS], planes_scales *to) {
    enum { EXPONENT = 23, LEAST = 127 - 24 /* of f16 */, NO_NUMBER = 255, F16_BITS = 10 };
    const __m512i zero = _mm512_setzero_si512();
    __m512i exponent[PLANES_GROUPS], top = _mm512_set1_epi32(LEAST);
    LB_UNROLL for (int g = 0; g < PLANES_GROUPS; g++) {
        exponent[g] = _mm512_srli_epi32(_mm512_slli_epi32(_mm512_castps_si512(scale[g]), 1), EXPONENT + 1);
        top = _mm512_max_epi32(top, exponent[g]);
    }
    const __mmask16 number = _mm512_cmplt_epi32_mask(top, _mm512_set1_epi32(NO_NUMBER));
    LB_UNROLL for (int g = 0; g < PLANES_GROUPS; g++) {
        const __m512i bits = _mm512_castps_si512(scale[g]);
        const __mmask16 some = _mm512_mask_test_epi32_mask(number, exponent[g], exponent[g]);
        const __m512i fraction = _mm512_srli_epi32(_mm512_slli_epi32(bits, 9), 9 + EXPONENT - F16_BITS);
        __m512i m = _mm512_maskz_or_epi32(some, fraction, _mm512_set1_epi32(1 << F16_BITS));
        const __m512i last = _mm512_and_si512(m, _mm512_sub_epi32(zero, m));
        m = _mm512_mask_sub_epi32(m, _mm512_movepi32_mask(bits), zero, m);
        const __m512i least = _mm512_set1_epi32(planes_top(f));
        const __m512i shift = _mm512_mask_add_epi32(least, some, least, _mm512_sub_epi32(exponent[g], top));
        const __m512i zeros = _mm512_srli_epi32(_mm512_castps_si512(_mm512_cvtepi32_ps(last)), EXPONENT);
        const __m512i below = _mm512_sub_epi32(_mm512_set1_epi32(127), _mm512_add_epi32(shift, zeros));
        to->m[g] = m;
        to->shift[g] = shift;
        to->more[g] = planes_needed(_mm512_maskz_mov_epi32(some, below));
        to->down[g] = _mm512_movepi32_mask(shift);
        to->far[g] = _mm512_cmplt_epi32_mask(shift, _mm512_set1_epi32(planes_top(f) - PLANES_NEAR));
    }
    const __m512i unit = _mm512_sub_epi32(top, _mm512_set1_epi32(planes_top(f) + F16_BITS));
    to->unit = _mm512_mask_mov_ps(_mm512_set1_ps(NAN), number, _mm512_castsi512_ps(_mm512_slli_epi32(unit, EXPONENT)));
}

/* A lane's number as two int16. */
LB_INLINE __m512i planes_twice(__m512i v) {
    return _mm512_mask_mov_epi16(v, 0xaaaaaaaa, _mm512_slli_epi32(v, 16));
}
LB_INLINE __m512i planes_left(__m512i shift) { return _mm512_max_epi32(shift, _mm512_setzero_si512()); }
LB_INLINE __m512i planes_right(__m512i shift) { return planes_left(_mm512_sub_epi32(_mm512_setzero_si512(), shift)); }

/* The low bytes of int16 for even and odd bytes, or their high bytes. */
LB_INLINE __m512i planes_low(__m512i even, __m512i odd) {
    return _mm512_mask_mov_epi8(even, 0xaaaaaaaaaaaaaaaa, _mm512_slli_epi16(odd, 8));
}
LB_INLINE __m512i planes_high(__m512i even, __m512i odd) {
    return _mm512_mask_mov_epi8(odd, 0x5555555555555555, _mm512_srli_epi16(even, 8));
}

/* Where vector v (of 64) of a half's rows stands. */
LB_INLINE __m512i *planes_at(planes_block *to, int h, int plane, int v) {
    return plane < 2 ? &to->w[h][v / 16][plane][v % 16] : &to->more[plane - 2][v / 16][h][v % 16];
}

/* Group g of a half's rows, bytes w[] of which are `offset` more than their codes of up to five bits: a code times m
 * is int16. */
LB_INLINE void planes_narrow(const planes_scales *s, int offset, int g, const __m512i w[8], int h, planes_block *to) {
    const __m512i left = planes_twice(planes_left(s->shift[g])), right = planes_twice(planes_right(s->shift[g]));
    const __m512i m = planes_twice(s->m[g]), byte = _mm512_set1_epi16(0xff);
    const __m512i times = _mm512_sllv_epi16(m, left);
    const __m512i less = _mm512_mullo_epi16(times, _mm512_set1_epi16((short)offset));
    LB_UNROLL for (int j = 0; j < 8; j++) {
        __m512i a = _mm512_and_si512(w[j], byte), b = _mm512_srli_epi16(w[j], 8);
        a = _mm512_sub_epi16(_mm512_mullo_epi16(a, times), less);
        b = _mm512_sub_epi16(_mm512_mullo_epi16(b, times), less);
        if (s->down[g]) a = _mm512_srav_epi16(a, right), b = _mm512_srav_epi16(b, right);
        *planes_at(to, h, 0, 8 * g + j) = planes_high(a, b);
        *planes_at(to, h, 1, 8 * g + j) = planes_low(a, b);
    }
}
/* Its plane 2 or further. */
LB_INLINE void planes_narrow_more(const planes_scales *s, int offset, int g, const __m512i w[8], int h, int plane,
                                  planes_block *to) {
    const __m512i shift = _mm512_add_epi32(s->shift[g], _mm512_set1_epi32(8 * (plane - 1)));
    const __m512i left = planes_twice(planes_left(shift)), right = planes_twice(planes_right(shift));
    const __m512i m = planes_twice(s->m[g]), less = _mm512_mullo_epi16(m, _mm512_set1_epi16((short)offset));
    for (int j = 0; j < 8; j++) {
        __m512i a = _mm512_and_si512(w[j], _mm512_set1_epi16(0xff)), b = _mm512_srli_epi16(w[j], 8);
        a = _mm512_sub_epi16(_mm512_mullo_epi16(a, m), less), b = _mm512_sub_epi16(_mm512_mullo_epi16(b, m), less);
        a = _mm512_sllv_epi16(_mm512_srav_epi16(a, right), left);
        b = _mm512_sllv_epi16(_mm512_srav_epi16(b, right), left);
        *planes_at(to, h, plane, 8 * g + j) = planes_low(a, b);
    }
}

/* The same of bytes that are 128 more than their codes, where shifts are near the largest: planes 0 to 2 are 24 bits of
 * a code by m, of which 2^(1 + PLANES_NEAR) is part. */
LB_INLINE void planes_wide_near(const h32 f, const planes_scales *s, int g, const __m512i w[8], int h,
                                planes_block *to) {
    const __m512i up = _mm512_add_epi32(s->shift[g], _mm512_set1_epi32(PLANES_NEAR - planes_top(f)));
    const __m512i m = planes_twice(_mm512_sllv_epi32(s->m[g], up)), offset = _mm512_set1_epi16(2 * 128);
    LB_UNROLL for (int j = 0; j < 8; j++) {
        __m512i a = _mm512_and_si512(w[j], _mm512_set1_epi16(0xff)), b = _mm512_srli_epi16(w[j], 8);
        a = _mm512_sub_epi16(_mm512_add_epi16(a, a), offset), b = _mm512_sub_epi16(_mm512_add_epi16(b, b), offset);
        const __m512i low_a = _mm512_mullo_epi16(a, m), low_b = _mm512_mullo_epi16(b, m);
        *planes_at(to, h, 0, 8 * g + j) = planes_low(_mm512_mulhi_epi16(a, m), _mm512_mulhi_epi16(b, m));
        *planes_at(to, h, 1, 8 * g + j) = planes_high(low_a, low_b);
        *planes_at(to, h, 2, 8 * g + j) = planes_low(low_a, low_b);
    }
}
/* One plane of such bytes, whatever the shifts. */
static __attribute__((noinline)) void planes_wide_far(const planes_scales *s, int g, const __m512i w[8], int h,
                                                      int plane, planes_block *to) {
    const __m512i shift = _mm512_add_epi32(s->shift[g], _mm512_set1_epi32(8 * (plane - 1)));
    const __m512i left = planes_left(shift), right = planes_right(shift);
    for (int j = 0; j < 8; j++) {
        const __m512i codes = _mm512_xor_si512(w[j], lb_bytes(0x80));
        __m512i all = _mm512_setzero_si512();
        for (unsigned i = 0; i < 4; i++) {
            __m512i v = _mm512_srai_epi32(_mm512_slli_epi32(codes, 24 - 8 * i), 24);
            v = _mm512_sllv_epi32(_mm512_srav_epi32(_mm512_mullo_epi32(v, s->m[g]), right), left);
            all = _mm512_or_si512(all, _mm512_slli_epi32(_mm512_and_si512(v, _mm512_set1_epi32(0xff)), 8 * i));
        }
        *planes_at(to, h, plane, 8 * g + j) = all;
    }
}

/* Group g of a half's rows from its bytes; offset: of repacked weights the format's own, else 128. */
LB_INLINE void planes_group(const h32 f, const planes_scales *s, int offset, int g, const __m512i w[8], int h,
                            planes_block *to) {
    const bool near = planes_wide(f) && !s->far[g];
    int done = 2;
    if (!planes_wide(f)) {
        planes_narrow(s, offset, g, w, h, to);
        for (; done < 2 + s->more[g]; done++) planes_narrow_more(s, offset, g, w, h, done, to);
    } else if (near) {
        planes_wide_near(f, s, g, w, h, to);
        done = 3;
    } else {
        for (done = 0; done < 2 + s->more[g]; done++) planes_wide_far(s, g, w, h, done, to);
    }
    for (; done < 2 + to->planes; done++)
        LB_UNROLL for (int j = 0; j < 8; j++) *planes_at(to, h, done, 8 * g + j) = _mm512_setzero_si512();
}

/* How many planes there are, and where. */
LB_INLINE void planes_count(const planes_scales s[LB_PANEL_HALVES], planes_block *to) {
    memset(to->steps, 0, sizeof to->steps);
    to->planes = 0;
    for (int h = 0; h < LB_PANEL_HALVES; h++) {
        to->unit[h] = s[h].unit;
        for (int g = 0; g < PLANES_GROUPS; g++) {
            for (int p = 0; p < s[h].more[g]; p++) to->steps[p] |= 1 << g / 2;
            if (s[h].more[g] > to->planes) to->planes = s[h].more[g];
        }
    }
}

/* 256 k of a panel from group g0 on. */
LB_INLINE void planes_fold(const h32 f, const uint8_t *panel, int64_t g0, planes_block *to) {
    planes_scales s[LB_PANEL_HALVES];
    for (int h = 0; h < LB_PANEL_HALVES; h++) {
        __m512 scale[PLANES_GROUPS];
        LB_UNROLL for (int g = 0; g < PLANES_GROUPS; g++) scale[g] = h32_scale(f, panel, g0 + g, h, 0);
        planes_open(f, scale, &s[h]);
    }
    planes_count(s, to);
    for (int h = 0; h < LB_PANEL_HALVES; h++)
        for (int g = 0; g < PLANES_GROUPS; g++) {
            __m512i w[8];
            h32_codes(f, panel + h32_codes_at(f, g0 + g) + (size_t)h * h32_half_bytes(f), w, false);
            planes_group(f, &s[h], f.offset, g, w, h, to);
        }
}
