/* plan_fakes.h: small operations and kernels with which the tests of plans and checks know what must happen. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "check.h"
#include "device.h"
#include "kernel.h"
#include "plan.h"
#include "pool.h"

#define OK(call) do { lb_status ok_st = (call); if (ok_st) fail_msg("%s: %s", #call, lb_error()); } while (0)
#define FAILS(code, call) do { lb_status ok_st = (call); if (ok_st != (code)) \
    fail_msg("%s: got %s, expected %s", #call, lb_status_name(ok_st), lb_status_name(code)); } while (0)

static inline lb_tensor *fake_f32(lb_device *d, int64_t n) {
    lb_tensor *t = NULL;
    OK(lb_tensor_new(d, LB_F32, NULL, 1, &n, &t));
    memset(lb_tensor_data(t), 0, lb_tensor_size_bytes(t));
    return t;
}
static inline lb_tensor *fake_matrix(lb_device *d, int64_t n, int64_t k, float first) {
    lb_tensor *t = NULL;
    int64_t dims[2] = { n, k };
    OK(lb_tensor_new(d, LB_F32, NULL, 2, dims, &t));
    for (int64_t i = 0; i < n * k; i++) ((float *)lb_tensor_data(t))[i] = first + (float)(i % 251) / 64;
    return t;
}
static inline lb_tensor *fake_i32(lb_device *d, int64_t n, int32_t value) {
    lb_tensor *t = NULL;
    OK(lb_tensor_new(d, LB_I32, NULL, 1, &n, &t));
    for (int64_t i = 0; i < n; i++) ((int32_t *)lb_tensor_data(t))[i] = value;
    return t;
}
static inline float *f32s(const lb_tensor *t) { return lb_tensor_data(t); }
static inline int32_t *i32s(const lb_tensor *t) { return lb_tensor_data(t); }

static inline lb_status fake_expect(lb_expected *e, int slot, const char *what, int64_t n, bool mask) {
    *e = (lb_expected){ .what = what, .slot = slot, .values = calloc((size_t)n + 1, sizeof(double)) };
    if (mask) e->mask = calloc((size_t)n + 1, 1);
    return e->values && (!mask || e->mask) ? LB_OK : lb_fail(LB_ENOMEM, "no memory");
}

/* ---- mix: out[i] = x[n - 1 - i] * 0.5 + p: every part reads what other parts wrote ---- */
static inline lb_status mix_infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)slot;
    *dtype = LB_F32, *rank = 1, dims[0] = lb_arg(a, 0)->dims[0];
    return LB_OK;
}
static inline lb_status mix_oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    int64_t n = lb_arg(in->args, 0)->dims[0];
    const float *x = f32s(lb_arg(in->args, 0));
    lb_status st = fake_expect(&out[0], 1, "out", n, false);
    for (int64_t i = 0; !st && i < n; i++) out[0].values[i] = (double)x[n - 1 - i] * 0.5 + in->args->p[0];
    *count = 1;
    return st;
}
static inline void mix_work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    double n = (double)lb_arg(a, 0)->dims[0];
    *w = (lb_work){ .flops = 2 * n, .bytes = 8 * n };
}
static const lb_operand_spec mix_operands[] = { { "x", LB_READ, false, false, "" },
                                                { "out", LB_WRITE, false, false, "" },
                                                { .name = NULL } };
static const lb_op mix_op = { .name = "mix", .operands = mix_operands, .infer = mix_infer, .work = mix_work,
                              .oracle = mix_oracle };
