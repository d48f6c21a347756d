/* faults.cpp: kernels made wrong on purpose, and one that is right, for test_emulator.c. Each takes 256 floats. */
#include "cuda_wgmma.h"
#include "cuda_runtime.h"
#include "engine/cuda/launch.h"

enum { N = 256 };

/* out[i] = the value that thread N - 1 - i brought. */
template <bool BARRIER> __global__ void turn(float *x) {
    __shared__ float s[N];
    s[threadIdx.x] = x[threadIdx.x];
    if (BARRIER) __syncthreads();
    x[threadIdx.x] = s[N - 1 - threadIdx.x];
}
__global__ void uninitialised(float *x) {
    __shared__ float s[N];
    if (threadIdx.x % 2) s[threadIdx.x] = 1;
    __syncthreads();
    x[threadIdx.x] = s[threadIdx.x];
}
__global__ void divergent(float *x) {
    if (threadIdx.x < 32) return;
    __syncthreads();
    x[threadIdx.x] = 1;
}
__global__ void two_barriers(float *x) {
    if (threadIdx.x < 32) __syncthreads();
    else __syncthreads();
    x[threadIdx.x] = 1;
}
__global__ void half_a_warp(float *x) {
    if (threadIdx.x % 32 < 16) x[threadIdx.x] = __shfl_xor_sync(0xffffffffu, x[threadIdx.x], 1);
}
__global__ void not_in_mask(float *x) { x[threadIdx.x] = __shfl_xor_sync(0x0000ffffu, x[threadIdx.x], 1); }
__global__ void two_operations(float *x) {
    if (threadIdx.x % 2) __syncwarp();
    else x[threadIdx.x] = (float)__ballot_sync(0xffffffffu, 1);
}
__global__ void no_wait(float *x) {
    __shared__ float4 s[N / 4];
    if (threadIdx.x < N / 4) {
        lb_emu_copy_async(&s[threadIdx.x], (float4 *)x + threadIdx.x, 16, 16);
        lb_emu_copy_commit();
    }
    __syncthreads();
    x[threadIdx.x] = ((float *)s)[threadIdx.x];
}
__global__ void past_shared(float *) {
    float *s = (float *)lb_emu_now->shared;
    s[threadIdx.x + 1] = 1; /* 256 floats were asked for */
}
/* Sixteen bytes from behind the 256 floats, or to behind the shared memory, as at a tail that nobody thought of; the
 * emulator, which does it, is not looked at by the sanitizer itself. */
enum { FROM_BEHIND = 1, TO_BEHIND = 2 };
template <int WRONG, bool BULK> __global__ void copy_past(float *x) {
    __shared__ uint64_t barrier;
    unsigned char *to = lb_emu_now->shared + (WRONG & TO_BEHIND ? N * 4 : 0);
    const float *from = x + (WRONG & FROM_BEHIND ? N : 0);
    if (threadIdx.x == 0 && BULK) {
        lb_emu_mbarrier_init(&barrier, 1);
        lb_emu_copy_bulk(to, from, 16, &barrier);
        lb_emu_mbarrier_arrive(&barrier, 16);
        lb_emu_mbarrier_wait(&barrier, 0);
    } else if (threadIdx.x == 0) {
        lb_emu_copy_async(to, from, 16, 16);
        lb_emu_copy_commit();
        lb_emu_copy_wait(0);
    }
}
__global__ void forever(float *) {
    __shared__ uint64_t barrier;
    if (threadIdx.x == 0) lb_emu_mbarrier_init(&barrier, 2);
    __syncthreads();
    if (threadIdx.x == 0) lb_emu_mbarrier_arrive(&barrier, 0);
    lb_emu_mbarrier_wait(&barrier, 0);
}

/* One product of a warpgroup, of zeros. */
enum { NO_WAIT = 1, NO_FENCE = 2, LEFT = 4 };
template <int WRONG> __global__ void product(float *x) {
    unsigned char *s = lb_emu_now->shared;
    float d[32] = { 0 };
    for (int i = (int)threadIdx.x; i < 16384; i += 128) s[i] = 0;
    __syncthreads();
    if (!(WRONG & NO_FENCE)) lb_wgmma_fence();
    lb_wgmma_sa(d, lb_wgmma_tile(s), lb_wgmma_tile(s + 8192), true);
    lb_wgmma_commit();
    if (!(WRONG & (NO_WAIT | LEFT))) lb_wgmma_wait<0>();
    x[threadIdx.x] = d[0] == 0 ? x[threadIdx.x] : -1.0f; /* as it was, if the sums are there */
    if (WRONG & NO_WAIT) lb_wgmma_wait<0>();
}

