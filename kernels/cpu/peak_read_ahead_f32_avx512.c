/* peak_read_ahead_f32_avx512.c: reads a buffer with vectors of 64 bytes, asking for lines ahead. */
#define VEC_BYTES 64
#define CHAINS 16
#define AHEAD 8192
#include "peak_read.h"

const lb_kernel lb_kernel_peak_read_ahead_f32_avx512 = {
    .name = "peak_read.f32.ahead_avx512",
    .isa = LB_ISA_AVX512,
    .priority = 15,
    PEAK_READ_KERNEL,
};
