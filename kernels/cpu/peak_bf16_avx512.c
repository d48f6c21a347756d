/* peak_bf16_avx512.c: the rate of vdpbf16ps. */
#include <immintrin.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"

/* One step is one instruction in each chain; each is 32 multiplies and 32 adds. */
enum { CHAINS = 16, OPS = CHAINS * 32 * 2, STEPS = 1048576 / OPS };
_Static_assert(STEPS * OPS == (int)LB_PEAK_OPS_PER_ROUND, "a round is the agreed number of operations");

static void launch(const lb_args *a, const lb_launch *l) {
    int64_t rounds = (int64_t)a->p[LB_PEAK_P_ROUNDS];
    __m512 acc[CHAINS];
    /* pairs of 2^-20 and 1.0: small sums, no denormals, finite over 2^30 rounds; hidden from the compiler */
    __m512i x = _mm512_set1_epi16(0x3580), y = _mm512_set1_epi16(0x3f80);
    __asm__ volatile("" : "+v"(x), "+v"(y));
    for (int c = 0; c < CHAINS; c++) acc[c] = _mm512_set1_ps((float)(c + l->part));
    for (int64_t i = 0; i < rounds * STEPS; i++) {
#pragma GCC unroll 16
        for (int c = 0; c < CHAINS; c++) acc[c] = _mm512_dpbf16_ps(acc[c], (__m512bh)x, (__m512bh)y);
    }
    for (int c = 1; c < CHAINS; c++) acc[0] = _mm512_add_ps(acc[0], acc[c]);
    float *sink = lb_tensor_data(lb_arg(a, LB_PEAK_SINK));
    if (l->part < 64) sink[l->part] = _mm512_reduce_add_ps(acc[0]);
}

const lb_kernel lb_kernel_peak_bf16_avx512 = {
    .name = "peak.bf16.avx512",
    .op = "peak",
    .device = "cpu",
    .about = "16 chains of vdpbf16ps on zmm registers; a round is 16384 of them on each part",
    .source = "luabench",
    .isa = LB_ISA_AVX512 | LB_ISA_AVX512_BF16,
    .format = "bf16",
    .act = LB_ACT_BF16,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_BF16,
    .tolerance = 1e-30,
    .tolerance_why = "a speed, not a result: the sums are only asked to be finite",
    .priority = 20,
    .launch = launch,
};
