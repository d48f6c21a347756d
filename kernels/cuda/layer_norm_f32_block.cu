/* layer_norm_f32_block.cu: a row a block; mean first, then the squares of what is left of it, from registers. 8 bytes
 * an element. */
#include "rows.cuh"

namespace {

enum { THREADS = 256, EACH = 8 };

__global__ void __launch_bounds__(THREADS) layer_norm_kernel(lb_rows x, const float *weight, const float *bias,
                                                             lb_rows out, float eps, bool by_4) {
    __shared__ float scratch[THREADS / 32];
    for (int64_t r = blockIdx.x; r < x.count; r += gridDim.x) {
        lb_row_values<THREADS, EACH> row;
        row.load(lb_row(x, r), x.length, by_4);
        float sum = 0, squares = 0;
        row.each([&](int64_t, float v) { sum += v; });
        float mean = lb_block_sum<THREADS>(sum, scratch) / (float)x.length;
        row.each([&](int64_t, float v) { squares += (v - mean) * (v - mean); });
        float s = 1.0f / sqrtf(lb_block_sum<THREADS>(squares, scratch) / (float)x.length + eps);
        row.store(lb_row(out, r), [&](int64_t i, float v) {
            float y = (v - mean) * s;
            y = weight ? y * weight[i] : y;
            return bias ? y + bias[i] : y;
        });
    }
}

static const float *or_null(const lb_tensor *t) { return t ? (const float *)lb_tensor_data(t) : nullptr; }

static void launch(const lb_args *a, const lb_launch *l) {
    lb_rows x = lb_rows_of(lb_arg(a, LB_LAYER_NORM_X)), out = lb_rows_of(lb_arg(a, LB_LAYER_NORM_OUT));
    if (x.count == 0 || x.length == 0) return;
    LB_CUDA_LAUNCH(layer_norm_kernel, lb_row_blocks(x.count), THREADS, 0, lb_cuda_stream(l), x,
                   or_null(lb_arg(a, LB_LAYER_NORM_WEIGHT)), or_null(lb_arg(a, LB_LAYER_NORM_BIAS)), out,
                   (float)a->p[LB_RMS_NORM_P_EPS], lb_rows_by_4(x) && lb_rows_by_4(out));
}

} // namespace

LB_CUDA_KERNEL(layer_norm_f32_block) = {
    .name = "layer_norm.f32.block", .op = "layer_norm", .device = "cuda",
    .about = "a row a block of 256 threads, kept in registers up to 8192 values; mean and variance in two passes",
    .source = "luabench", .isa = LB_ISA_SM80, .act = LB_ACT_F32, .acc = LB_ACC_F32, .compute = LB_COMPUTE_F32,
    .tolerance = 1e-11, .tolerance_why = "f32 sums over K in trees; what is left of the mean is rounded to its size",
    .priority = 1, .launch = launch,
};
