/* native_few.h: products of 16 rows of quantized weights, as files have them, with up to four rows of activations.
 *
 * 16 bytes at one place of the blocks of 16 rows are turned into four vectors whose lane r has a dword of row r: what
 * panels of repacked weights hold. From there on everything is theirs: the same exact int32 sums, the same f32 steps
 * for each 256 weights, in the order of K, so that a result has the bits of the repacked product, whatever the number
 * of columns. Turning takes 24 instructions for 256 bytes; scales of 16 rows become floats together, and no sum is
 * taken across lanes.
 *
 * The rows of a panel follow one another, but are read side by side: lines are asked for 16 rows and FEW_FURTHER ahead,
 * in the order of addresses, so that the memory sees one stream, and more than once: what finds no room among the
 * misses in flight is forgotten. Without FEW_FURTHER the last of 16 rows, whose first block is needed at once, was
 * asked for a KiB before: short rows waited at the begin of each 16. */
#pragma once
#include "act_q8_32_avx512.h"
#include "rows16.h"

enum { FEW_COLS = 4, FEW_FURTHER = 4096, FEW_NEAR = 128 };
#define EACH LB_UNROLL for (int c = 0; c < cols; c++)

/* Where the current blocks of 16 rows stand: of rows 0, 4, 8 and 12; bytes from row to row, and three times that; what
 * is asked for meanwhile. The activations that they meet. */
typedef struct few {
    const uint8_t *row[4];
    size_t step, step3;
    const uint8_t *ahead;
    const int8_t *act[FEW_COLS];
    const __m512i *dword, *tail; /* NULL, or of the blocks, turned before: dword i, and the last four */
} few;

/* K-quants and iq4_xs read lb_act_q8_256, the others runs of lb_act_q8_32. */
LB_INLINE const lb_act_q8_256 *few_sums(const few *f, int c) { return (const lb_act_q8_256 *)(const void *)f->act[c]; }
enum { FEW_RUN = sizeof(lb_act_q8_32) };
LB_INLINE const lb_act_q8_32 *few_of_run(const few *f, int g, int c) {
    return (const lb_act_q8_32 *)(const void *)(f->act[c] + FEW_RUN * g);
}

/* ---- turning ---- */

/* 16 bytes at `p` to the lanes of v that `mask` has. In assembly, because sanitizers would take minutes over so many
 * loads; a block's places are constants. */
LB_INLINE __m512i few_lane(__m512i v, const uint8_t *p, __mmask16 mask) {
    typedef struct { uint8_t byte[16]; } sixteen;
    __asm__("vbroadcasti32x4 %1, %0%{%2%}" : "+v"(v) : "m"(*(const sixteen *)p), "Yk"(mask));
    return v;
}

/* 16 bytes each of rows i, i + 4, i + 8 and i + 12. */
LB_INLINE __m512i few_lanes(const few *f, size_t at, size_t by) {
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)(f->row[0] + by + at)));
    LB_UNROLL for (int l = 1; l < 4; l++) v = few_lane(v, f->row[l] + by + at, (__mmask16)(15 << 4 * l));
    return v;
}

LB_INLINE void few_turned(__m512i a, __m512i b, __m512i c, __m512i d, __m512i t[4]) {
    __m512i ab = _mm512_unpacklo_epi32(a, b), cd = _mm512_unpacklo_epi32(c, d);
    t[0] = _mm512_unpacklo_epi64(ab, cd);
    t[1] = _mm512_unpackhi_epi64(ab, cd);
    ab = _mm512_unpackhi_epi32(a, b), cd = _mm512_unpackhi_epi32(c, d);
    t[2] = _mm512_unpacklo_epi64(ab, cd);
    t[3] = _mm512_unpackhi_epi64(ab, cd);
}

#ifdef __AMX_TILE__
/* Line i of the four that 16 bytes of 16 rows are, into L2, where nothing is forgotten: once. L1 has few misses under
 * way at a time and not the room to hold lines from here until they are used, so what is near by is asked for again:
 * lines of four rows with each 16 bytes, so that four times 16 bytes ask for those of all. */
