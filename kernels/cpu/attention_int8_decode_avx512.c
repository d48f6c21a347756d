/* attention_int8_decode_avx512.c: attention of few rows over packed caches (q8_0, q4_0): the template of flash.h, and
 * of attention_int8.h.
 *
 * Scores: 32 positions of keys are turned, so that a lane is a position, and meet q (vpdpbusd); an exact integer for
 * each block is scaled by the block's two factors. Values: two positions' codes are widened and interleaved in
 * registers and meet probabilities as int16 (vpdpwssd). The loops of both are in assembly: gcc 12 keeps a sum in
 * memory. */
#include "act_q8_32_avx512.h"

/* Rows of q as lb_act_q8_32, apart as lb_panel_act_stride has it. */
#define Q_BYTES(d) ((((size_t)BLOCKS(d) * sizeof(lb_act_q8_32) + 63) / 64 | 1) * 64 + 32)
/* Where the rows are, behind those of keys those of values; factors of two blocks side by side, f16
 * [block / 2][64][2]; then of 32 positions the factors [block][32], and codes [block][8][32 positions] of four. */
#define KEY_BYTES(d) (2 * 64 * sizeof(char *) + (size_t)BLOCKS(d) * (64 * 2 + 32 * 4 + 8 * 32 * 4))
/* Where the rows are; factors as above; as parts of FULL of the largest [block][64]; the largest [block]. */
#define VALUE_BYTES(v) (64 * sizeof(char *) + (size_t)BLOCKS(v) * (64 * 2 + 64 * 4 + 4))
#define P_AT(r) "128*" #r
#define P_STEP "4"
#define P_BLOCK(b) ((b) * MR * BLOCK * 2)
#include "attention_int8_few.h"

enum { TURN = 32 /* positions that are turned together */ };

static void pack_row(const float *x, int64_t dim, void *out) { lb_act_q8_32_prepare(NULL, x, dim, out); }

static void pack_keys(const task *t, const char *const *row, void *out) {
    memcpy(out, row, 2 * BLOCK * sizeof *row);
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

static void weigh(const task *t, const float *p, const char *vc, char *scratch, const float *factor, int rows,
                  float *out, ahead *h) {
    const char *const *row = (const void *)vc, *const *next = h && h->row ? (const char *const *)h->row + BLOCK : NULL;
    int64_t blocks = BLOCKS(t->vpad);
    uint32_t *pairs = behind(vc, BLOCK);
    float *f = (float *)(void *)(pairs + blocks * BLOCK / 2), *most = f + blocks * BLOCK, tops[MR];
    value_factors(pairs, blocks, f, most);
    for (int r = 0; r < rows; r++)
        tops[r] = weights_i16(p + r * BLOCK, f, blocks, scratch + r * BLOCK * 2, MR * BLOCK * 2);
    asked ask = asked_of(next, t->vpad / SPAN * lb_packed_bytes(t->v.packed));
    add_values(t, scratch, row, factor, tops, most, rows, out, &ask, ask.in_step ? ask.bytes * BLOCK : 0);
}

static bool supports(const lb_args *a, const char **why) {
    const lb_tensor *k = lb_arg(a, LB_ATTENTION_K), *v = lb_arg(a, LB_ATTENTION_V), *q = lb_arg(a, LB_ATTENTION_Q);
    int64_t dim = q->dims[2], values = value_dim(a);
    *why = "takes packed caches whose heads have a multiple of 64 values, up to 4096, and at most 16 rows of q for a "
           "cache head";
    if (k->dtype != LB_U8 || (v && v->dtype != LB_U8) || dim % 64 || values % 64 || dim > DIM_MOST || values > DIM_MOST)
        return false;
    return few_rows(a, MOST_ROWS) && rows_fit(a, why);
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
