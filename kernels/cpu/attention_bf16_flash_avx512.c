/* attention_bf16_flash_avx512.c: attention by tiles with bf16 products (vdpbf16ps), over caches of bf16 and f8e4m3: the
 * template of flash.h. Keys and values are used as they are; q and the probabilities are rounded to bf16. */
#include "vec.h"

/* Pairs of values of neighbouring dimensions (keys) or positions (values) are the 32-bit elements here. */
#define PAIRS(d) (((int64_t)(d) + 1) / 2)
#define Q_BYTES(d) ((size_t)PAIRS(d) * 4)
#define KEY_BYTES(d) (((size_t)PAIRS(d) + 15) / 16 * 16 * 64 * 4)
#define VALUE_BYTES(v) ((size_t)(v) * 64 * 2)
#define P_BYTES(v) ((size_t)64 * 2 + 0 * (size_t)(v))
#define REACHES(t) (PAIRS((t)->dim) + (t)->vpad / 64 * 32)
#define EXP2_COARSE
#include "flash.h"
#include "f8_bf16.h"
#include "transpose16.h"

enum { NR = 4 };
#define UNROLL _Pragma("GCC unroll 16")

static void pack_row(const float *x, int64_t dim, void *out) {
    uint16_t *h = out;
    for (int64_t i = 0; i < dim; i++) h[i] = f32_to_bf16(x[i]);
    if (dim & 1) h[dim] = 0;
}

/* ---- 32 values of a row as bf16 ---- */

static inline __mmask32 first32(int64_t n) { return (__mmask32)(n >= 32 ? 0xffffffffu : n > 0 ? (1u << n) - 1 : 0); }

/* The values of `some` from p, the rest 0. */
static inline __attribute__((always_inline)) __m512i load32(lb_dtype type, const tables *t, const char *p,
                                                            __mmask32 some) {
    if (type == LB_BF16) return _mm512_maskz_loadu_epi16(some, p);
    __m512i x = _mm512_castsi256_si512(_mm256_maskz_loadu_epi8(some, p)), high, low;
    x = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), x); /* lane i gets bytes 8i .. 8i + 7 */
    f8_bytes(x, t, &high, &low);
    return _mm512_unpacklo_epi8(low, high);
}

/* ---- packing ---- */

/* Whole runs of 32 values are apart from the last: their mask is known, so there is none. */
#define BY_32(CALL, type, n)                                      \
    do {                                                          \
        int64_t whole = (n) / 32 * 32;                            \
        CALL(type, row, 0, whole, ~0u, to);                       \
        if (whole < (n)) CALL(type, row, whole, n, first32((n) - whole), to); \
    } while (0)

/* [pair of dimensions][64 positions] */
static inline __attribute__((always_inline)) void keys_of(lb_dtype type, const char *const *row, int64_t from,
                                                          int64_t to,
                                                          __mmask32 some, uint32_t *k) {
    tables tab = tables_of();
    int64_t size = type == LB_BF16 ? 2 : 1;
    for (int64_t d = from; d < to; d += 32) {
        for (int64_t i = 0; i < BLOCK; i += 16) {
            __m512i r[16];
            UNROLL for (int j = 0; j < 16; j++) r[j] = load32(type, &tab, row[i + j] + d * size, some);
            transpose16(r);
            UNROLL for (int j = 0; j < 16; j++) _mm512_store_si512(k + (d / 2 + j) * BLOCK + i, r[j]);
        }
    }
}

static void pack_keys(const task *t, const char *const *row, void *out) {
    uint32_t *to = out;
    if (t->k.dtype == LB_BF16) BY_32(keys_of, LB_BF16, t->dim);
    else BY_32(keys_of, LB_F8E4M3, t->dim);
}

/* [pair of positions][vpad values]: two rows interleaved. */
static inline __attribute__((always_inline)) void values_of(lb_dtype type, const char *const *row, int64_t from,
                                                            int64_t to,
                                                            __mmask32 some, uint32_t *v, int64_t vpad) {
    tables tab = tables_of();
    int64_t size = type == LB_BF16 ? 2 : 1;
    const __m512i first = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6,
                                           37, 5,
                                           36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i second = _mm512_add_epi16(first, _mm512_set1_epi16(16));
    for (int64_t i = 0; i < BLOCK; i += 2, v += vpad) {
        const char *a = row[i], *b = row[i + 1];
        for (int64_t d = from; d < to; d += 32) {
            __m512i x = load32(type, &tab, a + d * size, some), y = load32(type, &tab, b + d * size, some);
            _mm512_store_si512(v + d, _mm512_permutex2var_epi16(x, first, y));
            if (d + 16 < vpad) _mm512_store_si512(v + d + 16, _mm512_permutex2var_epi16(x, second, y));
        }
    }
}

static void pack_values(const task *t, const char *const *row, void *out) {
    uint32_t *to = out;
#define VALUES(type, row, from, end, some, to) values_of(type, row, from, end, some, to, t->vpad)
    if (t->v.dtype == LB_BF16) BY_32(VALUES, LB_BF16, t->values);
    else BY_32(VALUES, LB_F8E4M3, t->values);
}

/* ---- products ---- */

static inline __m512 dp(__m512 acc, __m512i a, __m512i b) { return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b); }

