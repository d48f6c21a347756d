/* peak_read_f32_avx512.c: reads a buffer with vectors of 64 bytes. */
#define VEC_BYTES 64
#define CHAINS 16
#define AHEAD 0
#include "peak_read.h"

const lb_kernel lb_kernel_peak_read_f32_avx512 = {
    .name = "peak_read.f32.avx512",
    .isa = LB_ISA_AVX512,
    .priority = 20,
    PEAK_READ_KERNEL,
};
