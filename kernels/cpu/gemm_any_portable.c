/* gemm_any_portable.c: any weights: blocks of rows become f32 and are multiplied with sums in f64. The reference
 * kernel. */
#include "engine/kernel.h"
#include "engine/ops/slots.h"

enum { TILE_N = 4, TILE_M = 2, BLOCK_N = 16 };
#define UNROLL _Pragma("GCC unroll 8") /* keeps the sums in registers */

/* out[c][r] = dot(row r of w, x_c). Rows of w stand k apart. */
typedef void (*tile_fn)(const float *w, const float *x0, const float *x1, int64_t k, float out[TILE_M][TILE_N]);

/* One tile function for vectors of BYTES bytes. Each of the 8 sums has one lane per double of a vector, so nothing is
 * reordered; a product of two floats is exact in f64, so fusing it with the addition would change nothing. The last k
 * go one by one. */
#define DEFINE_TILE(NAME, BYTES)                                                                                  \
    static void NAME(const float *w, const float *x0, const float *x1, int64_t k, float out[TILE_M][TILE_N]) {    \
        typedef double sums __attribute__((vector_size(BYTES), aligned(8), may_alias));                           \
        typedef float floats __attribute__((vector_size(BYTES / 2), aligned(4), may_alias));                      \
        enum { LANES = BYTES / 8 };                                                                               \
        sums sum[TILE_M][TILE_N] = { { { 0 } } };                                                                 \
        const float *x[TILE_M] = { x0, x1 };                                                                      \
        int64_t i = 0;                                                                                            \
        for (; i + LANES <= k; i += LANES) {                                                                      \
            sums a[TILE_M], b;                                                                                    \
            UNROLL for (int c = 0; c < TILE_M; c++) a[c] = __builtin_convertvector(*(const floats *)(x[c] + i), sums); \
            UNROLL for (int r = 0; r < TILE_N; r++) {                                                             \
                b = __builtin_convertvector(*(const floats *)(w + r * k + i), sums);                              \
                UNROLL for (int c = 0; c < TILE_M; c++) sum[c][r] += a[c] * b;                                    \
            }                                                                                                     \
        }                                                                                                         \
        UNROLL for (int c = 0; c < TILE_M; c++)                                                                   \
            UNROLL for (int r = 0; r < TILE_N; r++) {                                                             \
                double lane[LANES], total = 0;                                                                    \
                *(sums *)lane = sum[c][r];                                                                        \
                for (int half = LANES / 2; half; half /= 2)                                                       \
                    for (int j = 0; j < half; j++) lane[j] += lane[j + half];                                     \
                for (int64_t j = i; j < k; j++) total += (double)w[r * k + j] * (double)x[c][j];                  \
                out[c][r] = (float)(lane[0] + total);                                                             \
            }                                                                                                     \
    }

DEFINE_TILE(tile_16, 16)
#if defined(__x86_64__)
__attribute__((target("avx2"))) DEFINE_TILE(tile_32, 32)
__attribute__((target("avx512f,avx512vl,avx512dq,prefer-vector-width=512"))) DEFINE_TILE(tile_64, 64)
#endif

/* The widest vectors that the device may use now. All parts and all batches of a run take the same. */
static tile_fn tile_for(const lb_tensor *t) {
#if defined(__x86_64__)
    uint32_t isa = lb_device_caps_of(t->buffer->device)->isa;
    if (isa & LB_ISA_AVX512) return tile_64;
    if (isa & LB_ISA_AVX2) return tile_32;
#endif
    (void)t;
    return tile_16;
}

/* IEEE half to f32 without branches. A half's exponent and mantissa, read as f32, are too small by 2^112; the product
 * is exact, subnormals too. Exponents of 31 become 255. */
static inline float half_to_f32(uint16_t h) {
    uint32_t magnitude = (uint32_t)(h & 0x7fff) << 13, sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t special = magnitude >= 0x0f800000u ? 0x7f800000u : 0;
    return lb_f32_from_bits(lb_f32_bits(lb_f32_from_bits(magnitude) * 0x1p112f) | special | sign);
}

