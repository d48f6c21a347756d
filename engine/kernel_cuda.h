/* kernel_cuda.h: what a CUDA kernel's file (kernels/cuda/<op>_<format>_<variant>.cu) includes, and nothing else of the
 * engine. It brings kernel.h, ops/slots.h and ops/kv.h, whose contracts hold; what is different on a GPU stands here.
 *
 * launch(a, l) is host code. It enqueues work on lb_cuda_stream(l) and returns; the executor calls it once with part 0
 * of 1 for each phase, often while the stream is being captured into a graph. So it must not: synchronize, allocate,
 * free, copy to or from host memory, use another stream, or read what an operand points at: lb_tensor_data() of an
 * operand is an address on the device. Shapes, strides, parameters and l->pick are the host's to read. What depends on
 * data (lengths, offsets, counts) is read by the device code; grids are sized for the most that shapes allow.
 *
 *   - Results must be the same bits from run to run: no floating-point atomics, no order that depends on timing.
 *   - l->workspace is device memory, 256-byte aligned, contents undefined. l->ticket is NULL; lb_cuda_tickets(l) are
 *     LB_CUDA_TICKETS unsigned words on the device that are 0 when a launch begins and must be 0 when it ends (the
 *     last block puts them back): for split-K semaphores and work counters. A check finds a launch that leaves others.
 *   - Lists (experts): pass their addresses by value in the kernel's parameters (32 KB may be used).
 *   - What a file defines for itself stands in an unnamed namespace: files use the same names, and templates of them
 *     (kernels too) would be taken for one another.
 *   - Launch with LB_CUDA_LAUNCH, so that tests can run kernels without a GPU. An empty grid is an error; if operands
 *     without elements make one, return before, or LB_CUDA_LAUNCH_IF_ANY, which leaves it out. Errors of a launch are
 *     found by the executor, which asks the runtime after each and names the step.
 *   - `isa` in the descriptor: LB_ISA_SM80 at least; LB_ISA_SM90A where the device code is wgmma. Such device code
 *     stands between #if LB_CUDA_SM90A and #endif, since every file is compiled for sm_80 and sm_89 too. */
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdbool.h>
#include <cuda_runtime.h>
#include "cuda/launch.h"

/* C's atomics, which kernels do not touch: what matters is their place. <atomic> of C++20 takes half of the time that
 * compiling a small kernel for three architectures does. */
typedef int atomic_int;
typedef long long atomic_llong;

extern "C" {
#include "kernel.h"
#include "ops/slots.h"
#include "ops/kv.h"

/* The device that is current on the calling thread: what workspace_bytes(), supports() and launch() size grids by.
 * Without a device everything is 0 but `sm_count`, which is 1. Owned by the engine; the same pointer every time. */
typedef struct lb_cuda_info {
    int device;                 /* its number */
    int cc;                     /* compute capability: 80, 89, 90 */
    int sm_count;
    int threads_per_sm, registers_per_sm;
    int64_t smem_per_sm;        /* bytes of shared memory */
    int64_t smem_per_block;     /* the most a block can have, after cudaFuncSetAttribute */
    int64_t l2_bytes;
} lb_cuda_info;
const lb_cuda_info *lb_cuda_info_now(void);

enum { LB_CUDA_TICKETS = 8192 };
}

static inline unsigned *lb_cuda_tickets(const lb_launch *l) { return l->cuda_tickets; }
static inline cudaStream_t lb_cuda_stream(const lb_launch *l) { return (cudaStream_t)l->stream; }

/* Can a block on this device have so many bytes of shared memory? Without a device: yes. */
static inline bool lb_cuda_smem_fits(size_t bytes) {
    int64_t most = lb_cuda_info_now()->smem_per_block;
    return !most || (int64_t)bytes <= most;
}
/* Before a launch with so many bytes of dynamic shared memory: beyond 48 KB it has to be asked for; cheap. All that a
 * block can have is asked for, less `fixed` bytes that the kernel has besides: what is asked for holds for the function
 * from then on, and nodes of a graph that is being captured may have more than this launch needs. */
template <typename F> static inline void lb_cuda_smem(F *kernel, size_t bytes, size_t fixed = 0) {
    const cudaFuncAttribute what = cudaFuncAttributeMaxDynamicSharedMemorySize;
    int64_t most = lb_cuda_info_now()->smem_per_block - (int64_t)fixed;
    if (bytes <= 48 * 1024) return;
    if (most > (int64_t)bytes) {
        if (cudaFuncSetAttribute((const void *)kernel, what, (int)most) == cudaSuccess) return;
        cudaGetLastError(); /* its own only: an error of an earlier launch stays to be reported */
    }
    cudaFuncSetAttribute((const void *)kernel, what, (int)bytes);
}

/* The descriptor of kernels/cuda/<name>.cu:  LB_CUDA_KERNEL(name) = { .name = "op.format.variant", ... };  The fields
 * stand in the order of lb_kernel, as C++ wants it. The variant says how it works (gemv, mma, wgmma, flash, warp) and
 * makes the name unlike those of the CPU's kernels. */
#define LB_CUDA_KERNEL(name)                                                                                           \
    extern "C" {                                                                                                       \
    extern const lb_kernel lb_kernel_cuda_##name;                                                                      \
    }                                                                                                                  \
    const lb_kernel lb_kernel_cuda_##name

/* True in code that is being compiled for sm_90a. */
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define LB_CUDA_SM90A 1
#else
#define LB_CUDA_SM90A 0
#endif
