/* peak_tf32_tensor.cu: the peak rate of tf32 matrix products. */
#include "peak_tensor.cuh"

LB_CUDA_KERNEL(peak_tf32_tensor) = {
    .name = "peak.tf32.tensor",
    .op = "peak",
    .device = "cuda",
    .about = "wgmma 64 x 256 from shared memory on sm_90a, mma.sync in eight chains elsewhere; random data",
    .source = "luabench",
    .isa = LB_ISA_SM80,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_TF32,
    .tolerance = 0,
    .tolerance_why = "only that a finite value was written is asked",
    .priority = 1,
    .launch = peak_launch<peak_tf32>,
};
