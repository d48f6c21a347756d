/* attention_int8_lanes_avx512.c: attention of 5 to 16 rows a cache head over packed caches (q8_0, q4_0), keys of 128
 * values: the template of flash.h, and of attention_int8.h.
 *
 * Rows are lanes: a register holds 8 codes of each of 8 rows of q, 16 registers all of them. They meet 8 codes of a
 * key, which are spread over the lanes as they are loaded (vpdpbusd). So keys need not be turned, nothing of q is
 * loaded, and scores of two positions come out as a register, rows by positions: their softmax is element by element.
 * The loop is in assembly: gcc 12 has no room for the 24 registers that stay. Values as in the other kernel for few
 * rows; where rows of the cache lie one behind the other, beside the next block's scores (attention_int8_fused.h).
 *
 * What the next block needs is asked for all the time, in the softmax too: memory that rests for a fifth of the time is
 * what made the other kernel no faster out of memory than its products are long. */

/* Row r of a pair of positions, after vpackssdw of the products with two blocks' factors. */
#define P_AT(r) "0+(" #r ">>1)*16+(" #r "&1)*4"
#define P_STEP "64"
#define P_BLOCK(b) ((b) / 2 * 64 * 32 + (b) % 2 * 8)
/* A row's codes and factors; then, from its first row on, 8 rows as `lanes`. */
#define Q_BYTES(d) (Q_OWN(d) + sizeof(lanes))
#define Q_OWN(d) (((size_t)(d) + (size_t)(d) / 8 + 63) / 64 * 64)
/* Of two groups of rows the scores of a block; of all others, which get theirs when they need them. */
#define KEY_BYTES(d) (3 * sizeof(ready) + 0 * (size_t)(d))
/* Factors, f16 [block][64]; as parts of FULL of the largest [block][64]; the largest [block]. */
#define VALUE_BYTES(v) ((size_t)BLOCKS(v) * (64 * 2 + 64 * 4 + 4))
#define OWN_ROWS
#include <immintrin.h>
#include "act_q8_32_avx512.h"

enum { KEY = 128, KEY_BLOCKS = KEY / 32 };

/* q[i]: of each row codes 8i to 8i + 7. start[b]: what takes the keys' shift to unsigned back. factor[b]: of the rows
 * in the order of scores: in each quarter two rows at the first position, and at the second. */
typedef struct lanes {
    __m512i q[KEY / 8], start[KEY_BLOCKS];
    __m512 factor[KEY_BLOCKS];
} lanes;

/* A group's scores of positions [from, from + 64), [pair][16], and the largest by lane. */
typedef struct ready {
    float s[64 * 8];
    __m512 most;
    int64_t from;
} ready;
#include "attention_int8_few.h"
#include "attention_int8_fused.h"

static void pack_row(const float *x, int64_t dim, void *out) {
    lb_act_q8_32 blocks[KEY_BLOCKS];
    lb_act_q8_32_prepare(NULL, x, dim, blocks);
    for (int b = 0; b < KEY_BLOCKS; b++) {
        memcpy((char *)out + b * SPAN, blocks[b].q, SPAN);
        memcpy((char *)out + KEY + 4 * b, &blocks[b].d, 4);
    }
}

/* Nothing is brought into another form: rows are read where they lie. */
static void pack_keys(const task *t, const char *const *row, void *out) { (void)t, (void)row, (void)out; }
static void pack_values(const task *t, const char *const *row, void *out) { (void)t, (void)row, (void)out; }

static lanes *lanes_of(char *q) { return (lanes *)(void *)(q + Q_OWN(KEY)); }
static ready *ready_of(char *k) { return (ready *)(void *)k; }

/* Of a group of rows from the first one's. Codes of q8_0 are shifted by 128; those of q4_0 by 8, and its products
 * are 16 times as large. */
