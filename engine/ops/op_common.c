/* op_common.c: shape and dtype checks that the operations share. */
#include <stdio.h>
#include <string.h>

#include "op_common.h"

#include <stdlib.h>

#include "../device.h"
#include "../kernel.h"
#include "../quantizer.h"
#include "../tensor_convert.h"

lb_status lb_op_bad(const lb_args *a, int slot, const char *expected) {
    char got[160] = "nothing";
    lb_tensor *t = lb_arg(a, slot);
    if (t) lb_tensor_describe(t, got, sizeof got);
    return lb_fail(LB_EINVAL, "%s: operand '%s': expected %s, got %s", a->op->name, a->op->operands[slot].name,
                   expected, got);
}

lb_status lb_op_want(const lb_args *a, int slot, lb_dtype dtype, int rank, const char *expected) {
    lb_tensor *t = lb_arg(a, slot);
    if (!t || t->dtype != dtype || (rank >= 0 && t->rank != rank)) return lb_op_bad(a, slot, expected);
    if (!lb_tensor_is_dense(t))
        return lb_fail(LB_EINVAL, "%s: operand '%s' must be dense; make it so with :clone()", a->op->name,
                       a->op->operands[slot].name);
    return LB_OK;
}

lb_status lb_op_want_weights(const lb_args *a, int slot, int64_t *n, int64_t *k) {
    const lb_operand *o = &a->t[slot];
    if (o->count < 1) return lb_op_bad(a, slot, "weights [N, K]");
    for (int32_t i = 0; i < o->count; i++) {
        const lb_tensor *w = o->items[i];
        bool kind = w->dtype == LB_QUANT || w->dtype == LB_F32 || w->dtype == LB_F16 || w->dtype == LB_BF16 ||
                    w->dtype == LB_F64;
        if (*n < 0 && w->rank == 2) *n = w->dims[0];
        if (*k < 0 && w->rank == 2) *k = w->dims[1];
        if (kind && w->rank == 2 && w->dims[0] == *n && w->dims[1] == *k &&
            (w->dtype == LB_QUANT || lb_tensor_is_dense(w)))
            continue;
        char got[160];
        lb_tensor_describe(w, got, sizeof got);
        return lb_fail(LB_EINVAL,
                       "%s: operand '%s' item %d: expected dense weights [%lld, %lld] of a float type or a "
                       "quantizer, got %s",
                       a->op->name, a->op->operands[slot].name, i + 1, (long long)*n, (long long)*k, got);
    }
    return LB_OK;
}

lb_status lb_op_want_integer(const lb_args *a, int i, int64_t lo, int64_t hi) {
    double v = a->p[i];
    if (v >= (double)lo && v <= (double)hi && v == (double)(int64_t)v) return LB_OK;
    return lb_fail(LB_EINVAL, "%s: parameter '%s': expected a whole number from %lld to %lld, got %g", a->op->name,
                   a->op->params[i].name, (long long)lo, (long long)hi, v);
}

double lb_op_products(const lb_tensor *w) {
    double all = (double)lb_tensor_numel(w);
    if (!w->quantizer || strncmp(w->quantizer->family->name, "block-sparse", 12) || all == 0) return all;
    int64_t blocks = w->dims[w->rank - 1] / w->quantizer->group;
    return all * (double)((blocks + 1) / 2) / (double)blocks;
}

double lb_op_bytes(const lb_tensor *t) { return t ? (double)lb_tensor_size_bytes(t) : 0.0; }

int lb_op_parts(const lb_oracle_in *in, int slot) {
    return in->kernel->serial ? 1 : lb_device_threads(lb_arg(in->args, slot)->buffer->device);
}

lb_status lb_op_expect(lb_expected *out, int *n, const char *what, int slot, int64_t count, bool with_mask) {
    lb_expected *e = &out[*n];
    *e = (lb_expected){ .what = what, .slot = slot };
    e->values = calloc((size_t)(count > 0 ? count : 1), sizeof *e->values);
    if (with_mask) e->mask = calloc((size_t)(count > 0 ? count : 1), 1);
    (*n)++;
    if (e->values && (!with_mask || e->mask)) return LB_OK;
    return lb_fail(LB_ENOMEM, "no memory for %lld expected values of '%s'", (long long)count, what);
}

void lb_op_swiglu_f64(const double *gate, const double *up, int64_t n, double *out) {
    for (int64_t i = 0; i < n; i++) out[i] = gate[i] / (1.0 + exp(-gate[i])) * up[i];
}

bool lb_op_same_shape(const lb_tensor *a, const lb_tensor *b) {
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i]) return false;
    return true;
}

lb_status lb_op_infer_like(const lb_args *a, int from, lb_dtype as, lb_dtype *dtype, int *rank, int64_t *dims) {
    const lb_tensor *t = lb_arg(a, from);
    *dtype = as;
    *rank = t->rank;
    for (int i = 0; i < t->rank; i++) dims[i] = t->dims[i];
    return LB_OK;
}

static bool last_dense(const lb_tensor *t) { return t->rank >= 1 &&
                                             (t->dims[t->rank - 1] <= 1 || t->strides[t->rank - 1] == 1); }

