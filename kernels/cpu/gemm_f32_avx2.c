/* gemm_f32_avx2.c: gemm over f32 weights as they are, multiplied in f32 with AVX2. */
enum { DENSE_ELEMENT = 4 };
#include "dense_avx2.h"

LB_INLINE __m256 dense_8(const char *p) {
    return _mm256_loadu_ps((const float *)(const void *)p);
}

const lb_kernel lb_kernel_gemm_f32_avx2 = { .name = "gemm.f32.avx2", .format = "f32", DENSE_KERNEL };
