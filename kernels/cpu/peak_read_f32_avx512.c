/* peak_read_f32_avx512.c: reads a buffer as fast as 512-bit loads go. */
#include <immintrin.h>

#include "engine/kernel.h"
#include "engine/ops/slots.h"

enum { LANES = 16, CHAINS = 16 };

/* CHAINS independent sums, so that the adds (4 cycles) never hold back the loads. */
static float sum(const float *x, int64_t n) {
    __m512 acc[CHAINS];
    int64_t i = 0;
    for (int c = 0; c < CHAINS; c++) acc[c] = _mm512_setzero_ps();
    for (; i + LANES * CHAINS <= n; i += LANES * CHAINS) {
#pragma GCC unroll 16
        for (int c = 0; c < CHAINS; c++) acc[c] = _mm512_add_ps(acc[c], _mm512_loadu_ps(x + i + LANES * c));
    }
    float lanes[LANES], total = 0;
    for (int c = 1; c < CHAINS; c++) acc[0] = _mm512_add_ps(acc[0], acc[c]);
    _mm512_storeu_ps(lanes, acc[0]);
    for (int c = 0; c < LANES; c++) total += lanes[c];
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

const lb_kernel lb_kernel_peak_read_f32_avx512 = {
    .name = "peak_read.f32.avx512",
    .op = "peak_read",
    .device = "cpu",
    .about = "one contiguous share a part, 16 sums of 16 lanes, hardware prefetch",
    .source = "luabench",
    .isa = LB_ISA_AVX512,
    .format = "f32",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_NONE,
    .tolerance = 1e-30,
    .tolerance_why = "partial sums depend on the parts and are not compared",
    .priority = 20,
    .launch = launch,
};
