/* gemm_any_expanded.cu: weights of formats that have no CUDA kernel of their own: as f32, expanded once when they are
 * repacked, so that four bytes a weight are read. Says what a format's products are, not what they cost. */
#include "gemm_warp.cuh"

static size_t size_bytes(const lb_quantizer *, int64_t n, int64_t k) { return (size_t)n * (size_t)k * sizeof(float); }
static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,
                   void *dst) {
    q->dequantize(q, native, n, k, row0, row1, (float *)dst + row0 * k);
}
static const lb_layout layout = { "expanded", size_bytes, repack, 16 };

static bool supports(const lb_args *a, const char **why) {
    *why = "is for quantized weights";
    return lb_arg(a, LB_GEMM_W)->dtype == LB_QUANT;
}
static void launch(const lb_args *a, const lb_launch *l) { lb_gemm_warp_launch(a, l, LB_F32); }

LB_CUDA_KERNEL(gemm_any_expanded) = {
    .name = "gemm.any.expanded", .op = "gemm", .device = "cuda",
    .about = "weights expanded to f32 when they are repacked; " LB_GEMM_WARP_ABOUT, .source = "luabench",
        .isa = LB_ISA_SM80,
    .format = "any", .layout = &layout, LB_GEMM_WARP_NUMBERS, .priority = 0, .supports = supports, .launch = launch,
};
