/* decode_limit.c: what the work of decode attention takes by itself, on one core with everything in L1. decode.lua
 * compiles it. No line of luabench is in it.
 *
 * A cache head that 8 rows of q share, 128 values. Prints for each type of cache the nanoseconds a position of the
 * products on operands that are there already; with operands formed from the cache's bytes; and of all instructions
 * that the work needs: these, factors, sums brought together, the softmax, probabilities in the form that meets the
 * values, and outputs. The last is the limit: evenly mixed, and nothing waits for what another instruction makes. */
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define UNROLL _Pragma("GCC unroll 16")
enum { POSITIONS = 64, ROWS = 8, VALUES = 128, BLOCKS = VALUES / 32, TIMES = 100, TRIES = 1000 };
typedef enum type { BF16, F8E4M3, Q8_0, Q4_0 } type;
static const char *const names[] = { "bf16", "f8e4m3", "q8_0", "q4_0" };
static const int row_bytes[] = { 256, 128, 136, 72 };

static uint8_t cache[2][POSITIONS * 256 + 256], q[ROWS * 512], p[64 * 64], tables[8][64] __attribute__((aligned(64)));
static float sums[ROWS * 512] __attribute__((aligned(64)));

static inline __m512i bytes_dot(__m512i acc, __m512i a, __m512i b) {
    __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
}
static inline __m512i int16_dot(__m512i acc, __m512i a, __m512i b) {
    __asm__ volatile("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
}
static inline __m512i words_dot(__m512i acc, __m512i a, __m512i b) {
    __asm__ volatile("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
}
static inline __m512i spread(const uint8_t *four) {
    __m512i v;
    __asm__("vpbroadcastd %1, %0" : "=v"(v) : "m"(*(const int32_t *)(const void *)four));
    return v;
}
static inline __m512i pair(const uint8_t *a, const uint8_t *b) { /* two times 32 bytes */
    __m512i v = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)a));
    return _mm512_inserti64x4(v, _mm256_loadu_si256((const void *)b), 1);
}
static inline __m512i four(const uint8_t *a, long step) { /* four times 16 bytes */
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const void *)a));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(a + step)), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(a + 2 * step)), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(a + 3 * step)), 3);
}
static inline void turn4(__m512i *r) {
    __m512i a = _mm512_unpacklo_epi32(r[0], r[1]), b = _mm512_unpackhi_epi32(r[0], r[1]);
    __m512i c = _mm512_unpacklo_epi32(r[2], r[3]), d = _mm512_unpackhi_epi32(r[2], r[3]);
    r[0] = _mm512_unpacklo_epi64(a, c), r[1] = _mm512_unpackhi_epi64(a, c);
    r[2] = _mm512_unpacklo_epi64(b, d), r[3] = _mm512_unpackhi_epi64(b, d);
}
/* 64 bytes of e4m3 as two registers of bf16. */
static inline void widen(__m512i x, __m512i *to) {
    const __m512i *t = (const void *)tables;
    __m512i high = _mm512_permutex2var_epi8(t[0], x, t[1]), low = _mm512_permutex2var_epi8(t[2], x, t[3]);
    high = _mm512_ternarylogic_epi32(high, x, _mm512_set1_epi8((char)0x80), 0xf8);
    to[0] = _mm512_unpacklo_epi8(low, high), to[1] = _mm512_unpackhi_epi8(low, high);
}

