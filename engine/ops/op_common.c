/* op_common.c: shape and dtype checks that the operations share. */
#include <stdio.h>

#include "op_common.h"

#include <stdlib.h>

#include "../device.h"
#include "../kernel.h"
#include "../quantizer.h"

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