LB_INLINE void few_ask(const few *f, size_t at, int i, const int again) {
    (void)again;
    const size_t row = at / 16 % 4, by = row < 3 ? row * f->step : f->step3;
    __asm__ volatile("prefetcht1 %0" : : "m"(f->ahead[16 * (int64_t)at + 64 * i]));
    __asm__ volatile("prefetcht0 %0" : : "m"(f->row[i][by + at + FEW_NEAR]));
}
#else
/* Line i of the four that 16 bytes of 16 rows are, `again` times, 2 KiB apart. */
LB_INLINE void few_ask(const few *f, size_t at, int i, const int again) {
    LB_UNROLL for (int g = 0; g < again; g++)
        __asm__ volatile("prefetcht0 %0" : : "m"(f->ahead[16 * (int64_t)at + 64 * i - 2048 * g]));
}
#endif

/* t[i]: dword i of the 16 bytes at `at` of each row's block. */
LB_INLINE void few_turn(const few *f, size_t at, __m512i t[4]) {
    if (f->dword) {
        LB_UNROLL for (int i = 0; i < 4; i++) t[i] = f->dword[at / 4 + (size_t)i];
        return;
    }
    LB_UNROLL for (int i = 0; i < 4; i++) few_ask(f, at, i, 3);
    few_turned(few_lanes(f, at, 0), few_lanes(f, at, f->step), few_lanes(f, at, 2 * f->step),
               few_lanes(f, at, f->step3), t);
}

/* The same of whole blocks of `bytes` to where f->dword and f->tail stand, in a loop that stays one, a line asked for
 * behind every four rows. */
LB_INLINE void few_turn_blocks(const few *f, const size_t bytes, __m512i *to) {
    size_t at = 0, end = bytes - 15;
    __asm__("" : "+r"(end));
    _Pragma("GCC unroll 1") for (; at < end; at += 16, to += 4) {
        __m512i v[4];
        LB_UNROLL for (int i = 0; i < 4; i++) {
            v[i] = few_lanes(f, at, i < 3 ? (size_t)i * f->step : f->step3);
            few_ask(f, at, i, 2);
        }
        few_turned(v[0], v[1], v[2], v[3], to);
    }
    if (bytes % 16 == 0) return;
    at = bytes - 16;
    few_turned(few_lanes(f, at, 0), few_lanes(f, at, f->step), few_lanes(f, at, 2 * f->step),
               few_lanes(f, at, f->step3), bytes % 4 ? to : to - (16 - bytes % 16) / 4);
}

/* Dword `at` / 4 alone, which is the block's last. */
LB_INLINE __m512i few_turn_last(const few *f, size_t at) {
    if (f->dword) return f->tail[3];
    __m512i a = few_lanes(f, at, 0), b = few_lanes(f, at, f->step), c = few_lanes(f, at, 2 * f->step);
    __m512i d = few_lanes(f, at, f->step3);
    return _mm512_unpackhi_epi64(_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
}

/* ---- pieces ---- */

/* A number that gcc does not know, so that it leaves a loop as it is. */
LB_INLINE int few_count(int n) {
    __asm__("" : "+r"(n));
    return n;
}

LB_INLINE __m512i few_low4(__m512i v) { return lb_field(v, 0, 0x0f); }
LB_INLINE __m512i few_high4(__m512i v) { return lb_field(v, 0, 0xf0); }

/* a | (b & mask) */
LB_INLINE __m512i few_or(__m512i a, __m512i b, __m512i mask) { return _mm512_ternarylogic_epi32(a, b, mask, 0xf8); }

/* The f16 of the low or high words. */
LB_INLINE __m512 few_f16(__m512i v, const bool high) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(high ? _mm512_srli_epi32(v, 16) : v));
}

/* Of both: by way of memory, from which a conversion takes one instruction of the vector ports, of a register two. */
typedef struct few_two { __m512 low, high; } few_two;
LB_INLINE few_two few_f16s(__m512i v) {
    const __m512i low_then_high = _mm512_setr_epi32(
        0x020000, 0x060004, 0x0a0008, 0x0e000c, 0x120010, 0x160014, 0x1a0018, 0x1e001c,
        0x030001, 0x070005, 0x0b0009, 0x0f000d, 0x130011, 0x170015, 0x1b0019, 0x1f001d);
    __m256i half[2] __attribute__((aligned(64)));
    few_two two;
    _mm512_store_si512(half, _mm512_permutexvar_epi16(low_then_high, v));
    __asm__("vcvtph2ps %1, %0" : "=v"(two.low) : "m"(half[0]));
    __asm__("vcvtph2ps %1, %0" : "=v"(two.high) : "m"(half[1]));
    return two;
}

