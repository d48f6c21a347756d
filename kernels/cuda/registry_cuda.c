/* registry_cuda.c: the array of CUDA kernels that registry.def lists; part of luabench_cuda.so. */
#include "../../engine/kernel.h"

#define LB_QUANTIZER(name)
#define LB_KERNEL(name)
#define LB_KERNEL_X86(name)
#define LB_KERNEL_AMX(name)
#define LB_KERNEL_CUDA(name) extern const lb_kernel lb_kernel_cuda_##name;
/* absent where a build leaves them out */
#define LB_KERNEL_CUDA_LIBRARY(name) extern const lb_kernel lb_kernel_cuda_##name __attribute__((weak));
#include "../registry.def"
#undef LB_KERNEL_CUDA
#undef LB_KERNEL_CUDA_LIBRARY

/* those of libraries last, wherever their lines stand: where they are absent the array ends before them */
extern const lb_kernel *const lb_kernels_cuda[];
const lb_kernel *const lb_kernels_cuda[] = {
#define LB_KERNEL_CUDA(name) &lb_kernel_cuda_##name,
#define LB_KERNEL_CUDA_LIBRARY(name)
#include "../registry.def"
#undef LB_KERNEL_CUDA
#undef LB_KERNEL_CUDA_LIBRARY
#define LB_KERNEL_CUDA(name)
#define LB_KERNEL_CUDA_LIBRARY(name) &lb_kernel_cuda_##name,
#include "../registry.def"
    0
};
