/* gemm_bf16_avx2.c: gemm over bf16 weights as they are, multiplied in f32 with AVX2. */
enum { DENSE_ELEMENT = 2 };
#include "dense_avx2.h"

LB_INLINE __m256 dense_8(const char *p) {
    __m256i v = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(v, 16));
}

const lb_kernel lb_kernel_gemm_bf16_avx2 = { .name = "gemm.bf16.avx2", .format = "bf16", DENSE_KERNEL };
