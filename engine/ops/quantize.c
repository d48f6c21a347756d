/* quantize.c: a matrix of weights into the bytes of a weight format: what quantizing costs, on each device. */
#include <stdlib.h>

#include "../quantizer.h"
#include "op_common.h"
#include "recipes.h"

static const char *const recipes[] = { LB_QUANTIZE_RECIPES, NULL };

static lb_status find(const lb_args *a, const lb_quantizer **q) {
    return lb_quantizer_find(recipes[(int)a->p[LB_QUANTIZE_P_TO]], q);
}

static lb_status check_x(const lb_args *a, const lb_quantizer **q) {
    lb_status s = lb_op_want(a, LB_QUANTIZE_X, LB_F32, 2, "f32[N, K]");
    if (s || (s = find(a, q))) return s;
    int64_t k = lb_arg(a, LB_QUANTIZE_X)->dims[1];
    if (k % (*q)->k_multiple == 0) return LB_OK;
    return lb_fail(LB_EINVAL, "quantize: %s needs K to be a multiple of %lld, and x has %lld columns", (*q)->name,
                   (long long)(*q)->k_multiple, (long long)k);
}

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    const lb_quantizer *q;
    lb_status s = check_x(a, &q);
    (void)slot;
    if (s) return s;
    const lb_tensor *x = lb_arg(a, LB_QUANTIZE_X);
    *dtype = LB_U8;
    *rank = 1;
    dims[0] = (int64_t)q->size_bytes(q, x->dims[0], x->dims[1]);
    return LB_OK;
}

static lb_status check(const lb_args *a) {
    const lb_quantizer *q;
    lb_status s = check_x(a, &q);
    if (s) return s;
    const lb_tensor *x = lb_arg(a, LB_QUANTIZE_X);
    return lb_op_want_vector(a, LB_QUANTIZE_OUT, LB_U8, (int64_t)q->size_bytes(q, x->dims[0], x->dims[1]),
                             "u8 [bytes of the recipe]");
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    *w = (lb_work){ .bytes = lb_op_bytes(lb_arg(a, LB_QUANTIZE_X)) + lb_op_bytes(lb_arg(a, LB_QUANTIZE_OUT)),
                    .items = (double)lb_tensor_numel(lb_arg(a, LB_QUANTIZE_X)), .item = "weight" };
}

/* The quantizer itself, twice, over zeros and over ones: bytes that come out unlike are none of its own. */
static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_tensor *x = lb_arg(in->args, LB_QUANTIZE_X);
    int64_t n = lb_tensor_numel(lb_arg(in->args, LB_QUANTIZE_OUT));
    const lb_quantizer *q = NULL;
    unsigned char *bytes[2] = { aligned_alloc(64, ((size_t)n + 127) / 64 * 64),
                                aligned_alloc(64, ((size_t)n + 127) / 64 * 64) };
    *count = 0;
    lb_status s = bytes[0] && bytes[1] ? find(in->args, &q)
        : lb_fail(LB_ENOMEM, "quantize: no memory for the reference");
    for (int i = 0; i < 2 && !s; i++) {
        memset(bytes[i], i ? 0xff : 0, (size_t)n);
        lb_quantizer_prepare(q, lb_tensor_f32(x), x->dims[0], x->dims[1], bytes[i]);
        q->quantize(q, lb_tensor_f32(x), x->dims[0], x->dims[1], 0, x->dims[0], bytes[i]);
    }
    if (!s) s = lb_op_expect(out, count, "out", LB_QUANTIZE_OUT, n, true);
    for (int64_t i = 0; i < n && !s; i++) out[0].values[i] = bytes[0][i], out[0].mask[i] = bytes[0][i] == bytes[1][i];
    if (!s) out[0].exact = true;
    free(bytes[0]);
    free(bytes[1]);
    return s;
}

static const lb_param_choices choices[] = { { "to", recipes }, { .param = NULL } };
static const lb_operand_spec operands[] = {
    { "x", LB_READ, false, false, "[N, K] f32" },
    { "out", LB_WRITE, true, false, "[bytes] u8, as the recipe's quantizer lays them" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "to", true, 0, "the recipe" },
    { .name = NULL },
};

const lb_op lb_op_quantize = {
    .name = "quantize",
    .about = "out = the bytes of x in a weight format whose rows do not depend on one another",
    .operands = operands,
    .params = params,
    .choices = choices,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
