/* peak_write_f32_avx2.c: writes a buffer with streaming stores of 32 bytes. */
#include <immintrin.h>

#define VEC_BYTES 32
#define STREAM(p, v) _mm256_stream_ps(p, (__m256)(v))
#define FENCE() _mm_sfence()
#include "peak_move.h"

const lb_kernel lb_kernel_peak_write_f32_avx2 = {
    .name = "peak_write.f32.avx2",
    .isa = LB_ISA_AVX2,
    .priority = 10,
    PEAK_WRITE_KERNEL,
};
