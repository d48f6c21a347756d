/* registry.c: the arrays of weight formats and kernels that registry.def lists. */
#include "../engine/kernel.h"
#include "../engine/quantizer.h"

#ifdef __x86_64__
#define LB_KERNEL_X86(name) LB_KERNEL(name)
#else
#define LB_KERNEL_X86(name)
#endif
#ifdef LB_AMX /* the Makefile asks the compiler */
#define LB_KERNEL_AMX(name) LB_KERNEL(name)
#else
#define LB_KERNEL_AMX(name)
#endif
#define LB_KERNEL_CUDA(name) /* registry_cuda.c */
#define LB_KERNEL_CUDA_LIBRARY(name)

#define LB_QUANTIZER(name) extern const lb_quantizer_family lb_quantizer_##name;
#define LB_KERNEL(name) extern const lb_kernel lb_kernel_##name;
#include "registry.def"
#undef LB_QUANTIZER
#undef LB_KERNEL

#define LB_QUANTIZER(name) &lb_quantizer_##name,
#define LB_KERNEL(name)
const lb_quantizer_family *const lb_quantizer_families[] = {
#include "registry.def"
    0
};
#undef LB_QUANTIZER
#undef LB_KERNEL

#define LB_QUANTIZER(name)
#define LB_KERNEL(name) &lb_kernel_##name,
extern const lb_kernel *const lb_kernels_builtin[];
const lb_kernel *const lb_kernels_builtin[] = {
#include "registry.def"
    0
};