static inline void mix_launch(const lb_args *a, const lb_launch *l) {
    const float *x = f32s(lb_arg(a, 0));
    float *out = f32s(lb_arg(a, 1));
    int64_t n = lb_arg(a, 0)->dims[0], b, e;
    lb_split(n, 16, l->part, l->parts, &b, &e);
    for (int64_t i = b; i < e; i++) out[i] = x[n - 1 - i] * 0.5f + (float)a->p[0];
}
/* the same through tickets */
static inline void mix_ticket_launch(const lb_args *a, const lb_launch *l) {
    const float *x = f32s(lb_arg(a, 0));
    float *out = f32s(lb_arg(a, 1));
    int64_t n = lb_arg(a, 0)->dims[0];
    for (;;) {
        int64_t b = atomic_fetch_add(l->ticket, 64), e = b + 64 < n ? b + 64 : n;
        if (b >= n) return;
        for (int64_t i = b; i < e; i++) out[i] = x[n - 1 - i] * 0.5f + (float)a->p[0];
    }
}
/* the same in two phases: x reversed through the workspace, both phases through tickets */
static inline int mix_phases(const lb_args *a) { return (void)a, 2; }
static inline size_t mix_workspace(const lb_args *a, int parts) {
    return (void)parts, (size_t)lb_arg(a, 0)->dims[0] * sizeof(float);
}
static inline void mix_phased_launch(const lb_args *a, const lb_launch *l) {
    const float *x = f32s(lb_arg(a, 0));
    float *out = f32s(lb_arg(a, 1)), *ws = l->workspace;
    int64_t n = lb_arg(a, 0)->dims[0];
    for (;;) {
        int64_t b = atomic_fetch_add(l->ticket, 64), e = b + 64 < n ? b + 64 : n;
        if (b >= n) return;
        for (int64_t i = b; i < e; i++) {
            if (l->phase == 0) ws[i] = x[i];
            else out[i] = ws[n - 1 - i] * 0.5f + (float)a->p[0];
        }
    }
}
static const lb_kernel mix_kernels[] = {
    { .name = "mix.f32.split", .op = "mix", .device = "cpu", .tolerance = 1e-12, .launch = mix_launch,
      .compute = LB_COMPUTE_F32 },
    { .name = "mix.f32.ticket", .op = "mix", .device = "cpu", .tolerance = 1e-12, .launch = mix_ticket_launch },
    { .name = "mix.f32.phased", .op = "mix", .device = "cpu", .tolerance = 1e-12, .launch = mix_phased_launch,
      .phases = mix_phases, .workspace_bytes = mix_workspace },
    { .name = "mix.f32.serial", .op = "mix", .device = "cpu", .tolerance = 1e-12, .launch = mix_launch,
      .serial = true },
    { .name = "mix.f32.serial_phased", .op = "mix", .device = "cpu", .tolerance = 1e-12, .launch = mix_phased_launch,
      .phases = mix_phases, .workspace_bytes = mix_workspace, .serial = true },
};
enum { MIX_SPLIT, MIX_TICKET, MIX_PHASED, MIX_SERIAL, MIX_SERIAL_PHASED, MIX_KERNELS };

/* ---- flag: out[0] = (x[0] bits) odd, out[1] = not that: decides `when` and `pick` from data ---- */
static inline lb_status flag_oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    lb_status st = fake_expect(&out[0], 1, "out", 2, false);
    if (st) return st;
    bool odd = (lb_f32_bits(f32s(lb_arg(in->args, 0))[0]) >> 12) & 1;
    out[0].values[0] = odd, out[0].values[1] = !odd, out[0].exact = true;
    *count = 1;
    return LB_OK;
}
static const lb_op flag_op = { .name = "flag", .operands = mix_operands, .oracle = flag_oracle };
static inline void flag_launch(const lb_args *a, const lb_launch *l) {
    if (l->part) return;
    int32_t odd = (lb_f32_bits(f32s(lb_arg(a, 0))[0]) >> 12) & 1;
    i32s(lb_arg(a, 1))[0] = odd, i32s(lb_arg(a, 1))[1] = !odd;
}
static const lb_kernel flag_kernel = { .name = "flag.i32.plain", .op = "flag", .device = "cpu", .launch = flag_launch };

