/* sample.c: the next token of each sequence from its logits. */
#include <math.h>
#include <stdlib.h>

#include "../rng.h"
#include "op_common.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    if (slot != LB_SAMPLE_IDS) return lb_op_bad(a, slot, "i32[B], draws so far");
    *dtype = LB_I32;
    *rank = 1;
    dims[0] = lb_arg(a, LB_SAMPLE_LOGITS)->rank ? lb_arg(a, LB_SAMPLE_LOGITS)->dims[0] : 0;
    return LB_OK;
}

static lb_status check(const lb_args *a) {
    lb_status s = lb_op_want_rows(a, LB_SAMPLE_LOGITS, -1, "f32[B, V]");
    if (s) return s;
    const lb_tensor *x = lb_arg(a, LB_SAMPLE_LOGITS);
    if (x->rank != 2 || x->dims[1] < 1) return lb_op_bad(a, LB_SAMPLE_LOGITS, "f32[B, V], V >= 1");
    if (x->dims[1] > INT32_MAX) return lb_op_bad(a, LB_SAMPLE_LOGITS, "fewer than 2^31 tokens, which i32 numbers");
    if ((s = lb_op_want_vector(a, LB_SAMPLE_IDS, LB_I32, x->dims[0], "i32[B]"))) return s;
    if (lb_arg(a, LB_SAMPLE_STATE) && (s = lb_op_want_vector(a, LB_SAMPLE_STATE, LB_I32, x->dims[0], "i32[B]")))
        return s;
    double t = a->p[LB_SAMPLE_P_TEMPERATURE], p = a->p[LB_SAMPLE_P_TOP_P], m = a->p[LB_SAMPLE_P_MIN_P];
    if (!isfinite(t) || t < 0)
        return lb_fail(LB_EINVAL, "sample: temperature must be finite and not negative, got %g", t);
    if (t > 0 && !lb_arg(a, LB_SAMPLE_STATE))
        return lb_fail(LB_EINVAL, "sample: drawing needs 'state', i32[B], the draws so far; temperature = 0 does not");
    if (!(p > 0 && p <= 1)) return lb_fail(LB_EINVAL, "sample: top_p must be above 0 and at most 1, got %g", p);
    if (!(m >= 0 && m <= 1)) return lb_fail(LB_EINVAL, "sample: min_p must be 0 to 1, got %g", m);
    if ((s = lb_op_want_integer(a, LB_SAMPLE_P_TOP_K, 0, INT32_MAX))) return s;
    return lb_op_want_integer(a, LB_SAMPLE_P_SEED, 0, (int64_t)1 << 53);
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    const lb_tensor *x = lb_arg(a, LB_SAMPLE_LOGITS);
    double n = (double)lb_tensor_numel(x);
    *w = (lb_work){ .flops = n, .bytes = 4 * n + 4 * (double)x->dims[0], .items = (double)x->dims[0], .item = "token" };
}

typedef struct token { double x, w; int64_t id; } token;

static int better(const void *l, const void *r) {
    const token *a = l, *b = r;
    if (a->x != b->x) return a->x > b->x ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}