/* Bytes 2 i and 2 i + 1 of each dword as two int16. */
LB_INLINE __m512i few_pair(__m512i v, const int i) {
    const __m512i at = _mm512_set4_epi32((int)0x800d800c, (int)0x80098008, (int)0x80058004, (int)0x80018000);
    return _mm512_shuffle_epi8(v, i ? _mm512_add_epi32(at, _mm512_set1_epi32(0x00020002)) : at);
}

/* sum[c] += four of each row's codes times activations from q[at] on. */
LB_INLINE void few_dot(const few *f, __m512i *sum, __m512i codes, int at, const int cols) {
    EACH sum[c] = lb_dot4(sum[c], codes, f->act[c] + at);
}

LB_INLINE void few_zero(__m512i *sum, const int cols) { EACH sum[c] = _mm512_setzero_si512(); }

/* total += scale * (sub >> shift) */
LB_INLINE void few_scaled(__m512i *total, const __m512i *sub, int shift, __m512i scale, const int cols) {
    EACH {
        __m512i s = shift ? _mm512_srai_epi32(sub[c], (unsigned)shift) : sub[c];
        total[c] = _mm512_add_epi32(total[c], _mm512_mullo_epi32(s, scale));
    }
}

/* Byte i of every dword, not signed. */
LB_INLINE __m512i few_byte(__m512i v, int i) {
    return _mm512_and_si512(i ? _mm512_srli_epi32(v, (unsigned)(8 * i)) : v, _mm512_set1_epi32(255));
}

/* acc += da * (d * sum - dmin * minsum), as add_block of the repacked; dmin NULL: none. */
LB_INLINE void few_close(const few *f, __m512 *acc, const __m512i *sum, __m512 d, const __m512i *minsum, __m512 dmin,
                         const int cols) {
    EACH {
        __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[c]), d);
        if (minsum) t = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(minsum[c]), dmin, t);
        acc[c] = _mm512_fmadd_ps(t, _mm512_set1_ps(few_sums(f, c)->d), acc[c]);
    }
}

/* ---- a block of 256 of 16 rows: K-quants ---- */

/* q4_k's and q5_k's head: eight scales and pairs of minima of 6 bits from 12 bytes. */
LB_INLINE void few_scales12(const __m512i v[3], __m512i scale[2], __m512i min[2]) {
    const __m512i six = lb_bytes(0x3f), top = lb_bytes(0x30);
    scale[0] = _mm512_and_si512(v[0], six);
    min[0] = _mm512_and_si512(v[1], six);
    scale[1] = few_or(few_low4(v[2]), _mm512_srli_epi32(v[0], 2), top);
    min[1] = few_or(lb_field(v[2], 4, 0x0f), _mm512_srli_epi32(v[1], 2), top);
}

/* high: q5_k. The loop is not unrolled: what hangs on its number comes as vectors. */
LB_INLINE void few_q45_k(const few *f, __m512 *acc, const int cols, const bool high) {
    __m512i head[4], scale[2], min[2], h[8], sum[FEW_COLS], minsum[FEW_COLS];
    few_turn(f, 0, head);
    few_scales12(head + 1, scale, min);
    few_zero(sum, cols);
    few_zero(minsum, cols);
    LB_UNROLL for (int i = 0; high && i < 2; i++) few_turn(f, (size_t)(16 + 16 * i), h + 4 * i);
    for (int i = 0, end = few_count(4); i < end; i++) {
        __m512i t[4], sub[2][FEW_COLS];
        const size_t at = (size_t)((high ? 48 : 16) + 32 * i);
        few_zero(sub[0], cols);
        few_zero(sub[1], cols);
        LB_UNROLL for (int j = 0; j < 8; j++) {
            if (j % 4 == 0) few_turn(f, at + (size_t)(4 * j), t);
            __m512i low = few_low4(t[j % 4]), up = high ? lb_field(t[j % 4], 4, 0x0f) : few_high4(t[j % 4]);
            if (high) { /* bits 2 i and 2 i + 1 stand at 4 and 5 */
                const __m512i fifth = lb_bytes(0x10);
                low = few_or(low, _mm512_slli_epi32(h[j], 4), fifth);
                up = few_or(up, _mm512_slli_epi32(h[j], 3), fifth);
                h[j] = _mm512_srli_epi32(h[j], 2);
            }
            few_dot(f, sub[0], low, 64 * i + 4 * j, cols);
            few_dot(f, sub[1], up, 64 * i + 32 + 4 * j, cols);
        }
        few_scaled(sum, sub[0], 0, few_byte(scale[0], 0), cols);
        few_scaled(sum, sub[1], high ? 0 : 4, few_byte(scale[0], 1), cols);
        __m512i pair = few_pair(min[0], 0);
        EACH minsum[c] = lb_dot2(minsum[c], pair, few_sums(f, c)->sum32 + 2 * i);
        scale[0] = i == 1 ? scale[1] : _mm512_srli_epi32(scale[0], 16); /* the next two to the lowest bytes */
        min[0] = i == 1 ? min[1] : _mm512_srli_epi32(min[0], 16);
    }
    const few_two d = few_f16s(head[0]);
    few_close(f, acc, sum, d.low, minsum, d.high, cols);
}
LB_INLINE void few_q4_k(const few *f, __m512 *acc, const int cols) { few_q45_k(f, acc, cols, false); }
LB_INLINE void few_q5_k(const few *f, __m512 *acc, const int cols) { few_q45_k(f, acc, cols, true); }

