/* native_open.h: blocks of 256 weights as GGUF has them, opened in registers: codes in the order of the activations,
 * and what they are scaled by. For native_panels.h. */
#pragma once
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 64")

/* ---- pieces ---- */

INLINE __m512i load64(const uint8_t *p) { return _mm512_loadu_si512(p); }
INLINE __m512i both(const uint8_t *p) { return _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)p)); }
INLINE __m512i bytes(int b) { return _mm512_set1_epi8((char)b); }
INLINE __m512i halves(int low, int high) {
    return _mm512_inserti64x4(_mm512_set1_epi16((short)low), _mm256_set1_epi16((short)high), 1);
}

INLINE uint32_t u16_at(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}

INLINE uint32_t u32_at(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

INLINE __m128i pair64(uint32_t low, uint32_t high) {
    return _mm_cvtsi64_si128((int64_t)((uint64_t)high << 32 | low));
}

/* 64 codes of 32 bytes: low nibbles, then high ones. */
INLINE __m512i nibbles(const uint8_t *p) {
    return _mm512_and_si512(_mm512_srlv_epi16(both(p), halves(0, 4)), bytes(15));
}

/* Which of 64 codes have the bit: `low` of the 32 bytes at p for the first 32, `high` for the others. */
INLINE __mmask64 bits(__m512i v, int low, int high) {
    const __m512i at = _mm512_inserti64x4(_mm512_set1_epi8((char)(1 << low)), _mm256_set1_epi8((char)(1 << high)), 1);
    return _mm512_test_epi8_mask(v, at);
}

/* ---- formats whose runs of 32 or 16 have integers for scales ---- */

/* 256 weights: d * scale * code - dmin * min. scale and min: one for each run of 32 (eight) or 16, by which the sums of
 * activations are multiplied; d: the bits of d, and of dmin above them. */
typedef struct scaled { __m512i code[4]; __m256i scale, min; uint32_t d; } scaled;

/* Of 16 scales of runs of 16 the four of codes 64 i on, one for each two codes. */
INLINE __m512i spread16(__m256i scale, const int i) {
    const __m512i at = _mm512_set_epi64(0x0003000300030003, 0x0003000300030003, 0x0002000200020002, 0x0002000200020002,
                                        0x0001000100010001, 0x0001000100010001, 0, 0);
    return _mm512_permutexvar_epi16(_mm512_add_epi16(at, _mm512_set1_epi16((short)(4 * i))),
                                    _mm512_castsi256_si512(scale));
}

/* q4_k's and q5_k's head: d, dmin, eight scales and minima of 6 bits. */
INLINE void open_scales12(const uint8_t *b, scaled *w) {
    uint32_t v0 = u32_at(b + 4), v1 = u32_at(b + 8), v2 = u32_at(b + 12);
    __m128i sc = pair64(v0 & 0x3f3f3f3f, (v2 & 0x0f0f0f0f) | (v0 >> 6 & 0x03030303) << 4);
    __m128i m = pair64(v1 & 0x3f3f3f3f, (v2 >> 4 & 0x0f0f0f0f) | (v1 >> 6 & 0x03030303) << 4);
    w->scale = _mm256_zextsi128_si256(_mm_cvtepu8_epi16(sc));
    w->min = _mm256_zextsi128_si256(_mm_cvtepu8_epi16(m));
    w->d = u32_at(b);
}

INLINE void open_q4_k(const uint8_t *b, scaled *w) {
    UNROLL for (int i = 0; i < 4; i++) w->code[i] = nibbles(b + 16 + 32 * i);
    open_scales12(b, w);
}

INLINE void open_q5_k(const uint8_t *b, scaled *w) {
    __m512i high = both(b + 16);
    UNROLL for (int i = 0; i < 4; i++) {
        __m512i low = nibbles(b + 48 + 32 * i);
        w->code[i] = _mm512_mask_add_epi8(low, bits(high, 2 * i, 2 * i + 1), low, bytes(16));
    }
    open_scales12(b, w);
}

/* The two codes of 2 bits of 32 bytes at p that stand at bits 4 h and 4 h + 2, moved to bit `to`. */
INLINE __m512i twos(const uint8_t *p, int h, int to) {
    const __m512i by = _mm512_inserti64x4(_mm512_set1_epi32((32 + to - 4 * h) % 32),
                                          _mm256_set1_epi32((32 + to - 4 * h - 2) % 32), 1);
    return _mm512_rolv_epi32(both(p), by);
}

INLINE void open_q6_k(const uint8_t *b, scaled *w) {
    UNROLL for (int i = 0; i < 4; i++) {
        __m512i low = load64(b + 64 * (i / 2));
        if (i % 2) low = _mm512_srli_epi16(low, 4);
        __m512i high = _mm512_and_si512(twos(b + 128 + 32 * (i / 2), i % 2, 4), bytes(0x30));
        w->code[i] = _mm512_ternarylogic_epi32(low, high, bytes(15), 0xec); /* (low & 15) | high */
    }
    w->scale = w->min = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(b + 192)));
    w->d = u16_at(b + 208);
}

