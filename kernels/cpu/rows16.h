/* rows16.h: what the K-quant panel kernels with AVX-512 share: register-level pieces over panels as rows16_pack.h has
 * them. */
#pragma once
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "../../engine/kernel.h"
#include "act_q8_avx512.h"
#include "rows16_pack.h"

/* Bytes ahead of the reads of weights that are prefetched in kernels that stream them. */
#ifdef __AMX_TILE__
#define LB_PREFETCH_BYTES 8192
#else
#define LB_PREFETCH_BYTES 4096
#endif
typedef int32_t lb_i32_any __attribute__((may_alias, aligned(4)));

/* acc += the four u8 x s8 products of each lane; the 4 activations at `a` are broadcast by the instruction itself
 * (gcc 12 would spend a second one on it). The same for two s16 products below. */
LB_INLINE __m512i lb_dot4(__m512i acc, __m512i weights_u8, const int8_t *a) {
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(weights_u8), "m"(*(const lb_i32_any *)a));
    return acc;
}

LB_INLINE __m512i lb_dot2(__m512i acc, __m512i pairs_s16, const int16_t *a) {
    __asm__("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(pairs_s16), "m"(*(const lb_i32_any *)a));
    return acc;
}

/* The same of registers. Not intrinsics: gcc 12, tuning for no processor in particular, would reorder a tile's products
 * and copy sums between registers, which costs a fifth of the speed. */
LB_INLINE __m512i lb_dot4_regs(__m512i acc, __m512i weights_u8, __m512i a) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(weights_u8), "v"(a));
    return acc;
}

LB_INLINE __m512i lb_dot2_regs(__m512i acc, __m512i pairs_s16, __m512i a) {
    __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(pairs_s16), "v"(a));
    return acc;
}

/* The dword at `a` in every lane: an addition, because vpbroadcastd takes a slot of the multipliers on Zen 5.
 * Processors with AMX spread it as they load it, by no other port. */
LB_INLINE __m512i lb_spread(const int32_t *a) {
    __m512i v;
#ifdef __AMX_TILE__
    __asm__("vpbroadcastd %1, %0" : "=v"(v) : "m"(*a));
#else
    __asm__("vpaddd %2%{1to16%}, %1, %0" : "=v"(v) : "v"(_mm512_setzero_si512()), "m"(*a));
#endif
    return v;
}

/* Asks for the line of weights `bytes` behind p. Processors with AMX: into L2, and into L1 for the line LB_NEAR_BYTES
 * behind p, because L1 has few misses under way at a time (Emerald Rapids, one row of x, cold, two threads, in turns,
 * of a plain read; all into L1, and into L2: q4_0 90 and 95 %, q4_k 87 and 93, float8wo 75 and 84, int4wo 76 and 84;
 * into L2, and both: int4wo 88 and 92, fp6 86 and 90). */
enum { LB_NEAR_BYTES = 2048 };
LB_INLINE void lb_ask(const uint8_t *p, size_t bytes) {
#ifdef __AMX_TILE__
    _mm_prefetch((const char *)p + bytes, _MM_HINT_T1);
    _mm_prefetch((const char *)p + LB_NEAR_BYTES, _MM_HINT_T0);
#else
    _mm_prefetch((const char *)p + bytes, _MM_HINT_T0);
#endif
}

LB_INLINE __m512i lb_load_ahead(const uint8_t *p) {
    lb_ask(p, LB_PREFETCH_BYTES);
    return _mm512_load_si512(p);
}

LB_INLINE __m512 lb_load_f16x16(const uint8_t *p) {
    return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)p));
}

LB_INLINE __m512i lb_bytes(uint32_t b) { return _mm512_set1_epi32((int)(b * 0x01010101u)); }

/* (v >> bits) & mask, bit fields of every byte; the mask keeps neighbours out. */
LB_INLINE __m512i lb_field(__m512i v, int bits, uint32_t mask) {
    return _mm512_and_si512(bits ? _mm512_srli_epi32(v, (unsigned)bits) : v, lb_bytes(mask));
}

/* Where the codes of a pair of sub-blocks lie in their bytes: times 2 to these powers. */
typedef struct lb_pair_place { int even, odd; } lb_pair_place;

/* Indexes into tables of 4 rows x 4 entries in each 128-bit lane, by the 2-bit codes at `bits` of every byte. */
LB_INLINE __m512i lb_table_index(__m512i codes, int bits) {
    const __m512i row = _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0);
    __m512i v = bits ? _mm512_srli_epi32(codes, (unsigned)bits) : codes;
    return _mm512_ternarylogic_epi32(v, lb_bytes(0x03), row, 0xea); /* (a & b) | c */
}

/* w | (v >> bits & mask) */
LB_INLINE __m512i lb_merge(__m512i w, __m512i v, int bits, uint32_t mask) {
    return _mm512_ternarylogic_epi32(w, _mm512_srli_epi32(v, (unsigned)bits), lb_bytes(mask), 0xf8);
}

/* Four vectors of 6-bit fields from three of bytes: see lb_pack6. */
LB_INLINE void lb_unpack6(const uint8_t *p, __m512i t[4]) {
    __m512i p0 = _mm512_load_si512(p), p1 = _mm512_load_si512(p + 64), p2 = _mm512_load_si512(p + 128);
    t[0] = lb_field(p0, 0, 0x3f);
    t[1] = lb_field(p1, 0, 0x3f);
    t[2] = lb_field(p2, 0, 0x3f);
    t[3] = lb_merge(lb_merge(lb_field(p0, 6, 0x03), p1, 4, 0x0c), p2, 2, 0x30);
}
