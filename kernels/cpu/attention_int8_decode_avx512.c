/* attention_int8_decode_avx512.c: attention of few rows over packed caches (q8_0, q4_0): the template of flash.h, and
 * of attention_int8.h.
 *
 * Scores: 32 positions of keys are turned, so that a lane is a position, and meet q (vpdpbusd); an exact integer for
 * each block is scaled by the block's two factors. Values: two positions' codes are widened and interleaved in
 * registers and meet probabilities as int16 (vpdpwssd). The loops of both are in assembly: gcc 12 keeps a sum in
 * memory. */
#include "act_q8_32_avx512.h"
#include "tile32x6.h"

/* Rows of q as lb_act_q8_32, apart as lb_panel_act_stride has it. */
#define Q_BYTES(d) ((((size_t)BLOCKS(d) * sizeof(lb_act_q8_32) + 63) / 64 | 1) * 64 + 32)
/* Where the rows are, behind those of keys those of values; factors of two blocks side by side, f16
 * [block / 2][64][2]; then of 32 positions the factors [block][32], and codes [block][8][32 positions] of four. */
#define KEY_BYTES(d) (2 * 64 * sizeof(char *) + (size_t)BLOCKS(d) * (64 * 2 + 32 * 4 + 8 * 32 * 4))
/* Where the rows are; factors as above; as parts of FULL of the largest [block][64]; the largest [block]. */
#define VALUE_BYTES(v) (64 * sizeof(char *) + (size_t)BLOCKS(v) * (64 * 2 + 64 * 4 + 4))
#include "attention_int8.h"
#include "attention_tables.h"

enum { MOST_ROWS = 2 * MR, TURN = 32 /* positions that are turned together */ };

static void pack_row(const float *x, int64_t dim, void *out) { lb_act_q8_32_prepare(NULL, x, dim, out); }

static uint32_t *behind(const void *rows, size_t count) {
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

static void pack_keys(const task *t, const char *const *row, void *out) {
    memcpy(out, row, sizeof(block));
    if (t->k.packed == LB_PACKED_Q8_0) gather_factors(34, row, BLOCKS(t->dim), behind(out, 2 * BLOCK));
    else gather_factors(18, row, BLOCKS(t->dim), behind(out, 2 * BLOCK));
}
static void pack_values(const task *t, const char *const *row, void *out) {
    memcpy(out, row, BLOCK * sizeof *row);
    if (t->v.packed == LB_PACKED_Q8_0) gather_factors(34, row, BLOCKS(t->vpad), behind(out, BLOCK));
    else gather_factors(18, row, BLOCKS(t->vpad), behind(out, BLOCK));
}

/* ---- scores ---- */

/* Four rows by four elements, in each quarter of the registers: rows into columns. */
static inline __attribute__((always_inline)) void turn4(__m512i *r) {
    __m512i a = _mm512_unpacklo_epi32(r[0], r[1]), b = _mm512_unpackhi_epi32(r[0], r[1]);
    __m512i c = _mm512_unpacklo_epi32(r[2], r[3]), d = _mm512_unpackhi_epi32(r[2], r[3]);
    r[0] = _mm512_unpacklo_epi64(a, c), r[1] = _mm512_unpackhi_epi64(a, c);
    r[2] = _mm512_unpacklo_epi64(b, d), r[3] = _mm512_unpackhi_epi64(b, d);
}

/* A block's codes, more by 128, of the 16 rows from `row`, its factor at `at`: to[2i] has codes 4i to 4i + 3. */
static inline __attribute__((always_inline)) void turn_q8_0(const char *const *row, int64_t at, __m512i *to) {
    const __m512i flip = _mm512_set1_epi8((char)0x80);
    __m512i r[8];
    UNROLL for (int j = 0; j < 8; j++) {
        const char *const *p = row + j / 4 * 8 + j % 4;
        r[j] = _mm512_inserti64x4(_mm512_castsi256_si512(load_codes(LB_PACKED_Q8_0, p[0] + at)),
                                  load_codes(LB_PACKED_Q8_0, p[4] + at), 1);
    }
    turn4(r), turn4(r + 4);
    UNROLL for (int j = 0; j < 4; j++) {
        to[2 * j] = _mm512_xor_si512(_mm512_shuffle_i32x4(r[j], r[j + 4], 0x88), flip);
        to[2 * j + 8] = _mm512_xor_si512(_mm512_shuffle_i32x4(r[j], r[j + 4], 0xdd), flip);
    }
}
static inline __attribute__((always_inline)) void turn_q4_0(const char *const *row, int64_t at, __m512i *to) {
    const __m512i low = _mm512_set1_epi8(15), lift = _mm512_set1_epi8(128 - 8);
    __m512i r[4];
    UNROLL for (int j = 0; j < 4; j++) {
        r[j] = _mm512_castsi128_si512(_mm_loadu_si128((const void *)(row[j] + at + 2)));
        r[j] = _mm512_inserti32x4(r[j], _mm_loadu_si128((const void *)(row[j + 4] + at + 2)), 1);
        r[j] = _mm512_inserti32x4(r[j], _mm_loadu_si128((const void *)(row[j + 8] + at + 2)), 2);
        r[j] = _mm512_inserti32x4(r[j], _mm_loadu_si128((const void *)(row[j + 12] + at + 2)), 3);
    }
    turn4(r);
    UNROLL for (int j = 0; j < 4; j++) {
        to[2 * j] = _mm512_add_epi8(_mm512_and_si512(r[j], low), lift);
        to[2 * j + 8] = _mm512_add_epi8(_mm512_and_si512(_mm512_srli_epi16(r[j], 4), low), lift);
    }
}

/* s[row of q][32] = the scores of 32 positions. On the way four lines a block are asked for, `step` bytes apart. */
#define ASK_NEXT "prefetcht0 (%[next])\n\tadd %[step], %[next]\n\t"
#define SCORE_STEPS(n)                                                                                              \
    T6_STEP(n, "vpdpbusd", 0, 0) ASK_NEXT T6_STEP(n, "vpdpbusd", 128, 4) T6_STEP(n, "vpdpbusd", 256, 8) ASK_NEXT    \
    T6_STEP(n, "vpdpbusd", 384, 12) "add $512, %[w]\n\t" T6_ON(16)
#define SCORE_TILE(n)                                                                                               \
    static __attribute__((noinline)) void score_tile_##n(const void *w, const void *a, size_t s, int64_t blocks,    \
                                                         const float *scales, float *acc, const char *next,         \
                                                         int64_t step) {                                            \
        const char *b = (const char *)a + 3 * s;                                                                    \
        __asm__ volatile(T6_##n(T6_OPEN_ZERO, ) ".p2align 6\n1:\n\t" T6_##n(T6_START, 36)                           \
                         SCORE_STEPS(n) SCORE_STEPS(n) T6_##n(T6_TO_FLOAT, ) T6_SCALES                              \
                         T6_##n(T6_ADD_TIMES, 0) "add $128, %[scales]\n\t" T6_ON(16) "dec %[blocks]\n\tjnz 1b\n\t"  \
                         T6_##n(T6_KEEP, )                                                                          \
                         : [w] "+r"(w), [a] "+r"(a), [b] "+r"(b), [blocks] "+r"(blocks), [scales] "+r"(scales),     \
                           [next] "+r"(next)                                                                        \
                         : [s] "r"(s), [acc] "r"(acc), [step] "r"(step)                                             \
                         : T6_CLOBBERS);                                                                            \
    }