static int lower_id(const void *l, const void *r) {
    const token *a = l, *b = r;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* How many of the sorted tokens are kept; *clear false where f32 arithmetic could find another number. */
static int64_t keep(const lb_args *a, const token *t, int64_t n, bool *clear) {
    double top_p = a->p[LB_SAMPLE_P_TOP_P], min_p = a->p[LB_SAMPLE_P_MIN_P], sum = 0, mass = 0;
    double top_k = a->p[LB_SAMPLE_P_TOP_K];
    int64_t k = top_k > 0 && top_k < (double)n ? (int64_t)top_k : n, kept = 0;
    for (int64_t i = 0; i < k; i++) sum += t[i].w;
    while (kept < k && (kept == 0 || top_p >= 1 || mass < top_p * sum)) mass += t[kept++].w;
    double without = kept ? mass - t[kept - 1].w : 0;
    if (top_p < 1 && (fabs(mass - top_p * sum) <= 1e-5 * sum || fabs(without - top_p * sum) <= 1e-5 * sum))
        *clear = false;
    while (kept > 1 && t[kept - 1].w < min_p) kept--;
    for (int64_t i = kept - 1; min_p > 0 && i <= kept && i < k; i++)
        if (fabs(t[i].w - min_p) <= 1e-5 * min_p) *clear = false;
    return kept;
}

/* The token of one row in f64; *clear says whether rounding could have decided otherwise. */
static int64_t draw(const lb_args *a, const float *logits, int64_t v, int64_t b, int32_t count, token *t, bool *clear) {
    double temperature = a->p[LB_SAMPLE_P_TEMPERATURE], sum = 0, at = 0;
    for (int64_t i = 0; i < v; i++) t[i] = (token){ .x = isnan(logits[i]) ? -INFINITY : (double)logits[i], .id = i };
    qsort(t, (size_t)v, sizeof *t, better);
    *clear = true;
    if (temperature == 0 || !isfinite(t[0].x)) return t[0].id;
    for (int64_t i = 0; i < v; i++) t[i].w = exp((t[i].x - t[0].x) / temperature);
    int64_t kept = keep(a, t, v, clear);
    qsort(t, (size_t)kept, sizeof *t, lower_id);
    for (int64_t i = 0; i < kept; i++) sum += t[i].w;
    double u = (double)(lb_rng_u64((uint64_t)a->p[LB_SAMPLE_P_SEED],
                                   (uint64_t)b << 32 | (uint32_t)count) >> 11) * 0x1p-53 * sum;
    for (int64_t i = 0; i < kept; i++) {
        at += t[i].w;
        if (fabs(u - at) <= 1e-5 * sum && i + 1 < kept) *clear = false;
        if (u < at) return t[i].id;
    }
    return t[kept - 1].id;
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    const lb_tensor *x = lb_arg(a, LB_SAMPLE_LOGITS), *before = in->before[LB_SAMPLE_STATE];
    int64_t rows = x->dims[0], v = x->dims[1];
    token *t = malloc((size_t)v * sizeof *t);
    *count = 0;
    lb_status s = t ? LB_OK : lb_fail(LB_ENOMEM, "sample: no memory for %lld tokens", (long long)v);
    if (!s) s = lb_op_expect(out, count, "ids", LB_SAMPLE_IDS, rows, true);
    if (!s && before) s = lb_op_expect(out, count, "state", LB_SAMPLE_STATE, rows, false);
    for (int64_t b = 0; b < rows && !s; b++) {
        const int32_t *counts = before ? lb_tensor_data(before) : NULL;
        bool clear, draws = a->p[LB_SAMPLE_P_TEMPERATURE] > 0;
        out[0].values[b] = (double)draw(a, lb_row_f32(x, b), v, b, counts ? counts[b] : 0, t, &clear);
        out[0].mask[b] = clear;
        if (counts) out[1].values[b] = (double)(int32_t)((uint32_t)counts[b] + (uint32_t)draws);
    }
    if (!s) out[0].exact = true;
    if (!s && before) out[1].exact = true;
    free(t);
    return s;
}

static const lb_operand_spec operands[] = {
    { "logits", LB_READ, false, false, "[B, V] f32" },
    { "state", LB_UPDATE, true, false, "[B] i32, draws so far; counted on. Needed unless temperature is 0" },
    { "ids", LB_WRITE, true, false, "[B] i32" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "temperature", false, 1, "divides the logits; 0 takes the largest" },
    { "top_k", false, 0, "only the k largest; 0 = all" },
    { "top_p", false, 1, "of these the fewest with this share" },
    { "min_p", false, 0, "of these none below this part of the largest" },
    { "seed", false, 0, "of the random numbers" },
    { .name = NULL },
};

const lb_op lb_op_sample = {
    .name = "sample",
    .about = "ids[b] is drawn from softmax(logits[b] / temperature), cut by top_k, top_p and min_p",
    .operands = operands,
    .params = params,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
