/* poison.c: garbage that a check must find if a kernel leaves it, and the difference between got and wanted. */
#include "check.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "poison.h"

/* Signalling NaNs for floats; integers far from any index, code or count. */
uint64_t lb_poison_bits(lb_dtype t) {
    switch (t) {
    case LB_F32: return 0x7fa5a5a5u;
    case LB_F16: return 0x7d5au;
    case LB_BF16: return 0x7fa5u;
    case LB_F8E4M3: return 0x7fu;
    case LB_F64: return 0x7ff4a5a5a5a5a5a5u;
    case LB_I8: case LB_U8: return 0x80u;
    case LB_I32: return 0x80808080u;
    case LB_I64: return 0x8080808080808080u;
    default: return 0;
    }
}

void lb_tensor_walk_init(lb_tensor_walk *w, const lb_tensor *t) {
    memset(w, 0, sizeof *w);
    w->t = t;
    w->at = lb_tensor_data(t);
    w->element_bytes = lb_dtype_size(t->dtype);
}

/* Row-major order, by strides. */
void lb_tensor_walk_next(lb_tensor_walk *w) {
    const lb_tensor *t = w->t;
    for (int d = t->rank - 1; d >= 0; d--) {
        int64_t step = t->strides[d] * (int64_t)w->element_bytes;
        w->at += step;
        if (++w->index[d] < t->dims[d]) return;
        w->at -= step * t->dims[d];
        w->index[d] = 0;
    }
}

void lb_poison(lb_tensor *t) {
    if (t->dtype == LB_QUANT) return;
    uint64_t bits = lb_poison_bits(t->dtype);
    int64_t n = lb_tensor_numel(t);
    if (t->dtype == LB_F32 && lb_tensor_is_dense(t)) {
        uint32_t *at = lb_tensor_data(t);
        for (int64_t i = 0; i < n; i++) at[i] = (uint32_t)bits;
        return;
    }
    lb_tensor_walk w;
    lb_tensor_walk_init(&w, t);
    for (int64_t i = 0; i < n; i++, lb_tensor_walk_next(&w)) memcpy(w.at, &bits, w.element_bytes);
}

/* ---- differences ---- */

enum { BLOCK = 2048, LANES = 8 };

static double load(lb_dtype t, const char *at) {
    union { float f; double d; uint16_t h; int8_t i8; uint8_t u8; int32_t i32; int64_t i64; } v;
    memcpy(&v, at, lb_dtype_size(t));
    switch (t) {
    case LB_F32: return v.f;
    case LB_F64: return v.d;
    case LB_F16: return lb_f16_to_f32(v.h);
    case LB_BF16: return lb_bf16_to_f32(v.h);
    case LB_F8E4M3: return lb_f8e4m3_to_f32(v.u8);
    case LB_I8: return v.i8;
    case LB_U8: return v.u8;
    case LB_I32: return v.i32;
    default: return (double)v.i64;
    }
}

/* The next n elements as f64; the walk is used only for tensors that are not dense f32. */
static void load_block(const lb_tensor *t, lb_tensor_walk *w, bool plain, int64_t begin, int n, double *out) {
    if (plain) {
        const float *f = lb_tensor_f32(t) + begin;
        for (int i = 0; i < n; i++) out[i] = f[i];
        return;
    }
    for (int i = 0; i < n; i++, lb_tensor_walk_next(w)) out[i] = load(t->dtype, w->at);
}

typedef struct sums { double err, want, got, cross, max_abs; int64_t compared, nonfinite, worst, first_bad; } sums;

/* All elements finite and unmasked: in lanes, so that the compiler vectorises it. */
static void add_plain(sums *s, const double *g, const double *w, int n, int64_t begin) {
    double e[LANES] = { 0 }, ww[LANES] = { 0 }, gg[LANES] = { 0 }, gw[LANES] = { 0 }, m[LANES] = { 0 };
    for (int i = 0; i < n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            double d = g[i + j] - w[i + j], a = fabs(d);
            e[j] += d * d;
            ww[j] += w[i + j] * w[i + j];
            gg[j] += g[i + j] * g[i + j];
            gw[j] += g[i + j] * w[i + j];
            m[j] = a > m[j] ? a : m[j];
        }
    double most = 0;
    for (int j = 0; j < LANES; j++) {
        s->err += e[j], s->want += ww[j], s->got += gg[j], s->cross += gw[j];
        if (m[j] > most) most = m[j];
    }
    s->compared += n;
    if (most <= s->max_abs && s->worst >= 0) return;
    for (int i = 0; i < n; i++)
        if (fabs(g[i] - w[i]) == most) {
            if (most > 0) s->worst = begin + i;
            break;
        }
    if (most > s->max_abs) s->max_abs = most;
}

static void add_careful(sums *s, const double *g, const double *w, const uint8_t *mask, int n, int64_t begin) {
    for (int i = 0; i < n; i++) {
        if (mask && !mask[i]) continue;
        s->compared++;
        bool same_nonfinite = (isnan(g[i]) && isnan(w[i])) || (isinf(w[i]) && g[i] == w[i]);
        if (same_nonfinite) continue;
        if (!isfinite(g[i]) || !isfinite(w[i])) {
            if (isfinite(w[i])) s->nonfinite++;
            if (s->first_bad < 0) s->first_bad = begin + i;
            continue;
        }
        double d = g[i] - w[i], a = fabs(d);
        s->err += d * d, s->want += w[i] * w[i], s->got += g[i] * g[i], s->cross += g[i] * w[i];
        if (a > s->max_abs) s->max_abs = a, s->worst = begin + i;
    }
}

static bool all_finite(const double *x, int n) {
    double lanes[LANES] = { 0 };   /* x * 0 is NaN for what is not finite */
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lanes[j] += x[i + j] * 0.0;
    double sum = 0;
    for (int j = 0; j < LANES; j++) sum += lanes[j];
    for (; i < n; i++) sum += x[i] * 0.0;
    return sum == 0.0;
}

lb_status lb_diff_tensor(const lb_tensor *got, const double *want, const uint8_t *mask, lb_diff *out) {
    if (got->dtype == LB_QUANT) return lb_fail(LB_EINVAL, "diff: quantized tensors have no elements to compare");
    double g[BLOCK];
    sums s = { .worst = -1, .first_bad = -1 };
    int64_t n = lb_tensor_numel(got);
    bool plain = got->dtype == LB_F32 && lb_tensor_is_dense(got);
    lb_tensor_walk w;
    lb_tensor_walk_init(&w, got);
    for (int64_t at = 0; at < n; at += BLOCK) {
        int m = n - at < BLOCK ? (int)(n - at) : BLOCK;
        load_block(got, &w, plain, at, m, g);
        if (!mask && m % LANES == 0 && all_finite(g, m) && all_finite(want + at, m)) add_plain(&s, g, want + at, m, at);
        else add_careful(&s, g, want + at, mask ? mask + at : NULL, m, at);
    }
    *out = (lb_diff){ .max_abs = s.max_abs, .compared = s.compared, .nonfinite = s.nonfinite, .worst = s.worst };
    out->nmse = s.err == 0 ? 0 : s.want == 0 ? INFINITY : s.err / s.want;
    double norms = sqrt(s.got) * sqrt(s.want);
    out->cosine = norms > 0 ? s.cross / norms : s.got == s.want ? 1 : 0;
    if (s.max_abs > 0 && s.err == 0) out->nmse = DBL_MIN;   /* the square underflowed; they still differ */
    if (s.first_bad >= 0) {
        out->worst = s.first_bad;
        out->max_abs = out->nmse = INFINITY;
    }
    return LB_OK;
}