static void rows_as_lanes(char *q, int rows, int packed) {
    int32_t shift = packed == LB_PACKED_Q8_0 ? 128 : 8;
    lanes *to = lanes_of(q);
    memset(to, 0, sizeof *to);
    for (int r = 0; r < rows; r++) {
        const char *row = q + (size_t)r * Q_BYTES(KEY);
        for (int i = 0; i < KEY / 8; i++) memcpy((char *)&to->q[i] + 8 * r, row + 8 * i, 8);
        for (int b = 0; b < KEY_BLOCKS; b++) {
            float d;
            int32_t sum = 0;
            memcpy(&d, row + KEY + 4 * b, 4);
            for (int i = 0; i < SPAN; i++) sum += (int8_t)row[b * SPAN + i];
            ((int32_t *)&to->start[b])[2 * r] = -shift * sum;
            if (packed == LB_PACKED_Q4_0) d /= 16;
            for (int j = 0; j < 4; j += 2) ((float *)&to->factor[b])[r / 2 * 4 + j + r % 2] = d;
        }
    }
}

/* ---- scores ---- */

#define INF4 -INFINITY, -INFINITY, -INFINITY, -INFINITY
static const float lowest[16] __attribute__((aligned(64))) = { INF4, INF4, INF4, INF4 };

/* Of a pair of positions x and y: eight codes each, at `at`, with q in zmm `i`, to the sums in zmm `a` and `b`. */
#define MEET(how, at, i, a, b)                                                                                      \
    how " " at "(%[x])%{1to8%}, %%zmm24, %%zmm30\n\t" how " " at "(%[y])%{1to8%}, %%zmm24, %%zmm31\n\t"              \
    "vpdpbusd %%zmm" #i ", %%zmm30, %%zmm" #a "\n\tvpdpbusd %%zmm" #i ", %%zmm31, %%zmm" #b "\n\t"
