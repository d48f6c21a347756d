/* peak_copy_f32_avx2.c: copies a buffer with vectors of 32 bytes. */
#define VEC_BYTES 32
#include "peak_move.h"

const lb_kernel lb_kernel_peak_copy_f32_avx2 = {
    .name = "peak_copy.f32.avx2",
    .isa = LB_ISA_AVX2,
    .priority = 10,
    PEAK_COPY_KERNEL,
};
