/* topk_f32.h: the topk kernels. */
#include "engine/ops/topk.h"
#include "exp_f32.h"
#include "vec.h"

typedef struct router {
    int64_t experts, k, groups, top_groups;
    const float *bias;       /* NULL = none */
    bool sigmoid, renormalize, two; /* two: a group counts as its best two */
    float scale;
} router;

/* What selection compares, one per expert. NaN never wins. */
static void score_row(const router *r, const float *restrict logits, float *restrict score) {
    int64_t n = r->experts;
    if (r->sigmoid)
        for (int64_t e = 0; e < n; e++) score[e] = sigmoid_f32(logits[e]);
    else
        for (int64_t e = 0; e < n; e++) score[e] = logits[e];
    if (r->bias)
        for (int64_t e = 0; e < n; e++) score[e] += r->bias[e];
    for (int64_t e = 0; e < n; e++) score[e] = score[e] == score[e] ? score[e] : -INFINITY;
}

/* Experts of groups that are not among the best never win. `group`: a float a group. */
static void leave_groups(const router *r, float *score, float *group) {
    int64_t each = r->experts / r->groups;
    for (int64_t g = 0; g < r->groups; g++) {
        float first = -INFINITY, second = -INFINITY;
        for (const float *s = score + g * each; s < score + (g + 1) * each; s++) {
            if (*s > first) second = first, first = *s;
            else if (*s > second) second = *s;
        }
        group[g] = r->two ? first + second : first;
    }
    for (int64_t g = 0; g < r->groups; g++) {
        int64_t before = 0;
        for (int64_t o = 0; o < r->groups; o++) before += group[o] > group[g] || (group[o] == group[g] && o < g);
        for (int64_t e = g * each; e < (g + 1) * each && before >= r->top_groups; e++) score[e] = -INFINITY;
    }
}

/* Insertion into a list that is kept sorted: falling scores, and on a tie the earlier expert stays in front. Few
 * experts beat the worst of the list, so that the loop is one compare for most. */
static void select_row(const router *r, const float *score, int32_t *ids) {
    int64_t have = 0;
    for (int64_t e = 0; e < r->experts; e++) {
        if (have == r->k && !(score[e] > score[ids[have - 1]])) continue;
        int64_t at = have < r->k ? have++ : have - 1;
        for (; at > 0 && score[e] > score[ids[at - 1]]; at--) ids[at] = ids[at - 1];
        ids[at] = (int32_t)e;
    }
}

/* e^(x - max) of the selected: their softmax among themselves. */
static float exp_selected(const router *r, const float *logits, const int32_t *ids, float *weights) {
    float max = -INFINITY, sum = 0;
    for (int64_t s = 0; s < r->k; s++) max = logits[ids[s]] > max ? logits[ids[s]] : max;
    for (int64_t s = 0; s < r->k; s++) sum += weights[s] = exp_f32(logits[ids[s]] - max);
    return sum;
}

/* Softmax over all experts, for weights that are not renormalised. */
static void softmax_weights(const router *r, const float *logits, const int32_t *ids, float *weights, float *scratch) {
    float max = -INFINITY, sum = 0;
    for (int64_t e = 0; e < r->experts; e++) max = logits[e] > max ? logits[e] : max;
    for (int64_t e = 0; e < r->experts; e++) scratch[e] = exp_f32(logits[e] - max);
    for (int64_t e = 0; e < r->experts; e++) sum += scratch[e];
    for (int64_t s = 0; s < r->k; s++) weights[s] = scratch[ids[s]] / sum * r->scale;
}

static void weigh_row(const router *r, const float *logits, const int32_t *ids, float *weights, float *scratch) {
    if (!r->sigmoid && !r->renormalize) {
        softmax_weights(r, logits, ids, weights, scratch);
        return;
    }
    float sum = 0;
    if (r->sigmoid)
        for (int64_t s = 0; s < r->k; s++) sum += weights[s] = sigmoid_f32(logits[ids[s]]);
    /* A softmax renormalised over the selected is the softmax of the selected. So is a sigmoid where all of them are
     * so small that f32 cannot hold them: sigmoid(x) approaches e^x. */
    if (r->renormalize && sum < 1e-30f) sum = exp_selected(r, logits, ids, weights);
    float factor = r->renormalize ? r->scale / sum : r->scale;
    for (int64_t s = 0; s < r->k; s++) weights[s] *= factor;
}

static size_t scratch_floats(const lb_args *a) {
    return ((size_t)lb_arg(a, LB_TOPK_LOGITS)->dims[1] + (size_t)a->p[LB_TOPK_P_GROUPS] + 15) / 16 * 16;
}

static size_t workspace_bytes(const lb_args *a, int parts) {
    return scratch_floats(a) * sizeof(float) * (size_t)parts;
}

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *logits = lb_arg(a, LB_TOPK_LOGITS), *bias = lb_arg(a, LB_TOPK_BIAS);
    const router r = { .experts = logits->dims[1], .k = (int64_t)a->p[LB_TOPK_P_K],
                       .bias = bias ? lb_tensor_f32(bias) : NULL, .sigmoid = a->p[LB_TOPK_P_SIGMOID] != 0,
                       .renormalize = a->p[LB_TOPK_P_RENORMALIZE] != 0, .scale = (float)a->p[LB_TOPK_P_SCALE],
                       .groups = (int64_t)a->p[LB_TOPK_P_GROUPS], .top_groups = (int64_t)a->p[LB_TOPK_P_TOP_GROUPS],
                       .two = a->p[LB_TOPK_P_GROUP_SUM] > 1 };
    int32_t *ids = lb_tensor_data(lb_arg(a, LB_TOPK_IDS));
    float *weights = lb_tensor_data(lb_arg(a, LB_TOPK_WEIGHTS));
    float *scratch = (float *)l->workspace + scratch_floats(a) * (size_t)l->part;
    int64_t begin, end;
    lb_split(logits->dims[0], 1, l->part, l->parts, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        const float *row = lb_tensor_f32(logits) + t * r.experts;
        score_row(&r, row, scratch);
        if (r.groups > 1 && r.top_groups < r.groups) leave_groups(&r, scratch, scratch + r.experts);
        select_row(&r, scratch, ids + t * r.k);
        weigh_row(&r, row, ids + t * r.k, weights + t * r.k, scratch);
    }
}

const lb_kernel KERNEL_SYMBOL(topk_f32) = {
    .name = "topk.f32." ISA_TEXT,
    .op = "topk",
    .device = "cpu",
    .about = "vectorised sigmoid where scores need it, insertion into a sorted list of k, weights of the selected "
             "only; tokens are split over the threads",
    .source = "luabench",
    .isa = ISA_BITS,
    .format = "f32",
    .act = LB_ACT_F32,
    .acc = LB_ACC_F32,
    .compute = LB_COMPUTE_F32,
    .tolerance = 1e-11,
    .tolerance_why = "f32 exponentials within 2e-7 and their sum, about 1e-13; ids are equal wherever f32 can "
                     "tell scores apart",
    .priority = ISA_PRIORITY,
    .workspace_bytes = workspace_bytes,
    .launch = launch,
};