LB_INLINE void few_q6_k(const few *f, __m512 *acc, const int cols) {
    const __m512i top = lb_bytes(0x30);
    __m512i scale[4], sum[FEW_COLS];
    few_zero(sum, cols);
    few_turn(f, 192, scale);
    for (int half = 0, end = few_count(2); half < end; half++) {
        for (int p = 0, last = few_count(2); p < last; p++) { /* 16 of each 32 */
            __m512i low[2][4], high[4], sub[4][FEW_COLS];
            const int at = 128 * half + 16 * p, first = at / 16;
            few_turn(f, (size_t)(64 * half + 16 * p), low[0]);
            few_turn(f, (size_t)(64 * half + 16 * p + 32), low[1]);
            few_turn(f, (size_t)(128 + 32 * half + 16 * p), high);
            LB_UNROLL for (int s = 0; s < 4; s++) EACH sub[s][c] = lb_spread(&few_sums(f, c)->neg32[first + 2 * s]);
            LB_UNROLL for (int j = 0; j < 4; j++) LB_UNROLL for (int s = 0; s < 4; s++) {
                __m512i h = s < 2 ? _mm512_slli_epi32(high[j], (unsigned)(4 - 2 * s))
                                  : s == 2 ? high[j] : _mm512_srli_epi32(high[j], 2);
                __m512i code = few_or(lb_field(low[s % 2][j], s / 2 * 4, 0x0f), h, top);
                few_dot(f, sub[s], code, at + 32 * s + 4 * j, cols);
            }
            LB_UNROLL for (int s = 0; s < 4; s++) {
                __m512i v = _mm512_srai_epi32(_mm512_slli_epi32(scale[s / 2], (unsigned)(24 - s % 2 * 16)), 24);
                few_scaled(sum, sub[s], 0, v, cols);
            }
            LB_UNROLL for (int s = 0; s < 2; s++) scale[s] = _mm512_srli_epi32(scale[s], 8);
        }
        scale[0] = scale[2], scale[1] = scale[3];
    }
    few_close(f, acc, sum, few_f16(few_turn_last(f, 194), true), NULL, _mm512_setzero_ps(), cols);
}

/* A pair's sums of 16 codes times 2 to the power of `place`, as two int16, meet their scales. */
LB_INLINE void few_add_pair(__m512i *sum, __m512i sub[2][FEW_COLS], int place, __m512i scales, const int cols) {
    EACH {
        __m512i low = place ? _mm512_srli_epi32(sub[0][c], (unsigned)place) : sub[0][c];
        __m512i both = _mm512_mask_mov_epi16(low, 0xaaaaaaaa, _mm512_slli_epi32(sub[1][c], (unsigned)(16 - place)));
        sum[c] = _mm512_dpwssd_epi32(sum[c], both, scales);
    }
}

LB_INLINE void few_q2_k(const few *f, __m512 *acc, const int cols) {
    const __m512i nibble = _mm512_set1_epi16(15);
    __m512i scale[4], sum[FEW_COLS], minsum[FEW_COLS];
    few_zero(sum, cols);
    few_zero(minsum, cols);
    few_turn(f, 0, scale);
    for (int half = 0, end = few_count(2); half < end; half++) {
        __m512i t[2][4];
        LB_UNROLL for (int p = 0; p < 2; p++) few_turn(f, (size_t)(16 + 32 * half + 16 * p), t[p]);
        LB_UNROLL for (int j = 0; j < 4; j++) {
            __m512i sub[2][FEW_COLS], pair = few_pair(scale[j / 2], j % 2);
            LB_UNROLL for (int p = 0; p < 2; p++) {
                few_zero(sub[p], cols);
                LB_UNROLL for (int i = 0; i < 4; i++)
                    few_dot(f, sub[p], lb_field(t[p][i], 0, 3u << 2 * j), 128 * half + 32 * j + 16 * p + 4 * i, cols);
            }
            few_add_pair(sum, sub, 2 * j, _mm512_and_si512(pair, nibble), cols);
            __m512i min = _mm512_srli_epi16(pair, 4);
            EACH minsum[c] = lb_dot2(minsum[c], min, few_sums(f, c)->sum16 + 8 * half + 2 * j);
        }
        scale[0] = scale[2], scale[1] = scale[3];
    }
    const few_two d = few_f16s(few_turn_last(f, 68));
    few_close(f, acc, sum, d.low, minsum, d.high, cols);
}

