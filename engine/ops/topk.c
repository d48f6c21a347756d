/* topk.c: the router: which experts a token goes to, and with what weights. */
#include <stdlib.h>

#include "op_common.h"
#include "topk.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    const lb_tensor *logits = lb_arg(a, LB_TOPK_LOGITS);
    if (logits->rank != 2) return lb_op_bad(a, LB_TOPK_LOGITS, "f32[T, E]");
    lb_status s = lb_op_want_integer(a, LB_TOPK_P_K, 1, logits->dims[1]);
    if (s) return s;
    *dtype = slot == LB_TOPK_IDS ? LB_I32 : LB_F32;
    *rank = 2;
    dims[0] = logits->dims[0];
    dims[1] = (int64_t)a->p[LB_TOPK_P_K];
    return LB_OK;
}

static lb_status check_groups(const lb_args *a, int64_t experts) {
    lb_status s;
    int64_t groups = (int64_t)a->p[LB_TOPK_P_GROUPS], sum = (int64_t)a->p[LB_TOPK_P_GROUP_SUM];
    if ((s = lb_op_want_integer(a, LB_TOPK_P_GROUPS, 1, experts))) return s;
    if ((s = lb_op_want_integer(a, LB_TOPK_P_TOP_GROUPS, 1, groups))) return s;
    if ((s = lb_op_want_integer(a, LB_TOPK_P_GROUP_SUM, 1, 2))) return s;
    if (experts % groups)
        return lb_fail(LB_EINVAL, "topk: %lld groups do not divide %lld experts", (long long)groups,
                       (long long)experts);
    if (groups == 1) return LB_OK;
    int64_t each = experts / groups, open = each * (int64_t)a->p[LB_TOPK_P_TOP_GROUPS];
    if (a->p[LB_TOPK_P_K] > (double)open)
        return lb_fail(LB_EINVAL, "topk: parameter 'k' is %g, and 'top_groups' leaves %lld experts", a->p[LB_TOPK_P_K],
                       (long long)open);
    if (sum > 1 && (a->p[LB_TOPK_P_SIGMOID] == 0 || each < 2))
        return lb_fail(LB_EINVAL, "topk: parameter 'group_sum' 2 takes sigmoid scores, and two experts a group");
    return LB_OK;
}

static lb_status check(const lb_args *a) {
    lb_status s;
    if ((s = lb_op_want(a, LB_TOPK_LOGITS, LB_F32, 2, "f32[T, E]"))) return s;
    const lb_tensor *logits = lb_arg(a, LB_TOPK_LOGITS), *bias = lb_arg(a, LB_TOPK_BIAS);
    if (logits->dims[1] > INT32_MAX) return lb_op_bad(a, LB_TOPK_LOGITS, "fewer than 2^31 experts, which i32 numbers");
    if ((s = lb_op_want_integer(a, LB_TOPK_P_K, 1, logits->dims[1]))) return s;
    if ((s = lb_op_want_integer(a, LB_TOPK_P_SIGMOID, 0, 1))) return s;
    if ((s = lb_op_want_integer(a, LB_TOPK_P_RENORMALIZE, 0, 1))) return s;
    if (!isfinite(a->p[LB_TOPK_P_SCALE])) return lb_fail(LB_EINVAL, "topk: parameter 'scale' must be finite");
    if ((s = check_groups(a, logits->dims[1]))) return s;
    if (bias && (s = lb_op_want(a, LB_TOPK_BIAS, LB_F32, 1, "f32[E]"))) return s;
    if (bias && bias->dims[0] != logits->dims[1]) return lb_op_bad(a, LB_TOPK_BIAS, "f32[E]");
    for (int slot = LB_TOPK_IDS; slot <= LB_TOPK_WEIGHTS; slot++) {
        lb_dtype t = slot == LB_TOPK_IDS ? LB_I32 : LB_F32;
        if ((s = lb_op_want(a, slot, t, 2, "[T, k]"))) return s;
        const lb_tensor *o = lb_arg(a, slot);
        if (o->dims[0] != logits->dims[0] || (double)o->dims[1] != a->p[LB_TOPK_P_K])
            return lb_op_bad(a, slot, "[T, k]");
    }
    return LB_OK;
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    const lb_tensor *logits = lb_arg(a, LB_TOPK_LOGITS);
    w->flops = 2.0 * (double)lb_tensor_numel(logits);
    w->bytes = 0;
    for (int slot = LB_TOPK_LOGITS; slot <= LB_TOPK_WEIGHTS; slot++) w->bytes += lb_op_bytes(lb_arg(a, slot));
    w->items = (double)logits->dims[0];
    w->item = "token";
}

/* Probabilities and selection scores of one token, in f64. */
static void scores_of(const lb_args *a, const float *logits, int64_t experts, double *p, double *score) {
    const lb_tensor *bias = lb_arg(a, LB_TOPK_BIAS);
    bool sigmoid = a->p[LB_TOPK_P_SIGMOID] != 0;
    double max = -INFINITY, sum = 0;
    for (int64_t e = 0; e < experts; e++) max = fmax(max, logits[e]);
    for (int64_t e = 0; e < experts; e++) {
        double x = logits[e];
        p[e] = sigmoid ? 1.0 / (1.0 + exp(-x)) : exp(x - max);
        sum += p[e];
        score[e] = (sigmoid ? p[e] : x) + (bias ? (double)lb_tensor_f32(bias)[e] : 0.0);
    }
    for (int64_t e = 0; e < experts && !sigmoid; e++) p[e] /= sum;
}

