/* attention_int8_few.h: what attention of few rows over packed caches shares, however it makes its scores: factors
 * brought together, and the products of values with probabilities as int16, in assembly: gcc 12 keeps a sum in memory.
 *
 * The file says before where the probabilities of pairs of positions lie: those for block b of values P_BLOCK(b) bytes
 * on, of row r P_AT(r) bytes from the first row's (for the assembler), of the next pair P_STEP bytes further. */
#include "attention_int8.h"
#include "attention_tables.h"
#include "tile32x6.h"

enum { MOST_ROWS = 2 * MR };

static inline uint32_t *behind(const void *rows, size_t count) {
    return (uint32_t *)(void *)((char *)(uintptr_t)rows + count * sizeof(char *));
}

/* Factors of 64 rows, by the integer units: masked loads of vectors took more. */
static inline __attribute__((always_inline)) void gather_factors(int64_t bytes, const char *const *row, int64_t blocks,
                                                                 uint32_t *out) {
    for (int64_t b = 0; b < blocks; b += 2, out += BLOCK)
        UNROLL for (int i = 0; i < BLOCK; i++) {
            uint16_t first, second;
            memcpy(&first, row[i] + b * bytes, 2);
            memcpy(&second, row[i] + (b + 1) * bytes, 2);
            out[i] = first | (uint32_t)second << 16;
        }
}
/* 16 positions' factors of two blocks: to a, and to b. */
static inline __attribute__((always_inline)) void spread_factors(const uint32_t *pairs, float *a, float *b) {
    __m512i v = _mm512_loadu_si512(pairs);
    _mm512_storeu_ps(a, number_or_nan(_mm512_cvtph_ps(_mm512_cvtepi32_epi16(v))));
    _mm512_storeu_ps(b, number_or_nan(_mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(v, 16)))));
}

/* ---- values ---- */

/* Two positions' codes of a block, at `at` of their rows, side by side as int16: the first 16 values in zmm 29, the
 * others in zmm 30. zmm 26 to 28: constants. */
#define PAIRS_Q8_0                                                                                                  \
    "vpmovsxbw 2(%[x],%[at]), %%zmm30\n\tvpmovsxbw 2(%[y],%[at]), %%zmm31\n\tvmovdqa64 %%zmm30, %%zmm29\n\t"       \
    "vpermt2w %%zmm31, %%zmm26, %%zmm29\n\tvpermt2w %%zmm31, %%zmm27, %%zmm30\n\t"
#define PAIRS_Q4_0                                                                                                  \
    "vmovdqu32 2(%[x],%[at]), %%xmm31\n\tvinserti32x4 $1, 2(%[y],%[at]), %%ymm31, %%ymm31\n\t"                    \
    "vpermb %%zmm31, %%zmm26, %%zmm29%{%%k1%}%{z%}\n\tvpsrlw $4, %%zmm29, %%zmm30\n\t"                            \
    "vpandd %%zmm27, %%zmm29, %%zmm29\n\tvpaddw %%zmm28, %%zmm30, %%zmm30\n\tvpaddw %%zmm28, %%zmm29, %%zmm29\n\t"
/* Row r of p meets them. */
#define WEIGH(r, low, high, temp)                                                                                   \
    "vpbroadcastd " P_AT(r) "(%[p]), %%zmm" #temp "\n\tvpdpwssd %%zmm" #temp ", %%zmm29, %%zmm" #low "\n\t"          \
    "vpdpwssd %%zmm" #temp ", %%zmm30, %%zmm" #high "\n\t"
#define CLEAR(r, low, high, temp)                                                                                   \
    "vpxord %%zmm" #low ", %%zmm" #low ", %%zmm" #low "\n\tvpxord %%zmm" #high ", %%zmm" #high ", %%zmm" #high "\n\t"
/* To the row's output, of which x is the address: the sums times its unit, added to what was there times its factor. */
#define KEEP(r, low, high, temp)                                                                                    \
    "vbroadcastss 4*" #r "(%[by]), %%zmm24\n\tvbroadcastss 32+4*" #r "(%[by]), %%zmm25\n\t"                         \
    "vcvtdq2ps %%zmm" #low ", %%zmm" #low "\n\tvcvtdq2ps %%zmm" #high ", %%zmm" #high "\n\t"                       \
    "vmulps (%[x]), %%zmm25, %%zmm22\n\tvmulps 64(%[x]), %%zmm25, %%zmm23\n\t"                                    \
    "vfmadd231ps %%zmm24, %%zmm" #low ", %%zmm22\n\tvfmadd231ps %%zmm24, %%zmm" #high ", %%zmm23\n\t"              \
    "vmovaps %%zmm22, (%[x])\n\tvmovaps %%zmm23, 64(%[x])\n\tadd %[stride], %[x]\n\t"