/* q3_k's 16 scales of 6 bits from the last 16 bytes of a block: four times four bytes, 32 more than they are. */
LB_INLINE void few_q3_k_scales(const __m512i t[4], __m512i scale[4]) {
    __m512i v[3];
    const __m512i top = lb_bytes(0x30);
    LB_UNROLL for (int i = 0; i < 3; i++)
        v[i] = _mm512_or_si512(_mm512_srli_epi32(t[i], 16), _mm512_slli_epi32(t[i + 1], 16));
    LB_UNROLL for (int i = 0; i < 4; i++)
        scale[i] = few_or(lb_field(v[i % 2], i / 2 * 4, 0x0f),
                          i < 2 ? _mm512_slli_epi32(v[2], (unsigned)(4 - 2 * i))
                                : _mm512_srli_epi32(v[2], (unsigned)(2 * i - 4)), top);
}

/* Each byte's third bits of codes j = 0 and 2 (odd: 1 and 3), bits j, at bits 2 and 6. */
LB_INLINE __m512i few_thirds(__m512i v, const bool odd) {
    const __m128i even = _mm_setr_epi8(0, 4, 0, 4, 64, 68, 64, 68, 0, 4, 0, 4, 64, 68, 64, 68);
    const __m128i odds = _mm_setr_epi8(0, 0, 4, 4, 0, 0, 4, 4, 64, 64, 68, 68, 64, 64, 68, 68);
    return _mm512_permutexvar_epi8(v, _mm512_broadcast_i32x4(odd ? odds : even)); /* by six bits, four of which count */
}

LB_INLINE void few_q3_k(const few *f, __m512 *acc, const int cols) {
    const __m512i twos = lb_bytes(0x33);
    __m512i tail[4], scale[4], third[2][4], sum[FEW_COLS], other[FEW_COLS];
    few_zero(sum, cols);
    few_zero(other, cols);
    few_turn(f, 94, tail);
    few_q3_k_scales(tail, scale);
    LB_UNROLL for (int p = 0; p < 2; p++) few_turn(f, (size_t)(16 * p), third[p]);
    for (int half = 0, end = few_count(2); half < end; half++) {
        __m512i code[2][2][4]; /* of j = 0 and 2, and 1 and 3: three bits in each half of a byte */
        LB_UNROLL for (int p = 0; p < 2; p++) {
            __m512i t[4];
            few_turn(f, (size_t)(32 + 32 * half + 16 * p), t);
            LB_UNROLL for (int i = 0; i < 4; i++) {
                code[0][p][i] = few_or(few_thirds(third[p][i], false), t[i], twos);
                code[1][p][i] = few_or(few_thirds(third[p][i], true), _mm512_srli_epi32(t[i], 2), twos);
            }
        }
        LB_UNROLL for (int j = 0; j < 4; j++) {
            const int place = j / 2 * 4;
            __m512i sub[2][FEW_COLS];
            __m512i pair = _mm512_sub_epi16(few_pair(scale[j / 2], j % 2), _mm512_set1_epi16(32));
            LB_UNROLL for (int p = 0; p < 2; p++) {
                few_zero(sub[p], cols);
                LB_UNROLL for (int i = 0; i < 4; i++)
                    few_dot(f, sub[p], lb_field(code[j % 2][p][i], 0, 7u << place),
                            128 * half + 32 * j + 16 * p + 4 * i, cols);
            }
            few_add_pair(sum, sub, place, pair, cols);
            EACH other[c] = lb_dot2(other[c], pair, few_sums(f, c)->sum16 + 8 * half + 2 * j);
        }
        LB_UNROLL for (int p = 0; p < 2; p++) /* bits of the second half */
            LB_UNROLL for (int i = 0; i < 4; i++) third[p][i] = _mm512_srli_epi32(third[p][i], 4);
        scale[0] = scale[2], scale[1] = scale[3];
    }
    EACH sum[c] = _mm512_sub_epi32(sum[c], _mm512_slli_epi32(other[c], 2));
    few_close(f, acc, sum, few_f16(tail[3], true), NULL, _mm512_setzero_ps(), cols);
}

