/* peak_int8_vnni_avx2.c: the rate of vpdpbusd on 256-bit registers, as processors without AVX-512 have it. */
#pragma GCC target("avxvnni")
#include <immintrin.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"

/* One instruction is 32 multiplies and 32 adds. 12 is no divisor of a round, so a round ends with a shorter step. */
enum { CHAINS = 12, INSTRUCTIONS = 1048576 / 64, STEPS = INSTRUCTIONS / CHAINS, REST = INSTRUCTIONS % CHAINS };
_Static_assert((STEPS * CHAINS + REST) * 64 == (int)LB_PEAK_OPS_PER_ROUND, "a round is the agreed number");

static void launch(const lb_args *a, const lb_launch *l) {
    int64_t rounds = (int64_t)a->p[LB_PEAK_P_ROUNDS];
    __m256i acc[CHAINS], x = _mm256_set1_epi8(3), y = _mm256_set1_epi8(-2);
    __asm__ volatile("" : "+x"(x), "+x"(y)); /* hidden from the compiler */
#pragma GCC unroll 12
    for (int c = 0; c < CHAINS; c++) acc[c] = _mm256_set1_epi32(c + l->part);
    for (int64_t r = 0; r < rounds; r++) {
        for (int i = 0; i < STEPS; i++) {
#pragma GCC unroll 12
            for (int c = 0; c < CHAINS; c++) acc[c] = _mm256_dpbusd_avx_epi32(acc[c], x, y);
        }
#pragma GCC unroll 12
        for (int c = 0; c < REST; c++) acc[c] = _mm256_dpbusd_avx_epi32(acc[c], x, y);
    }
#pragma GCC unroll 12
    for (int c = 1; c < CHAINS; c++) acc[0] = _mm256_add_epi32(acc[0], acc[c]);
    float *sink = lb_tensor_data(lb_arg(a, LB_PEAK_SINK));
    if (l->part < 64) sink[l->part] = (float)_mm256_cvtsi256_si32(acc[0]);
}

const lb_kernel lb_kernel_peak_int8_vnni_avx2 = {
    .name = "peak.int8.vnni_avx2",
    .op = "peak",
    .device = "cpu",
    .about = "12 chains of vpdpbusd on ymm registers; a round is 16384 of them on each part",
    .source = "luabench",
    .isa = LB_ISA_AVX2 | LB_ISA_AVX_VNNI,
    .format = NULL,
    .act = LB_ACT_F32,
    .acc = LB_ACC_I32_F32,
    .compute = LB_COMPUTE_INT8,
    .tolerance = 1e-30,
    .tolerance_why = "a speed, not a result: the sums are only asked to be finite",
    .priority = 15,
    .launch = launch,
};
