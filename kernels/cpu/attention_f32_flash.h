/* attention_f32_flash.h: attention by tiles in f32 over caches of every type: the template of flash.h with f32
 * products. */
#include "vec.h"

#if defined(__AVX512F__)
#include "transpose16.h"
enum { NR = 4 }; /* 6 x 4 sums, 4 vectors of keys, a value of q */
#else
enum { NR = 2 };
#endif

#define Q_BYTES(d) ((size_t)(d) * 4)
/* 64 positions, and room in which 16 rows wait to be turned */
#define KEY_BYTES(d) (((size_t)(d) + 15) / 16 * 16 * (64 + 16) * 4)
#define VALUE_BYTES(v) ((size_t)(v) * 64 * 4)
#define P_BYTES(v) ((size_t)0 * (size_t)(v))
#define REACHES(t) ((t)->dim * (64 / (NR * LANES)) + (t)->vpad / (NR * LANES) * 64)
#include "flash.h"

#define UNROLL _Pragma("GCC unroll 16")

static void pack_row(const float *x, int64_t dim, void *out) { memcpy(out, x, (size_t)dim * 4); }

/* [dim][64]: 16 positions are expanded, then turned. */
static void pack_keys(const task *t, const char *const *row, void *out) {
    int64_t wide = rows_least(t->dim, 16);
    float *k = out, *rows = k + wide * BLOCK;
    for (int64_t i = 0; i < BLOCK; i += 16) {
        for (int64_t j = 0; j < 16; j++) load_cells(t->k.dtype, t->k.packed, row[i + j], t->dim, rows + j * wide);
#if defined(__AVX512F__)
        for (int64_t d = 0; d < t->dim; d += 16) {
            __m512i r[16];
            UNROLL for (int j = 0; j < 16; j++) r[j] = _mm512_load_si512(rows + j * wide + d);
            transpose16(r);
            UNROLL for (int j = 0; j < 16; j++) _mm512_store_si512(k + (d + j) * BLOCK + i, r[j]);
        }
#else
        for (int64_t d = 0; d < t->dim; d++)
            for (int64_t j = 0; j < 16; j++) k[d * BLOCK + i + j] = rows[j * wide + d];
#endif
    }
}

/* [64][vpad] */
static void pack_values(const task *t, const char *const *row, void *out) {
    float *v = out;
    for (int64_t i = 0; i < BLOCK; i++, v += t->vpad) {
        load_cells(t->v.dtype, t->v.packed, row[i], t->values, v);
        for (int64_t j = t->values; j < t->vpad; j++) v[j] = 0;
    }
}

static inline __attribute__((always_inline)) void score_tile(const float *q, const float *k, int64_t dim, int rows,
                                                             float *s,
                                                             ahead *h) {
    VF acc[MR][NR];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int j = 0; j < NR; j++) acc[r][j] = vf_zero();
    for (int64_t d = 0; d < dim; d++) {
        VF b[NR];
        if (h) reach(h);
        UNROLL for (int j = 0; j < NR; j++) b[j] = vf_load(k + d * BLOCK + j * LANES);
        UNROLL for (int r = 0; r < rows; r++) {
            VF x = vf_set(q[r * dim + d]);
            UNROLL for (int j = 0; j < NR; j++) acc[r][j] = vf_fma(x, b[j], acc[r][j]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int j = 0; j < NR; j++) vf_store(s + r * BLOCK + j * LANES,
                                                                      acc[r][j]);
}

static inline __attribute__((always_inline)) void value_tile(const float *p, const float *v, int64_t vpad, int rows,
                                                             int cols,
                                                             const float *factor, float *out, ahead *h) {
    VF acc[MR][NR];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int j = 0; j < cols; j++) acc[r][j] = vf_load(out + r * vpad + j * LANES) * vf_set(factor[r]);
    for (int s = 0; s < BLOCK; s++) {
        VF b[NR];
        if (h) reach(h);
        UNROLL for (int j = 0; j < cols; j++) b[j] = vf_load(v + s * vpad + j * LANES);
        UNROLL for (int r = 0; r < rows; r++) {
            VF x = vf_set(p[r * BLOCK + s]);
            UNROLL for (int j = 0; j < cols; j++) acc[r][j] = vf_fma(x, b[j], acc[r][j]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int j = 0; j < cols; j++) vf_store(out + r * vpad + j * LANES, acc[r][j]);
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
    const float *q = (const void *)qc, *k = (const void *)kc;
    for (int i = 0; i < BLOCK; i += NR * LANES) {
#define CALL(n) if (h) score_tile(q, k + i, t->dim, n, s + i, h); else score_tile(q, k + i, t->dim, n, s + i, NULL)
        BY_ROWS(rows, CALL)
#undef CALL
    }
}

static void weigh(const task *t, const float *p, const char *vc, char *scratch, const float *factor, int rows,
                  float *out,
                  ahead *h) {
    const float *v = (const void *)vc;
    int64_t i = 0;
    (void)scratch;
    for (; i + NR * LANES <= t->vpad; i += NR * LANES) {
#define CALL(n) \
    if (h) value_tile(p, v + i, t->vpad, n, NR, factor, out + i, h); \
    else value_tile(p, v + i, t->vpad, n, NR, factor, out + i, NULL)
        BY_ROWS(rows, CALL)
#undef CALL
    }
    for (; i < t->vpad; i += LANES) {
#define CALL(n) value_tile(p, v + i, t->vpad, n, 1, factor, out + i, NULL)
        BY_ROWS(rows, CALL)
#undef CALL
    }
}

const lb_kernel KERNEL_SYMBOL(attention_f32_flash) = {
    .name = "attention.f32.flash_" ISA_TEXT, .op = "attention", .device = "cpu",
    .about = "tiles of 64 positions expanded to f32 and turned once for all rows of a cache head; a running"
             " softmax; with few"
             " rows the positions are split over the parts and added up after",
    .source = "luabench; Dao et al., FlashAttention-2 and Flash-Decoding", .isa = ISA_BITS, .act = LB_ACT_F32,
    .acc = LB_ACC_F32, .compute = LB_COMPUTE_F32, .tolerance = 1e-10,
    .tolerance_why = "a score's f32 rounding, 6e-8 of its size, is an error of its exponential as large",
    .priority = ISA_PRIORITY, .supports = rows_fit, .phases = phases, .workspace_bytes = workspace_bytes,
    .launch = launch,
};
