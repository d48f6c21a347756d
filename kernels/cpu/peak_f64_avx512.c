/* peak_f64_avx512.c: the rate of 512-bit f64 fused multiply-adds. */
#include <immintrin.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"

/* One step is one instruction in each chain; latency 4 x 2 units needs 8 chains. */
enum { CHAINS = 16, OPS = CHAINS * 8 * 2, STEPS = 1048576 / OPS };
_Static_assert(STEPS * OPS == (int)LB_PEAK_OPS_PER_ROUND, "a round is the agreed number of operations");

static void launch(const lb_args *a, const lb_launch *l) {
    int64_t rounds = (int64_t)a->p[LB_PEAK_P_ROUNDS];
    __m512d acc[CHAINS], x = _mm512_set1_pd(0.5), y = _mm512_set1_pd(1.0);
    /* hidden from the compiler; acc = acc * x + y tends to 2 */
    __asm__ volatile("" : "+v"(x), "+v"(y));
    for (int c = 0; c < CHAINS; c++) acc[c] = _mm512_set1_pd((double)(c + l->part));
    for (int64_t i = 0; i < rounds * STEPS; i++) {
#pragma GCC unroll 16
        for (int c = 0; c < CHAINS; c++) acc[c] = _mm512_fmadd_pd(acc[c], x, y);
    }
    for (int c = 1; c < CHAINS; c++) acc[0] = _mm512_add_pd(acc[0], acc[c]);
    float *sink = lb_tensor_data(lb_arg(a, LB_PEAK_SINK));
    if (l->part < 64) sink[l->part] = (float)_mm512_reduce_add_pd(acc[0]);
}

const lb_kernel lb_kernel_peak_f64_avx512 = {
    .name = "peak.f64.avx512",
    .op = "peak",
    .device = "cpu",
    .about = "16 chains of vfmadd on zmm registers; a round is 65536 of them on each part",
    .source = "luabench",
    .isa = LB_ISA_AVX512,
    .format = "f64",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F64,
    .compute = LB_COMPUTE_F64,
    .tolerance = 1e-30,
    .tolerance_why = "a speed, not a result: the sums are only asked to be finite",
    .priority = 20,
    .launch = launch,
};
