/* launch.h: how kernels are launched, so that tests can run them without a GPU. */
#pragma once
#ifndef LB_CUDA_START /* the emulator has another */
#define LB_CUDA_START(kernel, grid, block, smem, stream, ...) kernel<<<(grid), (block), (smem), (stream)>>>(__VA_ARGS__)
#endif

/* kernel<<<grid, block, smem bytes, stream>>>(arguments); templates in parentheses: LB_CUDA_LAUNCH((k<4, 8>), ...). An
 * empty grid is an error of the launch: a kernel that computes one by mistake must not pass for one that ran. */
#define LB_CUDA_LAUNCH(kernel, grid, block, smem, stream, ...)                                                         \
    LB_CUDA_START(kernel, dim3(grid), block, smem, stream, ##__VA_ARGS__)

/* The same where operands without elements make empty grids, for which there is nothing to launch. */
#define LB_CUDA_LAUNCH_IF_ANY(kernel, grid, block, smem, stream, ...)                                                  \
    do {                                                                                                               \
        const dim3 grid_ = dim3(grid);                                                                                 \
        if (grid_.x && grid_.y && grid_.z) LB_CUDA_START(kernel, grid_, block, smem, stream, ##__VA_ARGS__);           \
    } while (0)

/* Dynamic shared memory, aligned to 1024 bytes. */
#ifndef LB_CUDA_SHARED
#define LB_CUDA_SHARED(name) extern __shared__ __align__(1024) unsigned char name[]
#endif