/* 1 and 16 products of 2^-25, which are cut off; the same with 2^-24. */
__global__ void cut_sums_kernel(float *x) {
    const uint32_t a[4] = { 0x39003900u, 0x39003900u, 0x39003900u, 0x39003900u }; /* 2^-13 */
    float less[4] = { 1, 1, 1, 1 }, more[4] = { 1, 1, 1, 1 };
    lb_mma_bf16(less, a, 0x39803980u, 0x39803980u);
    lb_mma_bf16(more, a, 0x3a003a00u, 0x3a003a00u);
    x[2 * threadIdx.x] = less[0], x[2 * threadIdx.x + 1] = more[3];
}

#define RUN(name, kernel, grid, block, shared)                                                                        \
    extern "C" __attribute__((visibility("default"))) void name(float *x) {                                           \
        lb_emu_launch(#name, kernel, dim3(grid), dim3(block), shared, x);                                             \
    }
RUN(fault_none, turn<true>, 1, N, 0)
RUN(cut_sums, cut_sums_kernel, 1, 32, 0)
RUN(fault_no_barrier, turn<false>, 1, N, 0)
RUN(fault_uninitialised, uninitialised, 1, N, 0)
RUN(fault_divergent, divergent, 1, N, 0)
RUN(fault_two_barriers, two_barriers, 1, N, 0)
RUN(fault_half_a_warp, half_a_warp, 1, N, 0)
RUN(fault_not_in_mask, not_in_mask, 1, N, 0)
RUN(fault_two_operations, two_operations, 1, N, 0)
RUN(fault_no_wait, no_wait, 1, N, 0)
RUN(fault_past_shared, past_shared, 1, N, N * 4)
RUN(fault_copy_to, (copy_past<TO_BEHIND, false>), 1, N, N * 4)
RUN(fault_bulk_to, (copy_past<TO_BEHIND, true>), 1, N, N * 4)
#ifdef __SANITIZE_ADDRESS__ /* nothing else sees it */
RUN(fault_copy_from, (copy_past<FROM_BEHIND, false>), 1, N, N * 4)
RUN(fault_bulk_from, (copy_past<FROM_BEHIND, true>), 1, N, N * 4)
#endif
RUN(fault_copy_none, (copy_past<0, false>), 1, N, N * 4)
RUN(fault_bulk_none, (copy_past<0, true>), 1, N, N * 4)
RUN(fault_wgmma_no_wait, product<NO_WAIT>, 1, 128, 16384)
RUN(fault_wgmma_no_fence, product<NO_FENCE>, 1, 128, 16384)
RUN(fault_wgmma_left, product<LEFT>, 1, 128, 16384)
RUN(fault_wgmma_warp, product<0>, 1, 96, 16384)
RUN(fault_forever, forever, 1, N, 0)
RUN(fault_empty_grid, turn<true>, 0, N, 0)
extern "C" __attribute__((visibility("default"))) void fault_launched_empty(float *x) {
    LB_CUDA_LAUNCH(turn<true>, dim3(1, 0), N, 0, 0, x);
}
extern "C" __attribute__((visibility("default"))) void fault_none_if_any(float *x) {
    LB_CUDA_LAUNCH_IF_ANY(turn<true>, dim3(1, 0), N, 0, 0, x);
    LB_CUDA_LAUNCH_IF_ANY(turn<true>, 1, N, 0, 0, x);
}
RUN(fault_odd_block, turn<true>, 1, N - 1, 0)
RUN(fault_shared_memory, turn<true>, 1, N, 300 << 10)
RUN(fault_not_asked, turn<true>, 1, N, 60 << 10)
extern "C" __attribute__((visibility("default"))) void fault_asked_less(float *) {
    lb_emu_shared_most((const void *)turn<false>, 100 << 10);
    lb_emu_shared_most((const void *)turn<false>, 60 << 10);
}
