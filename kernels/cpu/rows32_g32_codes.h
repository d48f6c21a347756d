/* rows32_g32_codes.h: codes and scales of rows32_g32_pack.h's panels, decoded with AVX-512. */
#pragma once
#include "rows32.h"
#include "rows32_g32_pack.h"

/* d (or with `what` 1 the minima) of rows 0..15 (half 0) or 16..31. */
LB_INLINE __m512 h32_scale(const h32 f, const uint8_t *panel, int64_t group, int half, int what) {
    const uint8_t *p = panel + h32_scales_at(f, group) + 64 * what;
    if (f.scales == H32_F32) return _mm512_load_ps((const float *)(const void *)p + 16 * half);
    if (f.scales == H32_F16) return lb_load_f16x16(p + 32 * half);
    __m512i e = _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)(const void *)(p + 16 * half)));
    e = _mm512_max_epi32(_mm512_slli_epi32(e, 23), _mm512_set1_epi32(0x00400000)); /* 2^-127 is subnormal */
    return _mm512_mul_ps(_mm512_castsi512_ps(e), _mm512_set1_ps(0.5f));
}

/* `ahead`, a constant: prefetches what is read LB_PREFETCH_BYTES later. */
LB_INLINE __m512i h32_load(const uint8_t *p, const bool ahead) {
    return ahead ? lb_load_ahead(p) : _mm512_load_si512(p);
}

/* w[j] |= bit j of every byte of `top`, at bit `to`. */
LB_INLINE void h32_top_bits(__m512i top, int to, __m512i w[8]) {
    __m512i bit = lb_bytes(1u << to);
    LB_UNROLL for (int j = 0; j < 8; j++) {
        __m512i at = j > to ? _mm512_srli_epi32(top, (unsigned)(j - to)) : _mm512_slli_epi32(top, (unsigned)(to - j));
        w[j] = _mm512_ternarylogic_epi32(w[j], at, bit, 0xf8); /* w | (at & bit) */
    }
}

/* Levels by nibbles. Processors with AMX look up 64 bytes by six bits of each code, so that nibbles need no mask. */
#ifdef __AMX_TILE__
LB_INLINE void h32_levels(const uint8_t levels[16], const __m512i x[4], __m512i w[8]) {
    const __m512i t = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)levels));
    LB_UNROLL for (int j = 0; j < 4; j++) {
        w[j] = _mm512_permutexvar_epi8(x[j], t);
        w[j + 4] = _mm512_permutexvar_epi8(_mm512_srli_epi32(x[j], 4), t);
    }
}
#else
LB_INLINE void h32_levels(const uint8_t levels[16], const __m512i x[4], __m512i w[8]) {
    const __m512i t = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)levels));
    LB_UNROLL for (int j = 0; j < 4; j++) {
        w[j] = _mm512_shuffle_epi8(t, lb_field(x[j], 0, 0x0f));
        w[j + 4] = _mm512_shuffle_epi8(t, lb_field(x[j], 4, 0x0f));
    }
}
#endif

/* The eight vectors of bytes of 16 rows at `p`. */
LB_INLINE void h32_codes(const h32 f, const uint8_t *p, __m512i w[8], const bool ahead) {
    const int low = f.bits == 8 ? 8 : f.bits & 6; /* bits that do not stand in the last vector */
    if (low == 8) {
        LB_UNROLL for (int j = 0; j < 8; j++) w[j] = h32_load(p + 64 * j, ahead);
    } else if (low == 6) {
        LB_UNROLL for (int i = 0; i < 2; i++) { /* as lb_unpack6 */
            __m512i p0 = h32_load(p + 192 * i, ahead), p1 = h32_load(p + 192 * i + 64, ahead);
            __m512i p2 = h32_load(p + 192 * i + 128, ahead), *t = w + 4 * i;
            t[0] = lb_field(p0, 0, 0x3f);
            t[1] = lb_field(p1, 0, 0x3f);
            t[2] = lb_field(p2, 0, 0x3f);
            t[3] = _mm512_or_si512(lb_field(p1, 4, 0x0c), lb_field(p2, 2, 0x30));
            t[3] = _mm512_or_si512(lb_field(p0, 6, 0x03), t[3]);
        }
    } else if (low == 4) {
        __m512i x[4];
        LB_UNROLL for (int j = 0; j < 4; j++) x[j] = h32_load(p + 64 * j, ahead);
        if (f.levels) {
            h32_levels(f.levels, x, w);
        } else {
            LB_UNROLL for (int j = 0; j < 4; j++) {
                w[j] = lb_field(x[j], 0, 0x0f);
                w[j + 4] = lb_field(x[j], 4, 0x0f);
            }
        }
    } else {
        LB_UNROLL for (int j = 0; j < 2; j++) {
            __m512i x = h32_load(p + 64 * j, ahead);
            LB_UNROLL for (int i = 0; i < 4; i++) w[j + 2 * i] = lb_field(x, 2 * i, 0x03);
        }
    }
    if (f.bits & 1) h32_top_bits(h32_load(p + 64 * low, ahead), low, w);
}
