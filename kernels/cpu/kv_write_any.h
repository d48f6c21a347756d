/* kv_write_any.h: the kv_write kernels: each row of each head is converted straight into its place in the cache. */
#include "cells.h"

static bool supports(const lb_args *a, const char **why) {
    if (a->p[LB_KV_WRITE_P_PACKED] == LB_PACKED_NONE || packed_quantizer((int)a->p[LB_KV_WRITE_P_PACKED])) return true;
    *why = "the format of the packed rows is not registered";
    return false;
}

/* Rows of one sequence that are this part's, all heads. */
static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_KV_WRITE_X), *pages = lb_arg(a, LB_KV_WRITE_PAGES);
    const lb_tensor *cache = lb_arg(a, LB_KV_WRITE_CACHE);
    int packed = (int)a->p[LB_KV_WRITE_P_PACKED];
    lb_kv c = lb_kv_of(cache, pages, packed);
    lb_batch batch = lb_batch_of(x->dims[0], pages ? pages->dims[0] : cache->dims[0], lb_arg(a, LB_KV_WRITE_STARTS),
                                 lb_arg(a, LB_KV_WRITE_LENGTHS));
    const lb_quantizer *q = cache->dtype == LB_U8 ? packed_quantizer(packed) : NULL;
    for (int64_t b = 0; b < batch.sequences; b++) {
        int64_t begin, end, from, to, length = lb_kv_length(&c, b, batch.lengths[b]);
        lb_batch_rows(&batch, b, &begin, &end);
        my_rows(l, (end - begin) * c.heads, &from, &to);
        for (int64_t i = from; i < to; i++) {
            int64_t r = begin + i / c.heads, h = i % c.heads, at = batch.lengths[b] - (end - r);
            if (at < 0 || at >= length) continue;
            store_cells(cache->dtype, q, lb_row_f32(x, r * c.heads + h), c.dim, lb_kv_row(&c, b, h, at));
        }
    }
}

const lb_kernel KERNEL_SYMBOL(kv_write_any) = {
    .name = "kv_write.any." ISA_TEXT, .op = "kv_write", .device = "cpu",
    .about = "rows of heads split over the parts, converted by vectorised loops; packed rows by their quantizer",
    .source = "luabench", .isa = ISA_BITS, .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_NONE,
    .tolerance = 1e-30, .tolerance_why = "the stored bytes are those of the type's definition, compared exactly",
    .priority = ISA_PRIORITY, .supports = supports, .launch = launch,
};