/* iq4_nl's levels + 128. */
LB_INLINE __m512i few_levels(__m512i codes) {
    const __m128i t = _mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118, (char)129, (char)141, (char)153, (char)166,
                                    (char)181, (char)197, (char)217, (char)241);
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(t), codes);
}

LB_INLINE void few_iq4_xs(const few *f, __m512 *acc, const int cols) {
    __m512i head[4], sum[FEW_COLS];
    few_zero(sum, cols);
    few_turn(f, 0, head);
    __m512i low = head[1], high = _mm512_srli_epi32(head[0], 12);
    for (int i = 0, end = few_count(4); i < end; i++)
        LB_UNROLL for (int s = 0; s < 2; s++) {
            __m512i t[4], sub[FEW_COLS];
            const int at = 64 * i + 32 * s;
            few_turn(f, (size_t)(8 + at / 2), t);
            const __m512i offset = _mm512_set1_epi32(s ? (int)0xff800000 : 0xff80); /* -128, of one of the two */
            EACH sub[c] = lb_dot2(_mm512_setzero_si512(), offset, few_sums(f, c)->sum32 + at / 32 - s);
            LB_UNROLL for (int j = 0; j < 4; j++) {
                few_dot(f, sub, few_levels(few_low4(t[j])), at + 4 * j, cols);
                few_dot(f, sub, few_levels(lb_field(t[j], 4, 0x0f)), at + 16 + 4 * j, cols);
            }
            __m512i v = few_or(_mm512_and_si512(low, _mm512_set1_epi32(15)), high, _mm512_set1_epi32(0x30));
            few_scaled(sum, sub, 0, _mm512_sub_epi32(v, _mm512_set1_epi32(32)), cols);
            low = _mm512_srli_epi32(low, 4);
            high = _mm512_srli_epi32(high, 2);
        }
    few_close(f, acc, sum, few_f16(head[0], false), NULL, _mm512_setzero_ps(), cols);
}

/* ---- the same: runs of 32 with an f16 each, eight in a row ---- */

/* -128 times the sum of a run's activations. */
LB_INLINE void few_start(const few *f, int g, __m512i *sum, const int cols) {
    EACH sum[c] = lb_spread(&few_of_run(f, g, c)->start);
}

/* total += d * sum of a run. */
LB_INLINE void few_run(__m512 *total, const __m512i *sum, __m512 d, const int cols) {
    EACH total[c] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[c]), d, total[c]);
}

/* The same of two, whose d are the low and the high words. */
LB_INLINE void few_two_runs(__m512 *total, __m512i sum[2][FEW_COLS], __m512i d, const int cols) {
    const few_two two = few_f16s(d);
    few_run(total, sum[0], two.low, cols);
    few_run(total, sum[1], two.high, cols);
}

/* total += min * sum of activations. */
LB_INLINE void few_run_min(const few *f, __m512 *total, __m512 min, int g, const int cols) {
    EACH total[c] = _mm512_fmadd_ps(min, _mm512_set1_ps(few_of_run(f, g, c)->sum), total[c]);
}

LB_INLINE void few_runs_close(const few *f, __m512 *acc, const __m512 *total, const int cols) {
    EACH acc[c] = _mm512_fmadd_ps(total[c], _mm512_set1_ps(few_of_run(f, 7, c)->d), acc[c]);
}

/* Dword i behind `at` of the blocks, called with i from 0 on: every fourth is turned, with the three that follow. */
LB_INLINE __m512i few_next(const few *f, __m512i t[4], int at, const int i) {
    if (i % 4 == 0) few_turn(f, (size_t)(at + 4 * i), t);
    return t[i % 4];
}

/* A dword of nibbles, codes from `at` on and from at + 16 on, the latter's products times 16. two: of its low half
 * only; levels: of iq4_nl, all products in `low`. */
