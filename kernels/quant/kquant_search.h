/* kquant_search.h: the scale searches of the K-quants, 16 sub-blocks a call, one sub-block to a vector lane.
 *
 * A template: kquant_search_<isa>.c defines SEARCH(name) and LANES, the floats in one register, and includes it. (Wider
 * vectors than the registers would work, but gcc keeps those in memory: half the speed with AVX2.)
 * Everything is lane-wise IEEE arithmetic without contraction, so every instruction set gives the same bits. Sums
 * therefore run over a sub-block's elements in order. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "kquant.h"

enum { SUB_BLOCKS = 16, SUB_MAX = 32 };
typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef uint8_t vb __attribute__((vector_size(LANES)));
#define INLINE static inline __attribute__((always_inline))

INLINE vf splat(float v) { return v - (vf){ 0 }; }

/* Comparing and choosing: gcc 12 makes of the general form three to four instructions where AVX-512 and AVX2 have one.
 * A comparison with NaN is false everywhere; least and most give b then, and of two zeros. `nearest` rounds to even for
 * |v| < 2^22; what rounds to 0 may be -0, which no search lets through. */
#if LANES == 16
#include <immintrin.h>
typedef __mmask16 vm;
INLINE vm below(vf a, vf b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ); }
INLINE vm not_below(vf a, vf b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GE_OQ); }
INLINE vm not_zero(vf a) { return _mm512_cmp_ps_mask((__m512)a, _mm512_setzero_ps(), _CMP_NEQ_UQ); }
INLINE vm both(vm a, vm b) { return (vm)(a & b); }
INLINE vi one_more(vi count, vm where) {
    return (vi)_mm512_mask_add_epi32((__m512i)count, where, (__m512i)count, _mm512_set1_epi32(1));
}
INLINE vf pick(vm mask, vf yes, vf no) { return (vf)_mm512_mask_mov_ps((__m512)no, mask, (__m512)yes); }
INLINE vf least(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE vf most(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vf nearest(vf v) { return (vf)_mm512_roundscale_ps((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
#else
typedef vi vm;
INLINE vm below(vf a, vf b) { return a < b; }
INLINE vm not_below(vf a, vf b) { return a >= b; }
INLINE vm not_zero(vf a) { return a != 0.0f; }
INLINE vm both(vm a, vm b) { return a & b; }
INLINE vi one_more(vi count, vm where) { return count - where; }
#if LANES == 8
#include <immintrin.h>
INLINE vf pick(vm mask, vf yes, vf no) { return (vf)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)mask); }
INLINE vf least(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE vf most(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE vf nearest(vf v) { return (vf)_mm256_round_ps((__m256)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
#else
INLINE vf pick(vm mask, vf yes, vf no) { return (vf)(((vi)yes & mask) | ((vi)no & ~mask)); }
INLINE vf least(vf a, vf b) { return pick(a < b, a, b); }
INLINE vf most(vf a, vf b) { return pick(a > b, a, b); }
/* By the addition that leaves no fraction bits. */
INLINE vf nearest(vf v) { return (v + 12582912.0f) - 12582912.0f; }
#endif
#endif
INLINE vm above(vf a, vf b) { return below(b, a); }
INLINE vf clamp(vf v, float lo, float hi) { return most(least(v, splat(hi)), splat(lo)); }
INLINE vf magnitude(vf v) { return (vf)((vi)v & 0x7fffffff); }
/* a / b where b is not 0, else 0. */
INLINE vf ratio(vf a, vf b) {
    vm good = not_zero(b);
    return pick(good, a / pick(good, b, splat(1.0f)), splat(0.0f));
}

#if LANES == 16
#define ZIP(first) { first, 16 + first, 1 + first, 17 + first, 2 + first, 18 + first, 3 + first, 19 + first, \
                     4 + first, 20 + first, 5 + first, 21 + first, 6 + first, 22 + first, 7 + first, 23 + first }
#elif LANES == 8
#define ZIP(first) { first, 8 + first, 1 + first, 9 + first, 2 + first, 10 + first, 3 + first, 11 + first }
#else
#define ZIP(first) { first, 4 + first, 1 + first, 5 + first }
#endif

/* t[i] lane l = element i of sub-block l: squares of LANES x LANES, transposed by zipping the two halves of the rows
 * log2(LANES) times. */
INLINE void interleave(const float *x, int sub, vf *t) {
    for (int i = 0; i < sub; i += LANES) {
        vf a[LANES], b[LANES];
        for (int l = 0; l < LANES; l++) __builtin_memcpy(&a[l], x + l * sub + i, sizeof a[l]);
        for (int zips = 1; zips < LANES; zips *= 2) {
            for (int l = 0; l < LANES / 2; l++) {
                b[2 * l] = __builtin_shuffle(a[l], a[l + LANES / 2], (vi)ZIP(0));
                b[2 * l + 1] = __builtin_shuffle(a[l], a[l + LANES / 2], (vi)ZIP(LANES / 2));
            }
            for (int l = 0; l < LANES; l++) a[l] = b[l];
        }
        for (int l = 0; l < LANES; l++) t[i + l] = a[l];
    }
}

/* The element of largest magnitude, with its sign. */
INLINE vf extreme(const vf *t, int sub) {
    vf m = t[0];
    for (int i = 1; i < sub; i++) m = pick(above(magnitude(t[i]), magnitude(m)), t[i], m);
    return m;
}

/* Sums over a sub-block of codes l for one candidate. */
typedef struct sums { vf l, l2, xl; } sums;

INLINE sums candidate(const vf *t, int sub, vf inverse, vf min, float nmax, vf *codes) {
    sums s = { 0 };
    for (int i = 0; i < sub; i++) {
        vf l = clamp(nearest(inverse * (t[i] - min)), 0.0f, nmax);
        s.l += l, s.l2 += l * l, s.xl += l * t[i];
        codes[i] = l;
    }
    return s;
}

INLINE vf error_of(const vf *t, int sub, vf scale, vf min, const vf *codes) {
    vf err = splat(0.0f);
    for (int i = 0; i < sub; i++) {
        vf d = scale * codes[i] + min - t[i];
        err += d * d;
    }
    return err;
}

/* scale and min <= 0 with x ~ scale * l + min, 0 <= l <= nmax: a scan of inverse scales (nmax + from + 0.1 i) / range,
 * each counted from the best minimum so far (worth 0.03 to 0.06 dB over counting from the lowest element), refined by
 * least squares, judged by squared error. (llama.cpp weighs by the magnitude, and judges 2 bits by absolute error: 0.05
 * to 1 dB worse, and on a small trained model further from the original.) Gives scale >= 0 and -min >= 0. */
INLINE void search_min(const float *x, const int sub, float nmax, float from, int steps, float *scale,
                       float *negated_min) {
    vf t[SUB_MAX], codes[SUB_MAX], lo = splat(0.0f), hi, sum_x = splat(0.0f), count = splat((float)sub);
    interleave(x, sub, t);
    hi = t[0];
    for (int i = 0; i < sub; i++) lo = least(lo, t[i]), hi = most(hi, t[i]), sum_x += t[i];
    vf best_scale = (hi - lo) * (1.0f / nmax), best_min = lo;
    candidate(t, sub, ratio(splat(nmax), hi - lo), lo, nmax, codes);
    vf best = error_of(t, sub, best_scale, best_min, codes);
    for (int step = 0; step <= steps; step++) {
        vf inverse = ratio(splat(nmax + from + 0.1f * (float)step), hi - best_min);
        sums s = candidate(t, sub, inverse, best_min, nmax, codes);
        vf det = count * s.l2 - s.l * s.l;
        vf a = ratio(count * s.xl - sum_x * s.l, det), b = ratio(s.l2 * sum_x - s.l * s.xl, det);
        vm positive = above(b, splat(0.0f));
        a = pick(positive, ratio(s.xl, s.l2), a);
        b = pick(positive, splat(0.0f), b);
        vf err = error_of(t, sub, a, b, codes);
        vm better = both(both(above(det, splat(0.0f)), below(err, best)), not_below(a, splat(0.0f)));
        best = pick(better, err, best), best_scale = pick(better, a, best_scale), best_min = pick(better, b, best_min);
    }
    best_min = splat(0.0f) - best_min;
    __builtin_memcpy(scale, &best_scale, sizeof best_scale);
    __builtin_memcpy(negated_min, &best_min, sizeof best_min);
}

static void SEARCH(min16)(const float *x, float nmax, float from, int steps, float *scale, float *negated_min) {
    for (int l = 0; l < SUB_BLOCKS; l += LANES)
        search_min(x + 16 * l, 16, nmax, from, steps, scale + l, negated_min + l);
}
static void SEARCH(min32)(const float *x, float nmax, float from, int steps, float *scale, float *negated_min) {
    for (int l = 0; l < SUB_BLOCKS; l += LANES)
        search_min(x + 32 * l, 32, nmax, from, steps, scale + l, negated_min + l);
}

/* x ~ scale * l, -32 <= l <= 31, sub-blocks of 16: a scan of 19 scales, each refined by least squares. */
INLINE void search_symmetric6(const float *x, float *scale) {
    vf t[16], best = splat(0.0f), best_scale = splat(0.0f);
    interleave(x, 16, t);
    vf max = extreme(t, 16);
    for (int step = -9; step <= 9; step++) {
        vf inverse = ratio(splat(-(32.0f + 0.1f * (float)step)), max), xl = splat(0.0f), l2 = splat(0.0f);
        for (int i = 0; i < 16; i++) {
            vf l = clamp(nearest(inverse * t[i]), -32.0f, 31.0f);
            xl += l * t[i], l2 += l * l;
        }
        vf gain = ratio(xl * xl, l2);
        vm better = above(gain, best);
        best = pick(better, gain, best), best_scale = pick(better, ratio(xl, l2), best_scale);
    }
    __builtin_memcpy(scale, &best_scale, sizeof best_scale);
}

/* x ~ scale * l, -4 <= l <= 3, sub-blocks of 16: rounding first, then up to five passes in which each code
 * moves to where the others' best scale wants it, if that raises (sum x l)^2 / sum l^2. Each move waits for the one
 * before, so that SIDE registers of sub-blocks take turns. Where the others' sum is not positive nothing moves, so
 * that what the division gives there does not matter. */
enum { SIDE = 4 };
INLINE void search_symmetric3(const float *x, float *scale) {
    vf t[16][SIDE], codes[16][SIDE], xl[SIDE], l2[SIDE], xl_2[SIDE], zero = splat(0.0f);
    for (int v = 0; v < SIDE; v++) {
        vf own[16];
        interleave(x + 16 * LANES * v, 16, own);
        vf inverse = ratio(splat(-4.0f), extreme(own, 16));
        xl[v] = l2[v] = zero;
        for (int i = 0; i < 16; i++) {
            vf l = clamp(nearest(inverse * own[i]), -4.0f, 3.0f);
            t[i][v] = own[i], codes[i][v] = l, xl[v] += l * own[i], l2[v] += l * l;
        }
        xl_2[v] = xl[v] * xl[v];
    }
    for (int pass = 0; pass < 5; pass++)
        for (int i = 0; i < 16; i++)
#pragma GCC unroll 4
            for (int v = 0; v < SIDE; v++) {
                vf c = codes[i][v], other_xl = xl[v] - t[i][v] * c, other_l2 = l2[v] - c * c;
                vf l = nearest(clamp(t[i][v] * other_l2 / other_xl, -4.0f, 3.0f));
                vf new_xl = other_xl + t[i][v] * l, new_l2 = other_l2 + l * l, new_xl_2 = new_xl * new_xl;
                vm better = both(both(above(other_xl, zero), above(new_l2, zero)),
                                 above(new_xl_2 * l2[v], xl_2[v] * new_l2));
                codes[i][v] = pick(better, l, c);
                xl[v] = pick(better, new_xl, xl[v]), l2[v] = pick(better, new_l2, l2[v]);
                xl_2[v] = pick(better, new_xl_2, xl_2[v]);
            }
    for (int v = 0; v < SIDE; v++) {
        vf result = ratio(xl[v], l2[v]);
        __builtin_memcpy(scale + LANES * v, &result, sizeof result);
    }
}

/* x ~ scale * l, l half-integers to +-middle, sub-blocks of 32: twelve scales from the one whose outermost level is the
 * largest magnitude down to `least_factor` of it, each refined by least squares. */
INLINE void search_uniform(const float *x, float middle, float least_factor, float *scale) {
    enum { FACTORS = 12 };
    vf t[32], top = splat(0.0f), best = splat(0.0f);
    interleave(x, 32, t);
    for (int i = 0; i < 32; i++) top = most(top, magnitude(t[i]));
    vf best_scale = top * (1.0f / middle), unit = ratio(splat(middle), top);
    for (int f = 0; f < FACTORS; f++) {
        vf inverse = unit * (1.0f / (1.0f - (1.0f - least_factor) * (float)f / (FACTORS - 1)));
        vf xl = splat(0.0f), l2 = splat(0.0f);
        for (int i = 0; i < 32; i++) {
            vf l = clamp(nearest(inverse * t[i] + middle), 0.0f, 2.0f * middle) - middle;
            xl += t[i] * l, l2 += l * l;
        }
        vf gain = ratio(xl * xl, l2);
        vm better = above(gain, best);
        best = pick(better, gain, best), best_scale = pick(better, ratio(xl, l2), best_scale);
    }
    __builtin_memcpy(scale, &best_scale, sizeof best_scale);
}

/* The nearest of 16 ascending levels, the upper one half-way. */
INLINE vf nearest_level(vf v, const float *levels) {
    vf l = splat(levels[0]);
    for (int i = 0; i < 15; i++) {
        l = pick(not_below(v, splat(0.5f * (levels[i] + levels[i + 1]))), splat(levels[i + 1]), l);
    }
    return l;
}

/* x ~ scale * level, sub-blocks of 32, weights x^2: the scale that puts the extreme on the first level (or, its sign
 * turned, near the last), and those of 15 inverse scales around it, each refined by least squares. */
INLINE void search_codebook(const float *x, const float *levels, float *scale) {
    vf t[32], best = splat(0.0f), best_scale = splat(0.0f);
    interleave(x, 32, t);
    vf max = extreme(t, 32);
    for (int trial = -8; trial <= 7; trial++) {
        float first = trial == -8 ? -levels[0] : (float)trial + levels[0];
        vf inverse = ratio(splat(first), max), xl = splat(0.0f), l2 = splat(0.0f);
        for (int i = 0; i < 32; i++) {
            vf l = nearest_level(inverse * t[i], levels), wl = t[i] * t[i] * l;
            xl += wl * t[i], l2 += wl * l;
        }
        vf gain = ratio(xl * xl, l2);
        vm better = above(gain, best);
        best = pick(better, gain, best), best_scale = pick(better, ratio(xl, l2), best_scale);
    }
    __builtin_memcpy(scale, &best_scale, sizeof best_scale);
}

static void SEARCH(codebook)(const float *x, const float *levels, float *scale) {
    for (int l = 0; l < SUB_BLOCKS; l += LANES) search_codebook(x + 32 * l, levels, scale + l);
}

/* Codes of the nearest levels to inverse * x, in element order. */
static void SEARCH(codebook_codes)(const float *x, const float *levels, const float *inverse, uint8_t *q) {
    for (int l = 0; l < SUB_BLOCKS; l++)
        for (int i = 0; i < 32; i += LANES) {
            vf v;
            vi code = { 0 };
            __builtin_memcpy(&v, x + 32 * l + i, sizeof v);
            v *= inverse[l];
            for (int j = 0; j < 15; j++)
                code = one_more(code, not_below(v, splat(0.5f * (levels[j] + levels[j + 1]))));
            vb bytes = __builtin_convertvector(code, vb);
            __builtin_memcpy(q + 32 * l + i, &bytes, sizeof bytes);
        }
}

static void SEARCH(uniform)(const float *x, float middle, float least_factor, float *scale) {
    for (int l = 0; l < SUB_BLOCKS; l += LANES) search_uniform(x + 32 * l, middle, least_factor, scale + l);
}
static void SEARCH(symmetric6)(const float *x, float *scale) {
    for (int l = 0; l < SUB_BLOCKS; l += LANES) search_symmetric6(x + 16 * l, scale + l);
}
static void SEARCH(symmetric3)(const float *x, float *scale) {
    for (int l = 0; l < LB_BLOCKS3 * SUB_BLOCKS; l += SIDE * LANES) search_symmetric3(x + 16 * l, scale + l);
}

/* Final codes: clamp(nearest((x + add) / step), lo, hi) - lo, in element order; 0 - lo where step is 0. */
INLINE void final_codes(const float *x, const int sub, const float *step, const float *add, float lo, float hi,
                        uint8_t *q) {
    for (int l = 0; l < SUB_BLOCKS; l++)
        for (int i = 0; i < sub; i += LANES) {
            vf v;
            __builtin_memcpy(&v, x + l * sub + i, sizeof v);
            vf code = clamp(nearest(clamp(ratio(v + add[l], splat(step[l])), -1000.0f, 1000.0f)), lo, hi) - lo;
            vb bytes = __builtin_convertvector(__builtin_convertvector(code, vi), vb);
            __builtin_memcpy(q + l * sub + i, &bytes, sizeof bytes);
        }
}
static void SEARCH(codes16)(const float *x, const float *step, const float *add, float lo, float hi, uint8_t *q) {
    final_codes(x, 16, step, add, lo, hi, q);
}
static void SEARCH(codes32)(const float *x, const float *step, const float *add, float lo, float hi, uint8_t *q) {
    final_codes(x, 32, step, add, lo, hi, q);
}

#define SEARCH_TABLE                                                                                                  \
    { .min16 = SEARCH(min16), .min32 = SEARCH(min32), .symmetric6 = SEARCH(symmetric6),                               \
      .symmetric3 = SEARCH(symmetric3), .uniform = SEARCH(uniform), .codebook = SEARCH(codebook),                     \
      .codebook_codes = SEARCH(codebook_codes), .codes16 = SEARCH(codes16), .codes32 = SEARCH(codes32) }
