/* gemm_f16_avx2.c: gemm over f16 weights as they are, multiplied in f32 with AVX2. */
enum { DENSE_ELEMENT = 2 };
#include "dense_avx2.h"

LB_INLINE __m256 dense_8(const char *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

const lb_kernel lb_kernel_gemm_f16_avx2 = { .name = "gemm.f16.avx2", .format = "f16", DENSE_KERNEL };
