/* kv_read_any_block.cu: a block for 64 positions of one head, expanded to f32; zeros after the length. */
#include "cells.cuh"

namespace {

enum { THREADS = 256, POSITIONS = 64 };

__global__ void __launch_bounds__(THREADS) kv_read_kernel(lb_kv c, const int32_t *lengths, float *out) {
    int64_t b = blockIdx.z, h = blockIdx.y, first = (int64_t)blockIdx.x * POSITIONS;
    int64_t n = lb_warp_kv_length(c, b, lengths ? lengths[b] : c.capacity, threadIdx.x % 32);
    int64_t last = first + POSITIONS < c.capacity ? first + POSITIONS : c.capacity;
    out += (b * c.heads + h) * c.capacity * c.dim;
    for (int64_t s = first + threadIdx.x / 32; s < last; s += THREADS / 32) {
        const char *row = s < n ? lb_kv_row(&c, b, h, s) : nullptr;
        for (int64_t d = threadIdx.x % 32; d < c.dim; d += 32)
            out[s * c.dim + d] = row ? lb_cell(c.dtype, c.packed, row, d) : 0.0f;
    }
}

static bool supports(const lb_args *a, const char **why) {
    *why = "more than 65535 sequences or heads";
    return lb_arg(a, LB_KV_READ_OUT)->dims[0] < 65536 && lb_arg(a, LB_KV_READ_OUT)->dims[1] < 65536;
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *cache = lb_weight(a, l, LB_KV_READ_CACHE), *o = lb_arg(a, LB_KV_READ_OUT);
    lb_kv c = lb_kv_of(cache, lb_arg(a, LB_KV_READ_PAGES), (int)a->p[LB_KV_READ_P_PACKED]);
    if (lb_tensor_numel(o) == 0) return;
    dim3 grid((unsigned)((c.capacity + POSITIONS - 1) / POSITIONS), (unsigned)c.heads, (unsigned)o->dims[0]);
    LB_CUDA_LAUNCH(kv_read_kernel, grid, THREADS, 0, lb_cuda_stream(l), c,
                   lb_i32_or_null(lb_arg(a, LB_KV_READ_LENGTHS)),
                   (float *)lb_tensor_data(o));
}

} // namespace

LB_CUDA_KERNEL(kv_read_any_block) = {
    .name = "kv_read.any.block", .op = "kv_read", .device = "cuda",
    .about = "64 positions of a head a block, a row a warp", .source = "luabench", .isa = LB_ISA_SM80,
    .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_NONE, .tolerance = 1e-14,
    .tolerance_why = "exact, but for the f32 product of a packed value and its scale", .priority = 1,
    .supports = supports, .launch = launch,
};
