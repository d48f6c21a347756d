/* attention_bf16_decode_avx512.c: attention of few rows over caches of bf16, which are read as they lie: nothing is brought
 * into another form, because few rows would not pay for it. The template of flash.h; q and probabilities are rounded to
 * bf16, products are vdpbf16ps.
 *
 * Scores: registers hold 32 dimensions of a position; 8 positions by 2 rows of q make 16 sums of 16 lanes, which a tree of
 * additions turns into one register of 16 scores. Values: two positions are interleaved in registers. */
#include "vec.h"

#define PAIRS(d) (((int64_t)(d) + 1) / 2)
#define Q_BYTES(d) ((size_t)(d) * 2)
/* Where the rows are; behind those of keys, those of values. */
#define KEY_BYTES(d) (2 * 64 * sizeof(char *) + 0 * (size_t)(d))
#define VALUE_BYTES(v) (64 * sizeof(char *) + 0 * (size_t)(v))
#define P_BYTES(v) ((size_t)64 * 2 + 0 * (size_t)(v))
#define REACHES(t) 1 /* not used */
#define ROWS_TOGETHER 8
#define EXP2_COARSE
#include "flash.h"

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

/* Scores of 8 positions for the rows of q at `a` and `b`. */
static inline __attribute__((always_inline)) __m512 score_tile(const uint16_t *a, const uint16_t *b,
                                                               const char *const *row, int64_t dim,
                                                               soon next) {
    __m512 acc[16];
    UNROLL for (int i = 0; i < 16; i++) acc[i] = _mm512_setzero_ps();
    for (int64_t d = 0; d < dim; d += RUN) {
        __m512i x = _mm512_loadu_si512(a + d), y = _mm512_loadu_si512(b + d);
        ask(&next);
        UNROLL for (int i = 0; i < TOGETHER; i++) {
            __m512i k = _mm512_loadu_si512(row[i] + d * 2);
            acc[order[i]] = dp(acc[order[i]], k, x);
            acc[order[i + 8]] = dp(acc[order[i + 8]], k, y);
        }
    }
    return sum_lanes(acc);
}

static void scores(const task *t, const char *q, const char *kc, int rows, float *s, ahead *h) {
    const char *const *row = (const void *)kc;
    size_t each = Q_BYTES(t->dim);
    int pairs = (rows + 1) / 2;
    const char *const *values = h ? row + BLOCK : NULL; /* then the next block's keys: what waits stays in L1 */
    for (int i = 0; i < BLOCK; i += TOGETHER)
        for (int r = 0; r < rows; r += 2) {
            int second = r + 1 < rows ? r + 1 : r;
            const uint16_t *a = (const void *)(q + (size_t)r * each), *b = (const void *)(q + (size_t)second * each);
            soon next = soon_of(values, 2 * t->values, i / TOGETHER * pairs + r / 2, BLOCK / TOGETHER * pairs, t->dim / RUN);
            __m512 both = score_tile(a, b, row + i, t->dim, next);
            _mm256_store_ps(s + r * BLOCK + i, _mm512_castps512_ps256(both));
            _mm256_store_ps(s + second * BLOCK + i, _mm512_extractf32x8_ps(both, 1));
        }
}

/* out[row][32 values] = out * factor + sum over positions of p * v. */
static inline __attribute__((always_inline)) void value_tile(const uint32_t *p, const char *const *row, int64_t at,
                                                             int64_t vpad, int rows, const float *factor, float *out,
                                                             soon next) {
    const __m512i first = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37, 5,
                                           36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i second = _mm512_add_epi16(first, _mm512_set1_epi16(16));
    __m512 acc[MR][2];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int j = 0; j < 2; j++)
            acc[r][j] = _mm512_mul_ps(_mm512_load_ps(out + r * vpad + j * 16), _mm512_set1_ps(factor[r]));
    for (int s = 0; s < BLOCK / 2; s++) {
        __m512i a = _mm512_loadu_si512(row[2 * s] + at), b = _mm512_loadu_si512(row[2 * s + 1] + at);
        __m512i low = _mm512_permutex2var_epi16(a, first, b), high = _mm512_permutex2var_epi16(a, second, b);
        ask(&next);
        UNROLL for (int r = 0; r < rows; r++) {
            __m512i x;
            __asm__("vpbroadcastd %1, %0" : "=v"(x) : "m"(p[r * BLOCK / 2 + s]));
            acc[r][0] = dp(acc[r][0], low, x);
            acc[r][1] = dp(acc[r][1], high, x);
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int j = 0; j < 2; j++) _mm512_store_ps(out + r * vpad + j * 16, acc[r][j]);
}

static void weigh(const task *t, const float *p, const char *vc, char *scratch, const float *factor, int rows, float *out,
                  ahead *h) {
    const char *const *row = (const void *)vc;
    const uint32_t *w = (const void *)scratch;
    for (int j = 0; j < rows * BLOCK; j += 32)
        _mm512_store_si512(scratch + 2 * j,
                           (__m512i)_mm512_cvtne2ps_pbh(_mm512_load_ps(p + j + 16), _mm512_load_ps(p + j)));
    for (int64_t i = 0; i < t->vpad; i += RUN) {
        soon next = soon_of(h ? (const char *const *)h->row : NULL, 2 * t->dim, i / RUN, t->vpad / RUN, BLOCK / 2);
#define CALL(n) case n: value_tile(w, row, 2 * i, t->vpad, n, factor, out + i, next); break;
        switch (rows) { CALL(1) CALL(2) CALL(3) CALL(4) CALL(5) CALL(6) CALL(7) CALL(8) }
#undef CALL
    }
}

static bool supports(const lb_args *a, const char **why) {
    const lb_tensor *k = lb_arg(a, LB_ATTENTION_K), *v = lb_arg(a, LB_ATTENTION_V), *q = lb_arg(a, LB_ATTENTION_Q);
    const lb_tensor *starts = lb_arg(a, LB_ATTENTION_STARTS), *pages = lb_arg(a, LB_ATTENTION_PAGES);
    int64_t sequences = pages ? pages->dims[0] : k->dims[0], heads = k->dims[1];
    int64_t rows = sequences > 0 && heads > 0 ? q->dims[0] * q->dims[1] / heads : 0;
    *why = "takes caches of bf16 whose heads have a multiple of 32 values, and at most 16 rows of q for a cache head";
    if (k->dtype != LB_BF16 || (v && v->dtype != LB_BF16) || q->dims[2] % RUN || value_dim(a) % RUN) return false;
    if (!starts && sequences > 0) rows /= sequences;
    return rows <= MOST_ROWS * (starts ? sequences : 1) && rows_fit(a, why);
}

const lb_kernel lb_kernel_attention_bf16_decode_avx512 = {
    .name = "attention.bf16.decode_avx512", .op = "attention", .device = "cpu",
    .about = "for few rows: keys and values multiplied as they lie (vdpbf16ps), sums of lanes by a tree, a running softmax in "
             "f32; the positions are split over the parts and added up after",
    .source = "luabench; Dao et al., FlashAttention-2 and Flash-Decoding",
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_BF16, .act = LB_ACT_BF16, .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_BF16, .tolerance = 1e-5,
    .tolerance_why = "each probability is rounded to bf16, a relative error of up to 2^-9 (2^-18 / 3 = 1.3e-6 in the mean "
                     "square), more where values cancel; the instruction takes subnormals for 0",
    .priority = 30, .supports = supports, .phases = phases, .workspace_bytes = workspace_bytes, .launch = launch,
};
