/* peak_f64_avx2.c: the rate of 256-bit f64 fused multiply-adds. */
#include <immintrin.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"

/* One instruction is 8 operations. 12 chains and two constants fill the 16 registers; 12 is no divisor of a round,
 * so a round ends with a shorter step. */
enum { CHAINS = 12, INSTRUCTIONS = 1048576 / 8, STEPS = INSTRUCTIONS / CHAINS, REST = INSTRUCTIONS % CHAINS };
_Static_assert((STEPS * CHAINS + REST) * 8 == (int)LB_PEAK_OPS_PER_ROUND, "a round is the agreed number");

static void launch(const lb_args *a, const lb_launch *l) {
    int64_t rounds = (int64_t)a->p[LB_PEAK_P_ROUNDS];
    __m256d acc[CHAINS], x = _mm256_set1_pd(0.5), y = _mm256_set1_pd(1.0);
    /* hidden from the compiler; acc = acc * x + y tends to 2 */
    __asm__ volatile("" : "+x"(x), "+x"(y));
    for (int c = 0; c < CHAINS; c++) acc[c] = _mm256_set1_pd((double)(c + l->part));
    for (int64_t r = 0; r < rounds; r++) {
        for (int i = 0; i < STEPS; i++) {
#pragma GCC unroll 12
            for (int c = 0; c < CHAINS; c++) acc[c] = _mm256_fmadd_pd(acc[c], x, y);
        }
#pragma GCC unroll 12
        for (int c = 0; c < REST; c++) acc[c] = _mm256_fmadd_pd(acc[c], x, y);
    }
    double lanes[4], total = 0;
    for (int c = 1; c < CHAINS; c++) acc[0] = _mm256_add_pd(acc[0], acc[c]);
    _mm256_storeu_pd(lanes, acc[0]);
    for (int c = 0; c < 4; c++) total += lanes[c];
    float *sink = lb_tensor_data(lb_arg(a, LB_PEAK_SINK));
    if (l->part < 64) sink[l->part] = (float)total;
}

const lb_kernel lb_kernel_peak_f64_avx2 = {
    .name = "peak.f64.avx2",
    .op = "peak",
    .device = "cpu",
    .about = "12 chains of vfmadd on ymm registers; a round is 131072 of them on each part",
    .source = "luabench",
    .isa = LB_ISA_AVX2,
    .format = "f64",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F64,
    .compute = LB_COMPUTE_F64,
    .tolerance = 1e-30,
    .tolerance_why = "a speed, not a result: the sums are only asked to be finite",
    .priority = 10,
    .launch = launch,
};
