/* rms_norm_quantize_f32_block.cu: a norm and its int8 codes by blocks of 32, a row a block; a warp holds a block of 32
 * at a time. 4 bytes in and 1.125 out an element; the second reading of a row comes from L1 or L2. */
#include "rows.cuh"

namespace {

enum { THREADS = 256, WARPS = THREADS / 32 };

/* As LB_ACT_Q8_32's definition (activation.h), whose products are rounded before anything else is done with them. */
__global__ void __launch_bounds__(THREADS) rms_norm_quantize_kernel(lb_rows x, const float *weight, int8_t *codes,
                                                                    float *scales, float eps) {
    __shared__ float scratch[WARPS];
    int64_t k = x.length, blocks = (k + 31) / 32;
    int lane = threadIdx.x % 32;
    for (int64_t r = blockIdx.x; r < x.count; r += gridDim.x) {
        const float *row = lb_row(x, r);
        float sum = 0;
        for (int64_t i = threadIdx.x; i < k; i += THREADS) sum += row[i] * row[i];
        sum = lb_block_sum<THREADS>(sum, scratch);
        float s = 1.0f / sqrtf(sum / (float)k + eps);
        for (int64_t b = threadIdx.x / 32; b < blocks; b += WARPS) {
            int64_t i = b * 32 + lane;
            float y = i < k ? __fmul_rn(__fmul_rn(row[i], s), weight ? weight[i] : 1.0f) : 0.0f, most = fabsf(y);
            bool bad = __any_sync(0xffffffffu, y != y); /* fmaxf leaves NaN out */
            for (int o = 16; o; o >>= 1) most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, o));
            if (most < 1e-36f) most = 0; /* the scale would be subnormal */
            if (bad) most = __int_as_float(0x7fffffff);
            float inverse = most > 0 ? __fdiv_rn(127.0f, most) : 0.0f, q = __fmul_rn(y, inverse);
            if (i < k) codes[r * k + i] = (int8_t)__float2int_rn(q == q ? q : 0.0f);
            if (lane == 0) scales[r * blocks + b] = __fdiv_rn(most, 127.0f);
        }
    }
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *w = lb_arg(a, LB_RMS_NORM_Q_WEIGHT);
    lb_rows x = lb_rows_of(lb_arg(a, LB_RMS_NORM_Q_X));
    if (x.count == 0 || x.length == 0) return;
    LB_CUDA_LAUNCH(rms_norm_quantize_kernel, lb_row_blocks(x.count), THREADS, 0, lb_cuda_stream(l), x,
                   w ? (const float *)lb_tensor_data(w) : (const float *)nullptr,
                   (int8_t *)lb_tensor_data(lb_arg(a, LB_RMS_NORM_Q_CODES)),
                   (float *)lb_tensor_data(lb_arg(a, LB_RMS_NORM_Q_SCALES)), (float)a->p[LB_RMS_NORM_P_EPS]);
}

} // namespace

LB_CUDA_KERNEL(rms_norm_quantize_f32_block) = {
    .name = "rms_norm_quantize.f32.block", .op = "rms_norm_quantize", .device = "cuda",
    .about = "a row a block of 256 threads; a warp rounds 32 values at a time", .source = "luabench",
    .isa = LB_ISA_SM80, .act = LB_ACT_F32, .acc = LB_ACC_F32, .compute = LB_COMPUTE_F32, .tolerance = 1e-12,
    .tolerance_why = "the scales are a maximum of rounded norms, NMSE about 1e-14; codes are compared exactly",
    .priority = 1, .launch = launch,
};
