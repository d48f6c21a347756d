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

static size_t dense_x_bytes(int64_t k) { return lb_act_bf16_bytes(NULL, k); }

static void dense_prepare(const float *x, int64_t k, void *to) { lb_act_bf16_prepare(NULL, x, k, to); }

const lb_kernel lb_kernel_gemm_bf16_avx512 = {
    .name = "gemm.bf16.avx512",
    .about = "vdpbf16ps; up to six rows of x: dot products of 32 elements, the weights streamed once; more: 32 rows of "
             "weights transposed into L1, tiles of 32 x 12",
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_BF16,
    .format = "bf16",
    .act = LB_ACT_BF16,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_BF16,
    .tolerance = 1e-10,
    .tolerance_why = "products of bf16 are exact in f32; vdpbf16ps rounds each sum of two products and flushes subnormals: "
                     "NMSE of about 1e-13, more where sums cancel",
    DENSE_KERNEL,
};
