/* cells.h: runs of values of every type that caches and conversions have, to and from f32. */
#pragma once
#include "vec.h"

static inline float f8_to_f32(uint8_t h) {
    /* the bits of a small f32, brought to size: exact, subnormals too */
    float v = lb_f32_from_bits((uint32_t)(h & 0x7f) << 20) * 0x1p120f;
    v = (h & 0x7f) == 0x7f ? NAN : v;
    return h & 0x80 ? -v : v;
}

/* As lb_f32_to_f8e4m3, without branches. */
static inline uint8_t f32_to_f8(float f) {
    uint32_t u = lb_f32_bits(f), sign = u >> 24 & 0x80u, a = u & 0x7fffffffu;
    uint32_t normal = (a - (120u << 23) + 0x7ffffu + (a >> 20 & 1u)) >> 20;
    /* below 2^-6: adding 2^14 leaves multiples of 2^-9, rounded to even, in the low bits */
    float lifted = lb_f32_from_bits(a < 0x3c800000u ? a : 0) + 16384.0f;
    uint32_t small = lb_f32_bits(lifted) - 0x46800000u;
    uint32_t r = a < 0x3c800000u ? small : normal;
    r = a >= 0x43e00000u ? 0x7eu : r > 0x7eu ? 0x7eu : r;
    r = a > 0x7f800000u ? 0x7fu : r;
    return (uint8_t)(sign | r);
}

static inline uint16_t f32_to_bf16(float f) {
    uint32_t u = lb_f32_bits(f), r = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    return (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40u : r);
}

static inline void load_f16(const uint16_t *restrict h, int64_t n, float *restrict out) {
    int64_t i = 0;
#if defined(__AVX512F__)
    for (; i + 16 <= n; i += 16) vf_store(out + i, _mm512_cvtph_ps(_mm256_loadu_si256((const void *)(h + i))));
#elif defined(__F16C__)
    for (; i + 8 <= n; i += 8) vf_store(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(h + i))));
#endif
    for (; i < n; i++) out[i] = lb_f16_to_f32(h[i]);
}

static inline void store_f16(const float *restrict x, int64_t n, uint16_t *restrict out) {
    int64_t i = 0;
#if defined(__AVX512F__)
    for (; i + 16 <= n; i += 16) _mm256_storeu_si256((void *)(out + i), _mm512_cvtps_ph(vf_load(x + i), 8));
#elif defined(__F16C__)
    for (; i + 8 <= n; i += 8) _mm_storeu_si128((void *)(out + i), _mm256_cvtps_ph(vf_load(x + i), 8));
#endif
    for (; i < n; i++) out[i] = lb_f32_to_f16(x[i]);
}

static inline void load_bf16(const uint16_t *restrict h, int64_t n, float *restrict out) {
    int64_t i = 0;
#if defined(__AVX512F__)
    for (; i + 16 <= n; i += 16) {
        __m512i w = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(h + i)));
        vf_store(out + i, _mm512_castsi512_ps(_mm512_slli_epi32(w, 16)));
    }
#elif defined(__AVX2__)
    for (; i + 8 <= n; i += 8) {
        __m256i w = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(h + i)));
        vf_store(out + i, _mm256_castsi256_ps(_mm256_slli_epi32(w, 16)));
    }
#endif
    for (; i < n; i++) out[i] = lb_bf16_to_f32(h[i]);
}

static inline void load_f8(const uint8_t *restrict h, int64_t n, float *restrict out) {
    int64_t i = 0;
#if defined(__AVX512F__)
    const __m512i seven = _mm512_set1_epi32(0x7f);
    for (; i + 16 <= n; i += 16) {
        __m512i w = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)(h + i))), a = _mm512_and_si512(w, seven);
        __m512 v = _mm512_mul_ps(_mm512_castsi512_ps(_mm512_slli_epi32(a, 20)), _mm512_set1_ps(0x1p120f));
        v = _mm512_mask_mov_ps(v, _mm512_cmpeq_epi32_mask(a, seven), _mm512_set1_ps(NAN));
        __m512i sign = _mm512_slli_epi32(_mm512_andnot_si512(seven, w), 24);
        vf_store(out + i, _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(v), sign)));
    }
