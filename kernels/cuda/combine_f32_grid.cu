/* combine_f32_grid.cu: a token's expert outputs, weighted and added in slot order: the same bits every time. 4 (k + 1)
 * bytes read an output (k without a shared expert) and 4 written; four columns a thread, k 16-byte loads under way. */
#include "engine/kernel_cuda.h"

namespace {

enum { THREADS = 128 };

template <int EACH>
__global__ void __launch_bounds__(THREADS) combine_kernel(const float *y, const float *weights, const float *shared,
                                                          float *out, int64_t tokens, int k, int64_t h) {
    int64_t column = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * EACH;
    if (column >= h) return;
    for (int64_t t = blockIdx.y; t < tokens; t += gridDim.y) {
        float sum[EACH];
        struct alignas(EACH * 4) values { float v[EACH]; };
        values v = {};
        if (shared) v = *(const values *)(shared + t * h + column);
#pragma unroll
        for (int i = 0; i < EACH; i++) sum[i] = v.v[i];
#pragma unroll 8
        for (int s = 0; s < k; s++) {
            float w = weights[t * k + s];
            v = *(const values *)(y + (t * k + s) * h + column);
#pragma unroll
            for (int i = 0; i < EACH; i++) sum[i] += w * v.v[i];
        }
#pragma unroll
        for (int i = 0; i < EACH; i++) v.v[i] = sum[i];
        *(values *)(out + t * h + column) = v;
    }
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *w = lb_arg(a, LB_COMBINE_WEIGHTS), *s = lb_arg(a, LB_COMBINE_SHARED);
    const float *y = (const float *)lb_tensor_data(lb_arg(a, LB_COMBINE_Y));
    const float *weights = (const float *)lb_tensor_data(w);
    const float *shared = s ? (const float *)lb_tensor_data(s) : nullptr;
    float *out = (float *)lb_tensor_data(lb_arg(a, LB_COMBINE_OUT));
    int64_t tokens = w->dims[0], h = lb_arg(a, LB_COMBINE_Y)->dims[1];
    int k = (int)w->dims[1];
    if (tokens == 0 || h == 0) return;
    bool by_4 = h % 4 == 0 && ((uintptr_t)y | (uintptr_t)out | (uintptr_t)shared) % 16 == 0;
    int64_t each = THREADS * (by_4 ? 4 : 1);
    dim3 grid((unsigned)((h + each - 1) / each), (unsigned)(tokens < 65535 ? tokens : 65535));
    if (by_4) LB_CUDA_LAUNCH(combine_kernel<4>, grid, THREADS, 0, lb_cuda_stream(l), y, weights, shared, out, tokens, k,
                             h);
    else LB_CUDA_LAUNCH(combine_kernel<1>, grid, THREADS, 0, lb_cuda_stream(l), y, weights, shared, out, tokens, k, h);
}

} // namespace

LB_CUDA_KERNEL(combine_f32_grid) = {
    .name = "combine.f32.grid", .op = "combine", .device = "cuda",
    .about = "four columns of a token a thread: the shared expert's, then the slots in their order",
        .source = "luabench",
    .isa = LB_ISA_SM80, .act = LB_ACT_F32, .acc = LB_ACC_F32, .compute = LB_COMPUTE_F32, .tolerance = 1e-11,
    .tolerance_why = "k + 1 terms added in f32, about 1e-14, and room for sums that cancel", .priority = 1,
    .launch = launch,
};
