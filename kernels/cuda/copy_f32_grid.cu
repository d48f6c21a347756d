/* copy_f32_grid.cu: out = x, 8 bytes an element; four 16-byte loads a thread before the first store. */
#include "engine/kernel_cuda.h"

namespace {

enum { THREADS = 256, EACH = 4 };

__global__ void __launch_bounds__(THREADS) copy_kernel(const float *x, float *out, int64_t n) {
    int64_t first = (int64_t)blockIdx.x * THREADS * EACH * 4 + threadIdx.x * 4;
    if (((uintptr_t)x | (uintptr_t)out) % 16 == 0 && first - threadIdx.x * 4 + THREADS * EACH * 4 <= n) {
        float4 v[EACH];
#pragma unroll
        for (int j = 0; j < EACH; j++) v[j] = __ldcs((const float4 *)(x + first + j * THREADS * 4));
#pragma unroll
        for (int j = 0; j < EACH; j++) __stcs((float4 *)(out + first + j * THREADS * 4), v[j]);
        return;
    }
    int64_t begin = (int64_t)blockIdx.x * THREADS * EACH * 4, end = begin + THREADS * EACH * 4;
    for (int64_t i = begin + threadIdx.x; i < end && i < n; i += THREADS) out[i] = x[i];
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_COPY_X);
    int64_t n = lb_tensor_numel(x), each = THREADS * EACH * 4;
    if (n == 0) return;
    LB_CUDA_LAUNCH(copy_kernel, (unsigned)((n + each - 1) / each), THREADS, 0, lb_cuda_stream(l),
                   (const float *)lb_tensor_data(x), (float *)lb_tensor_data(lb_arg(a, LB_COPY_OUT)), n);
}

} // namespace

LB_CUDA_KERNEL(copy_f32_grid) = {
    .name = "copy.f32.grid", .op = "copy", .device = "cuda",
    .about = "four 16-byte loads and stores a thread, past the caches", .source = "luabench", .isa = LB_ISA_SM80,
    .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_NONE, .tolerance = 1e-30,
    .tolerance_why = "bytes", .priority = 1, .launch = launch,
};
