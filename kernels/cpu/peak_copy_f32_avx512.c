/* peak_copy_f32_avx512.c: copies a buffer with vectors of 64 bytes. */
#define VEC_BYTES 64
#include "peak_move.h"

const lb_kernel lb_kernel_peak_copy_f32_avx512 = {
    .name = "peak_copy.f32.avx512",
    .isa = LB_ISA_AVX512,
    .priority = 20,
    PEAK_COPY_KERNEL,
};