INLINE void open_q2_k(const uint8_t *b, scaled *w) {
    UNROLL for (int i = 0; i < 4; i++)
        w->code[i] = _mm512_and_si512(twos(b + 16 + 32 * (i / 2), i % 2, 0), bytes(3));
    __m256i v = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)b));
    w->min = _mm256_srli_epi16(v, 4);
    w->scale = _mm256_and_si256(v, _mm256_set1_epi16(15));
    w->d = u32_at(b + 80);
}

INLINE void open_q3_k(const uint8_t *b, scaled *w) {
    __m512i high = both(b);
    UNROLL for (int i = 0; i < 4; i++) {
        __m512i low = _mm512_and_si512(twos(b + 32 + 32 * (i / 2), i % 2, 0), bytes(3));
        w->code[i] = _mm512_mask_add_epi8(low, bits(high, 2 * i, 2 * i + 1), low, bytes(4));
    }
    uint32_t v0 = u32_at(b + 96), v1 = u32_at(b + 100), v2 = u32_at(b + 104), f = 0x0f0f0f0f, t = 0x03030303;
    __m128i low = pair64((v0 & f) | (v2 & t) << 4, (v1 & f) | (v2 >> 2 & t) << 4);
    __m128i up = pair64((v0 >> 4 & f) | (v2 >> 4 & t) << 4, (v1 >> 4 & f) | (v2 >> 6 & t) << 4);
    w->scale = w->min = _mm256_sub_epi16(_mm256_cvtepu8_epi16(_mm_unpacklo_epi64(low, up)), _mm256_set1_epi16(32));
    w->d = u16_at(b + 108);
}

/* ---- formats whose runs of 32 have floats for scales ---- */

/* 256 weights: d * (code - the format's offset) + m. code: the first 16 of each of runs 0 to 3, the last 16, then the
 * same of runs 4 to 7. d and m: eight f16, of runs of 32. */
typedef struct grouped { __m512i code[4]; __m128i d, m; } grouped;

/* 16 bytes of each of four runs, `step` bytes apart. */
INLINE __m512i quarters(const uint8_t *p, const size_t step) {
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)p));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(p + step)), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(p + 2 * step)), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(p + 3 * step)), 3);
}

/* Codes of nibbles, 16 bytes a run: those of the first 16 are the low ones. */
INLINE void open_nibbles(const uint8_t *p, const size_t step, grouped *w) {
    UNROLL for (int i = 0; i < 2; i++) {
        __m512i v = quarters(p + 4 * step * (size_t)i, step);
        w->code[2 * i] = _mm512_and_si512(v, bytes(15));
        w->code[2 * i + 1] = _mm512_and_si512(_mm512_srli_epi16(v, 4), bytes(15));
    }
}

/* Eight f16, `step` bytes apart. */
INLINE __m128i f16x8(const uint8_t *p, const size_t step) {
    uint16_t h[8];
    UNROLL for (int i = 0; i < 8; i++) memcpy(h + i, p + (size_t)i * step, 2);
    return _mm_setr_epi16((short)h[0], (short)h[1], (short)h[2], (short)h[3], (short)h[4], (short)h[5], (short)h[6],
                          (short)h[7]);
}

/* The eight f16 at words 0, 9, .., 63 of 128 bytes. */
INLINE __m128i f16_every18(const uint8_t *b) {
    const __m512i at = _mm512_castsi128_si512(_mm_setr_epi16(0, 9, 18, 27, 36, 45, 54, 63));
    return _mm512_castsi512_si128(_mm512_permutex2var_epi16(load64(b), at, load64(b + 64)));
}

INLINE void open_q4_0(const uint8_t *b, grouped *w) {
    open_nibbles(b + 2, 18, w);
    w->d = w->m = f16_every18(b);
}

