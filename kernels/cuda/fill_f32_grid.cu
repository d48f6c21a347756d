/* fill_f32_grid.cu: out[i] = value; four elements a thread, in one store where the address allows it. */
#include "engine/kernel_cuda.h"

enum { THREADS = 256, EACH = 4 };

__global__ void __launch_bounds__(THREADS) fill_kernel(float *out, int64_t n, float value) {
    int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * EACH;
    if (i >= n) return;
    if (i + EACH <= n && ((uintptr_t)out & 15) == 0) {
        *(float4 *)(out + i) = make_float4(value, value, value, value);
        return;
    }
    for (int64_t j = i; j < n && j < i + EACH; j++) out[j] = value;
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *out = lb_arg(a, LB_FILL_OUT);
    int64_t n = lb_tensor_numel(out);
    if (n == 0) return;
    unsigned blocks = (unsigned)((n + THREADS * EACH - 1) / (THREADS * EACH));
    LB_CUDA_LAUNCH(fill_kernel, blocks, THREADS, 0, lb_cuda_stream(l), (float *)lb_tensor_data(out), n,
                   (float)a->p[LB_FILL_P_VALUE]);
}

LB_CUDA_KERNEL(fill_f32_grid) = {
    .name = "fill.f32.grid",
    .op = "fill",
    .device = "cuda",
    .about = "four elements a thread, one 16-byte store",
    .source = "luabench",
    .isa = LB_ISA_SM80,
    .act = LB_ACT_F32,
    .acc = LB_ACC_NONE,
    .compute = LB_COMPUTE_NONE,
    .tolerance = 0,
    .tolerance_why = "the value is stored as it is",
    .priority = 1,
    .launch = launch,
};
