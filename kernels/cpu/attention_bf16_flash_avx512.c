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
#include "attention_bf16_pack.h"

enum { NR = 4 };

static void pack_row(const float *x, int64_t dim, void *out) {
    uint16_t *h = out;
    for (int64_t i = 0; i < dim; i++) h[i] = f32_to_bf16(x[i]);
    if (dim & 1) h[dim] = 0;
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
    .priority = 20, .supports = caches_exact, .phases = phases, .workspace_bytes = workspace_bytes, .launch = launch,
};