LB_INLINE void few_nibbles(const few *f, __m512i low[FEW_COLS], __m512i high[FEW_COLS], __m512i v, int at,
                           const bool two, const bool levels, const int cols) {
    if (levels) {
        const __mmask64 which = two ? 0x3333333333333333 : ~(__mmask64)0;
        few_dot(f, low, _mm512_maskz_mov_epi8(which, few_levels(few_low4(v))), at, cols);
        few_dot(f, low, _mm512_maskz_mov_epi8(which, few_levels(lb_field(v, 4, 0x0f))), at + 16, cols);
    } else {
        few_dot(f, low, _mm512_and_si512(v, _mm512_set1_epi32(two ? 0x0f0f : 0x0f0f0f0f)), at, cols);
        few_dot(f, high, _mm512_and_si512(v, _mm512_set1_epi32(two ? 0xf0f0 : (int)0xf0f0f0f0)), at + 16, cols);
    }
}

/* q4_0 and iq4_nl, 18 bytes a run: every second run begins in the middle of a dword. */
LB_INLINE void few_18(const few *f, __m512 *acc, const int cols, const bool levels) {
    __m512 total[FEW_COLS];
    __m512i t[4], d, sums[2][FEW_COLS];
    EACH total[c] = _mm512_setzero_ps();
    LB_UNROLL for (int g = 0; g < 8; g++) {
        const int first = g / 2 * 9 + g % 2 * 5;
        __m512i *low = sums[g % 2], high[FEW_COLS];
        few_start(f, g, levels ? low : high, cols); /* 16 times 8 */
        few_zero(levels ? high : low, cols);
        LB_UNROLL for (int i = 0; i < 5 - g % 2; i++) {
            __m512i v = few_next(f, t, 0, first + i);
            const bool two = g % 2 == 0 && i % 4 == 0;
            int at = FEW_RUN * g + 4 * i - (g % 2 || i == 0 ? 0 : 2);
            if (g % 2 == 0 && i == 0) d = v;
            few_nibbles(f, low, high, g % 2 == 0 && i == 0 ? _mm512_srli_epi32(v, 16) : v, at, two, levels, cols);
            if (i == 4) d = _mm512_mask_mov_epi16(d, 0xaaaaaaaa, v); /* the next run's above this one's */
        }
        if (!levels) EACH low[c] = _mm512_add_epi32(low[c], _mm512_srai_epi32(high[c], 4));
        if (g % 2) few_two_runs(total, sums, d, cols);
    }
    few_runs_close(f, acc, total, cols);
}
LB_INLINE void few_q4_0(const few *f, __m512 *acc, const int cols) { few_18(f, acc, cols, false); }
LB_INLINE void few_iq4_nl(const few *f, __m512 *acc, const int cols) { few_18(f, acc, cols, true); }

LB_INLINE void few_q8_0(const few *f, __m512 *acc, const int cols) {
    const __m512i offset = lb_bytes(0x80);
    __m512 total[FEW_COLS];
    __m512i t[4], d, sums[2][FEW_COLS];
    EACH total[c] = _mm512_setzero_ps();
    LB_UNROLL for (int g = 0; g < 8; g++) {
        const int first = g / 2 * 17 + g % 2 * 9;
        __m512i *sum = sums[g % 2];
        few_start(f, g, sum, cols);
        LB_UNROLL for (int i = 0; i < 9 - g % 2; i++) {
            __m512i v = few_next(f, t, 0, first + i), w = _mm512_xor_si512(v, offset);
            if (g % 2 == 0 && i == 0) d = v, w = _mm512_srli_epi32(w, 16);
            if (i == 8) w = _mm512_and_si512(w, _mm512_set1_epi32(0xffff)), d = _mm512_mask_mov_epi16(d, 0xaaaaaaaa, v);
            few_dot(f, sum, w, FEW_RUN * g + 4 * i - (g % 2 || i == 0 ? 0 : 2), cols);
        }
        if (g % 2) few_two_runs(total, sums, d, cols);
    }
    few_runs_close(f, acc, total, cols);
}

LB_INLINE void few_q4_1(const few *f, __m512 *acc, const int cols) {
    __m512 total[FEW_COLS];
    EACH total[c] = _mm512_setzero_ps();
    for (int half = 0, end = few_count(2); half < end; half++) { /* four runs are 20 dwords */
        __m512i t[4];
        LB_UNROLL for (int r = 0; r < 4; r++) {
            const int g = 4 * half + r;
            const few_two d = few_f16s(few_next(f, t, 80 * half, 5 * r));
            __m512i low[FEW_COLS], high[FEW_COLS];
            few_zero(low, cols);
            few_zero(high, cols);
            LB_UNROLL for (int i = 0; i < 4; i++)
                few_nibbles(f, low, high, few_next(f, t, 80 * half, 5 * r + 1 + i), FEW_RUN * g + 4 * i, false, false,
                            cols);
            EACH low[c] = _mm512_add_epi32(low[c], _mm512_srai_epi32(high[c], 4));
            few_run(total, low, d.low, cols);
            few_run_min(f, total, d.high, g, cols);
        }
    }
    few_runs_close(f, acc, total, cols);
}

