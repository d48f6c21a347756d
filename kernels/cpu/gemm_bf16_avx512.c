/* gemm_bf16_avx512.c: gemm over bf16 weights as they are, activations rounded to bf16. */
#include <immintrin.h>
#include <stdint.h>

#include "act_bf16_avx512.h"

#define DENSE_OP "vdpbf16ps"
enum { DENSE_PER_DWORD = 2, DENSE_FEW = 6 };
#include "dense_avx512.h"

DENSE_INLINE __m512 dense_fma(__m512 sum, __m512i w, __m512i x) {
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(w), "v"(x));
    return sum;
}

DENSE_INLINE __m512i dense_weights(const char *row, int64_t at, int64_t left) {
    const uint16_t *p = (const uint16_t *)(const void *)row + at;
    return left >= 32 ? _mm512_loadu_si512(p)
                      : _mm512_maskz_loadu_epi16((__mmask32)((1ull << (left > 0 ? left : 0)) - 1), p);
}

DENSE_INLINE __m512i dense_x(const float *x, int64_t at, int64_t left) {
    uint32_t some = left >= 32 ? 0xffffffffu : (1u << (left > 0 ? left : 0)) - 1;
    __m512i a = lb_act_bf16_round(_mm512_maskz_loadu_ps((__mmask16)some, x + at));
    __m512i b = lb_act_bf16_round(_mm512_maskz_loadu_ps((__mmask16)(some >> 16), x + at + 16));
    const __m512i high = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33,
                                          31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    return _mm512_permutex2var_epi16(a, high, b);
}

const lb_kernel lb_kernel_gemm_bf16_avx512 = {
    .name = "gemm.bf16.avx512",
    .about = "vdpbf16ps; up to twelve rows of x: dot products of 32 elements, the weights streamed once; more: 32 rows "
             "of weights transposed into L1, tiles of 32 x 12",
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_BF16,
    .format = "bf16",
    .act = LB_ACT_BF16,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_BF16,
    .tolerance = 1e-10,
    .tolerance_why = "products of bf16 are exact in f32; vdpbf16ps rounds each sum of two products and flushes "
                     "subnormals: NMSE of about 1e-13, more where sums cancel",
    DENSE_KERNEL,
};
