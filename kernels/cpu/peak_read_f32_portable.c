/* peak_read_f32_portable.c: reads a buffer with the compiler's own vectors of 16 bytes. */
#include "engine/kernel.h"
#include "engine/ops/slots.h"

typedef float vec __attribute__((vector_size(16), aligned(4), may_alias));
enum { LANES = 4, CHAINS = 8 };

/* CHAINS independent sums, so that the adds never hold back the loads. */
static float sum(const float *x, int64_t n) {
    vec acc[CHAINS] = { { 0 } };
    int64_t i = 0;
    for (; i + LANES * CHAINS <= n; i += LANES * CHAINS) {
#pragma GCC unroll 8
        for (int c = 0; c < CHAINS; c++) acc[c] += *(const vec *)(x + i + LANES * c);
    }
    float total = 0;
    for (int c = 1; c < CHAINS; c++) acc[0] += acc[c];
    for (int c = 0; c < LANES; c++) total += acc[0][c];
    for (; i < n; i++) total += x[i];
    return total;
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_weight(a, l, LB_PEAK_READ_X);
    float *sink = lb_tensor_data(lb_arg(a, LB_PEAK_READ_SINK));
    int64_t begin, end;
    lb_split(lb_tensor_numel(x), 1024, l->part, l->parts, &begin, &end);
    float total = sum(lb_tensor_f32(x) + begin, end - begin);
    if (l->part < 64) sink[l->part] = total;
}

const lb_kernel lb_kernel_peak_read_f32_portable = {
    .name = "peak_read.f32.portable",
    .op = "peak_read",
    .device = "cpu",
    .about = "one contiguous share a part, 8 sums of 4 lanes, hardware prefetch",
    .source = "luabench",
    .isa = LB_ISA_PORTABLE,
    .format = "f32",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_NONE,
    .tolerance = 1e-30,
    .tolerance_why = "partial sums depend on the parts and are not compared",
    .priority = 0,
    .launch = launch,
};
