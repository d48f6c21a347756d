/* peak_int8_avx2.c: the rate of int8 dot products without VNNI: vpmaddubsw, vpmaddwd, vpaddd. */
#include <immintrin.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"

/* One group of three instructions multiplies and adds 32 pairs: 64 operations. 12 sums, two operands, the ones and a
 * product fill the 16 registers; 12 is no divisor of a round, so a round ends with a shorter step. */
enum { CHAINS = 12, GROUPS = 1048576 / 64, STEPS = GROUPS / CHAINS, REST = GROUPS % CHAINS };
_Static_assert((STEPS * CHAINS + REST) * 64 == (int)LB_PEAK_OPS_PER_ROUND, "a round is the agreed number");

/* The product does not depend on the sum: `x` is hidden each time, or the compiler would form it once. */
static inline __m256i group(__m256i acc, __m256i *x, __m256i y, __m256i ones) {
    __asm__ volatile("" : "+x"(*x));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(*x, y), ones));
}

static void launch(const lb_args *a, const lb_launch *l) {
    int64_t rounds = (int64_t)a->p[LB_PEAK_P_ROUNDS];
    __m256i acc[CHAINS], x = _mm256_set1_epi8(3), y = _mm256_set1_epi8(-2), ones = _mm256_set1_epi16(1);
    __asm__ volatile("" : "+x"(y), "+x"(ones));
    for (int c = 0; c < CHAINS; c++) acc[c] = _mm256_set1_epi32(c + l->part);
    for (int64_t r = 0; r < rounds; r++) {
        for (int i = 0; i < STEPS; i++) {
#pragma GCC unroll 12
            for (int c = 0; c < CHAINS; c++) acc[c] = group(acc[c], &x, y, ones);
        }
#pragma GCC unroll 12
        for (int c = 0; c < REST; c++) acc[c] = group(acc[c], &x, y, ones);
    }
    for (int c = 1; c < CHAINS; c++) acc[0] = _mm256_add_epi32(acc[0], acc[c]);
    float *sink = lb_tensor_data(lb_arg(a, LB_PEAK_SINK));
    if (l->part < 64) sink[l->part] = (float)_mm256_cvtsi256_si32(acc[0]);
}

const lb_kernel lb_kernel_peak_int8_avx2 = {
    .name = "peak.int8.avx2",
    .op = "peak",
    .device = "cpu",
    .about = "12 chains of vpmaddubsw + vpmaddwd + vpaddd on ymm registers; a round is 16384 such groups on each part",
    .source = "luabench",
    .isa = LB_ISA_AVX2,
    .format = NULL,
    .act = LB_ACT_F32,
    .acc = LB_ACC_I32_F32,
    .compute = LB_COMPUTE_INT8,
    .tolerance = 1e-30,
    .tolerance_why = "a speed, not a result: the sums are only asked to be finite",
    .priority = 10,
    .launch = launch,
};
