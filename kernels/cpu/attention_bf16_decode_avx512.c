/* attention_bf16_decode_avx512.c: attention of few rows over caches of bf16, which are read as they lie: nothing is
 * brought into another form, because few rows would not pay for it. Those of f8e4m3 become bf16 on the way; their keys
 * are turned around first where 5 rows or more use them (attention_f8_turned.h). The template of flash.h; q and
 * probabilities are rounded to bf16, products are vdpbf16ps.
 *
 * Scores: registers hold 32 dimensions of a position; 2 positions by 8 rows of q make 16 sums of 16 lanes, which a
 * tree of additions turns into one register of 16 scores. Values: two positions are interleaved in registers. */
#include "vec.h"

#define PAIRS(d) (((int64_t)(d) + 1) / 2)
#define Q_BYTES(d) ((size_t)(d) * 2)
/* Where the rows are (struct block), of keys and of values; then 8 keys as bf16, or what turned_tile() needs at a
 * multiple of TURNED_BYTES. */
#define KEY_BYTES(d) (sizeof(block) + 8 * (size_t)(d) * 2 + 2 * 2048)
#define VALUE_BYTES(v) (64 * sizeof(char *) + 0 * (size_t)(v))
#define P_BYTES(v) ((size_t)64 * 2 + 0 * (size_t)(v))
#define REACHES(t) 1 /* not used */
#define ROWS_TOGETHER 8
#define EXP2_COARSE
#include "flash.h"
#include "f8_bf16.h"
#include "attention_f8_turned.h"

enum { RUN = 32 /* values in a register */, TOGETHER = 8 /* positions */, MOST_ROWS = 2 * MR };
#define UNROLL _Pragma("GCC unroll 16")

static void pack_row(const float *x, int64_t dim, void *out) {
    uint16_t *h = out;
    for (int64_t i = 0; i < dim; i++) h[i] = f32_to_bf16(x[i]);
}

static void pack_keys(const task *t, const char *const *row, void *out) {
    (void)t;
    memcpy(out, row, sizeof(block));
}
static void pack_values(const task *t, const char *const *row, void *out) {
    (void)t;
    memcpy(out, row, BLOCK * sizeof *row);
}

/* In assembly: gcc 12 reorders these and copies sums between registers. */
static inline __m512 dp(__m512 acc, __m512i a, __m512i b) {
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
}

/* Lane i is the sum of the 16 lanes of v[order[i]]. */
static inline __attribute__((always_inline)) __m512 sum_lanes(__m512 v[16]) {
    UNROLL for (int i = 0; i < 8; i++) /* a's in the low half, b's in the high one */
        v[i] = _mm512_add_ps(_mm512_mask_blend_ps((__mmask16)0xff00, v[i], v[i + 8]),
                             _mm512_shuffle_f32x4(v[i], v[i + 8], 0x4e));
    UNROLL for (int i = 0; i < 4; i++)
        v[i] = _mm512_add_ps(_mm512_shuffle_f32x4(v[i], v[i + 4], 0x88), _mm512_shuffle_f32x4(v[i], v[i + 4], 0xdd));
    UNROLL for (int i = 0; i < 2; i++) {
        __m512d a = _mm512_castps_pd(v[i]), b = _mm512_castps_pd(v[i + 2]);
        v[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_mask_blend_pd((__mmask8)0xaa, a, b)),
                             _mm512_castpd_ps(_mm512_shuffle_pd(a, b, 0x55)));
    }
    return _mm512_add_ps(_mm512_shuffle_ps(v[0], v[1], 0x88), _mm512_shuffle_ps(v[0], v[1], 0xdd));
}
static const uint8_t order[16] = { 0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15 };

/* Lines of bf16 twice: worth 3 to 5 points of the bandwidth; of f8e4m3, which has more to do, it cost 3. */
static inline __attribute__((always_inline)) void ask_for(const char *p, bool twice) {
    if (twice) ask_twice(p);
    else __builtin_prefetch(p, 0, 3);
}

/* Scores of positions a and b for 8 rows of q, `each` bytes apart: those of a, then those of b. Keys pass by in the
 * order of addresses: what was asked for in vain is then found by the processor's own prefetching. */