#elif defined(__AVX2__)
    const __m256i seven = _mm256_set1_epi32(0x7f);
    for (; i + 8 <= n; i += 8) {
        __m256i w = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(h + i))), a = _mm256_and_si256(w, seven);
        __m256 v = _mm256_mul_ps(_mm256_castsi256_ps(_mm256_slli_epi32(a, 20)), _mm256_set1_ps(0x1p120f));
        v = _mm256_blendv_ps(v, _mm256_set1_ps(NAN), _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, seven)));
        __m256i sign = _mm256_slli_epi32(_mm256_andnot_si256(seven, w), 24);
        vf_store(out + i, _mm256_castsi256_ps(_mm256_or_si256(_mm256_castps_si256(v), sign)));
    }
#endif
    for (; i < n; i++) out[i] = f8_to_f32(h[i]);
}

static inline void load_q8_0(const uint8_t *restrict p, int64_t n, float *restrict out) {
    for (int64_t b = 0; b < n; b += 32, p += 34, out += 32) {
        uint16_t h;
        memcpy(&h, p, 2);
        float d;
#if defined(__F16C__)
        d = _cvtsh_ss(h);
#else
        d = lb_f16_to_f32(h);
#endif
        const int8_t *q = (const int8_t *)p + 2;
        for (int i = 0; i < 32; i++) out[i] = d * (float)q[i];
    }
}

static inline void load_q4_0(const uint8_t *restrict p, int64_t n, float *restrict out) {
    for (int64_t b = 0; b < n; b += 32, p += 18, out += 32) {
        uint16_t h;
        memcpy(&h, p, 2);
        float d;
#if defined(__F16C__)
        d = _cvtsh_ss(h);
#else
        d = lb_f16_to_f32(h);
#endif
        for (int i = 0; i < 16; i++) out[i] = d * (float)((p[2 + i] & 15) - 8);
        for (int i = 0; i < 16; i++) out[16 + i] = d * (float)((p[2 + i] >> 4) - 8);
    }
}

/* n values of a run (n a multiple of 32 if packed). */
static inline void load_cells(lb_dtype type, int packed, const void *src, int64_t n, float *restrict out) {
    switch (type) {
    case LB_F32: memcpy(out, src, (size_t)n * 4); break;
    case LB_F16: load_f16(src, n, out); break;
    case LB_BF16: load_bf16(src, n, out); break;
    case LB_F8E4M3: load_f8(src, n, out); break;
    default:
        if (packed == LB_PACKED_Q8_0) load_q8_0(src, n, out);
        else load_q4_0(src, n, out);
        break;
    }
}

/* The quantizer's bytes, and NaN as the factor of blocks that hold NaN or Inf, which it makes numbers of. */
static inline void store_packed(const lb_quantizer *q, const float *restrict x, int64_t n, uint8_t *dst) {
    const uint16_t nan = 0x7e00;
    uint32_t most = 0;
    q->quantize(q, x, 1, n, 0, 1, dst);
    for (int64_t i = 0; i < n; i++) {
        uint32_t v = lb_f32_bits(x[i]) & 0x7fffffffu;
        most = v > most ? v : most;
    }
    if (most < 0x7f800000u) return;
    size_t block = q->size_bytes(q, 1, n) / (size_t)(n / 32);
    for (int64_t i = 0; i < n; i++)
        if ((lb_f32_bits(x[i]) & 0x7fffffffu) >= 0x7f800000u) memcpy(dst + (size_t)(i / 32) * block, &nan, sizeof nan);
}

static inline void store_cells(lb_dtype type, const lb_quantizer *q, const float *restrict x, int64_t n, void *dst) {
    switch (type) {
    case LB_F32: memcpy(dst, x, (size_t)n * 4); break;
    case LB_F16: store_f16(x, n, dst); break;
    case LB_BF16: {
        uint16_t *restrict h = dst;
        for (int64_t i = 0; i < n; i++) h[i] = f32_to_bf16(x[i]);
        break;
    }
    case LB_F8E4M3: {
        uint8_t *restrict h = dst;
        for (int64_t i = 0; i < n; i++) h[i] = f32_to_f8(x[i]);
        break;
    }
    default: store_packed(q, x, n, dst); break;
    }
}

/* The quantizer of packed caches; NULL for the others (and, which supports() asks, where none is registered). */
static inline const lb_quantizer *packed_quantizer(int packed) {
    const lb_quantizer *q = NULL;
    if (packed != LB_PACKED_NONE && lb_quantizer_find(packed == LB_PACKED_Q8_0 ? "q8_0" : "q4_0", &q)) return NULL;
    return q;
}
