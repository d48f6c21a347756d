/* kquant_search.h: the scale searches of the K-quants, 16 sub-blocks at a time, one sub-block to a vector lane.
 *
 * A template: kquant_search_<isa>.c defines SEARCH(name) and includes it. Everything is lane-wise IEEE arithmetic without
 * contraction, so every instruction set gives the same bits. Sums therefore run over a sub-block's elements in order. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "kquant.h"

/* Vectors are passed between inlined functions only, so how a call would pass them does not matter. */
#pragma GCC diagnostic ignored "-Wpsabi"

enum { LANES = 16, SUB_MAX = 32 };
typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));
#define INLINE static inline __attribute__((always_inline))

INLINE vf splat(float v) { return v - (vf){ 0 }; }
/* Round to nearest even for |v| < 2^22, by the addition that leaves no fraction bits. */
INLINE vf nearest(vf v) { return (v + 12582912.0f) - 12582912.0f; }
INLINE vf pick(vi mask, vf yes, vf no) { return (vf)(((vi)yes & mask) | ((vi)no & ~mask)); }
INLINE vf least(vf a, vf b) { return pick(a < b, a, b); }
INLINE vf most(vf a, vf b) { return pick(a > b, a, b); }
INLINE vf clamp(vf v, float lo, float hi) { return most(least(v, splat(hi)), splat(lo)); }
INLINE vf magnitude(vf v) { return (vf)((vi)v & 0x7fffffff); }
/* a / b where b is not 0, else 0. */
INLINE vf ratio(vf a, vf b) {
    vi good = b != 0.0f;
    return pick(good, a / pick(good, b, splat(1.0f)), splat(0.0f));
}

/* t[i] lane l = element i of sub-block l. */
INLINE void interleave(const float *x, int sub, vf *t) {
    for (int i = 0; i < sub; i++) {
        float lane[LANES];
        for (int l = 0; l < LANES; l++) lane[l] = x[l * sub + i];
        __builtin_memcpy(&t[i], lane, sizeof lane);
    }
}

/* The element of largest magnitude, with its sign. */
INLINE vf extreme(const vf *t, int sub) {
    vf m = t[0];
    for (int i = 1; i < sub; i++) m = pick(magnitude(t[i]) > magnitude(m), t[i], m);
    return m;
}

/* Weighted sums over a sub-block of codes l for one candidate. */
typedef struct sums { vf l, l2, xl; } sums;

INLINE sums candidate(const vf *t, const vf *w, int sub, vf inverse, vf min, float nmax, vf *codes) {
    sums s = { 0 };
    for (int i = 0; i < sub; i++) {
        vf l = clamp(nearest(inverse * (t[i] - min)), 0.0f, nmax);
        vf wl = w[i] * l;
        s.l += wl, s.l2 += wl * l, s.xl += wl * t[i];
        codes[i] = l;
    }
    return s;
}

INLINE vf error_of(const vf *t, const vf *w, int sub, vf scale, vf min, const vf *codes, const bool absolute) {
    vf err = splat(0.0f);
    for (int i = 0; i < sub; i++) {
        vf d = scale * codes[i] + min - t[i];
        err += w[i] * (absolute ? magnitude(d) : d * d);
    }
    return err;
}

/* scale and min <= 0 with x ~ scale * l + min, 0 <= l <= nmax: a scan of inverse scales (nmax + from + 0.1 i) / range,
 * each refined by weighted least squares, judged by squared or absolute error. Gives scale >= 0 and -min >= 0. */
INLINE void search_min(const float *x, const int sub, float nmax, float from, int steps, const bool absolute, float *scale,
                       float *negated_min) {
    vf t[SUB_MAX], w[SUB_MAX], codes[SUB_MAX], lo = splat(0.0f), hi, square = splat(0.0f), sum_w = splat(0.0f);
    vf sum_x = splat(0.0f);
    interleave(x, sub, t);
    hi = t[0];
    for (int i = 0; i < sub; i++) lo = least(lo, t[i]), hi = most(hi, t[i]), square += t[i] * t[i];
    float rms[LANES];
    vf mean_square = square * (1.0f / (float)sub);
    __builtin_memcpy(rms, &mean_square, sizeof rms);
    for (int l = 0; l < LANES; l++) rms[l] = absolute ? 0.0f : sqrtf(rms[l]);
    vf base;
    __builtin_memcpy(&base, rms, sizeof rms);
    for (int i = 0; i < sub; i++) w[i] = base + magnitude(t[i]), sum_w += w[i], sum_x += w[i] * t[i];
    vf range = hi - lo, best_scale = range * (1.0f / nmax), best_min = lo, inverse = ratio(splat(nmax), range);
    candidate(t, w, sub, inverse, lo, nmax, codes);
    vf best = error_of(t, w, sub, best_scale, best_min, codes, absolute);
    for (int step = 0; step <= steps; step++) {
        sums s = candidate(t, w, sub, ratio(splat(nmax + from + 0.1f * (float)step), range), lo, nmax, codes);
        vf det = sum_w * s.l2 - s.l * s.l;
        vf a = ratio(sum_w * s.xl - sum_x * s.l, det), b = ratio(s.l2 * sum_x - s.l * s.xl, det);
        vi positive = b > 0.0f;
        a = pick(positive, ratio(s.xl, s.l2), a);
        b = pick(positive, splat(0.0f), b);
        vf err = error_of(t, w, sub, a, b, codes, absolute);
        vi better = (det > 0.0f) & (err < best) & (a >= 0.0f);
        best = pick(better, err, best), best_scale = pick(better, a, best_scale), best_min = pick(better, b, best_min);
    }
    best_min = splat(0.0f) - best_min;
    __builtin_memcpy(scale, &best_scale, sizeof best_scale);
    __builtin_memcpy(negated_min, &best_min, sizeof best_min);
}