/* Scores of 16 (bytes) or 2 (words) positions, values of 2, which meet probabilities of two bytes. */
static inline __attribute__((always_inline)) void byte_keys(type t, int formed, const uint8_t *k, __m512i *total) {
    const long step = row_bytes[t], block = step / BLOCKS;
    for (int b = 0; b < BLOCKS; b++) {
        __m512i c[8], acc[ROWS], r[8];
        const uint8_t *at = k + b * block + 2;
        if (formed && t == Q8_0) {
            UNROLL for (int j = 0; j < 8; j++) {
                const uint8_t *row = at + (j / 4 * 8 + j % 4) * step;
                r[j] = pair(row, row + 4 * step);
            }
            turn4(r), turn4(r + 4);
            UNROLL for (int j = 0; j < 4; j++) {
                c[j] = _mm512_xor_si512(_mm512_shuffle_i32x4(r[j], r[j + 4], 0x88), _mm512_set1_epi8((char)0x80));
                c[j + 4] = _mm512_xor_si512(_mm512_shuffle_i32x4(r[j], r[j + 4], 0xdd), _mm512_set1_epi8((char)0x80));
            }
        } else if (formed) {
            UNROLL for (int j = 0; j < 4; j++) r[j] = four(at + j * step, 4 * step);
            turn4(r);
            UNROLL for (int j = 0; j < 4; j++) {
                c[j] = _mm512_and_si512(r[j], _mm512_set1_epi8(15));
                c[j + 4] = _mm512_and_si512(_mm512_srli_epi16(r[j], 4), _mm512_set1_epi8(15));
            }
        } else
            UNROLL for (int j = 0; j < 8; j++) c[j] = _mm512_load_si512(tables[j]);
        UNROLL for (int i = 0; i < ROWS; i++) acc[i] = _mm512_setzero_si512();
        UNROLL for (int j = 0; j < 8; j++)
            UNROLL for (int i = 0; i < ROWS; i++)
                acc[i] = bytes_dot(acc[i], c[j], spread(q + i * 192 + b * 48 + j * 4));
        UNROLL for (int i = 0; i < ROWS; i++) total[i] = _mm512_add_epi32(total[i], acc[i]);
    }
}
static inline __attribute__((always_inline)) void byte_values(type t, int formed, const uint8_t *v, int b,
                                                              const uint8_t *w, __m512i acc[ROWS][2]) {
    const long step = row_bytes[t];
    const uint8_t *at = v + b * (step / BLOCKS) + 2;
    __m512i c[2] = { _mm512_load_si512(tables[0]), _mm512_load_si512(tables[1]) };
    if (formed && t == Q8_0) {
        __m512i x = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const void *)at));
        __m512i y = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const void *)(at + step)));
        c[0] = _mm512_permutex2var_epi16(x, c[0], y), c[1] = _mm512_permutex2var_epi16(x, c[1], y);
    } else if (formed) {
        __m256i two = _mm256_set_m128i(_mm_loadu_si128((const void *)(at + step)), _mm_loadu_si128((const void *)at));
        __m512i x = _mm512_maskz_permutexvar_epi8(0x5555555555555555, c[0], _mm512_castsi256_si512(two));
        __m512i low = _mm512_set1_epi16(15), eight = _mm512_set1_epi16(8);
        c[0] = _mm512_sub_epi16(_mm512_and_si512(x, low), eight);
        c[1] = _mm512_sub_epi16(_mm512_srli_epi16(x, 4), eight);
    }
    UNROLL for (int i = 0; i < ROWS; i++) {
        __m512i x = spread(w + i * 128);
        UNROLL for (int j = 0; j < 2; j++) acc[i][j] = int16_dot(acc[i][j], x, c[j]);
    }
}
static inline __attribute__((always_inline)) void bytes(type t, int formed) {
    for (int i = 0; i < POSITIONS; i += 16) {
        __m512i total[ROWS];
        UNROLL for (int r = 0; r < ROWS; r++) total[r] = _mm512_setzero_si512();
        byte_keys(t, formed, cache[0] + i * row_bytes[t], total);
        UNROLL for (int r = 0; r < ROWS; r++) _mm512_store_si512(sums + r * 64 + i, total[r]);
    }
    for (int b = 0; b < BLOCKS; b++) {
        __m512i acc[ROWS][2];
        UNROLL for (int r = 0; r < ROWS; r++) acc[r][0] = acc[r][1] = _mm512_setzero_si512();
        for (int i = 0; i < POSITIONS; i += 2)
            byte_values(t, formed, cache[1] + i * row_bytes[t], b, p + b * 1024 + 2 * i, acc);
        UNROLL for (int r = 0; r < ROWS; r++)
            UNROLL for (int j = 0; j < 2; j++) _mm512_store_si512(sums + r * 128 + b * 32 + 16 * j, acc[r][j]);
    }
}