/* Rows [row0, row1) of w as f32, K apart. */
static void expand(const lb_tensor *w, int64_t row0, int64_t row1, float *restrict dst) {
    int64_t k = w->dims[1], n = (row1 - row0) * k;
    const void *data = lb_tensor_data(w);
    if (k == 0) return; /* nor are there scales, which would be read */
    switch (w->dtype) {
    case LB_QUANT:
        w->quantizer->dequantize(w->quantizer, data, w->dims[0], k, row0, row1, dst);
        return;
    case LB_F16:
        for (int64_t i = 0; i < n; i++) dst[i] = half_to_f32(((const uint16_t *)data + row0 * k)[i]);
        return;
    case LB_BF16:
        for (int64_t i = 0; i < n; i++) dst[i] = lb_bf16_to_f32(((const uint16_t *)data + row0 * k)[i]);
        return;
    case LB_F64:
        for (int64_t i = 0; i < n; i++) dst[i] = (float)((const double *)data + row0 * k)[i];
        return;
    default: /* f32: supports() lets no other through */
        memcpy(dst, (const float *)data + row0 * k, (size_t)n * sizeof *dst);
    }
}

static bool supports(const lb_args *a, const char **why) {
    if (lb_arg(a, LB_GEMM_X)->dtype != LB_F32) {
        *why = "takes f32 activations";
        return false;
    }
    for (int32_t i = 0; i < a->t[LB_GEMM_W].count; i++) {
        lb_dtype t = a->t[LB_GEMM_W].items[i]->dtype;
        if (t == LB_QUANT || t == LB_F32 || t == LB_F16 || t == LB_BF16 || t == LB_F64) continue;
        *why = "takes quantized, f32, f16, bf16 or f64 weights";
        return false;
    }
    return true;
}

static size_t block_floats(const lb_args *a) {
    return ((size_t)BLOCK_N * (size_t)lb_arg(a, LB_GEMM_X)->dims[1] + 15) / 16 * 16;
}

static size_t workspace_bytes(const lb_args *a, int parts) {
    return block_floats(a) * sizeof(float) * (size_t)parts;
}

/* Rows [row0, row1) of w, which stand in `rows`, with every row of x. Tiles reach past the end of the block, whose
 * stale rows are multiplied and not stored; a single last row of x is taken twice. */
static void multiply(const lb_args *a, tile_fn tile, const float *rows, int64_t row0, int64_t row1) {
    const lb_tensor *to = lb_arg(a, LB_GEMM_OUT);
    int64_t m = to->dims[0], n = to->dims[1], k = lb_arg(a, LB_GEMM_X)->dims[1];
    const float *x = lb_tensor_f32(lb_arg(a, LB_GEMM_X));
    float *out = lb_tensor_data(to);
    for (int64_t i = 0; i < m; i += TILE_M) {
        int64_t cols = m - i < TILE_M ? m - i : TILE_M;
        for (int64_t row = row0; row < row1; row += TILE_N) {
            float dots[TILE_M][TILE_N];
            tile(rows + (row - row0) * k, x + i * k, x + (i + cols - 1) * k, k, dots);
            for (int64_t c = 0; c < cols; c++)
                for (int64_t r = 0; r < TILE_N && row + r < row1; r++) out[(i + c) * n + row + r] = dots[c][r];
        }
    }
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *w = lb_weight(a, l, LB_GEMM_W);
    float *rows = (float *)l->workspace + block_floats(a) * (size_t)l->part;
    tile_fn tile = tile_for(lb_arg(a, LB_GEMM_X));
    int64_t begin, end;
    lb_split(w->dims[0], BLOCK_N, l->part, l->parts, &begin, &end);
    if (begin < end) memset(rows, 0, block_floats(a) * sizeof *rows); /* a last block may be short */
    for (int64_t row = begin; row < end; row += BLOCK_N) {
        int64_t last = row + BLOCK_N < end ? row + BLOCK_N : end;
        expand(w, row, last, rows);
        multiply(a, tile, rows, row, last);
    }
}

const lb_kernel lb_kernel_gemm_any_portable = {
    .name = "gemm.any.portable",
    .op = "gemm",
    .device = "cpu",
    .about = "dequantizes 16 rows at a time to f32, then 4 x 2 dot products with sums in f64 and the device's widest "
             "vectors: the reference that takes every format",
    .source = "luabench",
    .isa = LB_ISA_PORTABLE,
    .format = "any",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F64,
    .compute = LB_COMPUTE_F64,
    .tolerance = 1e-12,
    .tolerance_why = "products are exact and sums in f64; one rounding to f32 gives about 1e-15",
    .priority = 0,
    .supports = supports,
    .workspace_bytes = workspace_bytes,
    .launch = launch,
};