#define START(start, a, b) "vmovdqa64 %%zmm" #start ", %%zmm" #a "\n\tvmovdqa64 %%zmm" #start ", %%zmm" #b "\n\t"
/* Two blocks by turns (text), whose sums start in zmm s0, s1: i0 is q's first register. */
#define STEP_Q8_0(at, b0, b1, i, j)                                                                                 \
    MEET("vpxorq", "34*" #b0 "+" #at, i, 27, 28) MEET("vpxorq", "34*" #b1 "+" #at, j, 25, 29)
#define BLOCKS_Q8_0(b0, b1, s0, s1, i0, i1, i2, i3, j0, j1, j2, j3)                                                 \
    START(s0, 27, 28) START(s1, 25, 29) STEP_Q8_0(2, b0, b1, i0, j0) STEP_Q8_0(10, b0, b1, i1, j1)                  \
    STEP_Q8_0(18, b0, b1, i2, j2) STEP_Q8_0(26, b0, b1, i3, j3)
/* Low nibbles are codes 0 to 15 of the block, high ones, 16 times as large, the others. */
#define STEP_Q4_0(how, at, b0, b1, i, j)                                                                            \
    MEET(how, "18*" #b0 "+" #at, i, 27, 28) MEET(how, "18*" #b1 "+" #at, j, 25, 29)
#define TIMES_16(a) "vpslld $4, %%zmm" #a ", %%zmm" #a "\n\t"
#define BLOCKS_Q4_0(b0, b1, s0, s1, i0, i1, i2, i3, j0, j1, j2, j3)                                                 \
    START(s0, 27, 28) START(s1, 25, 29) STEP_Q4_0("vpandq", 2, b0, b1, i0, j0)                                      \
    STEP_Q4_0("vpandq", 10, b0, b1, i1, j1) TIMES_16(27) TIMES_16(28) TIMES_16(25) TIMES_16(29)                     \
    STEP_Q4_0("vpandnq", 2, b0, b1, i2, j2) STEP_Q4_0("vpandnq", 10, b0, b1, i3, j3)
/* The halves of both sums added up, times the rows' factors (zmm `rows`) and the keys' (at `at`): `last` has it go to
 * zmm26. */
#define TO_SCORES(at, rows, last, a, b)                                                                             \
    "prefetcht0 (%[next])\n\tadd %[step], %[next]\n\t"                                                              \
    "vshufps $0x88, %%zmm" #b ", %%zmm" #a ", %%zmm30\n\tvshufps $0xdd, %%zmm" #b ", %%zmm" #a ", %%zmm31\n\t"    \
    "vpaddd %%zmm30, %%zmm31, %%zmm30\n\tvcvtdq2ps %%zmm30, %%zmm30\n\t"                                          \
    "vpbroadcastw " at "(%[x]), %%ymm31\n\tvpbroadcastw " at "(%[y]), %%ymm31%{%%k1%}\n\t"                        \
    "vcvtph2ps %%ymm31, %%zmm31\n\tvmulps %%zmm" #rows ", %%zmm30, %%zmm30\n\t"                                   \
    last " %%zmm31, %%zmm30, %%zmm26\n\t"
/* Less nearly nothing of it: Inf becomes NaN, as products of both signs with an infinite factor would. */
#define KEEP_SCORES(less)                                                                                           \
    less " %%zmm24, %%zmm26, %%zmm26\n\tvmovaps %%zmm26, (%[s])\n\tvmovaps %[most], %%zmm30\n\t"                   \
    "vmaxps %%zmm30, %%zmm26, %%zmm30\n\tvmovaps %%zmm30, %[most]\n\t"
#define SCORE_LOOP(name, TYPES, bytes, mask, less)                                                                  \
    static __attribute__((noinline)) __m512 name(const lanes *q, const char *const *row, int64_t left, float *s,    \
                                                 const char *next, int64_t step) {                                  \
        const char *x, *y;                                                                                          \
        const __m512i flip = _mm512_set1_epi8((char)mask); /* as f32 next to 0, less than it or more */             \
        __m512 most = _mm512_load_ps(lowest);                                                                       \
        __asm__ volatile(                                                                                           \
            "vmovdqa64 %[flip], %%zmm24\n\tmov $0xcccc, %k[x]\n\tkmovd %k[x], %%k1\n\t"                            \
            LOAD16(LOAD_Q) LOAD8(LOAD_REST) ".p2align 6\n1:\n\tmov (%[row]), %[x]\n\tmov 8(%[row]), %[y]\n\t"       \
            "add $16, %[row]\n\t" TYPES(0, 1, 16, 17, 0, 1, 2, 3, 4, 5, 6, 7)                                       \
            TO_SCORES(#bytes "*0", 20, "vmulps", 27, 28) TO_SCORES(#bytes "*1", 21, "vfmadd231ps", 25, 29)          \
            TYPES(2, 3, 18, 19, 8, 9, 10, 11, 12, 13, 14, 15)                                                       \
            TO_SCORES(#bytes "*2", 22, "vfmadd231ps", 27, 28) TO_SCORES(#bytes "*3", 23, "vfmadd231ps", 25, 29)     \
            KEEP_SCORES(less) "add $64, %[s]\n\tdec %[left]\n\tjnz 1b\n\t"                                         \
            : [row] "+r"(row), [s] "+r"(s), [next] "+r"(next), [left] "+r"(left), [x] "=&r"(x), [y] "=&r"(y),       \
              [most] "+m"(most)                                                                                     \
            : [q] "r"(q), [step] "r"(step), [flip] "m"(flip)                                                        \
            : T6_CLOBBERS, "k1");                                                                                   \
        return most;                                                                                                \
    }
#define LOAD_Q(i) "vmovdqa64 64*" #i "(%[q]), %%zmm" #i "\n\t"
#define LOAD_REST(i, to) "vmovdqa64 64*" #to "(%[q]), %%zmm" #to "\n\t"
#define LOAD16(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define LOAD8(X) X(0, 16) X(1, 17) X(2, 18) X(3, 19) X(4, 20) X(5, 21) X(6, 22) X(7, 23)
/* Scores of `left` pairs of positions to s [pair][16]; the largest by lane. On the way four lines a pair are asked for,
 * `step` bytes apart. */
SCORE_LOOP(scores_q8_0, BLOCKS_Q8_0, 34, 0x80, "vfmadd231ps")
SCORE_LOOP(scores_q4_0, BLOCKS_Q4_0, 18, 0x0f, "vfnmadd231ps")

/* What rows do not see becomes -Inf. Returns the largest by lane. */
static __m512 hide(float *s, const int32_t *lo, const int32_t *hi) {
    const __m512i rows = _mm512_setr_epi32(0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 6, 7, 6, 7);
    __m512i at = _mm512_setr_epi32(0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1);
    __m512i from = _mm512_permutexvar_epi32(rows, _mm512_castsi256_si512(_mm256_loadu_si256((const void *)lo)));
    __m512i to = _mm512_permutexvar_epi32(rows, _mm512_castsi256_si512(_mm256_loadu_si256((const void *)hi)));
    __m512 none = _mm512_load_ps(lowest), most = none;
    for (int i = 0; i < BLOCK / 2; i++, s += 16, at = _mm512_add_epi32(at, _mm512_set1_epi32(2))) {
        __mmask16 seen = _mm512_cmp_epi32_mask(at, from, _MM_CMPINT_NLT) & _mm512_cmp_epi32_mask(at, to, _MM_CMPINT_LT);
        __m512 v = _mm512_mask_mov_ps(none, seen, _mm512_load_ps(s));
        _mm512_store_ps(s, v);
        most = _mm512_max_ps(v, most); /* NaN in v: it stays */
    }
    return most;
}

/* ---- the softmax so far ---- */

/* Lines of the next block that are asked for meanwhile. */
enum { ASK_KEYS = 48, ASK_VALUES = BLOCK - ASK_KEYS };
typedef double two_floats __attribute__((may_alias, aligned(4)));

/* Scores become exponentials of `scale` times what they are above `most`, [pair][16], rows by positions: of the largest
 * exactly 1, whatever the scores' magnitude. On the way the values' factors are brought together, [block][64], which
 * other units do, and 2 lines a pair are asked for. Returns the sums by lane: row r in lanes 2r and 2r + 1. Rows that
 * lie `step` bytes apart, or (0) where `row` says. */
static inline __attribute__((always_inline)) __m512 exponentials(float *s, __m512 scale, __m512 most, int64_t bytes,
                                                                 int64_t step, const char *const *row, int64_t blocks,
                                                                 uint16_t *factors, const char *keys,
                                                                 const char *values) {
    __m512 sum = _mm512_setzero_ps();
    for (int i = 0; i < BLOCK; i += 8, factors += 8) {
        UNROLL for (int j = 0; j < 8; j += 2, s += 16) {
            const char *ask = i < ASK_KEYS ? keys + 64 * (i + j) : values + 64 * (i + j - ASK_KEYS);
            __builtin_prefetch(ask, 0, 3), __builtin_prefetch(ask + 64, 0, 3);
            __m512 x = _mm512_permute_ps(_mm512_load_ps(s), 0xd8);
            x = exp2_16(_mm512_mul_ps(_mm512_sub_ps(x, most), scale));
            sum = _mm512_add_ps(sum, x);
            _mm512_store_ps(s, x);
        }
        UNROLL for (int64_t b = 0; b < blocks; b++) {
            uint16_t f[8];
            UNROLL for (int j = 0; j < 8; j++)
                memcpy(&f[j], (step ? row[0] + (i + j) * step : row[i + j]) + b * bytes, 2);
            __m128i v = _mm_cvtsi32_si128(f[0]);
            v = _mm_insert_epi16(v, f[1], 1), v = _mm_insert_epi16(v, f[2], 2), v = _mm_insert_epi16(v, f[3], 3);
            v = _mm_insert_epi16(v, f[4], 4), v = _mm_insert_epi16(v, f[5], 5), v = _mm_insert_epi16(v, f[6], 6);
            _mm_store_si128((void *)(factors + b * BLOCK), _mm_insert_epi16(v, f[7], 7));
        }
    }
    return sum;
}

/* Of 128 values: as functions of their own, or gcc makes one loop of them that knows no sizes. */
#define EXPONENTIALS(name, bytes, step)                                                                             \
    static __attribute__((noinline)) __m512 name(float *s, __m512 scale, __m512 most, const char *const *row,       \
                                                 uint16_t *factors, const char *keys, const char *values) {         \
        return exponentials(s, scale, most, bytes, step, row, 4, factors, keys, values);                            \
    }
EXPONENTIALS(exponentials_q8_0, 34, 136)
EXPONENTIALS(exponentials_q4_0, 18, 72)

/* As parts of FULL of the largest of their block [block][64], and those [block]. */
static inline __attribute__((always_inline)) void factors_of(const uint16_t *h, int64_t blocks, float *f, float *most) {
    for (int64_t i = 0; i < blocks * BLOCK; i += 16)
        _mm512_storeu_ps(f + i, number_or_nan(_mm512_cvtph_ps(_mm256_loadu_si256((const void *)(h + i)))));
    relative_factors(f, blocks, most);
}

/* Exponentials times the values' factors as int16, [block / 2][pair][64 bytes]. */
static inline __attribute__((always_inline)) void weights(const float *s, const float *f, int64_t blocks, char *p) {
    for (int i = 0; i < BLOCK; i += 2, s += 16, f += 2, p += 64) {
        __m512 x = _mm512_load_ps(s);
        for (int64_t b = 0; b < blocks; b += 2) {
            __m512d one = _mm512_set1_pd(*(const two_floats *)(const void *)(f + b * BLOCK));
            __m512d two = _mm512_set1_pd(*(const two_floats *)(const void *)(f + b * BLOCK + BLOCK));
            __m512i a = _mm512_cvtps_epi32(_mm512_mul_ps(x, _mm512_castpd_ps(one)));
            __m512i c = _mm512_cvtps_epi32(_mm512_mul_ps(x, _mm512_castpd_ps(two)));
            _mm512_store_si512(p + b / 2 * 64 * 32, _mm512_packs_epi32(a, c));
        }
    }
}

/* By row to lanes 2r and 2r + 1, and back. */
static inline __m512 row_lanes(__m256 v) {
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(v));
}
static inline __m256 lane_rows(__m512 v) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4, 6, 8, 10, 12, 14);
    return _mm512_castps512_ps256(_mm512_permutexvar_ps(even, v));
}

/* Unlike soften() it takes each block relative to its own largest score `most` (of each row two lanes of a quarter):
 * int16 are parts of that. factor: of what was summed before; fresh: of this block. */
static void soften_lanes(const task *t, space *s, int64_t r0, int rows, float *scores, __m512 most, bool in_line,
                         uint16_t *factors, float *factor, float *fresh, const char *keys, const char *values) {
    const __m512 least = _mm512_load_ps(lowest);
    const char *const *row = (const char *const *)s->now->v;
    __mmask8 some = (__mmask8)((1 << rows) - 1);
    __m512 scale = _mm512_set1_ps(t->scale), top = row_lanes(_mm256_mask_loadu_ps(_mm512_castps512_ps256(least), some,
                                                                                 s->tops + r0));
    most = _mm512_max_ps(most, _mm512_permute_ps(most, 0x4e));
    most = _mm512_permute_ps(most, 0xd8);
    /* -Inf less -Inf would be NaN, not 0 */
    __m512 above = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(most, least, _CMP_NEQ_UQ), most), sum;
    most = _mm512_mul_ps(most, scale);
    __m512 now = _mm512_max_ps(top, most);
    __m512 base = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(now, least, _CMP_NEQ_UQ), now);
    int64_t bytes = lb_packed_bytes(t->v.packed), blocks = BLOCKS(t->vpad);
    if (!in_line)
        sum = exponentials(scores, scale, above, bytes, 0, row, blocks, factors, keys, values);
    else if (bytes == 34) sum = exponentials_q8_0(scores, scale, above, row, factors, keys, values);
    else sum = exponentials_q4_0(scores, scale, above, row, factors, keys, values);
    float sums[8];
    _mm256_mask_storeu_ps(s->tops + r0, some, lane_rows(now));
    _mm256_storeu_ps(factor, lane_rows(exp2_16(_mm512_sub_ps(top, base))));
    _mm256_storeu_ps(fresh, lane_rows(exp2_16(_mm512_sub_ps(most, base))));
    _mm256_storeu_ps(sums, lane_rows(_mm512_add_ps(sum, _mm512_permute_ps(sum, 0xb1))));
    for (int r = 0; r < rows; r++) {
        float *to = s->sums + (r0 + r) * LANES;
        *to = *to * factor[r] + fresh[r] * sums[r];
    }
}

