/* convert.c: f32, f16, bf16 and f8e4m3 into one another. */
#include <stdlib.h>

#include "../tensor_convert.h"
#include "op_common.h"

static const char *const targets[] = { "f32", "f16", "bf16", "f8e4m3", NULL };
static const lb_dtype dtypes[] = { LB_F32, LB_F16, LB_BF16, LB_F8E4M3 };

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)slot;
    return lb_op_infer_like(a, LB_CONVERT_X, dtypes[(int)a->p[LB_CONVERT_P_TO]], dtype, rank, dims);
}

static bool is_float(lb_dtype t) { return t == LB_F32 || t == LB_F16 || t == LB_BF16 || t == LB_F8E4M3; }

static lb_status check(const lb_args *a) {
    const lb_tensor *x = lb_arg(a, LB_CONVERT_X);
    lb_dtype to = dtypes[(int)a->p[LB_CONVERT_P_TO]];
    if (!is_float(x->dtype)) return lb_op_bad(a, LB_CONVERT_X, "f32, f16, bf16 or f8e4m3");
    lb_status s = lb_op_want(a, LB_CONVERT_X, x->dtype, -1, "a dense tensor");
    if (s) return s;
    if ((s = lb_op_want(a, LB_CONVERT_OUT, to, -1, "x's shape in the type that 'to' names"))) return s;
    return lb_op_same_shape(x, lb_arg(a, LB_CONVERT_OUT)) ? LB_OK : lb_op_bad(a, LB_CONVERT_OUT, "x's shape");
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    *w = (lb_work){ .bytes = lb_op_bytes(lb_arg(a, LB_CONVERT_X)) + lb_op_bytes(lb_arg(a, LB_CONVERT_OUT)),
                    .items = (double)lb_tensor_numel(lb_arg(a, LB_CONVERT_X)), .item = "element" };
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_tensor *x = lb_arg(in->args, LB_CONVERT_X), *o = lb_arg(in->args, LB_CONVERT_OUT);
    int64_t n = lb_tensor_numel(x);
    *count = 0;
    lb_status s = lb_op_expect(out, count, "out", LB_CONVERT_OUT, n, false);
    if (s) return s;
    out[0].exact = true;
    for (int64_t at = 0; at < n; at += 256) {
        float values[256];
        uint8_t bytes[1024];
        int64_t m = n - at < 256 ? n - at : 256;
        lb_convert_load_f32(x->dtype, (const char *)lb_tensor_data(x) + (size_t)at * lb_dtype_size(x->dtype), 1, m,
                            values);
        lb_convert_store_f32(o->dtype, values, m, bytes);
        lb_convert_load_f64(o->dtype, bytes, 1, m, out[0].values + at);
    }
    return LB_OK;
}

static const lb_param_choices choices[] = { { "to", targets }, { .param = NULL } };
static const lb_operand_spec operands[] = {
    { "x", LB_READ, false, false, "f32, f16, bf16 or f8e4m3, dense" },
    { "out", LB_WRITE, true, false, "x's shape" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "to", true, 0, "the type of out" },
    { .name = NULL },
};

const lb_op lb_op_convert = {
    .name = "convert",
    .about = "out = x in another float type, to nearest even; f8e4m3 saturates at 448",
    .operands = operands,
    .params = params,
    .choices = choices,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
