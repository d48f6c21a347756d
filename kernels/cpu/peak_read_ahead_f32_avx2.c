/* peak_read_ahead_f32_avx2.c: reads a buffer with vectors of 32 bytes, asking for lines ahead. */
#define VEC_BYTES 32
#define CHAINS 12
#define AHEAD 8192
#include "peak_read.h"

const lb_kernel lb_kernel_peak_read_ahead_f32_avx2 = {
    .name = "peak_read.f32.ahead_avx2",
    .isa = LB_ISA_AVX2,
    .priority = 5,
    PEAK_READ_KERNEL,
};
