/* linear_any_mma.cu: f(w x + bias) of quantized weights in mma16, several matrices one below the other, by the products
 * of gemm_mma16.cuh and gemm_wgmma.cuh: they are gemm's kernels, with the bias, the function and the place in out's
 * rows in their last step. So a row has the bits that gemm gives it, and nothing is written and read again.
 *
 * A matrix after the other: what the first of one recipe made of x serves those behind it, and on Hopper they ask for
 * their weights while the one before them ends. */
#include "gemm_mma16.cuh"

static const lb_products *products_of(const lb_quantizer *q, int64_t m) {
    const lb_cuda_info *d = lb_cuda_info_now();
    const bool wgmma = m > 64 && d->cc == 90 && d->smem_per_block >= 227 << 10;
    const lb_products *any = nullptr;
    for (const lb_products *p = lb_all_products; p && q; p = p->next) {
        if (!p->takes(q)) continue;
        if (p->wgmma == wgmma) return p;
        if (!p->wgmma) any = p;
    }
    return any;
}

/* Matrix i of the list, whose rows are columns from `column` on of out. */
static lb_product product_of(const lb_args *a, int32_t i, int64_t column) {
    const lb_tensor *x = lb_arg(a, LB_LINEAR_X), *out = lb_arg(a, LB_LINEAR_OUT), *bias = lb_arg(a, LB_LINEAR_BIAS);
    const lb_tensor *w = a->t[LB_LINEAR_W].items[i];
    return { lb_tensor_f32(x), (const uint8_t *)lb_tensor_data(w), (float *)lb_tensor_data(out) + column,
             bias ? lb_tensor_f32(bias) + column : nullptr, x->dims[0], x->dims[1], w->dims[0], out->dims[1],
             (int)a->p[LB_LINEAR_P_ACTIVATION] };
}

static bool supports(const lb_args *a, const char **why) {
    *why = "takes quantized weights that have a product in mma16";
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++) {
        const lb_tensor *w = a->t[LB_LINEAR_W].items[i];
        if (w->dtype != LB_QUANT || !products_of(w->quantizer, 1)) return false;
    }
    return true;
}

static size_t workspace_bytes(const lb_args *a, int) {
    size_t most = 0;
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++) {
        const lb_quantizer *q = a->t[LB_LINEAR_W].items[i]->quantizer;
        lb_product p = product_of(a, i, 0);
        size_t bytes = products_of(q, p.m)->workspace(q, p);
        most = bytes > most ? bytes : most;
    }
    return most;
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_quantizer *before = nullptr;
    int64_t column = 0;
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++) {
        const lb_quantizer *q = a->t[LB_LINEAR_W].items[i]->quantizer;
        lb_product p = product_of(a, i, column);
        const lb_products *with = products_of(q, p.m);
        lb_launch one = *l;
        const int phases = with->phases(q, p);
        /* phase 0 of two or three is x, as the last matrix had it if its recipe is the same and it had that phase */
        for (one.phase = phases > 1 && q == before ? 1 : 0; one.phase < phases; one.phase++) with->launch(q, p, &one);
        before = phases > 1 ? q : nullptr;
        column += p.n;
    }
}

LB_CUDA_KERNEL(linear_any_mma) = {
    .name = "linear.any.mma", .op = "linear", .device = "cuda",
    .about = "gemm's kernels over mma16, with bias, function and place in their last step; x is prepared once for "
             "neighbours of one recipe",
    .source = "luabench", .isa = LB_ISA_SM80, .format = "any", .act = LB_ACT_BF16, .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_BF16, LB_MMA16_TOLERANCE "; a function within 2e-7",
    .priority = 20, .panel_weights = true, .supports = supports, .workspace_bytes = workspace_bytes, .launch = launch,
};