static inline __attribute__((always_inline)) void words(type t, int formed) {
    const long step = row_bytes[t];
    for (int i = 0; i < POSITIONS; i += 2) { /* lanes of keys stay apart: adding them up is not counted */
        __m512i acc[ROWS][2], c[2][4];
        const uint8_t *k = cache[0] + i * step;
        UNROLL for (int r = 0; r < ROWS; r++) acc[r][0] = acc[r][1] = _mm512_setzero_si512();
        UNROLL for (int h = 0; h < 2; h++)
            UNROLL for (int j = 0; j < 4; j++)
                if (!formed) c[h][j] = _mm512_load_si512(tables[j]);
                else if (t == BF16) c[h][j] = _mm512_loadu_si512(k + h * step + 64 * j);
                else if (j % 2 == 0) widen(_mm512_loadu_si512(k + h * step + 32 * j), &c[h][j]);
        UNROLL for (int j = 0; j < 4; j++)
            UNROLL for (int r = 0; r < ROWS; r++) {
                __m512i x = _mm512_loadu_si512(q + r * 256 + 64 * j);
                UNROLL for (int h = 0; h < 2; h++) acc[r][h] = words_dot(acc[r][h], c[h][j], x);
            }
        UNROLL for (int r = 0; r < ROWS; r++) /* kept once for all positions: only that they are made counts */
            UNROLL for (int h = 0; h < 2; h++) __asm__ volatile("" : : "v"(acc[r][h]));
    }
    for (int d = 0; d < VALUES; d += 32) {
        __m512i acc[ROWS][2];
        UNROLL for (int r = 0; r < ROWS; r++) acc[r][0] = acc[r][1] = _mm512_setzero_si512();
        for (int i = 0; i < POSITIONS; i += 2) {
            const uint8_t *v = cache[1] + i * step + d * (step / VALUES);
            __m512i c[2] = { _mm512_load_si512(tables[0]), _mm512_load_si512(tables[1]) };
            if (formed && t == BF16) {
                __m512i x = _mm512_loadu_si512(v), y = _mm512_loadu_si512(v + step);
                c[0] = _mm512_permutex2var_epi16(x, c[0], y), c[1] = _mm512_permutex2var_epi16(x, c[1], y);
            } else if (formed)
                widen(pair(v, v + step), c);
            UNROLL for (int r = 0; r < ROWS; r++) {
                __m512i x = spread(p + r * 128 + 2 * i);
                UNROLL for (int j = 0; j < 2; j++) acc[r][j] = words_dot(acc[r][j], c[j], x);
            }
        }
        UNROLL for (int r = 0; r < ROWS; r++)
            UNROLL for (int j = 0; j < 2; j++) _mm512_store_si512(sums + r * 128 + d + 16 * j, acc[r][j]);
    }
}

/* ---- all of the work of two positions, as a mix ---- */

/* zmm0 to 15: sums; 16 to 19: operands that stay; 20 to 29: what is made; k1: half of the words. x: keys, values;
 * y: those of the other position; p: everything else. */
#define L(text) text "\n\t"
#define ROWS_8(X, ...) X(0, 8, __VA_ARGS__) X(1, 9, __VA_ARGS__) X(2, 10, __VA_ARGS__) X(3, 11, __VA_ARGS__) \
    X(4, 12, __VA_ARGS__) X(5, 13, __VA_ARGS__) X(6, 14, __VA_ARGS__) X(7, 15, __VA_ARGS__)