T6_EACH(SCORE_TILE)
typedef void (*score_tile_fn)(const void *, const void *, size_t, int64_t, const float *, float *, const char *,
                              int64_t);
static const score_tile_fn score_tiles[] = { NULL, score_tile_1, score_tile_2, score_tile_3, score_tile_4, score_tile_5,
                                             score_tile_6 };

static inline __attribute__((always_inline)) void scores_of(const task *t, int packed, const char *q, const char *kc,
                                                            int rows, float *s, const char *const *next) {
    const char *const *row = (const void *)kc;
    int64_t blocks = BLOCKS(t->dim), bytes = packed == LB_PACKED_Q8_0 ? 34 : 18;
    const uint32_t *pairs = behind(kc, 2 * BLOCK);
    float *factors = (float *)(void *)(uintptr_t)(pairs + blocks * BLOCK / 2);
    float part[TILE6_COLS * TURN] __attribute__((aligned(64)));
    __m512i *codes = (__m512i *)(void *)(factors + blocks * TURN);
    size_t q_bytes = Q_BYTES(t->dim);
    int groups = (rows + TILE6_COLS - 1) / TILE6_COLS;
    asked ask = asked_of(next, blocks * bytes);
    /* half of it while keys are turned, half in the products */
    int64_t share = ask.in_step ? blocks * bytes * BLOCK / 4 : 0;
    for (int i = 0; i < BLOCK; i += TURN) {
        for (int64_t b = 0; b < blocks; b++)
            UNROLL for (int j = 0; j < 2; j++) {
                ask_on(&ask, share / blocks / 2, false);
                if (b % 2 == 0)
                    spread_factors(pairs + b / 2 * BLOCK + i + 16 * j, factors + b * TURN + 16 * j,
                                   factors + (b + 1) * TURN + 16 * j);
                if (packed == LB_PACKED_Q8_0) turn_q8_0(row + i + 16 * j, b * bytes, codes + 16 * b + j);
                else turn_q4_0(row + i + 16 * j, b * bytes, codes + 16 * b + j);
            }
        for (int g = 0; g < groups; g++) {
            int r0 = rows * g / groups, r1 = rows * (g + 1) / groups;
            ask_rows(&ask, i / TURN * groups + g, 2 * groups);
            score_tiles[r1 - r0](codes, q + (size_t)r0 * q_bytes, q_bytes, blocks, factors, part,
                                 ask_on(&ask, share / groups, true), share / groups / blocks / 4);
            for (int r = r0; r < r1; r++)
                for (int j = 0; j < TURN; j += 16)
                    _mm512_store_ps(s + r * BLOCK + i + j, _mm512_load_ps(part + (r - r0) * TURN + j));
        }
    }
}