static inline __attribute__((always_inline)) __m512 score_tile(const char *q, size_t each, const char *a, const char *b,
                                                               int64_t dim, bool twice, const char *next,
                                                               int64_t step) {
    __m512 acc[16];
    UNROLL for (int i = 0; i < 16; i++) acc[i] = _mm512_setzero_ps();
    for (int64_t d = 0; d < dim; d += RUN) {
        __m512i x = _mm512_loadu_si512(a + d * 2), y = _mm512_loadu_si512(b + d * 2);
        for (int64_t i = 0; i < step; i += 64) ask_for(next + i, twice);
        next += step;
        UNROLL for (int r = 0; r < MR; r++) {
            __m512i v = _mm512_loadu_si512(q + (size_t)r * each + (size_t)d * 2);
            acc[order[r]] = dp(acc[order[r]], v, x);
            acc[order[r + 8]] = dp(acc[order[r + 8]], v, y);
        }
    }
    return sum_lanes(acc);
}

/* Two registers of words of bf16 from their bytes: lanes 0 to 31, 32 to 63. */
static inline __attribute__((always_inline)) void words_of(__m512i high, __m512i low, const uint8_t from[2][64],
                                                           __m512i *to) {
    to[0] = _mm512_permutex2var_epi8(low, _mm512_load_si512(from[0]), high);
    to[1] = _mm512_permutex2var_epi8(low, _mm512_load_si512(from[1]), high);
}
/* 8 rows of f8e4m3 as bf16, to `to`; where those are. */
static void widen_rows(const char *const *row, int64_t dim, char *to, const char **at) {
    tables tab = tables_of();
    for (int i = 0; i < TOGETHER; i++, to += 2 * dim) {
        at[i] = to;
        for (int64_t d = 0; d < dim; d += 64) {
            __m512i high, low, w[2];
            f8_bytes(_mm512_loadu_si512(row[i] + d), &tab, &high, &low);
            words_of(high, low, lb_words_in_order, w);
            _mm512_store_si512(to + 2 * d, w[0]);
            _mm512_store_si512(to + 2 * d + 64, w[1]);
        }
    }
}

/* 8 registers of 2 positions by 8 rows: 8 of 16 positions, a row each, to s. */
static inline __attribute__((always_inline)) void rows_apart(__m512 *v, int rows, float *s) {
    const __m512i even = _mm512_setr_epi32(0, 8, 16, 24, 1, 9, 17, 25, 2, 10, 18, 26, 3, 11, 19, 27);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(4));
    __m512 t[8];
    UNROLL for (int i = 0; i < 4; i++) { /* a row's 4 positions in each quarter: rows 0 to 3, 4 to 7 */
        t[i] = _mm512_permutex2var_ps(v[2 * i], even, v[2 * i + 1]);
        t[i + 4] = _mm512_permutex2var_ps(v[2 * i], odd, v[2 * i + 1]);
    }
    UNROLL for (int h = 0; h < 2; h++) { /* quarters into rows */
        __m512 *u = t + 4 * h, a = _mm512_shuffle_f32x4(u[0], u[1], 0x44), b = _mm512_shuffle_f32x4(u[0], u[1], 0xee);
        __m512 c = _mm512_shuffle_f32x4(u[2], u[3], 0x44), d = _mm512_shuffle_f32x4(u[2], u[3], 0xee);
        __m512 w[4] = { _mm512_shuffle_f32x4(a, c, 0x88), _mm512_shuffle_f32x4(a, c, 0xdd),
                        _mm512_shuffle_f32x4(b, d, 0x88), _mm512_shuffle_f32x4(b, d, 0xdd) };
        UNROLL for (int i = 0; i < 4; i++) if (4 * h + i < rows) _mm512_store_ps(s + (4 * h + i) * BLOCK, w[i]);
    }
}

/* Keys of e4m3 that lie one behind the other: with few rows the other way is faster. */
static void turned_scores(const char *q, const char *kc, float *s, asked *ask) {
    const char *k = *(const char *const *)(const void *)kc, *at = kc + sizeof(block);
    char *w = (char *)(((uintptr_t)at + TURNED_BYTES - 1) / TURNED_BYTES * TURNED_BYTES);
    int64_t share = ask->in_step ? ask->bytes * TURNED : 0;
    turned_first(k, w);
    for (int i = 0; i < BLOCK; i += TURNED, k += TURNED * 128) {
        ask_rows(ask, i / TURNED, BLOCK / TURNED);
        turned_tile(q, k, i + TURNED < BLOCK ? k + TURNED * 128 : k, w, s + i, ask_on(ask, share, true), share / 64);
    }
}

