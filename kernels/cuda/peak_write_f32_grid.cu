/* peak_write_f32_grid.cu: out[i] = 1; 16 bytes a thread, four at a time. */
#include "engine/kernel_cuda.h"

enum { THREADS = 512, EACH = 4 };

__global__ void __launch_bounds__(THREADS) write_kernel(float *out, int64_t n) {
    const int64_t vectors = (((uintptr_t)out) & 15) == 0 ? n / 4 : 0;
    const int64_t at = (int64_t)blockIdx.x * THREADS * EACH + threadIdx.x;
#pragma unroll
    for (int i = 0; i < EACH; i++)
        if (at + i * THREADS < vectors) __stcs((float4 *)out + at + i * THREADS, make_float4(1, 1, 1, 1));
    for (int64_t k = 4 * vectors + (int64_t)blockIdx.x * THREADS + threadIdx.x; k < n;
         k += (int64_t)gridDim.x * THREADS)
        out[k] = 1;
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *out = lb_arg(a, LB_PEAK_WRITE_OUT);
    int64_t n = lb_tensor_numel(out), blocks = (n / 4 + THREADS * EACH - 1) / (THREADS * EACH);
    if (n == 0) return;
    LB_CUDA_LAUNCH(write_kernel, (unsigned)(blocks ? blocks : 1), THREADS, 0, lb_cuda_stream(l),
                   (float *)lb_tensor_data(out), n);
}

LB_CUDA_KERNEL(peak_write_f32_grid) = {
    .name = "peak_write.f32.grid",
    .op = "peak_write",
    .device = "cuda",
    .about = "16 bytes a thread, four at a time, past the caches where they can",
    .source = "luabench",
    .isa = LB_ISA_SM80,
    .acc = LB_ACC_NONE,
    .compute = LB_COMPUTE_NONE,
    .tolerance = 0,
    .tolerance_why = "values are stored as they are",
    .priority = 1,
    .launch = launch,
};