/* A block of values: what is spread meets two registers. */
#define VALUES(a, b, op)                                                                                            \
    L("vpbroadcastd 128*" #a "(%[p]), %%zmm20") L(op " %%zmm20, %%zmm16, %%zmm" #a)                                  \
    L(op " %%zmm20, %%zmm17, %%zmm" #b)
/* 32 dimensions of two keys meet a row of q. */
#define KEYS(a, b, op) L("vmovdqu64 64*" #a "(%[p]), %%zmm20") L(op " %%zmm20, %%zmm16, %%zmm" #a) \
    L(op " %%zmm20, %%zmm17, %%zmm" #b)
/* Exponentials of 16 scores. */
#define EXP_1 L("vpermilps $0xd8, (%[p]), %%zmm25") L("vfmsub213ps %%zmm18, %%zmm19, %%zmm25")                       \
    L("vmaxps %%zmm25, %%zmm18, %%zmm25") L("vrndscaleps $8, %%zmm25, %%zmm26") L("vsubps %%zmm26, %%zmm25, %%zmm25")
#define EXP_2 L("vmovaps %%zmm18, %%zmm27") L("vfmadd213ps %%zmm19, %%zmm25, %%zmm27")                               \
    L("vfmadd213ps %%zmm19, %%zmm25, %%zmm27") L("vfmadd213ps %%zmm19, %%zmm25, %%zmm27")                            \
    L("vfmadd213ps %%zmm19, %%zmm25, %%zmm27") L("vscalefps %%zmm26, %%zmm27, %%zmm27")                              \
    L("vaddps %%zmm27, %%zmm18, %%zmm28")
/* 32 outputs: what was there times a factor. */
#define OUT(at) L("vmulps " #at "(%[p]), %%zmm19, %%zmm29") L("vmovaps %%zmm29, " #at "(%[p])")

/* q8_0, q4_0. Eight codes of both keys, spread over the rows. */
#define MEET(how, at, other)                                                                                        \
    L(how " " #at "(%[x])%{1to8%}, %%zmm16, %%zmm21") L(how " " #other "(%[x])%{1to8%}, %%zmm16, %%zmm22")           \
    L("vpdpbusd %%zmm17, %%zmm21, %%zmm23") L("vpdpbusd %%zmm17, %%zmm22, %%zmm24")
#define BEGIN L("vmovdqa64 %%zmm18, %%zmm23") L("vmovdqa64 %%zmm19, %%zmm24")
#define SCORES_Q8_0 BEGIN MEET("vpxorq", 2, 138) MEET("vpxorq", 10, 146) MEET("vpxorq", 18, 154) MEET("vpxorq", 26, 162)
#define SCORES_Q4_0 BEGIN MEET("vpandq", 2, 74) MEET("vpandq", 10, 82) L("vpslld $4, %%zmm23, %%zmm23")              \
    L("vpslld $4, %%zmm24, %%zmm24") MEET("vpandnq", 2, 74) MEET("vpandnq", 10, 82)
/* Sums of two lanes, times the rows' factors and the keys'; factors of values, brought together. */
#define SCALE L("vshufps $0x88, %%zmm24, %%zmm23, %%zmm21") L("vshufps $0xdd, %%zmm24, %%zmm23, %%zmm22")            \
    L("vpaddd %%zmm21, %%zmm22, %%zmm21") L("vcvtdq2ps %%zmm21, %%zmm21") L("vpbroadcastw (%[x]), %%ymm22")          \
    L("vpbroadcastw 2(%[x]), %%ymm22%{%%k1%}") L("vcvtph2ps %%ymm22, %%zmm22") L("vmulps %%zmm18, %%zmm21, %%zmm21") \
    L("vfmadd213ps %%zmm19, %%zmm22, %%zmm21") L("movzwl (%[y]), %%eax") L("movzwl 34(%[y]), %%ecx")                 \
    L("shl $16, %%ecx") L("or %%ecx, %%eax") L("mov %%eax, 1024(%[p])")
#define PAIRS_Q8_0 L("vpmovsxbw 2(%[y]), %%zmm28") L("vpmovsxbw 138(%[y]), %%zmm29")                                 \
    L("vpermt2w %%zmm29, %%zmm18, %%zmm28") L("vpermt2w %%zmm28, %%zmm19, %%zmm29")
#define PAIRS_Q4_0 L("vmovdqu32 2(%[y]), %%xmm28") L("vinserti32x4 $1, 74(%[y]), %%ymm28, %%ymm28")                  \
    L("vpermb %%zmm28, %%zmm18, %%zmm28%{%%k1%}%{z%}") L("vpsrlw $4, %%zmm28, %%zmm29")                              \
    L("vpandd %%zmm18, %%zmm28, %%zmm28") L("vpaddw %%zmm19, %%zmm28, %%zmm28") L("vpaddw %%zmm19, %%zmm29, %%zmm29")
/* Probabilities times the factors of two blocks as int16. */
#define INT16(at) L("vbroadcastsd 1032(%[p]), %%zmm21") L("vbroadcastsd 1040(%[p]), %%zmm22")                        \
    L("vmulps %%zmm21, %%zmm19, %%zmm21") L("vmulps %%zmm22, %%zmm19, %%zmm22") L("vcvtps2dq %%zmm21, %%zmm21")      \
    L("vcvtps2dq %%zmm22, %%zmm22") L("vpackssdw %%zmm22, %%zmm21, %%zmm21") L("vmovdqa64 %%zmm21, " #at "(%[p])")
/* Sums as f32, added to 32 outputs. */
#define OUT_SUMS(at) L("vcvtdq2ps %%zmm18, %%zmm28") L("vmulps " #at "(%[p]), %%zmm19, %%zmm29")                     \
    L("vfmadd213ps %%zmm29, %%zmm19, %%zmm28") L("vmovaps %%zmm28, " #at "(%[p])")
#define QUARTER(type, more) PAIRS_##type SCORES_##type ROWS_8(VALUES, "vpdpwssd") SCALE more
#define ALL_BYTES(type)                                                                                             \
    QUARTER(type, EXP_1) QUARTER(type, EXP_2) QUARTER(type, INT16(1152) OUT_SUMS(1280))                              \
    QUARTER(type, INT16(1216) OUT_SUMS(1344))                                                                       \
    L("vmaxps %%zmm18, %%zmm21, %%zmm21") L("vmovaps %%zmm21, 1408(%[p])")

/* bf16, f8e4m3. A quarter of the 16 sums of 16 lanes that a tree adds up. */
#define FOLD L("vshuff32x4 $0x4e, %%zmm18, %%zmm19, %%zmm21") L("vblendmps %%zmm18, %%zmm19, %%zmm22%{%%k1%}")       \
    L("vaddps %%zmm21, %%zmm22, %%zmm22")
#define FOLD_2 L("vshuff32x4 $0x88, %%zmm18, %%zmm19, %%zmm21") L("vshuff32x4 $0xdd, %%zmm18, %%zmm19, %%zmm22")     \
    L("vaddps %%zmm21, %%zmm22, %%zmm22")
#define FOLD_4 L("vshufps $0x88, %%zmm18, %%zmm19, %%zmm21") L("vshufps $0xdd, %%zmm18, %%zmm19, %%zmm22")           \
    L("vaddps %%zmm21, %%zmm22, %%zmm22")
#define KEY_BF16 L("vmovdqu64 (%[x]), %%zmm28") L("vmovdqu64 256(%[x]), %%zmm29")
#define PAIR_BF16 L("vmovdqu64 (%[y]), %%zmm28") L("vmovdqu64 256(%[y]), %%zmm29")                                   \
    L("vmovdqa64 %%zmm28, %%zmm27") L("vpermt2w %%zmm29, %%zmm18, %%zmm27") L("vpermt2w %%zmm29, %%zmm19, %%zmm28")
#define WIDEN L("vmovdqa64 %%zmm28, %%zmm27") L("vpermi2b %%zmm18, %%zmm19, %%zmm27") L("vmovdqa64 %%zmm28, %%zmm29") \
    L("vpermi2b %%zmm18, %%zmm19, %%zmm29") L("vpternlogd $0xf8, %%zmm18, %%zmm28, %%zmm27")                         \
    L("vpunpcklbw %%zmm27, %%zmm29, %%zmm26") L("vpunpckhbw %%zmm27, %%zmm29, %%zmm29")
#define KEY_F8E4M3 L("vmovdqu64 (%[x]), %%zmm28") WIDEN
#define PAIR_F8E4M3 L("vmovdqu64 (%[y]), %%ymm28") L("vinserti64x4 $1, 128(%[y]), %%zmm28, %%zmm28") WIDEN
#define WORDS_QUARTER(type, more) KEY_##type ROWS_8(KEYS, "vdpbf16ps") PAIR_##type FOLD FOLD FOLD_2                  \
    ROWS_8(VALUES, "vdpbf16ps") more
#define ALL_WORDS(type)                                                                                             \
    WORDS_QUARTER(type, EXP_1 OUT(1152)) WORDS_QUARTER(type, EXP_2 OUT(1216))                                        \
    WORDS_QUARTER(type, FOLD FOLD FOLD_4) WORDS_QUARTER(type, FOLD_2 L("vpermt2ps %%zmm18, %%zmm19, %%zmm22")        \
        L("vmovaps %%zmm22, 1280(%[p])") L("vcvtneps2bf16 %%zmm19, %%ymm23") L("vmovdqu32 %%ymm23, 1344(%[p])")        \
        L("vmaxps %%zmm18, %%zmm19, %%zmm24"))

#define WORK(name, BODY)                                                                                            \
    static void name(void) {                                                                                        \
        long left = POSITIONS / 2;                                                                                  \
        __asm__ volatile("mov $0xcccccccccccccccc, %%rax\n\tkmovq %%rax, %%k1\n\t" CLEAR_ALL "1:\n\t" BODY           \
                         "dec %[left]\n\tjnz 1b"                                                                    \
                         : [left] "+r"(left) : [x] "r"(cache[0]), [y] "r"(cache[1]), [p] "r"(room)                  \
                         : "memory", "cc", "rax", "rcx", "k1", "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5",       \
                           "zmm6", "zmm7", "zmm8", "zmm9", "zmm10", "zmm11", "zmm12", "zmm13", "zmm14", "zmm15",     \
                           "zmm16", "zmm17", "zmm18", "zmm19", "zmm20", "zmm21", "zmm22", "zmm23", "zmm24",          \
                           "zmm25", "zmm26", "zmm27", "zmm28", "zmm29");                                            \
    }
/* Zeros everywhere: subnormal numbers would take longer. */
#define CLEAR(a) L("vpxord %%zmm" #a ", %%zmm" #a ", %%zmm" #a)
#define CLEAR_PAIR(a, b, unused) CLEAR(a) CLEAR(b)
#define CLEAR_ALL ROWS_8(CLEAR_PAIR, ) CLEAR(16) CLEAR(17) CLEAR(18) CLEAR(19) CLEAR(20) CLEAR(21) CLEAR(22) CLEAR(23)
static uint8_t room[2048] __attribute__((aligned(64)));
WORK(all_q8_0, ALL_BYTES(Q8_0))
WORK(all_q4_0, ALL_BYTES(Q4_0))
WORK(all_bf16, ALL_WORDS(BF16))
WORK(all_f8e4m3, ALL_WORDS(F8E4M3))

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
#define BEST(call) ({                                                                                               \
        double best = 1;                                                                                            \
        for (int i = 0; i < TRIES; i++) {                                                                           \
            double t = seconds();                                                                                   \
            for (int j = 0; j < TIMES; j++) { call; __asm__ volatile("" : : : "memory"); }                         \
            t = seconds() - t;                                                                                      \
            if (t < best) best = t;                                                                                 \
        }                                                                                                           \
        best * 1e9 / TIMES / POSITIONS; })

int main(void) {
    memset(cache, 0x11, sizeof cache);
    for (int i = 0; i < 64; i++)
        for (int j = 0; j < 8; j++) tables[j][i] = (uint8_t)(i * 7 + j);
    printf("%s %.3f %.3f %.3f\n", names[BF16], BEST(words(BF16, 0)), BEST(words(BF16, 1)), BEST(all_bf16()));
    printf("%s %.3f %.3f %.3f\n", names[F8E4M3], BEST(words(F8E4M3, 0)), BEST(words(F8E4M3, 1)), BEST(all_f8e4m3()));
    printf("%s %.3f %.3f %.3f\n", names[Q8_0], BEST(bytes(Q8_0, 0)), BEST(bytes(Q8_0, 1)), BEST(all_q8_0()));
    printf("%s %.3f %.3f %.3f\n", names[Q4_0], BEST(bytes(Q4_0, 0)), BEST(bytes(Q4_0, 1)), BEST(all_q4_0()));
}
