/* swiglu_f32_portable.c: out = silu(gate) * up in plain C. */
#include "engine/kernel.h"
#include "engine/ops/kv.h"
#include "engine/ops/slots.h"
#include "exp_f32.h"

static void swiglu(const float *restrict gate, const float *restrict up, float *restrict out, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        /* below -88 silu is under 1e-36 and exp_f32 no longer grows: 0 */
        float g = gate[i] < -88.0f ? 0.0f : gate[i];
        out[i] = g / (1.0f + exp_f32(-g)) * up[i];
    }
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *gate = lb_arg(a, LB_SWIGLU_GATE), *up = lb_arg(a, LB_SWIGLU_UP), *out = lb_arg(a, LB_SWIGLU_OUT);
    bool dense = lb_tensor_is_dense(gate) && lb_tensor_is_dense(up);
    int64_t n = lb_tensor_numel(out), k = dense ? n : lb_row_length(out), rows = dense ? n > 0 : lb_row_count(out);
    int64_t begin, end;
    lb_split(k, 16, l->part, l->parts, &begin, &end);
    for (int64_t r = 0; r < rows; r++)
        swiglu(lb_row_f32(gate, r) + begin, lb_row_f32(up, r) + begin, lb_row_f32(out, r) + begin, end - begin);
}

const lb_kernel lb_kernel_swiglu_f32_portable = {
    .name = "swiglu.f32.portable",
    .op = "swiglu",
    .device = "cpu",
    .about = "a loop over a branch-free exponential that the compiler vectorises for the baseline instruction set",
    .source = "luabench",
    .isa = LB_ISA_PORTABLE,
    .format = "f32",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32,
    .tolerance = 1e-12,
    .tolerance_why = "the exponential is within 2e-7, and three more f32 roundings: NMSE of 1e-14 to 1e-13",
    .priority = 1,
    .launch = launch,
};