/* Two scores that f32 arithmetic cannot tell apart. */
static bool near(double a, double b) { return fabs(a - b) <= 4e-6 * fmax(1.0, fabs(b)); }

/* Leaves the experts of the groups that are not selected without a score; false where that is too near a thing. */
static bool select_groups(const lb_args *a, double *score, int64_t experts, double *group) {
    int64_t groups = (int64_t)a->p[LB_TOPK_P_GROUPS], top = (int64_t)a->p[LB_TOPK_P_TOP_GROUPS];
    int64_t each = experts / (groups > 0 ? groups : 1);
    double worst = INFINITY, best = -INFINITY; /* of the selected; of the others */
    if (groups <= 1 || top >= groups) return true;
    for (int64_t g = 0; g < groups; g++) {
        double first = -INFINITY, second = -INFINITY;
        for (int64_t e = g * each; e < (g + 1) * each; e++) {
            second = fmax(second, fmin(first, score[e]));
            first = fmax(first, score[e]);
        }
        group[g] = a->p[LB_TOPK_P_GROUP_SUM] > 1 ? first + second : first;
    }
    for (int64_t g = 0; g < groups; g++) {
        int64_t before = 0;
        for (int64_t o = 0; o < groups; o++) before += group[o] > group[g] || (group[o] == group[g] && o < g);
        if (before < top) worst = fmin(worst, group[g]);
        else best = fmax(best, group[g]);
        for (int64_t e = g * each; e < (g + 1) * each && before >= top; e++) score[e] = NAN;
    }
    return !near(worst, best);
}

/* The token's slots; false where two scores that decide an order are closer than f32 arithmetic can tell. */
static bool select_row(const lb_args *a, double *p, double *score, int64_t experts, int64_t k, double *ids,
                       double *weights) {
    bool clear = true;
    double previous = INFINITY, sum = 0;
    for (int64_t s = 0; s <= k && s < experts; s++) {
        int64_t best = -1;
        for (int64_t e = 0; e < experts; e++)
            if (!isnan(score[e]) && (best < 0 || score[e] > score[best])) best = e;
        if (best < 0) return s == k && clear; /* none left, as where groups leave k */
        if (near(previous, score[best])) clear = false;
        previous = score[best];
        score[best] = NAN; /* taken */
        if (s == k) break; /* only its distance to the last selected matters */
        ids[s] = (double)best;
        weights[s] = p[best];
        sum += p[best];
    }
    for (int64_t s = 0; s < k; s++) {
        if (a->p[LB_TOPK_P_RENORMALIZE] != 0) weights[s] /= sum;
        weights[s] *= a->p[LB_TOPK_P_SCALE];
    }
    return clear;
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    const lb_tensor *logits = lb_arg(a, LB_TOPK_LOGITS);
    int64_t tokens = logits->dims[0], experts = logits->dims[1], k = (int64_t)a->p[LB_TOPK_P_K];
    double *p = malloc((size_t)experts * 3 * sizeof *p);
    *count = 0;
    lb_status s = p ? LB_OK : lb_fail(LB_ENOMEM, "topk: no memory for %lld scores", (long long)experts);
    if (!s) s = lb_op_expect(out, count, "ids", LB_TOPK_IDS, tokens * k, true);
    if (!s) s = lb_op_expect(out, count, "weights", LB_TOPK_WEIGHTS, tokens * k, true);
    for (int64_t t = 0; !s && t < tokens; t++) {
        scores_of(a, lb_tensor_f32(logits) + t * experts, experts, p, p + experts);
        bool clear = select_groups(a, p + experts, experts, p + 2 * experts);
        clear &= select_row(a, p, p + experts, experts, k, out[0].values + t * k, out[1].values + t * k);
        memset(out[0].mask + t * k, clear, (size_t)k);
        memset(out[1].mask + t * k, clear, (size_t)k);
    }
    if (!s) out[0].exact = true;
    free(p);
    return s;
}

static const lb_operand_spec operands[] = {
    { "logits", LB_READ, false, false, "[T, E] f32" },
    { "bias", LB_READ, true, false, "[E] f32, added to the selection score only" },
    { "ids", LB_WRITE, true, false, "[T, k] i32, experts from 0, best first" },
    { "weights", LB_WRITE, true, false, "[T, k] f32" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "k", true, 0, "experts per token" },
    { "sigmoid", false, 0, "1: sigmoid scores (GLM, DeepSeek-V3); 0: softmax" },
    { "renormalize", false, 1, "divide the selected weights by their sum" },
    { "scale", false, 1, "factor on the weights (routed scaling)" },
    { "groups", false, 1, "groups of neighbouring experts, of which some are selected first (DeepSeek)" },
    { "top_groups", false, 1, "groups that experts are selected from" },
    { "group_sum", false, 1, "a group's score: its best expert's (1), or the sum of its best two (2)" },
    { .name = NULL },
};

const lb_op lb_op_topk = {
    .name = "topk",
    .about = "router: the k best experts of each token and their weights (softmax or sigmoid)",
    .operands = operands,
    .params = params,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
