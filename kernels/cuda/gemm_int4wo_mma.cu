/* gemm_int4wo_mma.cu: gemm over int4wo weights in mma16, groups of 32 to 256, HQQ's too. */
#include "format_int4wo.cuh"
#include "gemm_mma16.cuh"

/* The store of 256 is that of 128 with each pair twice. */
#define BY_GROUP(q, call)                                                                             \
    ((q)->group == 32   ? lb_gemm16_format<lb_format_int4wo<32>>::call                                \
     : (q)->group == 64 ? lb_gemm16_format<lb_format_int4wo<64>>::call : lb_gemm16_format<lb_format_int4wo<128>>::call)
#define LAYOUT(q, function, ...)                                                                      \
    ((q)->group == 32   ? function<lb_format_int4wo<32>>(__VA_ARGS__)                                 \
     : (q)->group == 64 ? function<lb_format_int4wo<64>>(__VA_ARGS__) : function<lb_format_int4wo<128>>(__VA_ARGS__))

static const lb_quantizer *quantizer_of(const lb_args *a) { return lb_arg(a, LB_GEMM_W)->quantizer; }
static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) { return LAYOUT(q, lb_mma16_bytes, q, n, k); }
static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1, void *dst) {
    LAYOUT(q, lb_mma16_repack, q, native, n, k, row0, row1, dst);
}
static size_t panel_bytes(const lb_quantizer *q, int64_t k) { return BY_GROUP(q, panel_bytes(q, k)); }
static size_t workspace_bytes(const lb_args *a, int) { return BY_GROUP(quantizer_of(a), workspace(a)); }
static int phases(const lb_args *a) { return BY_GROUP(quantizer_of(a), phases(a)); }
static void launch(const lb_args *a, const lb_launch *l) { BY_GROUP(quantizer_of(a), launch(a, l)); }
static bool supports(const lb_args *a, const char **why) {
    for (int32_t i = 1; i < a->t[LB_GEMM_W].count; i++)
        if (a->t[LB_GEMM_W].items[i]->quantizer->group != quantizer_of(a)->group) {
            *why = "all weights of a list must have groups of one size";
            return false;
        }
    return true;
}
static const lb_layout layout = { "mma16", size_bytes, repack, LB_ROWS };
static const lb_panel panel = { LB_ROWS, 64, nullptr, panel_bytes, nullptr, nullptr, "bf16" };

LB_CUDA_KERNEL(gemm_int4wo_mma) = {
    LB_GEMM16_FIELDS("gemm.int4wo.mma", "int4wo", "mma.sync over weights in the order of its fragments; 4 bits, zeros with the sums "
                                                  "of x"),
    .supports = supports,
    LB_GEMM16_CALLS,
};
