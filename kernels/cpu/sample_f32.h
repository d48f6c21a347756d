/* sample_f32.h: the sample kernels: exponentials of all logits, a histogram of their sizes that finds the few
 * candidates,
 * which alone are sorted. */
#include <stdlib.h>

#include "engine/rng.h"
#include "vec.h"

/* A weight's bucket: its exponent and three bits of its mantissa, so that buckets ascend with weights. Weights are at
 * most 1. */
enum { BUCKETS = (127 << 3) + 1 };
static inline uint32_t bucket_of(float w) { return lb_f32_bits(w) >> 20; }

typedef struct candidate { float x, w; int32_t id; } candidate;

static int better(const void *l, const void *r) {
    const candidate *a = l, *b = r;
    if (a->x != b->x) return a->x > b->x ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

typedef struct cut { int64_t top_k; double top_p; float min_p; } cut;

/* The lowest bucket that can hold a token that is kept. */
static uint32_t lowest_bucket(const float *w, int64_t v, const cut *c) {
    int32_t count[BUCKETS] = { 0 };
    double mass[BUCKETS] = { 0 }, all = 0, sum = 0;
    int64_t seen = 0;
    for (int64_t i = 0; i < v; i++) count[bucket_of(w[i])]++, mass[bucket_of(w[i])] += (double)w[i];
    for (int b = 0; b < BUCKETS; b++) all += mass[b];
    for (int b = BUCKETS - 1; b > 0; b--) {
        seen += count[b], sum += mass[b];
        if (c->top_k > 0 && seen >= c->top_k) return (uint32_t)b;
        if (c->top_k == 0 && c->top_p < 1 && sum >= c->top_p * all) return (uint32_t)b;
        if ((float)b < (float)bucket_of(c->min_p)) return (uint32_t)b;
    }
    return 0;
}

/* Weights of tokens that are not kept become 0. */
static void keep(const float *x, float *w, int64_t v, const cut *c, candidate *t) {
    uint32_t least = lowest_bucket(w, v, c);
    int64_t n = 0, kept = 0;
    double sum = 0, mass = 0;
    for (int64_t i = 0; i < v; i++)
        if (bucket_of(w[i]) >= least) t[n++] = (candidate){ x[i] == x[i] ? x[i] : -INFINITY, w[i], (int32_t)i };
    qsort(t, (size_t)n, sizeof *t, better);
    int64_t k = c->top_k > 0 && c->top_k < n ? c->top_k : n;
    if (c->top_k > 0 || c->top_p >= 1)
        for (int64_t i = 0; i < k; i++) sum += (double)t[i].w;
    else
        for (int64_t i = 0; i < v; i++) sum += (double)w[i]; /* of all tokens, kept or not */
    while (kept < k && (kept == 0 || c->top_p >= 1 || mass < c->top_p * sum)) mass += (double)t[kept++].w;
    while (kept > 1 && t[kept - 1].w < c->min_p) kept--;
    memset(w, 0, (size_t)v * sizeof *w);
    for (int64_t i = 0; i < kept; i++) w[t[i].id] = t[i].w;
}

static int32_t largest(const float *x, int64_t v) {
    float most = row_max(x, v);
    for (int64_t i = 0; i < v; i++)
        if (x[i] == most) return (int32_t)i;
    return 0;
}

static void weigh(const float *restrict x, int64_t v, float most, float inverse, float *restrict w) {
    for (int64_t i = 0; i < v; i++) {
        float e = vexp((x[i] - most) * inverse);
        w[i] = e > 0 ? e : 0; /* NaN weighs nothing */
    }
}

static int32_t draw(const lb_args *a, const float *x, int64_t v, uint64_t index, float *w, candidate *t) {
    float most = row_max(x, v);
    int32_t last = largest(x, v);
    cut c = { (int64_t)a->p[LB_SAMPLE_P_TOP_K], a->p[LB_SAMPLE_P_TOP_P], (float)a->p[LB_SAMPLE_P_MIN_P] };
    if (!isfinite(most)) return last;
    weigh(x, v, most, (float)(1 / a->p[LB_SAMPLE_P_TEMPERATURE]), w);
    if (c.top_k > 0 || c.top_p < 1) keep(x, w, v, &c, t);
    else
        for (int64_t i = 0; i < v; i++) w[i] = w[i] < c.min_p ? 0 : w[i];
    double sum = 0, at = 0;
    for (int64_t i = 0; i < v; i++) sum += (double)w[i];
    double u = (double)(lb_rng_u64((uint64_t)a->p[LB_SAMPLE_P_SEED], index) >> 11) * 0x1p-53 * sum;
    for (int64_t i = 0; i < v; i++) {
        if (w[i] == 0) continue;
        at += (double)w[i];
        last = (int32_t)i;
        if (u < at) break;
    }
    return last;
}

/* Of one part: weights and candidates. */
static size_t scratch_bytes(const lb_args *a) {
    size_t v = (size_t)lb_arg(a, LB_SAMPLE_LOGITS)->dims[1];
    return a->p[LB_SAMPLE_P_TEMPERATURE] > 0 ? (v * (sizeof(float) + sizeof(candidate)) + 127) / 64 * 64 : 0;
}
static size_t workspace_bytes(const lb_args *a, int parts) { return scratch_bytes(a) * (size_t)parts; }

static void launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_SAMPLE_LOGITS), *st = lb_arg(a, LB_SAMPLE_STATE);
    int32_t *ids = lb_tensor_data(lb_arg(a, LB_SAMPLE_IDS)), *state = st ? lb_tensor_data(st) : NULL;
    int64_t v = x->dims[1], begin, end;
    bool draws = a->p[LB_SAMPLE_P_TEMPERATURE] > 0;
    float *w = draws ? (float *)(void *)((char *)l->workspace + scratch_bytes(a) * (size_t)l->part) : NULL;
    my_rows(l, x->dims[0], &begin, &end);
    for (int64_t b = begin; b < end; b++) {
        const float *row = lb_row_f32(x, b);
        if (!draws) {
            ids[b] = largest(row, v);
            continue;
        }
        ids[b] = draw(a, row, v, (uint64_t)b << 32 | (uint32_t)state[b], w, (candidate *)(void *)(w + v));
        state[b] = (int32_t)((uint32_t)state[b] + 1);
    }
}

const lb_kernel KERNEL_SYMBOL(sample_f32) = {
    .name = "sample.f32." ISA_TEXT, .op = "sample", .device = "cpu",
    .about = "exponentials of all logits; a histogram of their sizes finds the candidates, which alone are sorted; rows"
             " split over the parts",
    .source = "luabench", .isa = ISA_BITS, .format = "f32", .act = LB_ACT_F32, .acc = LB_ACC_F64,
    .compute = LB_COMPUTE_F32, .tolerance = 1e-30, .tolerance_why = "ids, compared where f32 can tell",
    .priority = ISA_PRIORITY, .workspace_bytes = workspace_bytes, .launch = launch,
};
