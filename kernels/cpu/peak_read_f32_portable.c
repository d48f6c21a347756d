/* peak_read_f32_portable.c: reads a buffer with vectors of 16 bytes. */
#define VEC_BYTES 16
#define CHAINS 8
#define AHEAD 0
#include "peak_read.h"

const lb_kernel lb_kernel_peak_read_f32_portable = {
    .name = "peak_read.f32.portable",
    .isa = LB_ISA_PORTABLE,
    .priority = 0,
    PEAK_READ_KERNEL,
};