/* ---- a group of rows and a block ---- */

static void rows_ready(const task *t, const item *it, space *s) {
    int64_t groups = (it->count + MR - 1) / MR;
    for (int64_t i = 0; i < groups; i++) {
        int64_t r0 = it->count * i / groups, rows = it->count * (i + 1) / groups - r0;
        rows_as_lanes(s->q + (size_t)r0 * Q_BYTES(KEY), (int)rows, t->k.packed);
    }
    for (int i = 0; i < 3; i++) ready_of(s->k)[i].from = -1;
}

static __m512 scores_of(const task *t, const lanes *q, const char *const *row, float *s, asked *ask, int64_t share) {
    int64_t pieces = ask->row && !ask->in_step ? 8 : 1, pairs = BLOCK / 2 / pieces, step = share / (4 * pairs);
    __m512 most = _mm512_load_ps(lowest);
    for (int64_t i = 0; i < pieces; i++, row += 2 * pairs, s += 16 * pairs) {
        ask_rows(ask, (int)i, (int)pieces);
        const char *from = ask_on(ask, share, true);
        __m512 m = t->k.packed == LB_PACKED_Q8_0 ? scores_q8_0(q, row, pairs, s, from, step)
                   : scores_q4_0(q, row, pairs, s, from, step);
        most = _mm512_max_ps(most, m);
    }
    return most;
}