static void scores(const task *t, const char *q, const char *kc, int rows, float *s, ahead *h) {
    const char *const *row = (const void *)kc, *widened[TOGETHER];
    const char *const *values = h ? row + BLOCK : NULL; /* then the next block's keys: what waits stays in L1 */
    asked ask = asked_of(values, t->values * (int64_t)lb_dtype_size(t->v.dtype));
    int64_t share = ask.in_step ? ask.bytes * 2 : 0; /* of a tile */
    if (t->k.dtype == LB_F8E4M3 && t->dim == 128 && rows > MR / 2 && ((const block *)(const void *)kc)->k_step == 128) {
        turned_scores(q, kc, s, &ask);
        return;
    }
    for (int i = 0; i < BLOCK; i += 16) {
        __m512 v[8];
        for (int j = 0; j < 8; j++) {
            const char *const *at = row + i + 2 * j;
            if (t->k.dtype == LB_F8E4M3) {
                if (j % 4 == 0) widen_rows(at, t->dim, (char *)(uintptr_t)kc + sizeof(block), widened);
                at = widened + 2 * j % TOGETHER;
            }
            ask_rows(&ask, i / 2 + j, BLOCK / 2);
            const char *next = ask_on(&ask, share, true);
            int64_t step = share * RUN / t->dim;
            /* the usual one as a constant: otherwise gcc keeps pointers in memory */
            if (t->dim == 128 && t->k.dtype == LB_BF16)
                v[j] = score_tile(q, Q_BYTES(128), at[0], at[1], 128, true, next, step);
            else v[j] = score_tile(q, Q_BYTES(t->dim), at[0], at[1], t->dim, false, next, step);
        }
        rows_apart(v, rows, s + i);
    }
}

/* Two positions' 32 values, by turns: a register for the first 16, one for the others. Those of e4m3 as unpacking has
 * them: runs of four of each half, by turns, even runs in the first register, odd ones in the other. */
static inline __attribute__((always_inline)) void value_pairs(lb_dtype type, const tables *tab, const char *a,
                                                              const char *b, __m512i *to) {
    if (type == LB_F8E4M3) {
        __m256i x = _mm256_loadu_si256((const void *)a), y = _mm256_loadu_si256((const void *)b);
        __m512i high, low, v = _mm512_castsi256_si512(_mm256_unpacklo_epi8(x, y));
        f8_bytes(_mm512_inserti64x4(v, _mm256_unpackhi_epi8(x, y), 1), tab, &high, &low);
        to[0] = _mm512_unpacklo_epi8(low, high), to[1] = _mm512_unpackhi_epi8(low, high);
        return;
    }
    const __m512i first = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6,
                                           37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    __m512i x = _mm512_loadu_si512(a), y = _mm512_loadu_si512(b);
    to[0] = _mm512_permutex2var_epi16(x, first, y);
    to[1] = _mm512_permutex2var_epi16(x, _mm512_add_epi16(first, _mm512_set1_epi16(16)), y);
}

/* Sums of such values in their order. */
static inline __attribute__((always_inline)) void sort_runs(__m512 *v) {
    const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
    __m512 sorted = _mm512_permutex2var_ps(v[0], first, v[1]);
    v[1] = _mm512_permutex2var_ps(v[0], _mm512_add_epi32(first, _mm512_set1_epi32(4)), v[1]);
    v[0] = sorted;
}

