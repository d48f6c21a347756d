/* embedding.c: out[t] = scale * table[ids[t]], from a table of any float type or weight format. */
#include <math.h>
#include <stdlib.h>

#include "op_common.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)slot;
    if (lb_arg(a, LB_EMBEDDING_TABLE)->rank != 2) return lb_op_bad(a, LB_EMBEDDING_TABLE, "a table [V, K]");
    *dtype = LB_F32;
    *rank = 2;
    dims[0] = lb_tensor_numel(lb_arg(a, LB_EMBEDDING_IDS));
    dims[1] = lb_arg(a, LB_EMBEDDING_TABLE)->dims[1];
    return LB_OK;
}

static lb_status check(const lb_args *a) {
    int64_t v = -1, k = -1;
    lb_status s = lb_op_want_weights(a, LB_EMBEDDING_TABLE, &v, &k);
    if (s) return s;
    if ((s = lb_op_want(a, LB_EMBEDDING_IDS, LB_I32, 1, "i32[T]"))) return s;
    if ((s = lb_op_want(a, LB_EMBEDDING_OUT, LB_F32, 2, "f32[T, K]"))) return s;
    const lb_tensor *out = lb_arg(a, LB_EMBEDDING_OUT);
    if (out->dims[0] != lb_arg(a, LB_EMBEDDING_IDS)->dims[0] || out->dims[1] != k)
        return lb_op_bad(a, LB_EMBEDDING_OUT, "f32[T, K]");
    return isfinite(a->p[LB_EMBEDDING_P_SCALE]) ? LB_OK : lb_fail(LB_EINVAL, "embedding: 'scale' must be finite");
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    const lb_tensor *table = lb_arg(a, LB_EMBEDDING_TABLE);
    double t = (double)lb_arg(a, LB_EMBEDDING_IDS)->dims[0], v = (double)table->dims[0];
    *w = (lb_work){ .bytes = (v > 0 ? lb_op_bytes(table) / v * t : 0) + 4 * t +
                            lb_op_bytes(lb_arg(a, LB_EMBEDDING_OUT)),
                    .items = t, .item = "token" };
}

/* A few rows of a large table are no weights to rotate: nothing is touched as a whole. */
static void touch(const lb_args *a, int32_t pick, lb_touch_fn fn, void *ctx) { (void)a, (void)pick, (void)fn,
                                                                      (void)ctx; }

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    const lb_tensor *table = lb_arg(a, LB_EMBEDDING_TABLE);
    int64_t tokens = lb_arg(a, LB_EMBEDDING_IDS)->dims[0], v = table->dims[0], k = table->dims[1];
    *count = 0;
    lb_status s = lb_op_expect(out, count, "out", LB_EMBEDDING_OUT, tokens * k, false);
    for (int64_t t = 0; !s && t < tokens; t++) {
        int64_t id = lb_op_i32(a, LB_EMBEDDING_IDS)[t];
        double *row = out[0].values + t * k;
        if (id >= 0 && id < v) s = lb_tensor_read_f64(table, id * k, k, row);
        for (int64_t i = 0; i < k; i++)
            row[i] = id >= 0 && id < v ? row[i] * (double)(float)a->p[LB_EMBEDDING_P_SCALE] : NAN;
    }
    return s;
}

static const lb_operand_spec operands[] = {
    { "ids", LB_READ, false, false, "[T] i32" },
    { "table", LB_WEIGHT, false, false, "[V, K] of any float type or quantizer" },
    { "out", LB_WRITE, true, false, "[T, K] f32" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "scale", false, 1, "factor on the rows" },
    { .name = NULL },
};

const lb_op lb_op_embedding = {
    .name = "embedding",
    .about = "out[t] = scale * table[ids[t]]",
    .operands = operands,
    .params = params,
    .touch = touch,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
