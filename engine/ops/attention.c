/* attention.c: softmax(scale q k^T) v over cached positions: causal, windowed, grouped heads, sinks, ragged batches. */
#include <math.h>
#include <stdlib.h>

#include "../check.h"
#include "../kernel.h"
#include "op_common.h"

/* Without v the values are the first value_dim of k's rows. */
static int64_t value_dim(const lb_args *a) {
    const lb_tensor *v = lb_arg(a, LB_ATTENTION_V);
    if (!v) return (int64_t)a->p[LB_ATTENTION_P_VALUE_DIM];
    return lb_kv_of(v, NULL, (int)a->p[LB_ATTENTION_P_PACKED]).dim;
}

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    const lb_tensor *q = lb_arg(a, LB_ATTENTION_Q), *v = lb_arg(a, LB_ATTENTION_V);
    (void)slot;
    if (q->rank != 3) return lb_op_bad(a, LB_ATTENTION_Q, "f32[T, H, D]");
    if (v && v->rank != 4) return lb_op_bad(a, LB_ATTENTION_V, "a cache [B, G, S, V]");
    *dtype = LB_F32;
    *rank = 3;
    dims[0] = q->dims[0];
    dims[1] = q->dims[1];
    dims[2] = value_dim(a);
    return LB_OK;
}

static int64_t sequences_of(const lb_args *a) {
    const lb_tensor *pages = lb_arg(a, LB_ATTENTION_PAGES);
    return pages ? pages->dims[0] : lb_arg(a, LB_ATTENTION_K)->dims[0];
}

static lb_status check_params(const lb_args *a) {
    lb_status s;
    double scale = a->p[LB_ATTENTION_P_SCALE];
    if ((s = lb_op_want_integer(a, LB_ATTENTION_P_CAUSAL, 0, 1))) return s;
    if ((s = lb_op_want_integer(a, LB_ATTENTION_P_WINDOW, 0, 1 << 30))) return s;
    if ((s = lb_op_want_integer(a, LB_ATTENTION_P_VALUE_DIM, 0, 1 << 20))) return s;
    if (!isfinite(scale) || scale < 0)
        return lb_fail(LB_EINVAL, "attention: parameter 'scale' must be finite and not negative (0 = 1 / sqrt(D))");
    bool has_v = lb_arg(a, LB_ATTENTION_V) != NULL, has_dim = a->p[LB_ATTENTION_P_VALUE_DIM] > 0;
    if (has_v == has_dim)
        return lb_fail(LB_EINVAL, "attention: give either 'v', or 'value_dim' to take the values from k's rows");
    return LB_OK;
}

static lb_status check_values(const lb_args *a, const lb_kv *k) {
    int packed = (int)a->p[LB_ATTENTION_P_PACKED];
    const lb_tensor *tk = lb_arg(a, LB_ATTENTION_K), *tv = lb_arg(a, LB_ATTENTION_V);
    if (!tv) {
        bool whole = tk->dtype != LB_U8 || value_dim(a) % 32 == 0;
        return value_dim(a) <= k->dim && whole ? LB_OK
               : lb_fail(LB_EINVAL, "attention: value_dim must be at most D, and a multiple of 32 in a packed cache");
    }
    lb_status s = lb_op_want_cache(a, LB_ATTENTION_V, LB_ATTENTION_PAGES, packed);
    if (s) return s;
    for (int i = 0; i < 3; i++)
        if (tv->dims[i] != tk->dims[i]) return lb_op_bad(a, LB_ATTENTION_V, "a cache [B, G, S, V] like 'k'");
    return LB_OK;
}