static void scores(const task *t, const char *q, const char *kc, int rows, float *s, ahead *h) {
    const char *const *next = h ? (const char *const *)h->row : NULL; /* the next block's keys */
    if (t->k.packed == LB_PACKED_Q8_0) scores_of(t, LB_PACKED_Q8_0, q, kc, rows, s, next);
    else scores_of(t, LB_PACKED_Q4_0, q, kc, rows, s, next);
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
    "vpbroadcastd 128*" #r "(%[p]), %%zmm" #temp "\n\tvpdpwssd %%zmm" #temp ", %%zmm29, %%zmm" #low "\n\t"          \
    "vpdpwssd %%zmm" #temp ", %%zmm30, %%zmm" #high "\n\t"
#define CLEAR(r, low, high, temp)                                                                                   \
    "vpxord %%zmm" #low ", %%zmm" #low ", %%zmm" #low "\n\tvpxord %%zmm" #high ", %%zmm" #high ", %%zmm" #high "\n\t"
#define KEEP(r, low, high, temp)                                                                                    \
    "vmovdqa64 %%zmm" #low ", 128*" #r "(%[acc])\n\tvmovdqa64 %%zmm" #high ", 64+128*" #r "(%[acc])\n\t"
#define ROWS_1(X) X(0, 0, 8, 24)
#define ROWS_2(X) ROWS_1(X) X(1, 1, 9, 25)
#define ROWS_3(X) ROWS_2(X) X(2, 2, 10, 23)
#define ROWS_4(X) ROWS_3(X) X(3, 3, 11, 22)
#define ROWS_5(X) ROWS_4(X) X(4, 4, 12, 24)
#define ROWS_6(X) ROWS_5(X) X(5, 5, 13, 25)
#define ROWS_7(X) ROWS_6(X) X(6, 6, 14, 23)
#define ROWS_8(X) ROWS_7(X) X(7, 7, 15, 22)
/* acc[row][32] = the sums over 64 positions of p[row][position] times their codes of a block. On the way 32 lines are
 * asked for, `step` bytes apart. */
#define VALUE_TILE(name, PAIRS, n)                                                                                  \
    static __attribute__((noinline)) void name##_##n(const void *p, const char *const *row, int64_t at,             \
                                                     const void *constants, int32_t *acc, const char *next,         \
                                                     int64_t step) {                                                \
        int64_t x, y, left = BLOCK / 2;                                                                             \
        __asm__ volatile("vmovdqa64 (%[c]), %%zmm26\n\tvmovdqa64 64(%[c]), %%zmm27\n\t"                            \
                         "vmovdqa64 128(%[c]), %%zmm28\n\tkmovq 192(%[c]), %%k1\n\t" ROWS_##n(CLEAR)              \
                         ".p2align 6\n1:\n\tmov (%[row]), %[x]\n\tmov 8(%[row]), %[y]\n\tprefetcht0 (%[next])\n\t"  \
                         "add $16, %[row]\n\tadd %[step], %[next]\n\t" PAIRS ROWS_##n(WEIGH)                       \
                         "add $4, %[p]\n\tdec %[left]\n\tjnz 1b\n\t" ROWS_##n(KEEP)                               \
                         : [p] "+r"(p), [row] "+r"(row), [next] "+r"(next), [x] "=&r"(x), [y] "=&r"(y),             \
                           [left] "+r"(left)                                                                        \
                         : [at] "r"(at), [c] "r"(constants), [acc] "r"(acc), [step] "r"(step)                       \
                         : T6_CLOBBERS, "k1");                                                                      \
    }
#define VALUE_TILE_Q8_0(n) VALUE_TILE(values_q8_0, PAIRS_Q8_0, n)
#define VALUE_TILE_Q4_0(n) VALUE_TILE(values_q4_0, PAIRS_Q4_0, n)
T6_EACH(VALUE_TILE_Q8_0) VALUE_TILE_Q8_0(7) VALUE_TILE_Q8_0(8)
T6_EACH(VALUE_TILE_Q4_0) VALUE_TILE_Q4_0(7) VALUE_TILE_Q4_0(8)
typedef void (*value_tile_fn)(const void *, const char *const *, int64_t, const void *, int32_t *, const char *,
                              int64_t);
