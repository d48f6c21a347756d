/* add_rms_norm_f32_block.cu: h += x and the norm of it, a row a block, h in registers in between. 16 bytes an element
 * (x and h read, h and out written), where two kernels would move 20. */
#include "rows.cuh"

namespace {

enum { THREADS = 256, EACH = 8 };

__global__ void __launch_bounds__(THREADS) add_rms_norm_kernel(lb_rows x, lb_rows h, const float *weight, lb_rows out,
                                                               float eps, bool by_4) {
    __shared__ float scratch[THREADS / 32];
    for (int64_t r = blockIdx.x; r < x.count; r += gridDim.x) {
        lb_row_values<THREADS, EACH> row;
        const float *add = lb_row(x, r);
        float *to = lb_row(h, r), sum = 0;
        row.load(to, h.length, by_4);
        if (row.kept) {
#pragma unroll
            for (int j = 0; j < EACH; j++) {
                int64_t at = (int64_t)(j * THREADS + threadIdx.x) * 4;
                if (at >= row.k) continue;
                float4 v = *(const float4 *)(add + at);
                row.v[j].x += v.x, row.v[j].y += v.y, row.v[j].z += v.z, row.v[j].w += v.w;
                *(float4 *)(to + at) = row.v[j];
            }
        } else {
            for (int64_t i = threadIdx.x; i < row.k; i += THREADS) to[i] += add[i]; /* read again by the same thread */
        }
        row.each([&](int64_t, float v) { sum += v * v; });
        sum = lb_block_sum<THREADS>(sum, scratch);
        float s = 1.0f / sqrtf(sum / (float)h.length + eps);
        row.store(lb_row(out, r), [&](int64_t i, float v) { return weight ? v * s * weight[i] : v * s; });
    }
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *w = lb_arg(a, LB_ADD_RMS_NORM_WEIGHT);
    lb_rows x = lb_rows_of(lb_arg(a, LB_ADD_RMS_NORM_X)), h = lb_rows_of(lb_arg(a, LB_ADD_RMS_NORM_H));
    lb_rows out = lb_rows_of(lb_arg(a, LB_ADD_RMS_NORM_OUT));
    if (x.count == 0 || x.length == 0) return;
    LB_CUDA_LAUNCH(add_rms_norm_kernel, lb_row_blocks(x.count), THREADS, 0, lb_cuda_stream(l), x, h,
                   w ? (const float *)lb_tensor_data(w) : (const float *)nullptr, out, (float)a->p[LB_RMS_NORM_P_EPS],
                   lb_rows_by_4(x) && lb_rows_by_4(h) && lb_rows_by_4(out));
}

} // namespace

LB_CUDA_KERNEL(add_rms_norm_f32_block) = {
    .name = "add_rms_norm.f32.block", .op = "add_rms_norm", .device = "cuda",
    .about = "a row a block of 256 threads, the sum kept in registers up to 8192 values", .source = "luabench",
    .isa = LB_ISA_SM80, .act = LB_ACT_F32, .acc = LB_ACC_F32, .compute = LB_COMPUTE_F32, .tolerance = 1e-12,
    .tolerance_why = "f32 sums over K in trees, a square root, two products: NMSE about 1e-14", .priority = 1,
    .launch = launch,
};