INLINE void open_q8_0(const uint8_t *b, grouped *w) {
    UNROLL for (int i = 0; i < 4; i++)
        w->code[i] = _mm512_xor_si512(quarters(b + 2 + 136 * (i / 2) + 16 * (i % 2), 34), bytes(0x80));
    w->d = w->m = f16x8(b, 34);
}

INLINE void open_q4_1(const uint8_t *b, grouped *w) {
    open_nibbles(b + 4, 20, w);
    w->d = f16x8(b, 20);
    w->m = f16x8(b + 2, 20);
}

/* Codes of 5 bits whose fifths stand in the four bytes before 16 of nibbles. */
INLINE void fives(const uint8_t *b, const size_t step, grouped *w) {
    const __m128i at = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    open_nibbles(b + 4, step, w);
    UNROLL for (int i = 0; i < 2; i++) {
        const uint8_t *p = b + 4 * step * (size_t)i;
        __m128i v = _mm_setr_epi32((int)u32_at(p), (int)u32_at(p + step), (int)u32_at(p + 2 * step),
                                   (int)u32_at(p + 3 * step));
        v = _mm_shuffle_epi8(v, at);
        UNROLL for (int h = 0; h < 2; h++) {
            __mmask64 high = (__mmask64)(h ? _mm_extract_epi64(v, 1) : _mm_cvtsi128_si64(v));
            w->code[2 * i + h] = _mm512_mask_add_epi8(w->code[2 * i + h], high, w->code[2 * i + h], bytes(16));
        }
    }
}

INLINE void open_q5_0(const uint8_t *b, grouped *w) {
    fives(b + 2, 22, w);
    w->d = w->m = f16x8(b, 22);
}

INLINE void open_q5_1(const uint8_t *b, grouped *w) {
    fives(b + 4, 24, w);
    w->d = f16x8(b, 24);
    w->m = f16x8(b + 2, 24);
}

/* iq4_nl's levels + 128. */
INLINE __m512i levels(__m512i codes) {
    const __m128i t = _mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118, (char)129, (char)141, (char)153, (char)166,
                                    (char)181, (char)197, (char)217, (char)241);
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(t), codes);
}

INLINE void open_iq4_nl(const uint8_t *b, grouped *w) {
    open_nibbles(b + 2, 18, w);
    UNROLL for (int i = 0; i < 4; i++) w->code[i] = levels(w->code[i]);
    w->d = w->m = f16_every18(b);
}

/* Two times 16 bytes of nibbles, `step` bytes apart, as 64 codes: each one's low nibbles, then its high ones. */
INLINE __m512i nibbles16(const uint8_t *p, size_t step) {
    __m256i v = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)p)),
                                        _mm_loadu_si128((const __m128i *)(p + step)), 1);
    const __m512i by = _mm512_set_epi64(0x0004000400040004, 0x0004000400040004, 0, 0, 0x0004000400040004,
                                        0x0004000400040004, 0, 0);
    __m512i d = _mm512_permutexvar_epi64(_mm512_set_epi64(3, 2, 3, 2, 1, 0, 1, 0), _mm512_castsi256_si512(v));
    return _mm512_and_si512(_mm512_srlv_epi16(d, by), bytes(15));
}

/* Its levels' offset of 128, times the scale, is taken off like a minimum. */
INLINE void open_iq4_xs(const uint8_t *b, scaled *w) {
    UNROLL for (int i = 0; i < 4; i++) w->code[i] = levels(nibbles16(b + 8 + 32 * i, 16));
    const __m256i twice = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    const __m256i four = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    __m256i low = _mm256_srlv_epi32(_mm256_set1_epi32((int)u32_at(b + 4)), four);
    __m256i high = _mm256_srlv_epi32(_mm256_set1_epi32((int)u16_at(b + 2)), twice);
    low = _mm256_and_si256(low, _mm256_set1_epi32(15));
    high = _mm256_slli_epi32(_mm256_and_si256(high, _mm256_set1_epi32(3)), 4);
    __m256i s = _mm256_sub_epi32(_mm256_or_si256(low, high), _mm256_set1_epi32(32));
    w->scale = _mm256_zextsi128_si256(_mm256_cvtepi32_epi16(s));
    w->min = _mm256_slli_epi16(w->scale, 7);
    w->d = u16_at(b);
}
