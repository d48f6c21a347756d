/* peak_read_f32_grid.cu: read bandwidth: 16 bytes a thread, eight loads in flight, blocks that each read one stretch
 * after another. The sums of blocks are added by the last one, in order. */
#include "engine/kernel_cuda.h"

enum { THREADS = 512, LOADS = 8, BLOCKS_PER_SM = 4, BLOCKS_MOST = 4096 };

static __device__ float block_sum(float v) {
    __shared__ float part[THREADS / 32];
    for (int d = 16; d; d /= 2) v += __shfl_xor_sync(0xffffffffu, v, d);
    __syncthreads();
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
    __syncthreads();
    float sum = 0;
    for (int i = 0; i < THREADS / 32; i++) sum += part[i];
    return sum;
}

__global__ void __launch_bounds__(THREADS) read_kernel(const float *x, int64_t n, int rounds, float *partial,
                                                       unsigned *tickets,
                                                       float *sink) {
    __shared__ bool is_last;
    const float4 *v = (const float4 *)x;
    const int64_t vectors = ((uintptr_t)x & 15) == 0 ? n / 4 : 0, stretch = THREADS * LOADS;
    float sum = 0;
    for (int r = 0; r < rounds; r++) {
        sum = 0;
        for (int64_t at = (int64_t)blockIdx.x * stretch; at < vectors; at += (int64_t)gridDim.x * stretch) {
            float4 w[LOADS];
#pragma unroll
            for (int i = 0; i < LOADS; i++) {
                int64_t k = at + (int64_t)i * THREADS + threadIdx.x;
                w[i] = k < vectors ? __ldcs(v + k) : make_float4(0, 0, 0, 0);
            }
#pragma unroll
            for (int i = 0; i < LOADS; i++) sum += (w[i].x + w[i].y) + (w[i].z + w[i].w);
        }
        for (int64_t k = 4 * vectors + (int64_t)blockIdx.x * THREADS + threadIdx.x; k < n;
             k += (int64_t)gridDim.x * THREADS)
            sum += x[k];
        if (sum == 1.2345678e-30f) partial[0] = sum;      /* never: each round's sums are wanted */
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
        partial[blockIdx.x] = sum;
        __threadfence();
        is_last = atomicAdd(tickets, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (!is_last) return;
    __threadfence();
    float all = 0;
    for (unsigned i = threadIdx.x; i < gridDim.x; i += THREADS) all += ((volatile float *)partial)[i];
    all = block_sum(all);
    if (threadIdx.x) return;
    sink[0] = all;
    tickets[0] = 0;
}

static size_t workspace(const lb_args *a, int parts) {
    (void)a, (void)parts;
    return BLOCKS_MOST * sizeof(float);
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_PEAK_READ_X);
    int blocks = BLOCKS_PER_SM * lb_cuda_info_now()->sm_count;
    LB_CUDA_LAUNCH(read_kernel, (unsigned)(blocks < BLOCKS_MOST ? blocks : BLOCKS_MOST), THREADS, 0, lb_cuda_stream(l),
                   (const float *)lb_tensor_data(x), lb_tensor_numel(x), (int)a->p[LB_PEAK_READ_P_ROUNDS],
                   (float *)l->workspace, lb_cuda_tickets(l), (float *)lb_tensor_data(lb_arg(a, LB_PEAK_READ_SINK)));
}

LB_CUDA_KERNEL(peak_read_f32_grid) = {
    .name = "peak_read.f32.grid",
    .op = "peak_read",
    .device = "cuda",
    .about = "16-byte loads, eight in flight a thread; sums by block, added by the last",
    .source = "luabench",
    .isa = LB_ISA_SM80,
    .format = "f32",
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_NONE,
    .tolerance = 0,
    .tolerance_why = "the oracle allows what f32 sums lose",
    .priority = 1,
    .workspace_bytes = workspace,
    .launch = launch,
};