/* ---- rowsum: out[n] = sum_k w[pick][n][k] * x[k] ---- */
static inline lb_status rowsum_oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    const lb_tensor *w = a->t[1].count > 1 ? a->t[1].items[in->pick] : a->t[1].items[0];
    double *x = NULL;
    lb_status st = lb_oracle_activations(lb_arg(a, 0), LB_ACT_F32, &x);
    if (!st) st = fake_expect(&out[0], 2, "out", w->dims[0], false);
    if (!st) st = lb_oracle_matmul(x, 1, w, w->dims[0], w->dims[1], out[0].values);
    free(x);
    *count = 1;
    return st;
}
static inline lb_status rowsum_infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    (void)slot;
    *dtype = LB_F32, *rank = 1, dims[0] = lb_arg(a, 1)->dims[0];
    return LB_OK;
}
static inline void rowsum_work(const lb_args *a, int32_t pick, lb_work *w) {
    const lb_tensor *t = a->t[1].count > 1 ? a->t[1].items[pick] : a->t[1].items[0];
    double n = (double)lb_tensor_numel(t);
    *w = (lb_work){ .flops = 2 * n,
                    .bytes = (double)lb_tensor_size_bytes(t) + 4.0 * (double)(t->dims[0] + t->dims[1]) };
}
static const lb_operand_spec rowsum_operands[] = { { "x", LB_READ, false, false, "" },
                                                   { "w", LB_WEIGHT, false, true, "" },
                                                   { "out", LB_WRITE, false, false, "" }, { .name = NULL } };
static const lb_op rowsum_op = { .name = "rowsum", .operands = rowsum_operands, .infer = rowsum_infer,
                                 .work = rowsum_work, .oracle = rowsum_oracle };
static inline void rowsum_launch(const lb_args *a, const lb_launch *l) {
    const lb_tensor *w = lb_weight(a, l, 1);
    const float *x = f32s(lb_arg(a, 0)), *wf = f32s(w);
    int64_t n = w->dims[0], k = w->dims[1], b, e;
    lb_split(n, 1, l->part, l->parts, &b, &e);
    for (int64_t i = b; i < e; i++) {
        double sum = 0;
        for (int64_t j = 0; j < k; j++) sum += (double)x[j] * (double)wf[i * k + j];
        f32s(lb_arg(a, 2))[i] = (float)sum;
    }
}
static const lb_kernel rowsum_kernel = { .name = "rowsum.f32.plain", .op = "rowsum", .device = "cpu", .format = "any",
                                         .tolerance = 1e-12, .compute = LB_COMPUTE_F32, .launch = rowsum_launch };

/* ---- add: y[i] += x[i] in place ---- */
static inline lb_status add_oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    int64_t n = lb_arg(in->args, 0)->dims[0];
    lb_status st = fake_expect(&out[0], 1, "y", n, false);
    for (int64_t i = 0; !st && i < n; i++)
        out[0].values[i] = (double)f32s(in->before[1])[i] + (double)f32s(lb_arg(in->args, 0))[i];
    *count = 1;
    return st;
}
static const lb_operand_spec add_operands[] = { { "x", LB_READ, false, false, "" },
                                                { "y", LB_UPDATE, false, false, "" },
                                                { .name = NULL } };
static const lb_op add_op = { .name = "add", .operands = add_operands, .oracle = add_oracle };
static inline void add_launch(const lb_args *a, const lb_launch *l) {
    int64_t n = lb_arg(a, 0)->dims[0], b, e;
    lb_split(n, 16, l->part, l->parts, &b, &e);
    for (int64_t i = b; i < e; i++) f32s(lb_arg(a, 1))[i] += f32s(lb_arg(a, 0))[i];
}
static const lb_kernel add_kernel = { .name = "add.f32.split", .op = "add", .device = "cpu", .tolerance = 1e-12,
                                      .launch = add_launch };

/* ---- nothing ---- */
static const lb_operand_spec no_operands[] = { { .name = NULL } };
static const lb_op nothing_op = { .name = "nothing", .operands = no_operands };
static inline void nothing_launch(const lb_args *a, const lb_launch *l) { (void)a, (void)l; }
static const lb_kernel nothing_kernel = { .name = "nothing.none.plain", .op = "nothing", .device = "cpu",
                                          .launch = nothing_launch };