/* Bytes that the products ask for: all but the softmax's lines. */
static int64_t share_of(const asked *a, int64_t lines) {
    return a->in_step && a->bytes * BLOCK > lines * 64 ? a->bytes * BLOCK - lines * 64 : 0;
}

/* Values of this block to the outputs, and the next block's scores. */
static void add_values_fused(const task *t, space *s, int64_t r0, const char *values, const float *factor,
                             const float *fresh, const float *largest, int rows, fused *f, const lanes *q) {
    bool q4 = t->v.packed == LB_PACKED_Q4_0;
    float by[2][MR] = { { 0 } };
    for (int r = 0; r < rows; r++) by[1][r] = factor[r];
    for (int b = 0; b < KEY_BLOCKS; b++) {
        for (int r = 0; r < rows; r++) by[0][r] = fresh[r] * largest[b];
        f->values = values + b * lb_packed_bytes(t->v.packed);
        fused_tiles[q4][rows - 5](f, q, s->p + P_BLOCK(b), q4 ? &lb_pairs_q4_0 : &lb_pairs_q8_0, by[0],
                                  s->out + r0 * KEY + b * SPAN, KEY * 4);
    }
}

static void own_rows(const task *t, space *s, int64_t r0, int rows, int64_t from, int64_t n, ahead *h) {
    const char *const *keys = (const char *const *)s->now->k, *const *values = (const char *const *)s->now->v;
    const char *const *next = h ? (const char *const *)h->row : NULL;
    const lanes *q = lanes_of(s->q + (size_t)r0 * Q_BYTES(KEY));
    int64_t blocks = BLOCKS(t->vpad), bytes = KEY_BLOCKS * lb_packed_bytes(t->k.packed), group = (r0 + MR - 1) / MR;
    uint16_t *halves = (uint16_t *)(void *)s->v;
    float *f = (float *)(void *)(halves + blocks * BLOCK), *largest = f + blocks * BLOCK;
    float factor[8], fresh[8];
    int32_t lo[8] = { 0 }, hi[8] = { 0 };
    bool whole = true, in_line = t->vpad == KEY && s->now->v_step == bytes;
    bool fuse = in_line && next && group < 2 && rows > MR / 2 && s->next->k_step == bytes;
    for (int r = 0; r < rows; r++) {
        lo[r] = (int32_t)lb_clamp(s->lo[r0 + r] - from, 0, n), hi[r] = (int32_t)lb_clamp(s->hi[r0 + r] - from, 0, n);
        whole &= lo[r] == 0 && hi[r] == BLOCK;
    }
    ready *mine = ready_of(s->k) + (group < 2 ? group : 2);
    /* Scores take a third of the time, the softmax a fifth: so of what is asked for. */
    asked ask_keys = asked_of(next, bytes);
    asked ask_values = asked_of(next ? next + BLOCK : NULL, blocks * lb_packed_bytes(t->v.packed));
    int64_t share_k = share_of(&ask_keys, fuse ? 0 : ASK_KEYS), share_v = share_of(&ask_values, ASK_VALUES);
    __m512 most = mine->most;
    if (mine->from != from) most = scores_of(t, q, keys, mine->s, &ask_keys, share_k);
    if (!whole) most = hide(mine->s, lo, hi);
    /* whose scores come beside these values: already here; what is asked for is behind them */
    const char *next_k = fuse ? next[0] + BLOCK * bytes : ask_on(&ask_keys, ASK_KEYS * 64, true);
    const char *next_v = ask_on(&ask_values, ASK_VALUES * 64, true);
    soften_lanes(t, s, r0, rows, mine->s, most, in_line, halves, factor, fresh, next_k, next_v);
    factors_of(halves, blocks, f, largest);
    if (blocks == 4) weights(mine->s, f, 4, s->p);
    else weights(mine->s, f, blocks, s->p);
    mine->from = -1;
    if (!fuse) {
        add_values(t, s->p, values, factor, fresh, largest, rows, s->out + r0 * t->vpad, &ask_values, share_v);
        return;
    }
    fused with = { .keys = next[0], .scores = mine->s, .next_k = next_k + ASK_KEYS * 64,
                   .next_v = next_v + ASK_VALUES * 64, .most = _mm512_load_ps(lowest) };
    add_values_fused(t, s, r0, values[0], factor, fresh, largest, rows, &with, q);
    mine->most = with.most, mine->from = from + BLOCK;
}

