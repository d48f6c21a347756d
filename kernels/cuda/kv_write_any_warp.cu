/* kv_write_any_warp.cu: a warp for each head of each row, converted straight into its place in the cache. 4 bytes in
 * and 0.56 to 4 out a value; one token of 8 heads of 128 is 4 KB: the launch is all of its time. */
#include "cells.cuh"
#include "rows.cuh"

namespace {

enum { WARPS = 4 };

__global__ void __launch_bounds__(WARPS * 32) kv_write_kernel(lb_rows x, lb_kv c, lb_batch batch) {
    int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32, r = i / c.heads, h = i % c.heads;
    int lane = threadIdx.x % 32;
    if (r >= batch.rows) return;
    int64_t b = lb_owner(batch, r), begin, end;
    if (b < 0) return;
    lb_batch_rows(&batch, b, &begin, &end);
    int64_t length = batch.lengths[b], at = length - (end - r);
    /* of the pages only those up to this row's need to be there */
    if (at < 0 || at >= lb_warp_kv_length(c, b, at < length ? at + 1 : length, lane)) return;
    char *to = lb_kv_row(&c, b, h, at);
    const float *from = lb_row(x, i);
    if (c.dtype != LB_U8) {
        for (int64_t d = lane; d < c.dim; d += 32) lb_cell_put(c.dtype, to, d, from[d]);
        return;
    }
    for (int64_t d = 0; d < c.dim; d += 32, to += lb_packed_bytes(c.packed)) {
        if (c.packed == LB_PACKED_Q8_0) lb_q8_0_put(from[d + lane], (uint8_t *)to, lane);
        else lb_q4_0_put(from[d + lane], (uint8_t *)to, lane);
        if (!lb_block_finite(from[d + lane]) && lane == 0) *(uint16_t *)to = 0x7e00; /* NaN */
    }
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_KV_WRITE_X), *pages = lb_arg(a, LB_KV_WRITE_PAGES);
    const lb_tensor *cache = lb_arg(a, LB_KV_WRITE_CACHE);
    lb_kv c = lb_kv_of(cache, pages, (int)a->p[LB_KV_WRITE_P_PACKED]);
    lb_batch batch = lb_batch_of(x->dims[0], pages ? pages->dims[0] : cache->dims[0], lb_arg(a, LB_KV_WRITE_STARTS),
                                 lb_arg(a, LB_KV_WRITE_LENGTHS));
    int64_t warps = x->dims[0] * c.heads;
    if (warps == 0 || batch.sequences == 0) return;
    LB_CUDA_LAUNCH(kv_write_kernel, (unsigned)((warps + WARPS - 1) / WARPS), WARPS * 32, 0, lb_cuda_stream(l),
                   lb_rows_of(x), c, batch);
}

} // namespace

LB_CUDA_KERNEL(kv_write_any_warp) = {
    .name = "kv_write.any.warp", .op = "kv_write", .device = "cuda",
    .about = "a warp a head of a row; packed rows by the quantizers' rules, a block of 32 at a time",
    .source = "luabench", .isa = LB_ISA_SM80, .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_NONE,
    .tolerance = 1e-30, .tolerance_why = "the stored bytes are those of the type's definition, compared exactly",
    .priority = 1, .launch = launch,
};
