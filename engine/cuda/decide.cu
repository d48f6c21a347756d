/* decide.cu: the kernel that reads what parts of a graph hang on, and says to their conditional nodes which body runs.
 * Compiled as relocatable code: cudaGraphSetConditional is a function of the device runtime. */
#include "engine/kernel_cuda.h"
extern "C" {
#include "engine/cuda/api.h"
}

struct decisions {
    lb_cuda_decision at[LB_CUDA_DECISIONS];
    unsigned long long handles[LB_CUDA_DECISIONS];
};

/* A thread for each. What is not to run gets the number behind the last body. */
__global__ void __launch_bounds__(LB_CUDA_DECISIONS) lb_cuda_decide_all(const __grid_constant__ decisions d,
                                                                        lb_cuda_decided *out) {
    const lb_cuda_decision &one = d.at[threadIdx.x];
    bool run = true;
    for (int w = 0; w < one.when_count && run; w++) run = *one.whens[w] != 0;
    int pick = run && one.pick ? *one.pick : 0;
    if ((unsigned)pick >= (unsigned)one.bodies) {
        atomicMin((unsigned long long *)&out->bad, (unsigned long long)one.step << 32 | (unsigned)pick);
        run = false;
    }
    if (run) atomicAdd((unsigned long long *)&out->launches, (unsigned long long)one.steps);
#if defined(__CUDA_ARCH__)
    /* of an If, 1 is the body; of a Switch, the body's number */
    unsigned value = run ? 1u : 0u;
    if (one.pick) value = run ? (unsigned)pick : (unsigned)one.bodies;
    cudaGraphSetConditional(d.handles[threadIdx.x], value);
#endif
}

extern "C" cudaError_t lb_cuda_decide_launch(cudaStream_t s, const lb_cuda_decision *at,
                                             const unsigned long long *handles, int n, lb_cuda_decided *out) {
    decisions d = {};
    for (int i = 0; i < n; i++) d.at[i] = at[i], d.handles[i] = handles[i];
    LB_CUDA_LAUNCH(lb_cuda_decide_all, 1, (unsigned)n, 0, s, d, out);
    return cudaGetLastError();
}