/* ---- a format of the tests' own: groups of 32 int8 codes after an f32 scale ---- */
static inline size_t fake_q_size(const lb_quantizer *q, int64_t n, int64_t k) {
    return (void)q, (size_t)(n * k / 32 * 36);
}
static inline void fake_q_quantize(const lb_quantizer *q, const float *src, int64_t n, int64_t k, int64_t r0,
                                   int64_t r1,
                                   void *dst) {
    (void)q, (void)n;
    for (int64_t g = r0 * k / 32; g < r1 * k / 32; g++) {
        float most = 0, scale;
        for (int i = 0; i < 32; i++) {
            float v = src[g * 32 + i];
            if ((v < 0 ? -v : v) > most) most = v < 0 ? -v : v;
        }
        scale = most / 127;
        memcpy((char *)dst + g * 36, &scale, 4);
        for (int i = 0; i < 32; i++)
            ((int8_t *)dst)[g * 36 + 4 + i] = scale > 0 ? (int8_t)(src[g * 32 + i] / scale) : 0;
    }
}
static inline void fake_q_dequantize(const lb_quantizer *q, const void *src, int64_t n, int64_t k, int64_t r0,
                                     int64_t r1,
                                     float *dst) {
    (void)q, (void)n;
    for (int64_t g = r0 * k / 32; g < r1 * k / 32; g++) {
        float scale;
        memcpy(&scale, (const char *)src + g * 36, 4);
        for (int i = 0; i < 32; i++) *dst++ = scale * (float)((const int8_t *)src)[g * 36 + 4 + i];
    }
}
static inline void fake_q_span(const lb_quantizer *q, int64_t n, int64_t k, int64_t row, size_t *offset,
                               size_t *length) {
    (void)q, (void)n;
    *offset = (size_t)(row * k / 32 * 36), *length = (size_t)(k / 32 * 36);
}
static const lb_quantizer_family fake_q_family = { .name = "fake8" };
static const lb_quantizer fake_q = { .name = "fake8", .k_multiple = 32, .group = 32, .bits = 8,
                                     .family = &fake_q_family,
                                     .size_bytes = fake_q_size, .quantize = fake_q_quantize,
                                     .dequantize = fake_q_dequantize, .row_span = fake_q_span };
/* The tests' own format, then every registered member; NULL after the last. */
static inline const lb_quantizer *quantizer_at(int i) {
    const lb_quantizer *q = NULL;
    if (i == 0) return &fake_q;
    for (int f = 0; lb_quantizer_families[f]; f++)
        for (int m = 0; lb_quantizer_families[f]->members[m]; m++)
            if (--i == 0) {
                OK(lb_quantizer_find(lb_quantizer_families[f]->members[m], &q));
                return q;
            }
    return NULL;
}

/* ---- recording in a line ---- */
static inline lb_status record(lb_plan *p, const lb_op *op, const lb_kernel *k, lb_tensor **t, int count, double p0,
                               const lb_step_opts *more) {
    lb_args a = { .op = op, .p = { p0 } };
    lb_step_opts o = more ? *more : (lb_step_opts){ 0 };
    o.kernel = k;
    for (int i = 0; i < count; i++)
        if (t[i]) a.t[i] = (lb_operand){ &t[i], 1 };
    return lb_plan_add(p, op, &a, &o, NULL);
}
static inline lb_status record_mix(lb_plan *p, int kernel, lb_tensor *x, lb_tensor *out, double c,
                                   const lb_step_opts *o) {
    lb_tensor *t[2] = { x, out };
    return record(p, &mix_op, &mix_kernels[kernel], t, 2, c, o);
}
static inline lb_status record_rowsum(lb_plan *p, lb_tensor *x, lb_tensor **w, int32_t count, lb_tensor *out,
                                      const lb_kernel *k, const lb_step_opts *more) {
    lb_args a = { .op = &rowsum_op, .t = { { &x, 1 }, { w, count }, { &out, 1 } } };
    lb_step_opts o = more ? *more : (lb_step_opts){ 0 };
    o.kernel = k;
    return lb_plan_add(p, &rowsum_op, &a, &o, NULL);
}
static inline bool has_barrier(const lb_plan *p, int step) {
    lb_step_info info;
    OK(lb_plan_step(p, step, &info));
    return info.barrier_before;
}
