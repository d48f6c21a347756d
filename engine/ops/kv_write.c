/* kv_write.c: rows are written, in the cache's type, at their positions in their sequences' caches. */
#include <math.h>
#include <stdlib.h>

#include "../quantizer.h"
#include "../tensor_convert.h"
#include "op_common.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)dtype, (void)rank, (void)dims;
    return lb_op_bad(a, slot, "the cache to write to (it is updated in place)");
}

static int64_t sequences_of(const lb_args *a) {
    const lb_tensor *pages = lb_arg(a, LB_KV_WRITE_PAGES);
    return pages ? pages->dims[0] : lb_arg(a, LB_KV_WRITE_CACHE)->dims[0];
}

static lb_status check(const lb_args *a) {
    int packed = (int)a->p[LB_KV_WRITE_P_PACKED];
    lb_status s = lb_op_want_rows(a, LB_KV_WRITE_X, -1, "f32[T, H, D]");
    if (s) return s;
    const lb_tensor *x = lb_arg(a, LB_KV_WRITE_X);
    if (x->rank != 3) return lb_op_bad(a, LB_KV_WRITE_X, "f32[T, H, D]");
    if ((s = lb_op_want_cache(a, LB_KV_WRITE_CACHE, LB_KV_WRITE_PAGES, packed))) return s;
    lb_kv c = lb_kv_of(lb_arg(a, LB_KV_WRITE_CACHE), lb_arg(a, LB_KV_WRITE_PAGES), packed);
    if (c.heads != x->dims[1] || c.dim != x->dims[2])
        return lb_op_bad(a, LB_KV_WRITE_CACHE, "a cache [B, H, S, D] with the heads and values of 'x'");
    if (!lb_arg(a, LB_KV_WRITE_LENGTHS)) return lb_op_bad(a, LB_KV_WRITE_LENGTHS, "i32[B]");
    return lb_op_want_batch(a, LB_KV_WRITE_LENGTHS, LB_KV_WRITE_STARTS, x->dims[0], sequences_of(a));
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    const lb_tensor *x = lb_arg(a, LB_KV_WRITE_X), *c = lb_arg(a, LB_KV_WRITE_CACHE);
    double rows = (double)(x->dims[0] * x->dims[1]);
    *w = (lb_work){ .bytes = 4 * rows * (double)x->dims[2] +
        rows * (double)c->dims[3] * (double)lb_dtype_size(c->dtype),
                    .items = (double)x->dims[0], .item = "token" };
}

/* The cache's elements (bytes, if packed) that row r of head h must have become. */
static lb_status expect_row(const lb_args *a, const float *row, int64_t dim, double *values, uint8_t *bytes) {
    const lb_tensor *cache = lb_arg(a, LB_KV_WRITE_CACHE);
    if (cache->dtype != LB_U8) {
        lb_convert_store_f32(cache->dtype, row, dim, bytes);
        lb_convert_load_f64(cache->dtype, bytes, 1, dim, values);
        return LB_OK;
    }
    const lb_quantizer *q;
    lb_status s = lb_quantizer_find(lb_op_packings[(int)a->p[LB_KV_WRITE_P_PACKED]], &q);
    if (s) return s;
    q->quantize(q, row, 1, dim, 0, 1, bytes);
    for (int64_t i = 0; i < dim; i++) /* what a weight's quantizer makes a number of stays none */
        if (!isfinite(row[i])) memcpy(bytes + i / 32 * (cache->dims[3] * 32 / dim), &(uint16_t){ 0x7e00 }, 2);
    for (int64_t i = 0; i < cache->dims[3]; i++) values[i] = bytes[i];
    return LB_OK;
}

/* Index of the first element of a cache row in row-major order of [B or P, H, S, D]. */
static int64_t flat(const lb_tensor *cache, const lb_kv *c, int64_t b, int64_t h, int64_t s) {
    int64_t first = c->pages ? c->pages[b * c->pages_each + s / c->rows] : b;
    return ((first * c->heads + h) * c->rows + (c->pages ? s % c->rows : s)) * cache->dims[3];
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    const lb_tensor *x = lb_arg(a, LB_KV_WRITE_X), *cache = lb_arg(a, LB_KV_WRITE_CACHE);
    lb_kv c = lb_kv_of(cache, lb_arg(a, LB_KV_WRITE_PAGES), (int)a->p[LB_KV_WRITE_P_PACKED]);
    lb_batch batch = lb_batch_of(x->dims[0], sequences_of(a), lb_arg(a, LB_KV_WRITE_STARTS),
                                 lb_arg(a, LB_KV_WRITE_LENGTHS));
    uint8_t *bytes = malloc((size_t)c.dim * 4 + 1);
    *count = 0;
    lb_status s = bytes ? LB_OK : lb_fail(LB_ENOMEM, "kv_write: no memory for a row");
    if (!s) s = lb_op_expect(out, count, "cache", LB_KV_WRITE_CACHE, lb_tensor_numel(cache), true);
    for (int64_t b = 0; !s && b < batch.sequences; b++) {
        int64_t begin, end, length = lb_kv_length(&c, b, batch.lengths[b]);
        lb_batch_rows(&batch, b, &begin, &end);
        for (int64_t r = begin; !s && r < end; r++) {
            int64_t at = (int64_t)batch.lengths[b] - (end - r);
            for (int64_t h = 0; !s && h < c.heads && at >= 0 && at < length; h++) {
                int64_t first = flat(cache, &c, b, h, at);
                s = expect_row(a, lb_row_f32(x, r * c.heads + h), c.dim, out[0].values + first, bytes);
                memset(out[0].mask + first, 1, (size_t)cache->dims[3]);
            }
        }
    }
    if (!s) out[0].exact = true;
    free(bytes);
    return s;
}

static const lb_param_choices choices[] = { { "packed", lb_op_packings }, { .param = NULL } };
static const lb_operand_spec operands[] = {
    { "x", LB_READ, false, false, "[T, H, D] f32 (any strides)" },
    { "lengths", LB_READ, false, false, "[B] i32, positions of each sequence with these rows" },
    { "starts", LB_READ, true, false, "[B+1] i32, first row of each sequence (ragged batches)" },
    { "pages", LB_READ, true, false, "[B, M] i32, pages of each sequence; the cache is then [P, H, page, D]" },
    { "cache", LB_UPDATE, false, false, "[B, H, S, D] f32, f16, bf16, f8e4m3 or u8; any layout by strides" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "packed", false, 0, "what the rows of a u8 cache hold" },
    { .name = NULL },
};

const lb_op lb_op_kv_write = {
    .name = "kv_write",
    .about = "cache[b, h, position of t] = x[t, h] in the type of the cache",
    .operands = operands,
    .params = params,
    .choices = choices,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
