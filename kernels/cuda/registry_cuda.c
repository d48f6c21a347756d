/* registry_cuda.c: the array of CUDA kernels that registry.def lists; part of luabench_cuda.so. */
#include "../../engine/kernel.h"

#define LB_QUANTIZER(name)
#define LB_KERNEL(name)
#define LB_KERNEL_X86(name)
#define LB_KERNEL_CUDA(name) extern const lb_kernel lb_kernel_cuda_##name;
#include "../registry.def"
#undef LB_KERNEL_CUDA

#define LB_KERNEL_CUDA(name) &lb_kernel_cuda_##name,
extern const lb_kernel *const lb_kernels_cuda[];
const lb_kernel *const lb_kernels_cuda[] = {
#include "../registry.def"
    0
};
