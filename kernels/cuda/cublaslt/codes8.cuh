/* codes8.cuh: products through cuBLASLt whose activations become codes of 8 bits first: e4m3 with a scale for all of x,
 * for a row or for 128 of a row, int8 with a scale a row. The codes and scales are those of engine/activation.h, bit
 * for bit.
 *
 * What they cost beside the product: x is read once (twice with one scale for all, the second time from L2 where it
 * fits), a quarter of it written. Where x is stored in codes already, use the operation gemm_stored: that is the
 * library's product and nothing else. */
#pragma once
#include <cuda_fp8.h>
#include "cublaslt.cuh"
#include "../rows.cuh"

enum { LT_ROW_THREADS = 256, LT_MAX_BLOCKS = 512, LT_BLOCK = 128 };

/* e4m3 of x / d to nearest even; 0 for NaN, and all of them where d is 0 or Inf. */
struct lt_to_f8 {
    static __device__ __forceinline__ float scale(float amax) { return __fdiv_rn(amax, 448.0f); }
    static __device__ __forceinline__ uint32_t code(float x, float d) {
        float v = d > 0 ? __fdiv_rn(x, d) : 0.0f;
        return v == v ? __nv_cvt_float_to_fp8(v, __NV_SATFINITE, __NV_E4M3) : 0u;
    }
};
/* LB_ACT_I8_TOKEN */
struct lt_to_i8 {
    static __device__ __forceinline__ float scale(float amax) { return fmaxf(__fdiv_rn(amax, 127.5f), 0x1p-23f); }
    static __device__ __forceinline__ uint32_t code(float x, float d) {
        float r = rintf(__fmul_rn(x, __fdiv_rn(1.0f, d)));
        r = r == r ? fminf(fmaxf(r, -128.0f), 127.0f) : 0.0f;
        return (uint32_t)(int)r & 255u;
    }
};

/* NaN, which maxima leave out, counts as Inf: then the scale is Inf, all codes are 0, and what they give is NaN. */
__device__ static inline float lt_amax_of(float4 v) {
    bool nan = v.x != v.x || v.y != v.y || v.z != v.z || v.w != v.w;
    return nan ? __int_as_float(0x7f800000) : fmaxf(fmaxf(fabsf(v.x), fabsf(v.y)), fmaxf(fabsf(v.z), fabsf(v.w)));
}
template <class C> __device__ static inline uint32_t lt_codes_of(float4 v, float d) {
    return C::code(v.x, d) | C::code(v.y, d) << 8 | C::code(v.z, d) << 16 | C::code(v.w, d) << 24;
}

/* A row a block, k a multiple of 4. codes [m][k], scales [m]. */
template <class C> static __global__ void __launch_bounds__(LT_ROW_THREADS)
lt_code_rows(const float *x, int64_t k, uint32_t *codes, float *scales) {
    __shared__ float scratch[LT_ROW_THREADS / 32];
    const float4 *row = (const float4 *)(x + blockIdx.x * k);
    float amax = 0;
    for (int64_t i = threadIdx.x; i < k / 4; i += LT_ROW_THREADS) amax = fmaxf(amax, lt_amax_of(row[i]));
    float d = C::scale(lb_block_max<LT_ROW_THREADS>(amax, scratch));
    for (int64_t i = threadIdx.x; i < k / 4; i += LT_ROW_THREADS) codes[blockIdx.x * (k / 4) + i] =
        lt_codes_of<C>(row[i], d);
    if (threadIdx.x == 0) scales[blockIdx.x] = d;
}

/* A warp for 128 of a row. codes [rows][k], zeros from row m on; scales [k / 128][rows], as cuBLASLt wants them. */
static __global__ void __launch_bounds__(LT_ROW_THREADS)
lt_code_blocks(const float *x, int64_t m, int64_t rows, int64_t k, uint32_t *codes, float *scales) {
    const int64_t block = blockIdx.x * (LT_ROW_THREADS / 32) + threadIdx.x / 32, each = k / LT_BLOCK;
    int lane = (int)threadIdx.x % 32;
    if (block >= rows * each) return; /* whole warps */
    float4 v = block < m * each ? ((const float4 *)x)[block * 32 + lane] : make_float4(0, 0, 0, 0);
    float amax = lt_amax_of(v);
    for (int o = 16; o; o >>= 1) amax = fmaxf(amax, __shfl_xor_sync(0xffffffffu, amax, o));
    float d = lt_to_f8::scale(amax);
    codes[block * 32 + lane] = lt_codes_of<lt_to_f8>(v, d);
    if (lane == 0) scales[block % each * rows + block / each] = d;
}