static bool supports(const lb_args *a, const char **why) {
    const lb_tensor *k = lb_arg(a, LB_ATTENTION_K), *v = lb_arg(a, LB_ATTENTION_V), *q = lb_arg(a, LB_ATTENTION_Q);
    const lb_tensor *starts = lb_arg(a, LB_ATTENTION_STARTS), *pages = lb_arg(a, LB_ATTENTION_PAGES);
    int64_t sequences = pages ? pages->dims[0] : k->dims[0], heads = k->dims[1], values = value_dim(a);
    int64_t rows = sequences > 0 && heads > 0 ? q->dims[0] * q->dims[1] / heads / sequences : 0;
    int64_t least = starts && heads > 0 ? q->dims[1] / heads : rows;
    *why = "takes packed caches whose keys have 128 values, and values a multiple of 64 up to 4096, and 5 to 16 rows "
           "of q for a cache head";
    if (k->dtype != LB_U8 || (v && v->dtype != LB_U8) || q->dims[2] != KEY || values % 64 || values > DIM_MOST)
        return false;
    return least > MR / 2 && rows <= MOST_ROWS && rows_fit(a, why);
}

const lb_kernel lb_kernel_attention_int8_lanes_avx512 = {
    .name = "attention.int8.lanes_avx512", .op = "attention", .device = "cpu",
    .about = "for 5 to 16 rows: rows of q as lanes, kept in registers, meet keys' codes spread as they are loaded "
             "(vpdpbusd), values' codes meet probabilities of int16 (vpdpwssd), a running softmax in f32; the "
             "positions are split over the parts and added up after",
    .source = "luabench; Dao et al., FlashAttention-2 and Flash-Decoding",
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_VNNI | LB_ISA_AVX512_VBMI, .act = LB_ACT_Q8_32, .acc = LB_ACC_I32_F32,
    .compute = LB_COMPUTE_INT8, .tolerance = 1e-5,
    .tolerance_why = "each probability times its value's factor is rounded to 2^-16 of the largest of 64, the "
                     "exponential to 4e-5",
    .priority = 31, .supports = supports, .phases = phases, .workspace_bytes = workspace_bytes, .launch = launch,
};
