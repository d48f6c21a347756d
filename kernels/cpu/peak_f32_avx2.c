/* peak_f32_avx2.c: the rate of 256-bit f32 fused multiply-adds. */
#include <immintrin.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"

/* One instruction is 16 operations. 12 chains and two constants fill the 16 registers; 12 is no divisor of a round,
 * so a round ends with a shorter step. */
enum { CHAINS = 12, INSTRUCTIONS = 1048576 / 16, STEPS = INSTRUCTIONS / CHAINS, REST = INSTRUCTIONS % CHAINS };
_Static_assert((STEPS * CHAINS + REST) * 16 == (int)LB_PEAK_OPS_PER_ROUND, "a round is the agreed number");

static void launch(const lb_args *a, const lb_launch *l) {
    int64_t rounds = (int64_t)a->p[LB_PEAK_P_ROUNDS];
    __m256 acc[CHAINS], x = _mm256_set1_ps(0.5f), y = _mm256_set1_ps(1.0f);
    /* hidden from the compiler; acc = acc * x + y tends to 2 */
    __asm__ volatile("" : "+x"(x), "+x"(y));
    for (int c = 0; c < CHAINS; c++) acc[c] = _mm256_set1_ps((float)(c + l->part));
    for (int64_t r = 0; r < rounds; r++) {
        for (int i = 0; i < STEPS; i++) {
#pragma GCC unroll 12
            for (int c = 0; c < CHAINS; c++) acc[c] = _mm256_fmadd_ps(acc[c], x, y);
        }
#pragma GCC unroll 12
        for (int c = 0; c < REST; c++) acc[c] = _mm256_fmadd_ps(acc[c], x, y);
    }
    float lanes[8], total = 0;
    for (int c = 1; c < CHAINS; c++) acc[0] = _mm256_add_ps(acc[0], acc[c]);
    _mm256_storeu_ps(lanes, acc[0]);
    for (int c = 0; c < 8; c++) total += lanes[c];
    float *sink = lb_tensor_data(lb_arg(a, LB_PEAK_SINK));
    if (l->part < 64) sink[l->part] = total;
}

const lb_kernel lb_kernel_peak_f32_avx2 = {
    .name = "peak.f32.avx2",
    .op = "peak",
    .device = "cpu",
    .about = "12 chains of vfmadd on ymm registers; a round is 65536 of them on each part",
    .source = "luabench",
    .isa = LB_ISA_AVX2,
    .format = "f32",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32,
    .tolerance = 1e-30,
    .tolerance_why = "a speed, not a result: the sums are only asked to be finite",
    .priority = 10,
    .launch = launch,
};
