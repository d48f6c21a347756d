/* rng_block.h: one block of 256 elements of a random stream, written so that every instruction set gives the same bits;
 * rng.c, rng_avx2.c and rng_avx512.c compile it for theirs.
 *
 * Element i of a stream takes word (i / 64) % 4 of Philox counter (i / 256) * 64 + i % 64: the four words of 64
 * counters, one word after the other, so that vectors never have to be shuffled. Floating point uses only single
 * correctly rounded operations (+ - * sqrt, int32 to f32), never a fused one. */
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

enum { LB_RNG_COUNTERS = 64, LB_RNG_BLOCK = 4 * LB_RNG_COUNTERS };

/* Implementations, by instruction set; tests compare their bits. block = i / 256. */
typedef struct lb_rng_impl {
    const char *name;
    uint32_t isa;
    void (*words)(uint64_t seed, uint64_t block, uint32_t out[LB_RNG_BLOCK]);
    void (*uniform)(uint64_t seed, uint64_t block, float lo, float hi, float out[LB_RNG_BLOCK]);
    void (*normal)(uint64_t seed, uint64_t block, float mean, float std, float out[LB_RNG_BLOCK]);
} lb_rng_impl;
extern const lb_rng_impl lb_rng_portable;
#if defined(__x86_64__)
extern const lb_rng_impl lb_rng_avx2, lb_rng_avx512;
#endif
/* The widest that this machine runs. */
const lb_rng_impl *lb_rng_best(void);

#define LB_PHILOX_M0 0xD2511F53u
#define LB_PHILOX_M1 0xCD9E8D57u
#define LB_PHILOX_W0 0x9E3779B9u
#define LB_PHILOX_W1 0xBB67AE85u

