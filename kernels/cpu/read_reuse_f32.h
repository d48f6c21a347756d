/* read_reuse_f32.h: the read_reuse kernels: the bandwidth of the cache that a block fits. */
#include "vec.h"

static float sum(const float *x, int64_t n) {
    VF a[8];
    for (int c = 0; c < 8; c++) a[c] = vf_zero();
    int64_t i = 0;
    for (; i + 8 * LANES <= n; i += 8 * LANES)
        for (int c = 0; c < 8; c++) a[c] += vf_load(x + i + c * LANES);
    float s = vf_sum(((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7])));
    for (; i < n; i++) s += x[i];
    return s;
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_weight(a, l, LB_READ_REUSE_X);
    float *sink = lb_tensor_data(lb_arg(a, LB_READ_REUSE_SINK));
    int64_t block = (int64_t)a->p[LB_READ_REUSE_P_BLOCK], times = (int64_t)a->p[LB_READ_REUSE_P_TIMES], begin, end;
    double total = 0;
    lb_split(lb_tensor_numel(x), 64, l->part, l->parts, &begin, &end);
    for (int64_t at = begin; at < end; at += block) {
        int64_t n = end - at < block ? end - at : block;
        for (int64_t i = 0; i < times; i++) {
            total += sum(lb_tensor_f32(x) + at, n);
            __asm__ volatile("" ::: "memory"); /* read it again, do not remember the sum */
        }
    }
    for (int i = l->part; i < 64; i += l->parts) sink[i] = i == l->part ? (float)total : 0.0f;
}

const lb_kernel KERNEL_SYMBOL(read_reuse_f32) = {
    .name = "read_reuse.f32." ISA_TEXT, .op = "read_reuse", .device = "cpu",
    .about = "one share a part, block by block, each read `times` times with eight independent sums",
    .source = "luabench",
    .isa = ISA_BITS, .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_F32, .compute = LB_COMPUTE_NONE,
    .tolerance = 1e-10, .tolerance_why = "f32 sums of each block", .priority = ISA_PRIORITY, .launch = launch,
};
