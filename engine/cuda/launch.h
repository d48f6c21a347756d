/* launch.h: how kernels are launched, so that tests can run them without a GPU. */
#pragma once
#ifndef LB_CUDA_START /* the emulator has another */
#define LB_CUDA_START(kernel, grid, block, smem, stream, ...) kernel<<<(grid), (block), (smem), (stream)>>>(__VA_ARGS__)
#endif

/* Operands without elements make empty grids, which CUDA refuses: there is nothing to launch then. */
static inline bool lb_cuda_any(dim3 grid) { return grid.x && grid.y && grid.z; }

/* kernel<<<grid, block, smem bytes, stream>>>(arguments); templates in parentheses: LB_CUDA_LAUNCH((k<4, 8>), ...) */
#define LB_CUDA_LAUNCH(kernel, grid, block, smem, stream, ...)                                                         \
    do {                                                                                                               \
        const dim3 grid_ = dim3(grid);                                                                                 \
        if (lb_cuda_any(grid_)) LB_CUDA_START(kernel, grid_, block, smem, stream, ##__VA_ARGS__);                      \
    } while (0)

/* Dynamic shared memory, aligned to 1024 bytes. */
#ifndef LB_CUDA_SHARED
#define LB_CUDA_SHARED(name) extern __shared__ __align__(1024) unsigned char name[]
#endif