#define VALUE_TILES(name) { NULL, name##_1, name##_2, name##_3, name##_4, name##_5, name##_6, name##_7, name##_8 }
static const value_tile_fn value_tiles[][MR + 1] = { VALUE_TILES(values_q8_0), VALUE_TILES(values_q4_0) };

static void weigh(const task *t, const float *p, const char *vc, char *scratch, const float *factor, int rows,
                  float *out, ahead *h) {
    const char *const *row = (const void *)vc, *const *next = h && h->row ? (const char *const *)h->row + BLOCK : NULL;
    int64_t vpad = t->vpad, blocks = BLOCKS(vpad), bytes = lb_packed_bytes(t->v.packed);
    uint32_t *pairs = behind(vc, BLOCK);
    float *f = (float *)(void *)(pairs + blocks * BLOCK / 2), *most = f + blocks * BLOCK, tops[MR];
    int32_t sums[MR * SPAN] __attribute__((aligned(64)));
    for (int64_t b = 0; b < blocks; b += 2)
        for (int i = 0; i < BLOCK; i += 16)
            spread_factors(pairs + b / 2 * BLOCK + i, f + b * BLOCK + i, f + (b + 1) * BLOCK + i);
    relative_factors(f, blocks, most);
    for (int r = 0; r < rows; r++)
        tops[r] = weights_i16(p + r * BLOCK, f, blocks, scratch + r * BLOCK * 2, MR * BLOCK * 2);
    asked ask = asked_of(next, blocks * bytes);
    int64_t share = ask.in_step ? bytes * BLOCK : 0;
    for (int64_t b = 0; b < blocks; b++) {
        ask_rows(&ask, (int)b, (int)blocks);
        value_tiles[bytes == 18][rows](scratch + b * MR * BLOCK * 2, row, b * bytes,
                                       bytes == 18 ? &lb_pairs_q4_0 : &lb_pairs_q8_0, sums,
                                       ask_on(&ask, share, true), share / (BLOCK / 2));
        for (int r = 0; r < rows; r++)
            UNROLL for (int j = 0; j < SPAN; j += 16) {
                float *to = out + r * vpad + b * SPAN + j;
                __m512 before = _mm512_mul_ps(_mm512_load_ps(to), _mm512_set1_ps(factor[r]));
                __m512 more = _mm512_cvtepi32_ps(_mm512_load_si512(sums + r * SPAN + j));
                _mm512_store_ps(to, _mm512_fmadd_ps(more, _mm512_set1_ps(tops[r] * most[b]), before));
            }
    }
}

static bool supports(const lb_args *a, const char **why) {
    const lb_tensor *k = lb_arg(a, LB_ATTENTION_K), *v = lb_arg(a, LB_ATTENTION_V), *q = lb_arg(a, LB_ATTENTION_Q);
    const lb_tensor *starts = lb_arg(a, LB_ATTENTION_STARTS), *pages = lb_arg(a, LB_ATTENTION_PAGES);
    int64_t sequences = pages ? pages->dims[0] : k->dims[0], heads = k->dims[1];
    int64_t dim = q->dims[2], values = value_dim(a);
    int64_t rows = sequences > 0 && heads > 0 ? q->dims[0] * q->dims[1] / heads : 0;
    *why = "takes packed caches whose heads have a multiple of 64 values, up to 4096, and at most 16 rows of q for a "
           "cache head";
    if (k->dtype != LB_U8 || (v && v->dtype != LB_U8) || dim % 64 || values % 64 || dim > DIM_MOST || values > DIM_MOST)
        return false;
    if (!starts && sequences > 0) rows /= sequences;
    return rows <= MOST_ROWS * (starts ? sequences : 1) && rows_fit(a, why);
}

const lb_kernel lb_kernel_attention_int8_decode_avx512 = {
    .name = "attention.int8.decode_avx512", .op = "attention", .device = "cpu",
    .about = "for few rows: keys' codes turned in registers and multiplied as they are stored (vpdpbusd), values' "
             "codes meet probabilities of int16 (vpdpwssd), a running softmax in f32; the positions are split over the "
             "parts and added up after",
    .source = "luabench; Dao et al., FlashAttention-2 and Flash-Decoding",
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_VNNI | LB_ISA_AVX512_VBMI, .act = LB_ACT_Q8_32, .acc = LB_ACC_I32_F32,
    .compute = LB_COMPUTE_INT8, .tolerance = 1e-5,
    .tolerance_why = "each probability times its value's factor is rounded to 2^-16 of the largest of 64, the "
                     "exponential to 4e-5",
    .priority = 30, .supports = supports, .phases = phases, .workspace_bytes = workspace_bytes, .launch = launch,
};
