/* kv_read_any.h: the kv_read kernels: each row of each head expanded to f32. */
#include "cells.h"

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *cache = lb_weight(a, l, LB_KV_READ_CACHE), *o = lb_arg(a, LB_KV_READ_OUT);
    int packed = (int)a->p[LB_KV_READ_P_PACKED];
    lb_kv c = lb_kv_of(cache, lb_arg(a, LB_KV_READ_PAGES), packed);
    const int32_t *lengths = lb_i32_or_null(lb_arg(a, LB_KV_READ_LENGTHS));
    int64_t begin, end, b = -1, n = 0;
    my_rows(l, o->dims[0] * c.heads * c.capacity, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t s = i % c.capacity, h = i / c.capacity % c.heads, of = i / c.capacity / c.heads;
        float *out = (float *)lb_tensor_data(o) + i * c.dim;
        if (of != b) b = of, n = lb_kv_length(&c, b, lengths ? lengths[b] : c.capacity);
        if (s < n) load_cells(cache->dtype, packed, lb_kv_row(&c, b, h, s), c.dim, out);
        else memset(out, 0, (size_t)c.dim * sizeof *out);
    }
}

const lb_kernel KERNEL_SYMBOL(kv_read_any) = {
    .name = "kv_read.any." ISA_TEXT, .op = "kv_read", .device = "cpu",
    .about = "rows of heads split over the parts, expanded by vectorised loops", .source = "luabench", .isa = ISA_BITS,
    .act = LB_ACT_F32, .acc = LB_ACC_NONE, .compute = LB_COMPUTE_NONE, .tolerance = 1e-14,
    .tolerance_why = "exact, but for the f32 product of a packed value and its scale", .priority = ISA_PRIORITY,
    .launch = launch,
};
