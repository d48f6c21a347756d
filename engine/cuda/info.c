/* info.c: the properties of the current CUDA device that kernels size their grids by. */
#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdint.h>
#include "library.h"

enum { DEVICES_MOST = 64 };

/* As in kernel_cuda.h, which only C++ can include. */
typedef struct lb_cuda_info {
    int device, cc, sm_count, threads_per_sm, registers_per_sm;
    int64_t smem_per_sm, smem_per_block, l2_bytes;
} lb_cuda_info;
const lb_cuda_info *lb_cuda_info_now(void);

static lb_cuda_info infos[DEVICES_MOST];
static _Atomic int known[DEVICES_MOST];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int lb_cuda_attribute(int device, enum cudaDeviceAttr what) {
    int value = 0;
    if (cudaDeviceGetAttribute(&value, what, device) == cudaSuccess) return value;
    cudaGetLastError();
    return 0;
}

static void fill(lb_cuda_info *i, int device) {
    *i = (lb_cuda_info){
        .device = device,
        .cc = 10 * lb_cuda_attribute(device, cudaDevAttrComputeCapabilityMajor) +
              lb_cuda_attribute(device, cudaDevAttrComputeCapabilityMinor),
        .sm_count = lb_cuda_attribute(device, cudaDevAttrMultiProcessorCount),
        .threads_per_sm = lb_cuda_attribute(device, cudaDevAttrMaxThreadsPerMultiProcessor),
        .registers_per_sm = lb_cuda_attribute(device, cudaDevAttrMaxRegistersPerMultiprocessor),
        .smem_per_sm = lb_cuda_attribute(device, cudaDevAttrMaxSharedMemoryPerMultiprocessor),
        .smem_per_block = lb_cuda_attribute(device, cudaDevAttrMaxSharedMemoryPerBlockOptin),
        .l2_bytes = lb_cuda_attribute(device, cudaDevAttrL2CacheSize),
    };
    if (i->sm_count < 1) i->sm_count = 1;
}

const lb_cuda_info *lb_cuda_info_now(void) {
    static const lb_cuda_info none = { .sm_count = 1 };
    int device = 0;
    if (cudaGetDevice(&device) != cudaSuccess || device < 0 || device >= DEVICES_MOST) return &none;
    if (known[device]) return &infos[device];
    pthread_mutex_lock(&lock);
    if (!known[device]) fill(&infos[device], device);
    known[device] = 1;
    pthread_mutex_unlock(&lock);
    return &infos[device];
}