/* Where code n's fifth bit is bit i of a row's dword: its byte j becomes bits i + j - 4 to i + j + 3, of which bit 4 is
 * the fifth bit of code n + j. */
LB_INLINE __m512i few_bits_from(int i) { return _mm512_set1_epi64(0x1f1e1d1c3f3e3d3c + i * 0x0101010101010101); }

/* sum += codes of 5 bits from code `at` of the activations on; fifth bits from bit i of h on. two: only two of four. */
LB_INLINE void few_fives(const few *f, __m512i *sum, __m512i low4, __m512i h, int i, int at, const bool two,
                         const int cols) {
    const __m512i four = _mm512_set1_epi32(two ? 0x0f0f : 0x0f0f0f0f);
    const __m512i bits = _mm512_multishift_epi64_epi8(few_bits_from(i), h);
    few_dot(f, sum, few_or(_mm512_and_si512(low4, four), bits, _mm512_set1_epi32(two ? 0x1010 : 0x10101010)), at, cols);
}

/* 22 bytes a run: d, fifth bits, nibbles; two runs are 11 dwords, of which the first's bits lie in two. */
LB_INLINE void few_q5_0(const few *f, __m512 *acc, const int cols) {
    __m512 total[FEW_COLS];
    __m512i t[4], d, sum[2][FEW_COLS];
    EACH total[c] = _mm512_setzero_ps();
    LB_UNROLL for (int g = 0; g < 8; g++) {
        const int first = g / 2 * 11 + g % 2 * 6, odd = g % 2;
        const __m512i low = few_next(f, t, 0, first), high = odd ? low : few_next(f, t, 0, first + 1);
        __m512i v = high, *to = sum[odd];
        EACH to[c] = _mm512_srai_epi32(lb_spread(&few_of_run(f, g, c)->start), 3); /* 16 of 128 */
        if (!odd) d = low;
        LB_UNROLL for (int i = odd; i < 5; i++) {
            if (i) v = few_next(f, t, 0, first + (odd ? 0 : 1) + i);
            const int n = odd ? 4 * i - 4 : i ? 4 * i - 2 : 0, at = FEW_RUN * g + n;
            const bool two = !odd && i % 4 == 0;
            const __m512i w = i ? v : _mm512_srli_epi32(v, 16);
            few_fives(f, to, w, low, odd ? n : 16 + n, at, two, cols);
            few_fives(f, to, _mm512_srli_epi32(v, i ? 4 : 20), high, odd ? 16 + n : n, at + 16, two, cols);
        }
        if (!odd) {
            d = _mm512_mask_mov_epi16(d, 0xaaaaaaaa, v);
            continue;
        }
        few_two_runs(total, sum, d, cols);
    }
    few_runs_close(f, acc, total, cols);
}

LB_INLINE void few_q5_1(const few *f, __m512 *acc, const int cols) {
    __m512 total[FEW_COLS];
    EACH total[c] = _mm512_setzero_ps();
    for (int two = 0, end = few_count(4); two < end; two++) { /* two runs are 12 dwords */
        __m512i t[4];
        LB_UNROLL for (int r = 0; r < 2; r++) {
            const int g = 2 * two + r;
            const few_two d = few_f16s(few_next(f, t, 48 * two, 6 * r));
            __m512i h = few_next(f, t, 48 * two, 6 * r + 1), sum[FEW_COLS];
            few_zero(sum, cols);
            LB_UNROLL for (int i = 0; i < 4; i++) {
                const __m512i v = few_next(f, t, 48 * two, 6 * r + 2 + i);
                few_fives(f, sum, v, h, 4 * i, FEW_RUN * g + 4 * i, false, cols);
                few_fives(f, sum, _mm512_srli_epi32(v, 4), h, 16 + 4 * i, FEW_RUN * g + 16 + 4 * i, false, cols);
            }
            few_run(total, sum, d.low, cols);
            few_run_min(f, total, d.high, g, cols);
        }
    }
    few_runs_close(f, acc, total, cols);
}