static lb_status check(const lb_args *a) {
    int packed = (int)a->p[LB_ATTENTION_P_PACKED];
    lb_status s = lb_op_want_rows(a, LB_ATTENTION_Q, -1, "f32[T, H, D]");
    if (s || (s = check_params(a))) return s;
    const lb_tensor *q = lb_arg(a, LB_ATTENTION_Q);
    if (q->rank != 3) return lb_op_bad(a, LB_ATTENTION_Q, "f32[T, H, D]");
    if ((s = lb_op_want_cache(a, LB_ATTENTION_K, LB_ATTENTION_PAGES, packed))) return s;
    lb_kv k = lb_kv_of(lb_arg(a, LB_ATTENTION_K), lb_arg(a, LB_ATTENTION_PAGES), packed);
    if (k.dim != q->dims[2]) return lb_op_bad(a, LB_ATTENTION_K, "a cache [B, G, S, D] with the D of 'q'");
    if (k.heads < 1 || q->dims[1] % k.heads)
        return lb_op_bad(a, LB_ATTENTION_K, "a cache [B, G, S, D] where G divides the heads of 'q'");
    if ((s = check_values(a, &k))) return s;
    if ((s = lb_op_want_batch(a, LB_ATTENTION_LENGTHS, LB_ATTENTION_STARTS, q->dims[0], sequences_of(a)))) return s;
    if (lb_arg(a, LB_ATTENTION_SINKS) &&
        (s = lb_op_want_vector(a, LB_ATTENTION_SINKS, LB_F32, q->dims[1], "f32[H]"))) return s;
    if ((s = lb_op_want(a, LB_ATTENTION_OUT, LB_F32, 3, "f32[T, H, V]"))) return s;
    const lb_tensor *o = lb_arg(a, LB_ATTENTION_OUT);
    bool fits = o->dims[0] == q->dims[0] && o->dims[1] == q->dims[1] && o->dims[2] == value_dim(a);
    return fits ? LB_OK : lb_op_bad(a, LB_ATTENTION_OUT, "f32[T, H, V]");
}

typedef struct setup {
    lb_kv k, v;
    lb_batch batch;
    int64_t heads, group, dim, values;
    double scale;
    int packed;
} setup;

static setup setup_of(const lb_args *a) {
    const lb_tensor *q = lb_arg(a, LB_ATTENTION_Q), *v = lb_arg(a, LB_ATTENTION_V);
    setup s = { .heads = q->dims[1], .dim = q->dims[2], .values = value_dim(a),
                .packed = (int)a->p[LB_ATTENTION_P_PACKED] };
    s.k = lb_kv_of(lb_arg(a, LB_ATTENTION_K), lb_arg(a, LB_ATTENTION_PAGES), s.packed);
    s.v = lb_kv_of(v ? v : lb_arg(a, LB_ATTENTION_K), lb_arg(a, LB_ATTENTION_PAGES), s.packed);
    s.batch = lb_batch_of(q->dims[0], sequences_of(a), lb_arg(a, LB_ATTENTION_STARTS), lb_arg(a, LB_ATTENTION_LENGTHS));
    s.group = s.heads / s.k.heads;
    s.scale = a->p[LB_ATTENTION_P_SCALE] > 0 ? a->p[LB_ATTENTION_P_SCALE] : 1 / sqrt((double)s.dim);
    return s;
}

static int64_t raw_length(const setup *s, int64_t b) { return s->batch.lengths ? s->batch.lengths[b] : s->k.capacity; }

/* Operations of the pairs that are seen; each cache row that any row sees, once. */
static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    setup s = setup_of(a);
    const lb_tensor *k = lb_arg(a, LB_ATTENTION_K), *v = lb_arg(a, LB_ATTENTION_V);
    double pairs = 0, positions = 0, rows = 0;
    for (int64_t b = 0; b < s.batch.sequences; b++) {
        int64_t begin, end, least = INT64_MAX, most = 0, length = lb_kv_length(&s.k, b, raw_length(&s, b));
        lb_batch_rows(&s.batch, b, &begin, &end);
        for (int64_t r = begin; r < end; r++) {
            int64_t lo, hi;
            lb_attention_span(a, raw_length(&s, b) - (end - r), length, &lo, &hi);
            pairs += (double)(hi - lo);
            if (hi > lo && lo < least) least = lo;
            if (hi > most) most = hi;
        }
        rows += (double)(end - begin);
        if (most > least) positions += (double)(most - least);
    }
    double row_bytes = (double)(k->dims[3] * (int64_t)lb_dtype_size(k->dtype));
    if (v) row_bytes += (double)(v->dims[3] * (int64_t)lb_dtype_size(v->dtype));
    w->flops = 2 * pairs * (double)(s.heads * (s.dim + s.values));
    w->bytes = positions * (double)s.k.heads * row_bytes + 4 * rows * (double)(s.heads * (s.dim + s.values));
    w->items = rows;
    w->item = "token";
}

