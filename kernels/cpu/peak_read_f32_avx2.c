/* peak_read_f32_avx2.c: reads a buffer with vectors of 32 bytes. */
#define VEC_BYTES 32
#define CHAINS 12
#define AHEAD 0
#include "peak_read.h"

const lb_kernel lb_kernel_peak_read_f32_avx2 = {
    .name = "peak_read.f32.avx2",
    .isa = LB_ISA_AVX2,
    .priority = 10,
    PEAK_READ_KERNEL,
};
