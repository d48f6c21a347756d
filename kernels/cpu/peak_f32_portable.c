/* peak_f32_portable.c: the rate of f32 multiplies and adds on the compiler's own vectors of 16 bytes. */
#include "engine/kernel.h"
#include "engine/ops/slots.h"

typedef float vec __attribute__((vector_size(16)));
/* One multiply and one add of 4 lanes are 8 operations. 12 chains and two constants fit 16 registers; 12 is no
 * divisor of a round, so a round ends with a shorter step. */
enum { CHAINS = 12, PAIRS = 1048576 / 8, STEPS = PAIRS / CHAINS, REST = PAIRS % CHAINS };
_Static_assert((STEPS * CHAINS + REST) * 8 == (int)LB_PEAK_OPS_PER_ROUND, "a round is the agreed number");

static void launch(const lb_args *a, const lb_launch *l) {
    int64_t rounds = (int64_t)a->p[LB_PEAK_P_ROUNDS];
    /* read through volatile, so that the compiler cannot know them; acc = acc * x + y tends to 2 */
    volatile float half = 0.5f, one = 1.0f;
    vec acc[CHAINS], x = (vec){ 0 } + half, y = (vec){ 0 } + one;
    for (int c = 0; c < CHAINS; c++) acc[c] = (vec){ 0 } + (float)(c + l->part);
    for (int64_t r = 0; r < rounds; r++) {
        for (int i = 0; i < STEPS; i++) {
#pragma GCC unroll 12
            for (int c = 0; c < CHAINS; c++) acc[c] = acc[c] * x + y;
        }
#pragma GCC unroll 12
        for (int c = 0; c < REST; c++) acc[c] = acc[c] * x + y;
    }
    float total = 0;
    for (int c = 1; c < CHAINS; c++) acc[0] += acc[c];
    for (int c = 0; c < 4; c++) total += acc[0][c];
    float *sink = lb_tensor_data(lb_arg(a, LB_PEAK_SINK));
    if (l->part < 64) sink[l->part] = total;
}

const lb_kernel lb_kernel_peak_f32_portable = {
    .name = "peak.f32.portable",
    .op = "peak",
    .device = "cpu",
    .about = "12 chains of a multiply and an add on 4 lanes; a round is 131072 such pairs on each part",
    .source = "luabench",
    .isa = LB_ISA_PORTABLE,
    .format = "f32",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32,
    .tolerance = 1e-30,
    .tolerance_why = "a speed, not a result: the sums are only asked to be finite",
    .priority = 0,
    .launch = launch,
};
