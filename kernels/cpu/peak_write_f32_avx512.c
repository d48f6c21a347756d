/* peak_write_f32_avx512.c: writes a buffer with streaming stores of 64 bytes. */
#include <immintrin.h>

#define VEC_BYTES 64
#define STREAM(p, v) _mm512_stream_ps(p, (__m512)(v))
#define FENCE() _mm_sfence()
#include "peak_move.h"

const lb_kernel lb_kernel_peak_write_f32_avx512 = {
    .name = "peak_write.f32.avx512",
    .isa = LB_ISA_AVX512,
    .priority = 20,
    PEAK_WRITE_KERNEL,
};