static inline __attribute__((always_inline)) void score_tile(const uint32_t *q, const uint32_t *k, int64_t pairs,
                                                             int rows,
                                                             float *s, ahead *h) {
    __m512 acc[MR][NR];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int j = 0; j < NR; j++) acc[r][j] = _mm512_setzero_ps();
    for (int64_t d = 0; d < pairs; d++) {
        __m512i b[NR];
        if (h) reach(h);
        UNROLL for (int j = 0; j < NR; j++) b[j] = _mm512_load_si512(k + d * BLOCK + j * 16);
        UNROLL for (int r = 0; r < rows; r++) {
            __m512i x = _mm512_set1_epi32((int)q[r * pairs + d]);
            UNROLL for (int j = 0; j < NR; j++) acc[r][j] = dp(acc[r][j], b[j], x);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int j = 0; j < NR; j++) _mm512_store_ps(s + r * BLOCK + j * 16,
                                                                      acc[r][j]);
}

static inline __attribute__((always_inline)) void value_tile(const uint32_t *p, const uint32_t *v, int64_t vpad,
                                                             int rows,
                                                             int cols, const float *factor, float *out, ahead *h) {
    __m512 acc[MR][NR];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int j = 0; j < cols; j++)
            acc[r][j] = _mm512_mul_ps(_mm512_load_ps(out + r * vpad + j * 16), _mm512_set1_ps(factor[r]));
    for (int s = 0; s < BLOCK / 2; s++) {
        __m512i b[NR];
        if (h) reach(h);
        UNROLL for (int j = 0; j < cols; j++) b[j] = _mm512_load_si512(v + s * vpad + j * 16);
        UNROLL for (int r = 0; r < rows; r++) {
            __m512i x = _mm512_set1_epi32((int)p[r * BLOCK / 2 + s]);
            UNROLL for (int j = 0; j < cols; j++) acc[r][j] = dp(acc[r][j], b[j], x);
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int j = 0; j < cols; j++) _mm512_store_ps(out + r * vpad + j * 16, acc[r][j]);
}

#define BY_ROWS(rows, CALL)                                                                                     \
    switch (rows) {                                                                                             \
    case 1: CALL(1); break;                                                                                     \
    case 2: CALL(2); break;                                                                                     \
    case 3: CALL(3); break;                                                                                     \
    case 4: CALL(4); break;                                                                                     \
    case 5: CALL(5); break;                                                                                     \
    default: CALL(6); break;                                                                                    \
    }

static void scores(const task *t, const char *qc, const char *kc, int rows, float *s, ahead *h) {
    const uint32_t *q = (const void *)qc, *k = (const void *)kc;
    int64_t pairs = PAIRS(t->dim);
#define CALL(n) if (h) score_tile(q, k, pairs, n, s, h); else score_tile(q, k, pairs, n, s, NULL)
    BY_ROWS(rows, CALL)
#undef CALL
}

static void weigh(const task *t, const float *p, const char *vc, char *scratch, const float *factor, int rows,
                  float *out,
                  ahead *h) {
    const uint32_t *v = (const void *)vc, *w = (const void *)scratch;
    int64_t i = 0, vpad = t->vpad;
    for (int j = 0; j < rows * BLOCK; j += 32)
        _mm512_store_si512(scratch + 2 * j, (__m512i)_mm512_cvtne2ps_pbh(_mm512_load_ps(p + j + 16),
                                                                      _mm512_load_ps(p + j)));
    for (; i + NR * 16 <= vpad; i += NR * 16) {
#define CALL(n) \
    if (h) value_tile(w, v + i, vpad, n, NR, factor, out + i, h); \
    else value_tile(w, v + i, vpad, n, NR, factor, out + i, NULL)
        BY_ROWS(rows, CALL)
#undef CALL
    }
    for (; i < vpad; i += 16) {
#define CALL(n) value_tile(w, v + i, vpad, n, 1, factor, out + i, NULL)
        BY_ROWS(rows, CALL)
#undef CALL
    }
}

static bool exact(lb_dtype t) { return t == LB_BF16 || t == LB_F8E4M3; }

static bool supports(const lb_args *a, const char **why) {
    const lb_tensor *v = lb_arg(a, LB_ATTENTION_V);
    if (exact(lb_arg(a, LB_ATTENTION_K)->dtype) && (!v || exact(v->dtype))) return rows_fit(a, why);
    *why = "takes caches of bf16 and f8e4m3, whose values bf16 holds exactly";
    return false;
}

const lb_kernel lb_kernel_attention_bf16_flash_avx512 = {
    .name = "attention.bf16.flash_avx512", .op = "attention", .device = "cpu",
    .about = "tiles of 64 positions paired and turned once for all rows of a cache head, products by vdpbf16ps, a"
             " running"
             " softmax in f32; f8e4m3 by tables; with few rows the positions are split over the parts and added up"
             " after",
    .source = "luabench; Dao et al., FlashAttention-2 and Flash-Decoding",
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_BF16 | LB_ISA_AVX512_VBMI, .act = LB_ACT_BF16, .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_BF16, .tolerance = 1e-5,
    .tolerance_why = "each probability is rounded to bf16, a relative error of up to 2^-9 (2^-18 / 3 = 1.3e-6 in"
                     " the mean"
                     " square), more where values cancel; the instruction takes subnormals for 0",
    .priority = 20, .supports = supports, .phases = phases, .workspace_bytes = workspace_bytes, .launch = launch,
};