/* The greatest magnitude of all of x: each block's, then (lt_code_all) all blocks' by each block. */
static __global__ void __launch_bounds__(LT_ROW_THREADS) lt_amax_all(const float4 *x, int64_t n4, float *most) {
    __shared__ float scratch[LT_ROW_THREADS / 32];
    float amax = 0;
    for (int64_t i = (int64_t)blockIdx.x * LT_ROW_THREADS + threadIdx.x; i < n4;
         i += (int64_t)gridDim.x * LT_ROW_THREADS)
        amax = fmaxf(amax, lt_amax_of(x[i]));
    amax = lb_block_max<LT_ROW_THREADS>(amax, scratch);
    if (threadIdx.x == 0) most[blockIdx.x] = amax;
}
static __global__ void __launch_bounds__(LT_ROW_THREADS)
lt_code_all(const float4 *x, int64_t n4, const float *most, uint32_t *codes, float *scale) {
    __shared__ float scratch[LT_ROW_THREADS / 32];
    float amax = 0;
    for (unsigned i = threadIdx.x; i < gridDim.x; i += LT_ROW_THREADS) amax = fmaxf(amax, most[i]);
    float d = lt_to_f8::scale(lb_block_max<LT_ROW_THREADS>(amax, scratch));
    for (int64_t i = (int64_t)blockIdx.x * LT_ROW_THREADS + threadIdx.x; i < n4;
         i += (int64_t)gridDim.x * LT_ROW_THREADS)
        codes[i] = lt_codes_of<lt_to_f8>(x[i], d);
    if (blockIdx.x == 0 && threadIdx.x == 0) scale[0] = d;
}

/* out[m][n] = sums[m][n] times the token's and the row's scale. Four results a thread. */
static __global__ void __launch_bounds__(LT_ROW_THREADS)
lt_scale_sums(const int4 *sums, const float *scale_x, const float *scale_w, int64_t n, float4 *out) {
    int64_t i = (int64_t)blockIdx.x * LT_ROW_THREADS + threadIdx.x, row = blockIdx.y;
    if (i >= n / 4) return;
    int4 s = sums[row * (n / 4) + i];
    const float4 w = ((const float4 *)scale_w)[i];
    float d = scale_x[row];
    out[row * (n / 4) + i] = make_float4((float)s.x * (d * w.x), (float)s.y * (d * w.y), (float)s.z * (d * w.z),
                                         (float)s.w * (d * w.w));
}

/* ---- host ---- */

/* Rows of a product: cuBLASLt wants the scales of blocks in columns of whole fours. */
static inline int64_t lt_rows_of(const lb_args *a, int32_t mode_x) {
    const int64_t m = lb_arg(a, LB_GEMM_X)->dims[0];
    return mode_x == CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F ? (m + 3) / 4 * 4 : m;
}
/* Behind the library's own workspace: codes of x, scales of x, one maximum a block, results that are not out's yet. */
struct lt_places { size_t codes, scales, most, sums, end; };
static lt_places lt_places_of(const lb_args *a, int64_t rows, bool sums) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_arg(a, LB_GEMM_W);
    size_t m = (size_t)rows, k = (size_t)x->dims[1], n = (size_t)w->dims[0];
    lt_places p;
    p.codes = LT_WORKSPACE;
    p.scales = p.codes + lt_aligned(m * k);
    p.most = p.scales + lt_aligned(m * (k / LT_BLOCK + 1) * sizeof(float));
    p.sums = p.most + lt_aligned(LT_MAX_BLOCKS * sizeof(float));
    p.end = p.sums + (sums ? lt_aligned(m * n * sizeof(int32_t)) : 0);
    return p;
}
static inline size_t lt_f8_workspace(const lb_args *a, int) {
    return lt_places_of(a, lb_arg(a, LB_GEMM_X)->dims[0], false).end;
}

static lt_product lt_f8_product(const lb_args *a, const lb_tensor *w, int32_t mode_w, int32_t mode_x) {
    lt_product p = { lt_rows_of(a, mode_x), w->dims[0], w->dims[1], CUBLAS_COMPUTE_32F, CUDA_R_8F_E4M3, CUDA_R_32F, 1,
                     mode_w, mode_x };
    p.device = lb_cuda_info_now()->device;
    return p;
}
static const float *lt_scales_behind(const lb_tensor *w) {
    size_t codes = (size_t)w->dims[0] * (size_t)w->dims[1];
    return (const float *)(const void *)((const char *)lb_tensor_data(w) + (codes + 63) / 64 * 64);
}

