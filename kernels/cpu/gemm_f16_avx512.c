/* gemm_f16_avx512.c: gemm over f16 weights as they are, multiplied in f32. */
#include "dense_f32.h"

DENSE_INLINE __m512i dense_weights(const char *row, int64_t at, int64_t left) {
    const uint16_t *p = (const uint16_t *)(const void *)row + at;
    __m256i h = left >= 16 ? _mm256_loadu_si256((const __m256i *)(const void *)p)
                           : _mm256_maskz_loadu_epi16((__mmask16)((1u << (left > 0 ? left : 0)) - 1), p);
    return _mm512_castps_si512(_mm512_cvtph_ps(h));
}

const lb_kernel lb_kernel_gemm_f16_avx512 = {
    .name = "gemm.f16.avx512",
    .about = "weights to f32 (exact); up to twelve rows of x: dot products of 16 lanes, the weights streamed once; "
             "more: 32 rows of weights transposed into L1, tiles of 32 x 12 multiply-adds",
    .isa = LB_ISA_AVX512,
    .format = "f16",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32,
    .tolerance = 1e-11,
    .tolerance_why = "f32 sums of K / 16 terms in each lane, or of 192 terms at a time: NMSE of about 1e-14 to 1e-13 "
                     "at K of 2048",
    DENSE_KERNEL,
};
