/* quantize_any_portable.c: weights into the bytes of a format by its own quantizer. */
#include "engine/kernel.h"
#include "engine/ops/recipes.h"

static const char *const recipes[] = { LB_QUANTIZE_RECIPES };

static bool supports(const lb_args *a, const char **why) {
    const lb_quantizer *q;
    *why = "the recipe is not registered, or its rows depend on one another";
    return !lb_quantizer_find(recipes[(int)a->p[LB_QUANTIZE_P_TO]], &q) && !q->survey;
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_QUANTIZE_X);
    const lb_quantizer *q;
    int64_t begin, end;
    if (lb_quantizer_find(recipes[(int)a->p[LB_QUANTIZE_P_TO]], &q)) return;
    lb_split(x->dims[0], 1, l->part, l->parts, &begin, &end);
    q->quantize(q, lb_tensor_f32(x), x->dims[0], x->dims[1], begin, end, lb_tensor_data(lb_arg(a, LB_QUANTIZE_OUT)));
}

const lb_kernel lb_kernel_quantize_any_portable = {
    .name = "quantize.any.portable", .op = "quantize", .device = "cpu",
    .about = "the format's own quantizer; rows split over the parts", .source = "luabench", .isa = LB_ISA_PORTABLE,
    .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_NONE, .tolerance = 1e-30,
    .tolerance_why = "bytes", .priority = 1, .supports = supports, .launch = launch,
};