lb_status lb_op_want_rows(const lb_args *a, int slot, int64_t cols, const char *expected) {
    const lb_tensor *t = lb_arg(a, slot);
    if (!t || t->dtype != LB_F32 || t->rank < 1) return lb_op_bad(a, slot, expected);
    if (cols >= 0 && lb_row_length(t) != cols) return lb_op_bad(a, slot, expected);
    if (last_dense(t)) return LB_OK;
    return lb_fail(LB_EINVAL, "%s: operand '%s': its last dimension must be dense; make it so with :clone()",
                   a->op->name,
                   a->op->operands[slot].name);
}

lb_status lb_op_want_vector(const lb_args *a, int slot, lb_dtype dtype, int64_t n, const char *expected) {
    lb_status s = lb_op_want(a, slot, dtype, 1, expected);
    if (s) return s;
    return lb_arg(a, slot)->dims[0] == n ? LB_OK : lb_op_bad(a, slot, expected);
}

lb_status lb_op_want_batch(const lb_args *a, int lengths, int starts, int64_t rows, int64_t sequences) {
    const lb_tensor *l = lb_arg(a, lengths), *st = lb_arg(a, starts);
    lb_status s;
    if (sequences < 0 && l) sequences = l->rank == 1 ? l->dims[0] : -1;
    if (l && (s = lb_op_want_vector(a, lengths, LB_I32, sequences, "i32[B], a length for each sequence"))) return s;
    if (st) return lb_op_want_vector(a, starts, LB_I32, sequences + 1, "i32[B+1]");
    if (sequences > 0 ? rows % sequences == 0 : rows == 0) return LB_OK;
    return lb_fail(LB_EINVAL, "%s: %lld rows do not divide among %lld sequences; give 'starts' [B+1] for ragged ones",
                   a->op->name, (long long)rows, (long long)sequences);
}

lb_status lb_op_want_cache(const lb_args *a, int slot, int pages, int packed) {
    const lb_tensor *c = lb_arg(a, slot), *p = lb_arg(a, pages);
    static const char expected[] = "a cache [B, H, S, D] of f32, f16, bf16, f8e4m3, or u8 (packed)";
    if (!c || c->rank != 4) return lb_op_bad(a, slot, expected);
    bool floats = c->dtype == LB_F32 || c->dtype == LB_F16 || c->dtype == LB_BF16 || c->dtype == LB_F8E4M3;
    if (!floats && c->dtype != LB_U8) return lb_op_bad(a, slot, expected);
    if (!last_dense(c))
        return lb_fail(LB_EINVAL, "%s: operand '%s': the values of a row must be dense", a->op->name,
                       a->op->operands[slot].name);
    if (c->dtype == LB_U8) {
        if (packed == LB_PACKED_NONE)
            return lb_fail(LB_EINVAL, "%s: operand '%s' is u8: say packed = \"q8_0\" or \"q4_0\"", a->op->name,
                           a->op->operands[slot].name);
        if (c->dims[3] % lb_packed_bytes(packed))
            return lb_op_bad(a, slot, packed == LB_PACKED_Q8_0 ? "rows of blocks of 34 bytes" : "rows of blocks of"
                                                                                                " 18 bytes");
    }
    return p ? lb_op_want(a, pages, LB_I32, 2, "i32[B, M], dense") : LB_OK;
}

lb_status lb_op_cache_row(const lb_tensor *cache, int packed, const void *row, int64_t n, double *out) {
    if (cache->dtype != LB_U8) {
        lb_convert_load_f64(cache->dtype, row, 1, n, out);
        return LB_OK;
    }
    const lb_quantizer *q;
    float block[32];
    lb_status s = lb_quantizer_find(packed == LB_PACKED_Q8_0 ? "q8_0" : "q4_0", &q);
    for (int64_t i = 0; i < n && !s; i += 32) {
        q->dequantize(q, (const char *)row + i / 32 * lb_packed_bytes(packed), 1, 32, 0, 1, block);
        for (int64_t j = 0; j < 32 && i + j < n; j++) out[i + j] = (double)block[j];
    }
    return s;
}

void lb_op_swiglu_clamped_f64(const double *gate, const double *up, int64_t n, double alpha, double limit,
                              double *out) {
    for (int64_t i = 0; i < n; i++) {
        double g = gate[i] > limit ? limit : gate[i];
        double u = up[i] > limit ? limit : up[i] < -limit ? -limit : up[i];
        out[i] = (u + 1) * g / (1 + exp(-alpha * g));
    }
}

void lb_op_rms_norm_f64(const float *x, const float *weight, int64_t k, double eps, double *out) {
    double sum = 0;
    for (int64_t i = 0; i < k; i++) sum += (double)x[i] * (double)x[i];
    double scale = 1 / sqrt(sum / (double)k + eps);
    for (int64_t i = 0; i < k; i++) out[i] = (double)x[i] * scale * (weight ? (double)weight[i] : 1);
}

const char *const lb_op_packings[] = { "none", "q8_0", "q4_0", NULL };
