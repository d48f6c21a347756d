/* read_strided_f32_portable.c: reads elements a stride apart, offset after offset. */
#include "engine/kernel.h"
#include "engine/ops/slots.h"

enum { CHAINS = 8 };

static float pass(const float *x, int64_t n, int64_t stride) {
    float s[CHAINS] = { 0 };
    int64_t i = 0;
    for (; i + (CHAINS - 1) * stride < n; i += CHAINS * stride)
        for (int c = 0; c < CHAINS; c++) s[c] += x[i + c * stride];
    for (; i < n; i += stride) s[0] += x[i];
    return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_weight(a, l, LB_READ_STRIDED_X);
    float *sink = lb_tensor_data(lb_arg(a, LB_READ_STRIDED_SINK));
    int64_t stride = (int64_t)a->p[LB_READ_STRIDED_P_STRIDE], begin, end;
    double total = 0;
    lb_split(lb_tensor_numel(x), 1024, l->part, l->parts, &begin, &end);
    for (int64_t at = 0; at < stride && begin + at < end; at++)
        total += pass(lb_tensor_f32(x) + begin + at, end - begin - at, stride);
    for (int i = l->part; i < 64; i += l->parts) sink[i] = i == l->part ? (float)total : 0.0f;
}

const lb_kernel lb_kernel_read_strided_f32_portable = {
    .name = "read_strided.f32.portable", .op = "read_strided", .device = "cpu",
    .about = "one share a part; eight loads, a stride apart, in flight", .source = "luabench", .isa = LB_ISA_PORTABLE,
    .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_F32, .compute = LB_COMPUTE_NONE, .tolerance = 1e-10,
    .tolerance_why = "f32 sums of each part's share", .priority = 1, .launch = launch,
};