static void SEARCH(min16)(const float *x, float nmax, float from, int steps, float *scale, float *negated_min) {
    search_min(x, 16, nmax, from, steps, true, scale, negated_min);
}
static void SEARCH(min32)(const float *x, float nmax, float from, int steps, float *scale, float *negated_min) {
    search_min(x, 32, nmax, from, steps, false, scale, negated_min);
}

/* x ~ scale * l, -32 <= l <= 31, sub-blocks of 16, weights x^2: a scan of 19 scales, each refined by least squares. */
static void SEARCH(symmetric6)(const float *x, float *scale) {
    vf t[16], best = splat(0.0f), best_scale = splat(0.0f);
    interleave(x, 16, t);
    vf max = extreme(t, 16);
    for (int step = -9; step <= 9; step++) {
        vf inverse = ratio(splat(-(32.0f + 0.1f * (float)step)), max), xl = splat(0.0f), l2 = splat(0.0f);
        for (int i = 0; i < 16; i++) {
            vf l = clamp(nearest(inverse * t[i]), -32.0f, 31.0f), wl = t[i] * t[i] * l;
            xl += wl * t[i], l2 += wl * l;
        }
        vf gain = ratio(xl * xl, l2);
        vi better = gain > best;
        best = pick(better, gain, best), best_scale = pick(better, ratio(xl, l2), best_scale);
    }
    __builtin_memcpy(scale, &best_scale, sizeof best_scale);
}

/* x ~ scale * l, -4 <= l <= 3, sub-blocks of 16, weights x^2: rounding first, then up to five passes in which each code
 * moves to where the others' best scale wants it, if that raises (sum w x l)^2 / sum w l^2. */
static void SEARCH(symmetric3)(const float *x, float *scale) {
    vf t[16], codes[16], xl = splat(0.0f), l2 = splat(0.0f);
    interleave(x, 16, t);
    vf inverse = ratio(splat(-4.0f), extreme(t, 16));
    for (int i = 0; i < 16; i++) {
        vf l = clamp(nearest(inverse * t[i]), -4.0f, 3.0f), wl = t[i] * t[i] * l;
        codes[i] = l, xl += wl * t[i], l2 += wl * l;
    }
    for (int pass = 0; pass < 5; pass++)
        for (int i = 0; i < 16; i++) {
            vf w = t[i] * t[i], wx = w * t[i];
            vf other_xl = xl - wx * codes[i], other_l2 = l2 - w * codes[i] * codes[i];
            vf l = clamp(nearest(clamp(ratio(t[i] * other_l2, other_xl), -8.0f, 8.0f)), -4.0f, 3.0f);
            vf new_xl = other_xl + wx * l, new_l2 = other_l2 + w * l * l;
            vi better = (other_xl > 0.0f) & (new_l2 > 0.0f) & (new_xl * new_xl * l2 > xl * xl * new_l2);
            codes[i] = pick(better, l, codes[i]), xl = pick(better, new_xl, xl), l2 = pick(better, new_l2, l2);
        }
    vf result = ratio(xl, l2);
    __builtin_memcpy(scale, &result, sizeof result);
}

/* Final codes: clamp(nearest((x + add) / step), lo, hi) - lo, in element order; 0 - lo where step is 0. */
INLINE void final_codes(const float *x, const int sub, const float *step, const float *add, float lo, float hi, uint8_t *q) {
    for (int l = 0; l < LANES; l++)
        for (int i = 0; i < sub; i += 16) {
            vf v;
            __builtin_memcpy(&v, x + l * sub + i, sizeof v);
            vf code = clamp(nearest(clamp(ratio(v + add[l], splat(step[l])), -1000.0f, 1000.0f)), lo, hi) - lo;
            for (int j = 0; j < 16; j++) q[l * sub + i + j] = (uint8_t)(int32_t)code[j];
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
      .symmetric3 = SEARCH(symmetric3), .codes16 = SEARCH(codes16), .codes32 = SEARCH(codes32) }
