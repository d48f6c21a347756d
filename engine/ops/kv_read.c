/* kv_read.c: the values of a cache, dense, in f32. */
#include "op_common.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    const lb_tensor *cache = lb_arg(a, LB_KV_READ_CACHE), *pages = lb_arg(a, LB_KV_READ_PAGES);
    lb_status s = lb_op_want_cache(a, LB_KV_READ_CACHE, LB_KV_READ_PAGES, (int)a->p[LB_KV_READ_P_PACKED]);
    (void)slot;
    if (s) return s;
    lb_kv c = lb_kv_of(cache, pages, (int)a->p[LB_KV_READ_P_PACKED]);
    *dtype = LB_F32;
    *rank = 4;
    dims[0] = pages ? pages->dims[0] : cache->dims[0];
    dims[1] = c.heads;
    dims[2] = c.capacity;
    dims[3] = c.dim;
    return LB_OK;
}

static lb_status check(const lb_args *a) {
    lb_dtype dtype;
    int rank;
    int64_t dims[LB_MAX_RANK];
    lb_status s = infer(a, LB_KV_READ_OUT, &dtype, &rank, dims);
    if (s) return s;
    if (lb_arg(a, LB_KV_READ_LENGTHS) && (s = lb_op_want_vector(a, LB_KV_READ_LENGTHS, LB_I32, dims[0], "i32[B]")))
        return s;
    if ((s = lb_op_want(a, LB_KV_READ_OUT, LB_F32, 4, "f32[B, H, S, D]"))) return s;
    const lb_tensor *out = lb_arg(a, LB_KV_READ_OUT);
    for (int i = 0; i < 4; i++)
        if (out->dims[i] != dims[i]) return lb_op_bad(a, LB_KV_READ_OUT, "f32[B, H, S, D] of the cache");
    return LB_OK;
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    const lb_tensor *out = lb_arg(a, LB_KV_READ_OUT), *cache = lb_arg(a, LB_KV_READ_CACHE);
    lb_kv c = lb_kv_of(cache, lb_arg(a, LB_KV_READ_PAGES), (int)a->p[LB_KV_READ_P_PACKED]);
    const int32_t *lengths = lb_i32_or_null(lb_arg(a, LB_KV_READ_LENGTHS));
    double positions = 0;
    for (int64_t b = 0; b < out->dims[0]; b++)
        positions += (double)lb_kv_length(&c, b, lengths ? lengths[b] : c.capacity);
    *w = (lb_work){ .bytes = positions * (double)(c.heads * cache->dims[3]) * (double)lb_dtype_size(cache->dtype) +
                             lb_op_bytes(out), .items = positions, .item = "position" };
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    const lb_tensor *to = lb_arg(a, LB_KV_READ_OUT), *cache = lb_arg(a, LB_KV_READ_CACHE);
    int packed = (int)a->p[LB_KV_READ_P_PACKED];
    lb_kv c = lb_kv_of(cache, lb_arg(a, LB_KV_READ_PAGES), packed);
    const int32_t *lengths = lb_i32_or_null(lb_arg(a, LB_KV_READ_LENGTHS));
    *count = 0;
    lb_status s = lb_op_expect(out, count, "out", LB_KV_READ_OUT, lb_tensor_numel(to), false);
    for (int64_t b = 0; !s && b < to->dims[0]; b++) {
        int64_t n = lb_kv_length(&c, b, lengths ? lengths[b] : c.capacity);
        for (int64_t i = 0; !s && i < c.heads * n; i++) {
            int64_t h = i / n, p = i % n;
            s = lb_op_cache_row(cache, packed, lb_kv_row(&c, b, h, p), c.dim,
                                out[0].values + ((b * c.heads + h) * c.capacity + p) * c.dim);
        }
    }
    return s;
}

static const lb_param_choices choices[] = { { "packed", lb_op_packings }, { .param = NULL } };
static const lb_operand_spec operands[] = {
    { "cache", LB_WEIGHT, false, false, "[B, H, S, D] f32, f16, bf16, f8e4m3 or u8; any layout by strides" },
    { "lengths", LB_READ, true, false, "[B] i32, positions to read; without it all" },
    { "pages", LB_READ, true, false, "[B, M] i32, pages of each sequence; the cache is then [P, H, page, D]" },
    { "out", LB_WRITE, true, false, "[B, H, S, D] f32, 0 past the lengths" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "packed", false, 0, "what the rows of a u8 cache hold" },
    { .name = NULL },
};

const lb_op lb_op_kv_read = {
    .name = "kv_read",
    .about = "out[b, h, s] = cache[b, h, s] as f32 for s < lengths[b], else 0",
    .operands = operands,
    .params = params,
    .choices = choices,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