/* ---- oracle: every score of a head, in f64 ---- */

typedef struct head {
    lb_tensor *k, *vt;           /* f64 [n, D], and values transposed [V, n] */
    double *q, *p, *o;           /* [rows, D], [rows, n], [rows, V] */
} head;

static void head_done(head *h) {
    if (h->k) lb_tensor_release(h->k);
    if (h->vt) lb_tensor_release(h->vt);
    free(h->q), free(h->p), free(h->o);
}

static lb_status head_new(head *h, const setup *s, int64_t rows, int64_t n) {
    lb_device *d = NULL;
    *h = (head){ 0 };
    lb_status st = lb_device_open("cpu", 0, &d);
    if (!st) st = lb_tensor_new(d, LB_F64, NULL, 2, (int64_t[]){ n, s->dim }, &h->k);
    if (!st) st = lb_tensor_new(d, LB_F64, NULL, 2, (int64_t[]){ s->values, n }, &h->vt);
    if (d) lb_device_release(d);
    if (st) return st;
    h->q = malloc((size_t)(rows * s->dim + 1) * sizeof *h->q);
    h->p = malloc((size_t)(rows * n + 1) * sizeof *h->p);
    h->o = malloc((size_t)(rows * s->values + 1) * sizeof *h->o);
    return h->q && h->p && h->o ? LB_OK : lb_fail(LB_ENOMEM, "attention: no memory for %lld x %lld scores",
                                                  (long long)rows, (long long)n);
}

static lb_status read_head(const lb_args *a, const setup *s, int64_t b, int64_t g, int64_t n, head *h) {
    const lb_tensor *tk = lb_arg(a, LB_ATTENTION_K), *tv = lb_arg(a, LB_ATTENTION_V);
    double *k = lb_tensor_data(h->k), *vt = lb_tensor_data(h->vt), *row = malloc((size_t)(s->values + 1) * sizeof *row);
    lb_status st = row ? LB_OK : lb_fail(LB_ENOMEM, "attention: no memory for a row");
    for (int64_t i = 0; i < n && !st; i++) {
        st = lb_op_cache_row(tk, s->packed, lb_kv_row(&s->k, b, g, i), s->dim, k + i * s->dim);
        if (!st) st = lb_op_cache_row(tv ? tv : tk, s->packed, lb_kv_row(&s->v, b, g, i), s->values, row);
        for (int64_t j = 0; j < s->values && !st; j++) vt[j * n + i] = row[j];
    }
    free(row);
    return st;
}

/* Scores [lo, hi) become probabilities, the others 0. */
static void softmax_row(double *p, int64_t n, int64_t lo, int64_t hi, double scale, const float *sink) {
    double most = sink ? (double)*sink : -INFINITY, sum = 0;
    for (int64_t i = lo; i < hi; i++) most = fmax(most, p[i] *= scale);
    for (int64_t i = 0; i < n; i++) sum += p[i] = i >= lo && i < hi ? exp(p[i] - most) : 0;
    if (sink) sum += exp((double)*sink - most);
    for (int64_t i = lo; i < hi; i++) p[i] /= sum;
}

