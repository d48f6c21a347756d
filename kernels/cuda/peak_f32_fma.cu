/* peak_f32_fma.cu: the peak rate of f32 multiply-adds outside of the tensor cores, on random data: what a chip may take
 * of its power depends on how many bits change from one operation to the next. */
#include "engine/kernel_cuda.h"

enum { THREADS = 256, CHAINS = 8, EACH = 64 };      /* a unit: EACH multiply-adds of every chain, by one thread */

static __device__ float between_1_and_2(unsigned i) {
    i = (i ^ (i >> 16)) * 0x7feb352du;
    i = (i ^ (i >> 15)) * 0x846ca68bu;
    return __uint_as_float(0x3f800000u | (i ^ (i >> 16)) >> 9);
}

/* m is in [-1, 0), c in [1, 2): each chain goes to c / (1 - m), a value of its own; neighbours have other bits. */
__global__ void __launch_bounds__(THREADS) peak_kernel(float *sink, double ops) {
    float x[CHAINS], c[CHAINS], m = between_1_and_2((unsigned)(blockIdx.x * THREADS + threadIdx.x)) - 2.0f;
    int64_t units = (int64_t)(ops / (double)(2 * CHAINS * EACH)), threads = (int64_t)gridDim.x * THREADS;
    int64_t t = (int64_t)blockIdx.x * THREADS + threadIdx.x, n = units * (t + 1) / threads - units * t / threads;
#pragma unroll
    for (int i = 0; i < CHAINS; i++) {
        x[i] = between_1_and_2((unsigned)((t + 1) * CHAINS + i));
        c[i] = between_1_and_2(~(unsigned)(t * CHAINS + i));
    }
    for (int64_t u = 0; u < n; u++)
#pragma unroll
        for (int e = 0; e < EACH; e++)
#pragma unroll
            for (int i = 0; i < CHAINS; i++) x[i] = fmaf(x[i], m, c[i]);
    float sum = 0;
#pragma unroll
    for (int i = 0; i < CHAINS; i++) sum += x[i];
    if (t == 0) sink[0] = sum;
    else if (sum == 1.2345678f) sink[0] = 0;      /* never: keeps the others' work */
}

static void launch(const lb_args *a, const lb_launch *l) {
    LB_CUDA_LAUNCH(peak_kernel, (unsigned)(8 * lb_cuda_info_now()->sm_count), THREADS, 0, lb_cuda_stream(l),
                   (float *)lb_tensor_data(lb_arg(a, LB_PEAK_SINK)), LB_PEAK_OPS_PER_ROUND * a->p[LB_PEAK_P_ROUNDS]);
}

LB_CUDA_KERNEL(peak_f32_fma) = {
    .name = "peak.f32.fma",
    .op = "peak",
    .device = "cuda",
    .about = "eight chains of multiply-adds a thread, each with random operands, eight blocks a multiprocessor",
    .source = "luabench",
    .isa = LB_ISA_SM80,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32,
    .tolerance = 0,
    .tolerance_why = "only that a finite value was written is asked",
    .priority = 1,
    .launch = launch,
};