/* out[row][32 values] = out * factor + sum over positions of p * v. */
static inline __attribute__((always_inline)) void value_tile(lb_dtype type, const uint32_t *p, const char *const *row,
                                                             int64_t at, int64_t vpad, int rows, const float *factor,
                                                             float *out, const char *next, int64_t step) {
    tables tab = tables_of();
    __m512 acc[MR][2];
    UNROLL for (int r = 0; r < rows; r++) acc[r][0] = acc[r][1] = _mm512_setzero_ps();
    for (int s = 0; s < BLOCK / 2; s++) {
        __m512i v[2];
        value_pairs(type, &tab, row[2 * s] + at, row[2 * s + 1] + at, v);
        for (int64_t i = 0; i < step; i += 64) ask_for(next + i, type == LB_BF16);
        next += step;
        UNROLL for (int r = 0; r < rows; r++) {
            __m512i x;
            __asm__("vpbroadcastd %1, %0" : "=v"(x) : "m"(p[r * BLOCK / 2 + s]));
            UNROLL for (int j = 0; j < 2; j++) acc[r][j] = dp(acc[r][j], v[j], x);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) {
        if (type == LB_F8E4M3) sort_runs(acc[r]);
        UNROLL for (int j = 0; j < 2; j++) {
            float *to = out + r * vpad + j * 16;
            _mm512_store_ps(to, _mm512_fmadd_ps(_mm512_load_ps(to), _mm512_set1_ps(factor[r]), acc[r][j]));
        }
    }
}

static void weigh(const task *t, const float *p, const char *vc, char *scratch, const float *factor, int rows,
                  float *out, ahead *h) {
    const char *const *row = (const void *)vc;
    const uint32_t *w = (const void *)scratch;
    asked ask = asked_of(h ? (const char *const *)h->row : NULL, t->dim * (int64_t)lb_dtype_size(t->k.dtype));
    int64_t tiles = t->vpad / RUN, share = ask.in_step ? ask.bytes * BLOCK / tiles : 0;
    for (int j = 0; j < rows * BLOCK; j += 32)
        _mm512_store_si512(scratch + 2 * j,
                           (__m512i)_mm512_cvtne2ps_pbh(_mm512_load_ps(p + j + 16), _mm512_load_ps(p + j)));
    for (int64_t i = 0; i < t->vpad; i += RUN) {
        ask_rows(&ask, (int)(i / RUN), (int)tiles);
        const char *next = ask_on(&ask, share, true);
#define CALL(n) \
    case n: value_tile(LB_BF16, w, row, 2 * i, t->vpad, n, factor, out + i, next, share / (BLOCK / 2)); break;
        if (t->v.dtype == LB_BF16)
            switch (rows) { CALL(1) CALL(2) CALL(3) CALL(4) CALL(5) CALL(6) CALL(7) CALL(8) }
#undef CALL
#define CALL(n) case n: value_tile(LB_F8E4M3, w, row, i, t->vpad, n, factor, out + i, next, share / (BLOCK / 2)); break;
        else switch (rows) { CALL(1) CALL(2) CALL(3) CALL(4) CALL(5) CALL(6) CALL(7) CALL(8) }
#undef CALL
    }
}

static bool supports(const lb_args *a, const char **why) {
    const lb_tensor *k = lb_arg(a, LB_ATTENTION_K), *v = lb_arg(a, LB_ATTENTION_V), *q = lb_arg(a, LB_ATTENTION_Q);
    lb_dtype other = v ? v->dtype : k->dtype;
    *why = "takes caches of bf16 whose heads have a multiple of 32 values, or of f8e4m3, of 64, and at most 16 rows of "
           "q for a cache head";
    if ((k->dtype != LB_BF16 && k->dtype != LB_F8E4M3) || (other != LB_BF16 && other != LB_F8E4M3)) return false;
    if (q->dims[2] % (k->dtype == LB_BF16 ? RUN : 64) || value_dim(a) % RUN) return false;
    return few_rows(a, MOST_ROWS) && rows_fit(a, why);
}

const lb_kernel lb_kernel_attention_bf16_decode_avx512 = {
    .name = "attention.bf16.decode_avx512", .op = "attention", .device = "cpu",
    .about = "for few rows: keys and values multiplied as they lie (vdpbf16ps; f8e4m3 by tables), sums of lanes by a "
             "tree, a running softmax in f32; the positions are split over the parts and added up after",
    .source = "luabench; Dao et al., FlashAttention-2 and Flash-Decoding",
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_BF16 | LB_ISA_AVX512_VBMI, .act = LB_ACT_BF16, .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_BF16, .tolerance = 1e-5,
    .tolerance_why = "each probability is rounded to bf16, a relative error of up to 2^-9 (2^-18 / 3 = 1.3e-6 in the "
                     "mean square), more where values cancel; the instruction takes subnormals for 0",
    .priority = 30, .supports = supports, .phases = phases, .workspace_bytes = workspace_bytes, .launch = launch,
};
