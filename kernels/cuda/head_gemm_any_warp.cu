/* head_gemm_any_warp.cu: a product for each head (dot_rows.cuh): for up to 8 tokens, as in decode, H N K values are
 * read (bf16: DeepSeek-V3's 128 x 512 x 128 are 16.8 MB, 3.5 us at 4.8 TB/s). */
#include "dot_rows.cuh"

namespace {

static int packing(const lb_tensor *t) {
    if (t->dtype != LB_QUANT) return LB_PACKED_NONE;
    return strcmp(t->quantizer->name, "q8_0") ? LB_PACKED_Q4_0 : LB_PACKED_Q8_0;
}

static bool supports(const lb_args *a, const char **why) {
    const lb_tensor *w = lb_arg(a, LB_HEAD_GEMM_W);
    *why = "the weights are of no float type, q8_0 or q4_0";
    if (w->dims[0] > 65535) return false;
    if (w->dtype == LB_QUANT)
        return !w->layout && (!strcmp(w->quantizer->name, "q8_0") || !strcmp(w->quantizer->name, "q4_0"));
    return w->dtype == LB_F32 || w->dtype == LB_F16 || w->dtype == LB_BF16;
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_HEAD_GEMM_X), *w = lb_weight(a, l, LB_HEAD_GEMM_W);
    dot_rows_launch(l, lb_rows_of(x), lb_tensor_data(w), w->dtype, packing(w), w->dims[1], x->dims[2], x->dims[0],
                    x->dims[1],
                    lb_rows_of(lb_arg(a, LB_HEAD_GEMM_OUT)));
}

} // namespace

LB_CUDA_KERNEL(head_gemm_any_warp) = {
    .name = "head_gemm.any.warp", .op = "head_gemm", .device = "cuda",
    .about = "a warp for a row of weights and eight tokens, 16-byte loads of weights, f32 sums", .source = "luabench",
    .isa = LB_ISA_SM80, .format = "any", .act = LB_ACT_F32, .acc = LB_ACC_F32, .compute = LB_COMPUTE_F32,
    .tolerance = 1e-10, .tolerance_why = "f32 sums over K in lanes", .priority = 1, .supports = supports,
    .launch = launch,
};