static lb_status expect_head(const lb_oracle_in *in, const setup *s, int64_t b, int64_t hq, int64_t n, head *h,
                             double *out) {
    const lb_args *a = in->args;
    const lb_tensor *sinks = lb_arg(a, LB_ATTENTION_SINKS), *q = lb_arg(a, LB_ATTENTION_Q);
    int64_t begin, end;
    lb_batch_rows(&s->batch, b, &begin, &end);
    for (int64_t r = begin; r < end; r++)
        lb_act_values_row(in->kernel->act, lb_row_f32(q, r * s->heads + hq), s->dim, h->q + (r - begin) * s->dim);
    lb_status st = lb_oracle_matmul(h->q, end - begin, h->k, n, s->dim, h->p);
    for (int64_t r = begin; r < end && !st; r++) {
        int64_t lo, hi;
        lb_attention_span(a, raw_length(s, b) - (end - r), n, &lo, &hi);
        softmax_row(h->p + (r - begin) * n, n, lo, hi, s->scale, sinks ? lb_tensor_f32(sinks) + hq : NULL);
    }
    if (!st) st = lb_oracle_matmul(h->p, end - begin, h->vt, s->values, n, h->o);
    for (int64_t r = begin; r < end && !st; r++)
        memcpy(out + (r * s->heads + hq) * s->values, h->o + (r - begin) * s->values, (size_t)s->values * sizeof *out);
    return st;
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    setup s = setup_of(a);
    *count = 0;
    lb_status st = lb_op_expect(out, count, "out", LB_ATTENTION_OUT, lb_tensor_numel(lb_arg(a, LB_ATTENTION_OUT)),
                                false);
    for (int64_t b = 0; b < s.batch.sequences && !st; b++) {
        int64_t begin, end, n = lb_kv_length(&s.k, b, raw_length(&s, b));
        lb_batch_rows(&s.batch, b, &begin, &end);
        if (end == begin || n == 0 || s.values == 0) continue;   /* rows that see nothing stay 0 */
        head h;
        st = head_new(&h, &s, end - begin, n);
        for (int64_t g = 0; g < s.k.heads && !st; g++) {
            st = read_head(a, &s, b, g, n, &h);
            for (int64_t i = 0; i < s.group && !st; i++)
                st = expect_head(in, &s, b, g * s.group + i, n, &h, out[0].values);
        }
        head_done(&h);
    }
    return st;
}

static const lb_param_choices choices[] = { { "packed", lb_op_packings }, { .param = NULL } };
static const lb_operand_spec operands[] = {
    { "q", LB_READ, false, false, "[T, H, D] f32 (any strides)" },
    { "k", LB_READ, false, false, "cache [B, G, S, D], G divides H; f32, f16, bf16, f8e4m3 or u8; any layout by"
                                  " strides" },
    { "v", LB_READ, true, false, "cache [B, G, S, V]; without it the first value_dim values of k's rows (MLA,"
                                 " absorbed)" },
    { "lengths", LB_READ, true, false, "[B] i32, positions of each sequence with these rows; without it S" },
    { "starts", LB_READ, true, false, "[B+1] i32, first row of each sequence (ragged batches)" },
    { "pages", LB_READ, true, false, "[B, M] i32, pages of each sequence; the caches are then [P, G, page, D]" },
    { "sinks", LB_READ, true, false, "[H] f32, logits that only enter the sum (gpt-oss)" },
    { "out", LB_WRITE, true, false, "[T, H, V] f32" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "causal", false, 1, "a row sees positions up to its own" },
    { "scale", false, 0, "factor on the scores; 0 = 1 / sqrt(D)" },
    { "window", false, 0, "a row sees the last `window` positions; 0 = all" },
    { "value_dim", false, 0, "values in k's rows, without v" },
    { "packed", false, 0, "what the rows of u8 caches hold" },
    { .name = NULL },
};

const lb_op lb_op_attention = {
    .name = "attention",
    .about = "out[t, h] = sum over s of softmax(scale * q[t, h] . k[s, g]) * v[s, g], g = h / (H / G)",
    .operands = operands,
    .params = params,
    .choices = choices,
    .infer = infer,
    .check = check,
    .work = work,
    .oracle = oracle,
};