#define ROWS_1(X) X(0, 0, 8, 24)
#define ROWS_2(X) ROWS_1(X) X(1, 1, 9, 25)
#define ROWS_3(X) ROWS_2(X) X(2, 2, 10, 23)
#define ROWS_4(X) ROWS_3(X) X(3, 3, 11, 22)
#define ROWS_5(X) ROWS_4(X) X(4, 4, 12, 24)
#define ROWS_6(X) ROWS_5(X) X(5, 5, 13, 25)
#define ROWS_7(X) ROWS_6(X) X(6, 6, 14, 23)
#define ROWS_8(X) ROWS_7(X) X(7, 7, 15, 22)
/* by[0][row] times the sums over 64 positions of p[row][position] and their codes of a block are added to out[row], 32
 * values, `stride` bytes apart, after these were multiplied by by[1][row]. On the way 32 lines are asked for, `step`
 * bytes apart. */
#define VALUE_TILE(name, PAIRS, n)                                                                                  \
    static __attribute__((noinline)) void name##_##n(const void *p, const char *const *row, int64_t at,             \
                                                     const void *constants, const float *by, float *out,            \
                                                     int64_t stride, const char *next, int64_t step) {              \
        int64_t x, y, left = BLOCK / 2;                                                                             \
        __asm__ volatile("vmovdqa64 (%[c]), %%zmm26\n\tvmovdqa64 64(%[c]), %%zmm27\n\t"                            \
                         "vmovdqa64 128(%[c]), %%zmm28\n\tkmovq 192(%[c]), %%k1\n\t" ROWS_##n(CLEAR)              \
                         ".p2align 6\n1:\n\tmov (%[row]), %[x]\n\tmov 8(%[row]), %[y]\n\tprefetcht0 (%[next])\n\t"  \
                         "add $16, %[row]\n\tadd %[step], %[next]\n\t" PAIRS ROWS_##n(WEIGH)                       \
                         "add $" P_STEP ", %[p]\n\tdec %[left]\n\tjnz 1b\n\tmov %[out], %[x]\n\t"                   \
                         ROWS_##n(KEEP)                                                                             \
                         : [p] "+r"(p), [row] "+r"(row), [next] "+r"(next), [x] "=&r"(x), [y] "=&r"(y),             \
                           [left] "+r"(left)                                                                        \
                         : [at] "r"(at), [c] "r"(constants), [by] "r"(by), [out] "r"(out), [stride] "r"(stride),    \
                           [step] "r"(step)                                                                         \
                         : T6_CLOBBERS, "k1");                                                                      \
    }
#define VALUE_TILE_Q8_0(n) VALUE_TILE(values_q8_0, PAIRS_Q8_0, n)
#define VALUE_TILE_Q4_0(n) VALUE_TILE(values_q4_0, PAIRS_Q4_0, n)
T6_EACH(VALUE_TILE_Q8_0) VALUE_TILE_Q8_0(7) VALUE_TILE_Q8_0(8)
T6_EACH(VALUE_TILE_Q4_0) VALUE_TILE_Q4_0(7) VALUE_TILE_Q4_0(8)
typedef void (*value_tile_fn)(const void *, const char *const *, int64_t, const void *, const float *, float *, int64_t,
                              const char *, int64_t);
#define VALUE_TILES(name) { NULL, name##_1, name##_2, name##_3, name##_4, name##_5, name##_6, name##_7, name##_8 }
static const value_tile_fn value_tiles[][MR + 1] = { VALUE_TILES(values_q8_0), VALUE_TILES(values_q4_0) };

/* [block / 2][64][2] as gathered; as parts of FULL of the largest [block][64], and those [block]. */
static inline void value_factors(const uint32_t *pairs, int64_t blocks, float *f, float *most) {
    for (int64_t b = 0; b < blocks; b += 2)
        for (int i = 0; i < BLOCK; i += 16)
            spread_factors(pairs + b / 2 * BLOCK + i, f + b * BLOCK + i, f + (b + 1) * BLOCK + i);
    relative_factors(f, blocks, most);
}

/* out[row] = out[row] * factor[row] + the sums over 64 positions of p and values, in units of tops[row] * most[block];
 * `share` bytes of what is asked for on the way. */
static inline void add_values(const task *t, const char *p, const char *const *row, const float *factor,
                              const float *tops, const float *most, int rows, float *out, asked *ask, int64_t share) {
    int64_t vpad = t->vpad, blocks = BLOCKS(vpad), bytes = lb_packed_bytes(t->v.packed);
    float by[2][MR] = { { 0 } };
    for (int r = 0; r < rows; r++) by[1][r] = factor[r];
    for (int64_t b = 0; b < blocks; b++) {
        for (int r = 0; r < rows; r++) by[0][r] = tops[r] * most[b];
        ask_rows(ask, (int)b, (int)blocks);
        value_tiles[bytes == 18][rows](p + P_BLOCK(b), row, b * bytes, bytes == 18 ? &lb_pairs_q4_0 : &lb_pairs_q8_0,
                                       by[0], out + b * SPAN, vpad * 4, ask_on(ask, share / blocks, true),
                                       share / blocks / (BLOCK / 2));
    }
}
