/* embedding_any_warp.cu: rows of a table of any float type, q8_0 or q4_0; a warp for 512 values of a row. */
#include "cells.cuh"

namespace {

enum { WARPS = 4, SPAN = 512 };

__global__ void __launch_bounds__(WARPS * 32) embedding_kernel(const int32_t *ids, const char *table, lb_dtype type,
                                                               int packed, int64_t row_bytes, int64_t vocabulary,
                                                               int64_t rows, int64_t k, float scale, float *out) {
    int64_t t = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32, first = (int64_t)blockIdx.y * SPAN;
    if (t >= rows) return;
    int64_t id = ids[t], last = first + SPAN < k ? first + SPAN : k;
    bool known = id >= 0 && id < vocabulary;
    for (int64_t i = first + threadIdx.x % 32; i < last; i += 32)
        out[t * k + i] = known ? lb_cell(type, packed, table + id * row_bytes, i) * scale :
            __uint_as_float(0x7fc00000u);
}

static int packing(const lb_tensor *t) {
    if (t->dtype != LB_QUANT) return LB_PACKED_NONE;
    return strcmp(t->quantizer->name, "q8_0") ? LB_PACKED_Q4_0 : LB_PACKED_Q8_0;
}

static bool supports(const lb_args *a, const char **why) {
    const lb_tensor *t = lb_arg(a, LB_EMBEDDING_TABLE);
    *why = "the table is of no float type, q8_0 or q4_0, or wider than 33 million";
    if (t->dims[1] >= 65535 * (int64_t)SPAN) return false;
    if (t->dtype == LB_QUANT) return !t->layout &&
        (!strcmp(t->quantizer->name, "q8_0") || !strcmp(t->quantizer->name, "q4_0"));
    return t->dtype == LB_F32 || t->dtype == LB_F16 || t->dtype == LB_BF16 || t->dtype == LB_F64 ||
           t->dtype == LB_F8E4M3;
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *table = lb_weight(a, l, LB_EMBEDDING_TABLE), *o = lb_arg(a, LB_EMBEDDING_OUT);
    int64_t k = table->dims[1], rows = o->dims[0];
    int packed = packing(table);
    if (rows == 0 || k == 0) return;
    dim3 grid((unsigned)((rows + WARPS - 1) / WARPS), (unsigned)((k + SPAN - 1) / SPAN));
    LB_CUDA_LAUNCH(embedding_kernel, grid, WARPS * 32, 0, lb_cuda_stream(l),
                   (const int32_t *)lb_tensor_data(lb_arg(a, LB_EMBEDDING_IDS)), (const char *)lb_tensor_data(table),
                   table->dtype, packed, packed ? k / 32 * lb_packed_bytes(packed) :
                       k * (int64_t)lb_dtype_size(table->dtype),
                   table->dims[0], rows, k, (float)a->p[LB_EMBEDDING_P_SCALE], (float *)lb_tensor_data(o));
}

} // namespace

LB_CUDA_KERNEL(embedding_any_warp) = {
    .name = "embedding.any.warp", .op = "embedding", .device = "cuda", .about = "a warp for 512 values of a row",
    .source = "luabench", .isa = LB_ISA_SM80, .format = "any", .act = LB_ACT_F32, .acc = LB_ACC_NONE,
    .compute = LB_COMPUTE_NONE, .tolerance = 1e-13,
    .tolerance_why = "one product by the scale, rounded to f32; values of f64 tables are rounded too", .priority = 1,
    .supports = supports, .launch = launch,
};
