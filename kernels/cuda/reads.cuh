/* reads.cuh: sums of what was read, in a fixed order: each block's into the workspace, the last block to end adds
 * them. */
#pragma once
#include "rows.cuh"

enum { LB_READ_THREADS = 512 };

/* Four blocks of 512 threads fill an SM. */
static inline int lb_read_blocks(void) { return lb_cuda_info_now()->sm_count * 4; }
static inline size_t lb_read_workspace(void) { return (size_t)lb_read_blocks() * sizeof(double); }

/* sink[0] = the sum over all threads of all blocks, sink[1..63] = 0. */
__device__ static inline void lb_read_finish(double mine, double *partial, unsigned *ticket, float *sink) {
    __shared__ double sums[LB_READ_THREADS / 32];
    __shared__ bool last;
    for (int o = 16; o; o >>= 1) mine += __shfl_xor_sync(0xffffffffu, mine, o);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = mine;
    __syncthreads();
    if (threadIdx.x == 0) {
        double sum = 0;
        for (int i = 0; i < LB_READ_THREADS / 32; i++) sum += sums[i];
        partial[blockIdx.x] = sum;
        __threadfence();
        last = atomicAdd(ticket, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (!last) return;
    if (threadIdx.x == 0) {
        double sum = 0;
        __threadfence();
        for (unsigned i = 0; i < gridDim.x; i++) sum += __ldcg(&partial[i]);
        sink[0] = (float)sum;
        *ticket = 0;
    } else if (threadIdx.x < 64) {
        sink[threadIdx.x] = 0;
    }
}
