/* time.cu: the kernels that timing needs: a gate that the host opens, a cold L2, the multiprocessors' clocks. */
#include <stdint.h>
#include <cuda_runtime.h>
#include "engine/cuda/launch.h"

static __device__ __forceinline__ uint64_t now_ns() {
    uint64_t t;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
    return t;
}

static __device__ __forceinline__ unsigned this_sm() {
    unsigned i;
    asm volatile("mov.u32 %0, %%smid;" : "=r"(i));
    return i;
}

/* Waits until the host writes `turn`, two seconds at most. */
__global__ void lb_cuda_gate(volatile unsigned *gate, unsigned turn) {
    uint64_t end = now_ns() + 2000000000ull;
    while (gate[0] != turn) {
        if (now_ns() <= end) continue;
        gate[1] = turn;
        return;
    }
}

/* Other words each time, so that no compression makes them few. */
__global__ void __launch_bounds__(256) lb_cuda_flush_words(uint4 *at, size_t n, unsigned word) {
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x) {
        unsigned k = word ^ (unsigned)i * 2654435761u;
        at[i] = make_uint4(k, k * 3u, k * 5u, k * 7u);
    }
}

/* What was written is in L2 still, to be written to memory when something else comes: which is what is timed next.
 * Reading it all has that done before, and leaves lines that can be dropped. */
__global__ void __launch_bounds__(256) lb_cuda_flush_read(uint4 *at, size_t n) {
    unsigned all = 0;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x) {
        uint4 v = __ldcg(at + i);
        all |= v.x | v.y | v.z | v.w;
    }
    if (all == 1) at[0].x = all;      /* hardly ever: keeps the reads */
}

/* Cycles and nanoseconds of the multiprocessor that a block is on; of several blocks on one, any. */
__global__ void lb_cuda_clocks(uint64_t *out, unsigned most) {
    unsigned sm = this_sm();
    if (sm >= most || threadIdx.x) return;
    uint64_t ns = now_ns(), cycles = (uint64_t)clock64();
    out[2 * sm] = cycles;
    out[2 * sm + 1] = ns;
}

extern "C" {
cudaError_t lb_cuda_gate_launch(cudaStream_t s, unsigned *gate, unsigned turn) {
    LB_CUDA_LAUNCH(lb_cuda_gate, 1, 1, 0, s, gate, turn);
    return cudaGetLastError();
}

cudaError_t lb_cuda_flush_launch(cudaStream_t s, void *at, size_t bytes, unsigned word, int sm_count) {
    LB_CUDA_LAUNCH(lb_cuda_flush_words, (unsigned)(8 * sm_count), 256, 0, s, (uint4 *)at, bytes / sizeof(uint4), word);
    LB_CUDA_LAUNCH(lb_cuda_flush_read, (unsigned)(8 * sm_count), 256, 0, s, (uint4 *)at, bytes / sizeof(uint4));
    return cudaGetLastError();
}

cudaError_t lb_cuda_clock_launch(cudaStream_t s, uint64_t *out, int sm_count) {
    LB_CUDA_LAUNCH(lb_cuda_clocks, (unsigned)(4 * sm_count), 32, 0, s, out, 1024u);
    return cudaGetLastError();
}
}