/* A launch's x [m][k], and where in its workspace the codes and scales of `rows` rows, maxima and results go. */
struct lt_coding { const float *x; int64_t m, rows, k; uint32_t *codes; float *scales, *most, *results; };
static inline lt_coding lt_coding_of(const lb_args *a, const lb_launch *l, int32_t mode_x) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X);
    const int64_t rows = lt_rows_of(a, mode_x);
    lt_places at = lt_places_of(a, rows, rows != x->dims[0]);
    char *space = (char *)l->workspace;
    return { lb_tensor_f32(x), x->dims[0], rows, x->dims[1], (uint32_t *)(void *)(space + at.codes),
             (float *)(void *)(space + at.scales), (float *)(void *)(space + at.most),
             (float *)(void *)(space + at.sums) };
}
/* The product behind it; of more rows than out has it goes to the workspace first. */
static inline void lt_run_f8(const lb_args *a, const lb_launch *l, const lt_coding &c, int32_t mode_w, int32_t mode_x) {
    const lb_tensor *w = lb_weight(a, l, LB_GEMM_W);
    float *out = (float *)lb_tensor_data(lb_arg(a, LB_GEMM_OUT)), *to = c.rows == c.m ? out : c.results;
    const int64_t n = c.m * w->dims[0], blocks = (n + 1023) / 1024;
    lt_run(l, lt_f8_product(a, w, mode_w, mode_x), lb_tensor_data(w), c.codes, to, (char *)l->workspace,
           lt_scales_behind(w), c.scales);
    if (to != out)
        LB_CUDA_LAUNCH((lt_convert<float>), (unsigned)(blocks < 4096 ? blocks : 4096), 256, 0, lb_cuda_stream(l), to,
                       out, n);
}

static bool lt_f8_supports(const lb_args *a, int32_t mode_w, int32_t mode_x, const char **why) {
    const lb_tensor *w = lb_arg(a, LB_GEMM_W);
    if (!lt_supports(a, 16, why)) return false;
    *why = "needs N in multiples of 16";
    if (w->dims[0] % 16) return false;
    *why = "fp8 products need compute capability 8.9";
    if (lb_cuda_info_now()->cc < 89) return false;
    *why = "scales other than one a matrix need compute capability 9.0";
    if (mode_w != CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F && lb_cuda_info_now()->cc != 90) return false;
    return lt_has(lt_f8_product(a, w, mode_w, mode_x), why);
}

/* gemm_stored: both operands as they are stored, in the same format. */
static inline bool lt_stored_supports(const lb_args *a, int32_t mode, const char **why) {
    *why = "x is stored in another format than w";
    return lb_arg(a, LB_GEMM_X)->quantizer == lb_arg(a, LB_GEMM_W)->quantizer && lt_f8_supports(a, mode, mode, why);
}
static inline size_t lt_stored_workspace(const lb_args *a, int parts) { return (void)a, (void)parts, LT_WORKSPACE; }
static inline void lt_run_stored(const lb_args *a, const lb_launch *l, int32_t mode) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_weight(a, l, LB_GEMM_W);
    lt_run(l, lt_f8_product(a, w, mode, mode), lb_tensor_data(w), lb_tensor_data(x),
           lb_tensor_data(lb_arg(a, LB_GEMM_OUT)),
           l->workspace, lt_scales_behind(w), lt_scales_behind(x));
}

/* The fields that these descriptors share. */
#define LT_F8_FIELDS                                                                                                   \
    .op = "gemm", .device = "cuda",                                                                                    \
    .about = "x to e4m3, then cuBLASLt, the algorithm that its heuristic puts first, without fast accumulation",       \
    .source = "NVIDIA cuBLASLt", .isa = LB_ISA_SM80

/* Hopper's wgmma of e4m3 adds 32 products and the sum so far, each of these 33 cut 13 bits below the leading bit of the
 * largest (DeepSeek-V3's report: about 14 bits stay). Without fast accumulation four such steps, 128 columns, go to an
 * f32 sum. Of random products of size s the largest is the partial sum, 11 s in the end: cuts of up to 2^-10 s, a
 * third of the square in the mean, 4 x 33 of them beside 128 s^2 are an NMSE of 3.3e-7, and 1.3e-6 where the leading
 * bit is one higher. Where one product outweighs the others: 4 x 33 / 3 x 2^-26 = 6.6e-7, or 2.6e-6 likewise. These are
 * the most: partial sums begin small, and few products have bits so low. */
#define LT_F8_TOLERANCE                                                                                                \
    .acc = LB_ACC_F32, .compute = LB_COMPUTE_FP8, .tolerance = 4e-6,                                                   \
    .tolerance_why = "products are exact; Hopper's tensor cores cut each addend of a sum of fp8 products 13 bits "     \
                     "below the first bit of the largest: at most 1.3e-6 of random products, 2.6e-6 where one "       \
                     "outweighs all"
