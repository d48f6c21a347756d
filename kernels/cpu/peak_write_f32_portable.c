/* peak_write_f32_portable.c: writes a buffer with stores of 16 bytes: streaming ones where every machine has them. */
#define VEC_BYTES 16
#if defined(__SSE2__)
#include <immintrin.h>
#define STREAM(p, v) _mm_stream_ps(p, (__m128)(v))
#define FENCE() _mm_sfence()
#else
#define STREAM(p, v) (*(vec *)(p) = (v))
#define FENCE() ((void)0)
#endif
#include "peak_move.h"

const lb_kernel lb_kernel_peak_write_f32_portable = {
    .name = "peak_write.f32.portable",
    .isa = LB_ISA_PORTABLE,
    .priority = 0,
    PEAK_WRITE_KERNEL,
};
