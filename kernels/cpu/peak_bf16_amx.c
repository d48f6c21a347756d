/* peak_bf16_amx.c: the rate of tdpbf16ps. */
#include "amx.h"
#include "engine/kernel.h"
#include "engine/ops/slots.h"

/* One step is a product for each of four sums; each is 16 x 16 x 32 multiplies and as many adds. */
enum { SUMS = 4, OPS = SUMS * 16 * 16 * 32 * 2, STEPS = 1048576 / OPS };
_Static_assert(STEPS * OPS == (int)LB_PEAK_OPS_PER_ROUND, "a round is the agreed number of operations");

enum { ROWS = 17, EACH = 32 };

/* Numbers of either sign: an exponent, and the eight bits below it as a hash has them. Vectors do it: a launch is so
 * short that a generator would be measured, too. */
static void fill(uint16_t *to, uint32_t exponent, uint32_t seed) {
    for (uint32_t i = 0; i < ROWS * EACH; i++)
        to[i] = (uint16_t)(exponent | ((i + seed) * 0x9e3779b1u >> 16 & 0x80ff));
}

static void launch(const lb_args *a, const lb_launch *l) {
    int64_t rounds = (int64_t)a->p[LB_PEAK_P_ROUNDS];
    /* of about 2^-21 by about 1: sums of 2^30 rounds stay finite; two tiles of each, a row apart */
    uint16_t x[ROWS][EACH] __attribute__((aligned(64))), w[ROWS][EACH] __attribute__((aligned(64)));
    float sum[256] __attribute__((aligned(64)));
    fill(x[0], 0x3500, (uint32_t)l->part);
    fill(w[0], 0x3f00, 4099);
    lb_tiles_open(&lb_tiles_whole);
    LB_TILE_LOAD(4, x[0], 64);
    LB_TILE_LOAD(5, x[1], 64);
    LB_TILE_LOAD(6, w[0], 64);
    LB_TILE_LOAD(7, w[1], 64);
    for (int64_t i = 0; i < rounds * STEPS; i++) {
        LB_TILE_BF16(0, 4, 6);
        LB_TILE_BF16(1, 4, 7);
        LB_TILE_BF16(2, 5, 6);
        LB_TILE_BF16(3, 5, 7);
    }
    LB_TILE_STORE(0, sum, 64);
    lb_tiles_close();
    float *sink = lb_tensor_data(lb_arg(a, LB_PEAK_SINK));
    if (l->part < 64) sink[l->part] = sum[0];
}

const lb_kernel lb_kernel_peak_bf16_amx = {
    .name = "peak.bf16.amx",
    .op = "peak",
    .device = "cpu",
    .about = "tdpbf16ps on tiles of 16 x 64 bytes, four sums of 16 x 16; a round is 64 of them on each part",
    .source = "luabench",
    .isa = LB_ISA_AVX512 | LB_ISA_AMX_BF16,
    .format = "bf16",
    .act = LB_ACT_BF16,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_BF16,
    .tolerance = 1e-30,
    .tolerance_why = "a speed, not a result: the sums are only asked to be finite",
    .priority = 30,
    .launch = launch,
};
