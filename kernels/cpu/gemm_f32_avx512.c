/* gemm_f32_avx512.c: gemm over f32 weights as they are. */
#include "dense_f32.h"

DENSE_INLINE __m512i dense_weights(const char *row, int64_t at, int64_t left) {
    const float *p = (const float *)(const void *)row + at;
    return left >= 16 ? _mm512_loadu_si512(p)
                      : _mm512_maskz_loadu_epi32((__mmask16)((1u << (left > 0 ? left : 0)) - 1), p);
}

const lb_kernel lb_kernel_gemm_f32_avx512 = {
    .name = "gemm.f32.avx512",
    .about = "up to twelve rows of x: dot products of 16 lanes, the weights streamed once; more: 32 rows of weights "
             "transposed into L1, tiles of 32 x 12 multiply-adds",
    .isa = LB_ISA_AVX512,
    .format = "f32",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32,
    .tolerance = 1e-11,
    .tolerance_why = "f32 sums of K / 16 terms in each lane, or of 192 terms at a time: NMSE of about 1e-14 to 1e-13 "
                     "at K of 2048",
    DENSE_KERNEL,
};
