/* peak_copy_f32_portable.c: copies a buffer with vectors of 16 bytes. */
#define VEC_BYTES 16
#include "peak_move.h"

const lb_kernel lb_kernel_peak_copy_f32_portable = {
    .name = "peak_copy.f32.portable",
    .isa = LB_ISA_PORTABLE,
    .priority = 0,
    PEAK_COPY_KERNEL,
};
