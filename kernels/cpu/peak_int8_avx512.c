/* peak_int8_avx512.c: the rate of vpdpbusd. */
#include <immintrin.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"

/* One step is one instruction in each chain; each is 64 multiplies and 64 adds. */
enum { CHAINS = 16, OPS = CHAINS * 64 * 2, STEPS = 1048576 / OPS };
_Static_assert(STEPS * OPS == (int)LB_PEAK_OPS_PER_ROUND, "a round is the agreed number of operations");

static void launch(const lb_args *a, const lb_launch *l) {
    int64_t rounds = (int64_t)a->p[LB_PEAK_P_ROUNDS];
    __m512i acc[CHAINS], x = _mm512_set1_epi8(3), y = _mm512_set1_epi8(-2);
    __asm__ volatile("" : "+v"(x), "+v"(y)); /* hidden from the compiler */
    for (int c = 0; c < CHAINS; c++) acc[c] = _mm512_set1_epi32(c + l->part);
    for (int64_t i = 0; i < rounds * STEPS; i++) {
#pragma GCC unroll 16
        for (int c = 0; c < CHAINS; c++) acc[c] = _mm512_dpbusd_epi32(acc[c], x, y);
    }
    for (int c = 1; c < CHAINS; c++) acc[0] = _mm512_add_epi32(acc[0], acc[c]);
    float *sink = lb_tensor_data(lb_arg(a, LB_PEAK_SINK));
    if (l->part < 64) sink[l->part] = (float)_mm512_cvtsi512_si32(acc[0]);
}

const lb_kernel lb_kernel_peak_int8_avx512 = {
    .name = "peak.int8.avx512",
    .op = "peak",
    .device = "cpu",
    .about = "16 chains of vpdpbusd on zmm registers; a round is 8192 of them on each part",
    .source = "luabench",
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_VNNI,
    .format = NULL,
    .act = LB_ACT_F32,
    .acc = LB_ACC_I32_F32,
    .compute = LB_COMPUTE_INT8,
    .tolerance = 1e-30,
    .tolerance_why = "a speed, not a result: the sums are only asked to be finite",
    .priority = 20,
    .launch = launch,
};
