/* activation.c: out = f(x): relu, sigmoid, leaky_relu, relu6, gelu, gelu_tanh, silu, hardswish. */
#include <math.h>

#include "op_common.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)slot;
    return lb_op_infer_like(a, LB_ACTIVATION_X, LB_F32, dtype, rank, dims);
}

static lb_status check(const lb_args *a) {
    lb_status s;
    if ((s = lb_op_want(a, LB_ACTIVATION_X, LB_F32, -1, "dense f32"))) return s;
    if ((s = lb_op_want(a, LB_ACTIVATION_OUT, LB_F32, -1, "f32, x's shape"))) return s;
    if (!lb_op_same_shape(lb_arg(a, LB_ACTIVATION_X), lb_arg(a, LB_ACTIVATION_OUT)))
        return lb_op_bad(a, LB_ACTIVATION_OUT, "f32, x's shape");
    return isfinite(a->p[LB_ACTIVATION_P_SLOPE]) ? LB_OK : lb_fail(LB_EINVAL, "activation: 'slope' must be finite");
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    double n = (double)lb_tensor_numel(lb_arg(a, LB_ACTIVATION_X));
    *w = (lb_work){ .flops = n, .bytes = 8 * n, .items = n, .item = "element" };
}

double lb_op_activation_f64(int kind, double slope, double x) {
    switch (kind) {
    case LB_ACTIVATION_RELU: return x > 0 || isnan(x) ? x : 0;
    case LB_ACTIVATION_SIGMOID: return 1 / (1 + exp(-x));
    case LB_ACTIVATION_LEAKY_RELU: return x > 0 ? x : x * slope;
    case LB_ACTIVATION_RELU6: return x > 6 ? 6 : x > 0 ? x : isnan(x) ? x : 0;
    case LB_ACTIVATION_GELU: return 0.5 * x * erfc(-x * M_SQRT1_2);
    case LB_ACTIVATION_GELU_TANH: return x / (1 + exp(-2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case LB_ACTIVATION_SILU: return x / (1 + exp(-x));
    case LB_ACTIVATION_HARDSWISH: return x * fmin(1, fmax(0, (x + 3) / 6));
    default: return x;
    }
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    int64_t n = lb_tensor_numel(lb_arg(a, LB_ACTIVATION_X));
    *count = 0;
    lb_status s = lb_op_expect(out, count, "out", LB_ACTIVATION_OUT, n, false);
    for (int64_t i = 0; !s && i < n; i++)
        out[0].values[i] = lb_op_activation_f64((int)a->p[LB_ACTIVATION_P_KIND], a->p[LB_ACTIVATION_P_SLOPE],
                                                (double)lb_op_f32(a, LB_ACTIVATION_X)[i]);
    return s;
}

const char *const lb_op_activations[] = { "none", "relu", "sigmoid", "leaky_relu", "relu6", "gelu", "gelu_tanh", "silu",
                                          "hardswish", NULL };
static const lb_param_choices choices[] = { { "kind", lb_op_activations }, { .param = NULL } };
static const lb_operand_spec operands[] = {
    { "x", LB_READ, false, false, "f32, any shape" },
    { "out", LB_WRITE, true, false, "f32, x's shape" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "kind", true, 0, "the function" },
    { "slope", false, 0.01, "of leaky_relu below 0" },
    { .name = NULL },
};

const lb_op lb_op_activation = {
    .name = "activation",
    .about = "out = f(x), element by element",
    .operands = operands,
    .params = params,
    .choices = choices,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
