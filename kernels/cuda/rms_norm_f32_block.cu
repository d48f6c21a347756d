/* rms_norm_f32_block.cu: a row a block, its values in registers between the two passes. 8 bytes an element. */
#include "rows.cuh"

namespace {

enum { THREADS = 256, EACH = 8 }; /* rows of up to 8192 are read once */

__global__ void __launch_bounds__(THREADS) rms_norm_kernel(lb_rows x, const float *weight, lb_rows out, float eps,
                                                           bool by_4) {
    __shared__ float scratch[THREADS / 32];
    for (int64_t r = blockIdx.x; r < x.count; r += gridDim.x) {
        lb_row_values<THREADS, EACH> row;
        row.load(lb_row(x, r), x.length, by_4);
        float sum = 0;
        row.each([&](int64_t, float v) { sum += v * v; });
        sum = lb_block_sum<THREADS>(sum, scratch);
        float s = 1.0f / sqrtf(sum / (float)x.length + eps);
        row.store(lb_row(out, r), [&](int64_t i, float v) { return weight ? v * s * weight[i] : v * s; });
    }
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *w = lb_arg(a, LB_RMS_NORM_WEIGHT);
    lb_rows x = lb_rows_of(lb_arg(a, LB_RMS_NORM_X)), out = lb_rows_of(lb_arg(a, LB_RMS_NORM_OUT));
    if (x.count == 0 || x.length == 0) return;
    LB_CUDA_LAUNCH(rms_norm_kernel, lb_row_blocks(x.count), THREADS, 0, lb_cuda_stream(l), x,
                   w ? (const float *)lb_tensor_data(w) : (const float *)nullptr, out, (float)a->p[LB_RMS_NORM_P_EPS],
                   lb_rows_by_4(x) && lb_rows_by_4(out));
}

} // namespace

LB_CUDA_KERNEL(rms_norm_f32_block) = {
    .name = "rms_norm.f32.block", .op = "rms_norm", .device = "cuda",
    .about = "a row a block of 256 threads, kept in registers up to 8192 values", .source = "luabench",
    .isa = LB_ISA_SM80, .act = LB_ACT_F32, .acc = LB_ACC_F32, .compute = LB_COMPUTE_F32, .tolerance = 1e-12,
    .tolerance_why = "f32 sums over K in trees, a square root, two products: NMSE about 1e-14", .priority = 1,
    .launch = launch,
};
