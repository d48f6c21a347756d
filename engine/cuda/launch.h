/* launch.h: how kernels are launched, so that tests can run them without a GPU. */
#pragma once
/* kernel<<<grid, block, smem bytes, stream>>>(arguments); templates in parentheses: LB_CUDA_LAUNCH((k<4, 8>), ...) */
#ifndef LB_CUDA_LAUNCH
#define LB_CUDA_LAUNCH(kernel, grid, block, smem, stream, ...) kernel<<<(grid), (block), (smem), (stream)>>>(__VA_ARGS__)
#endif

/* Dynamic shared memory, aligned to 1024 bytes. */
#ifndef LB_CUDA_SHARED
#define LB_CUDA_SHARED(name) extern __shared__ __align__(1024) unsigned char name[]
#endif