#ifdef LB_RNG_IMPLEMENT
#if defined(__AVX512F__)
enum { LANES = 8 };
typedef __m512i lanes;
static inline lanes set1(uint64_t x) { return _mm512_set1_epi64((long long)x); }
static inline lanes mul32(lanes a, lanes b) { return _mm512_mul_epu32(a, b); }
static inline lanes high(lanes a) { return _mm512_srli_epi64(a, 32); }
static inline lanes xor3(lanes a, lanes b, lanes c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
static inline lanes add(lanes a, lanes b) { return _mm512_add_epi64(a, b); }
static inline lanes first_lanes(void) { return _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7); }
static inline void store32(uint32_t *out, lanes a) { _mm256_storeu_si256((__m256i *)out, _mm512_cvtepi64_epi32(a)); }
#elif defined(__AVX2__)
enum { LANES = 4 };
typedef __m256i lanes;
static inline lanes set1(uint64_t x) { return _mm256_set1_epi64x((long long)x); }
static inline lanes mul32(lanes a, lanes b) { return _mm256_mul_epu32(a, b); }
static inline lanes high(lanes a) { return _mm256_srli_epi64(a, 32); }
static inline lanes xor3(lanes a, lanes b, lanes c) { return _mm256_xor_si256(_mm256_xor_si256(a, b), c); }
static inline lanes add(lanes a, lanes b) { return _mm256_add_epi64(a, b); }
static inline lanes first_lanes(void) { return _mm256_setr_epi64x(0, 1, 2, 3); }
static inline void store32(uint32_t *out, lanes a) {
    lanes low = _mm256_permutevar8x32_epi32(a, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
    _mm_storeu_si128((__m128i *)out, _mm256_castsi256_si128(low));
}
#else
enum { LANES = 1 };
typedef uint64_t lanes;
static inline lanes set1(uint64_t x) { return x; }
static inline lanes mul32(lanes a, lanes b) { return (a & 0xffffffffu) * (b & 0xffffffffu); }
static inline lanes high(lanes a) { return a >> 32; }
static inline lanes xor3(lanes a, lanes b, lanes c) { return a ^ b ^ c; }
static inline lanes add(lanes a, lanes b) { return a + b; }
static inline lanes first_lanes(void) { return 0; }
static inline void store32(uint32_t *out, lanes a) { *out = (uint32_t)a; }
#endif

/* Philox4x32-10 on 64-bit lanes; the upper halves of c0..c3 may hold anything. */
static inline void philox_words(uint64_t seed, uint64_t block, uint32_t *restrict w) {
    const lanes m0 = set1(LB_PHILOX_M0), m1 = set1(LB_PHILOX_M1);
    for (int j = 0; j < LB_RNG_COUNTERS; j += LANES) {
        lanes counter = add(set1(block * LB_RNG_COUNTERS + (uint64_t)j), first_lanes());
        lanes c0 = counter, c1 = high(counter), c2 = set1(0), c3 = set1(0);
        uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
#pragma GCC unroll 10
        for (int round = 0; round < 10; round++) {
            lanes p0 = mul32(c0, m0), p1 = mul32(c2, m1);
            c0 = xor3(high(p1), c1, set1(k0)), c1 = p1;
            c2 = xor3(high(p0), c3, set1(k1)), c3 = p0;
            k0 += LB_PHILOX_W0, k1 += LB_PHILOX_W1;
        }
        store32(w + j, c0);
        store32(w + LB_RNG_COUNTERS + j, c1);
        store32(w + 2 * LB_RNG_COUNTERS + j, c2);
        store32(w + 3 * LB_RNG_COUNTERS + j, c3);
    }
}

static void block_words(uint64_t seed, uint64_t block, uint32_t out[LB_RNG_BLOCK]) { philox_words(seed, block, out); }

static inline float float_of(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }
static inline uint32_t bits_of(float f) { uint32_t u; memcpy(&u, &f, 4); return u; }

static void block_uniform(uint64_t seed, uint64_t block, float lo, float hi, float out[LB_RNG_BLOCK]) {
    uint32_t w[LB_RNG_BLOCK];
    philox_words(seed, block, w);
    float width = hi - lo;
    /* lo + width * u can round up to hi, which is outside: the float below hi takes its place */
    float below = hi > 0.0f ? float_of(bits_of(hi) - 1) : hi < 0.0f ? float_of(bits_of(hi) + 1) : float_of(0x80000001u);
    if (!(lo < hi)) below = lo;
    for (int j = 0; j < LB_RNG_BLOCK; j++) {
        float v = (float)(int32_t)(w[j] >> 8) * 0x1p-24f * width + lo;
        out[j] = v < hi ? v : below;
    }
}

/* -2 ln((w / 2 + 1/2) * 2^-31): the argument is in (0, 1], from 31 bits, so normals reach 6.6 standard deviations.
 * With m in [sqrt(1/2), sqrt(2)) and f = m - 1: ln m = f - f^2/2 + f^3 P(f), relative error 2e-8 before rounding. */
static inline float minus_2_log(uint32_t w) {
    float u = ((float)(int32_t)(w >> 1) + 0.5f) * 0x1p-31f;
    uint32_t b = bits_of(u) + (0x3f800000u - 0x3f3504f3u);
    float e = (float)((int32_t)(b >> 23) - 127), f = float_of((b & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
    float p = -0.0790274377f;
    p = p * f + 0.126223198f;
    p = p * f - 0.129981838f;
    p = p * f + 0.142144959f;
    p = p * f - 0.166412815f;
    p = p * f + 0.200010451f;
    p = p * f - 0.250003064f;
    p = p * f + 0.333333307f;
    float ff = f * f, log = (e * 0.693147181f + f) + (ff * f * p - 0.5f * ff);
    float r = -2.0f * log;
    return r > 0.0f ? r : 0.0f;
}

/* Angle (quadrant + t) * pi/2: the quadrant from the two upper bits, t in [-1/2, 1/2) from the 30 others. */
static inline void pair(uint32_t wr, uint32_t wa, float mean, float std, float *restrict a, float *restrict b) {
    float r = sqrtf(minus_2_log(wr)) * std;
    float t = (float)(int32_t)(wa << 2) * 0x1p-32f, z = t * t;
    float s = ((-0.00460214921f * z + 0.0796802176f) * z - 0.645963478f) * z + 1.57079632f;
    float c = ((0.000906739896f * z - 0.0208615283f) * z + 0.25366941f) * z - 1.23370055f;
    s = s * t;
    c = c * z + 1.0f;
    uint32_t q = wa >> 30, swap = 0u - (q & 1u);
    uint32_t sb = bits_of(s), cb = bits_of(c);
    uint32_t cosine = ((cb & ~swap) | (sb & swap)) ^ ((q + 1) & 2u) << 30;
    uint32_t sine = ((sb & ~swap) | (cb & swap)) ^ (q & 2u) << 30;
    *a = r * float_of(cosine) + mean;
    *b = r * float_of(sine) + mean;
}

static void block_normal(uint64_t seed, uint64_t block, float mean, float std, float out[LB_RNG_BLOCK]) {
    uint32_t w[LB_RNG_BLOCK];
    const int n = LB_RNG_COUNTERS;
    philox_words(seed, block, w);
    for (int half = 0; half < 2; half++) {
        const uint32_t *restrict wr = w + 2 * half * n, *restrict wa = wr + n;
        float *restrict a = out + 2 * half * n, *restrict b = a + n;
        for (int j = 0; j < n; j++) pair(wr[j], wa[j], mean, std, &a[j], &b[j]);
    }
}
#endif
