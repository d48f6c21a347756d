/* moe_ffn.c: one grouped, fused dispatch: gate, up, SwiGLU and down for every row of the experts of one class. */
#include <math.h>
#include <stdlib.h>

#include "../check.h"
#include "../kernel.h"
#include "op_common.h"
#include "slots.h"

static lb_status infer(const lb_args *a, int slot, lb_dtype *dtype, int *rank, int64_t *dims) {
    const lb_tensor *w = lb_arg(a, slot == LB_FFN_H ? LB_FFN_GATE : LB_FFN_DOWN);
    if (w->rank != 2) return lb_op_bad(a, slot == LB_FFN_H ? LB_FFN_GATE : LB_FFN_DOWN, "weights [N, K]");
    *dtype = LB_F32;
    *rank = 2;
    dims[0] = lb_tensor_numel(lb_arg(a, LB_FFN_ROWS));
    dims[1] = w->dims[0];
    return LB_OK;
}

static lb_status check(const lb_args *a) {
    lb_status s;
    if ((s = lb_op_want(a, LB_FFN_X, LB_F32, 2, "f32[T, H]"))) return s;
    int64_t tokens = lb_arg(a, LB_FFN_X)->dims[0], hidden = lb_arg(a, LB_FFN_X)->dims[1], inner = -1;
    if ((s = lb_op_want_weights(a, LB_FFN_GATE, &inner, &hidden))) return s;
    if ((s = lb_op_want_weights(a, LB_FFN_UP, &inner, &hidden))) return s;
    if ((s = lb_op_want_weights(a, LB_FFN_DOWN, &hidden, &inner))) return s;
    int32_t experts = a->t[LB_FFN_GATE].count;
    for (int slot = LB_FFN_UP; slot <= LB_FFN_DOWN; slot++)
        if (a->t[slot].count != experts)
            return lb_fail(LB_EINVAL, "moe_ffn: 'gate' has %d experts, '%s' has %d", experts,
                           a->op->operands[slot].name, a->t[slot].count);
    for (int slot = LB_FFN_OFFSETS; slot <= LB_FFN_CLASS; slot++)
        if ((s = lb_op_want(a, slot, LB_I32, 1, "i32"))) return s;
    if (lb_arg(a, LB_FFN_OFFSETS)->dims[0] != experts + 1) return lb_op_bad(a, LB_FFN_OFFSETS, "i32[E+1]");
    if (lb_arg(a, LB_FFN_CLASS)->dims[0] != experts) return lb_op_bad(a, LB_FFN_CLASS, "i32[E]");
    int64_t slots = lb_arg(a, LB_FFN_ROWS)->dims[0];
    if (tokens < 1 || slots % tokens) return lb_op_bad(a, LB_FFN_ROWS, "i32[T*k]");
    if (slots > INT32_MAX) return lb_op_bad(a, LB_FFN_ROWS, "fewer than 2^31 slots, which i32 numbers");
    for (int slot = LB_FFN_H; slot <= LB_FFN_Y; slot++) {
        if ((s = lb_op_want(a, slot, LB_F32, 2, "f32[T*k, I or H]"))) return s;
        const lb_tensor *t = lb_arg(a, slot);
        if (t->dims[0] != slots || t->dims[1] != (slot == LB_FFN_H ? inner : hidden))
            return lb_op_bad(a, slot, slot == LB_FFN_H ? "f32[T*k, I]" : "f32[T*k, H]");
    }
    for (int slot = LB_FFN_GATE_BIAS; slot <= LB_FFN_DOWN_BIAS; slot++) {
        const lb_tensor *b = lb_arg(a, slot);
        if (b && (s = lb_op_want(a, slot, LB_F32, 2, "f32[E, I or H]"))) return s;
        if (b && (b->dims[0] != experts || b->dims[1] != (slot == LB_FFN_DOWN_BIAS ? hidden : inner)))
            return lb_op_bad(a, slot, slot == LB_FFN_DOWN_BIAS ? "f32[E, H]" : "f32[E, I]");
    }
    for (int i = LB_FFN_P_ALPHA; i <= LB_FFN_P_LIMIT; i++)
        if (!isfinite(a->p[i]) || a->p[i] < 0)
            return lb_fail(LB_EINVAL, "moe_ffn: parameter '%s' must be finite and not negative", a->op->params[i].name);
    return lb_op_want_integer(a, LB_FFN_P_CLASS, -1, 1 << 20);
}

/* Does the dispatch handle expert e, and does e have rows? */
static bool takes(const lb_args *a, int64_t e) {
    const int32_t *offsets = lb_op_i32(a, LB_FFN_OFFSETS), *cls = lb_op_i32(a, LB_FFN_CLASS);
    return offsets[e + 1] > offsets[e] && (a->p[LB_FFN_P_CLASS] < 0 || cls[e] == (int32_t)a->p[LB_FFN_P_CLASS]);
}

static void work(const lb_args *a, int32_t pick, lb_work *w) {
    (void)pick;
    const int32_t *offsets = lb_op_i32(a, LB_FFN_OFFSETS);
    double hidden = (double)lb_arg(a, LB_FFN_X)->dims[1], rows = 0;
    *w = (lb_work){ .item = "row" };
    for (int32_t e = 0; e < a->t[LB_FFN_GATE].count; e++) {
        if (!takes(a, e)) continue;
        double own = offsets[e + 1] - offsets[e];
        rows += own;
        for (int slot = LB_FFN_GATE; slot <= LB_FFN_DOWN; slot++) {
            w->bytes += lb_op_bytes(a->t[slot].items[e]);
            w->flops += 2.0 * own * lb_op_products(a->t[slot].items[e]);
        }
    }
    double slots = (double)lb_arg(a, LB_FFN_ROWS)->dims[0];
    w->bytes += rows * 4.0 * hidden + lb_op_bytes(lb_arg(a, LB_FFN_X)) * rows / (slots > 0 ? slots : 1);
    w->items = rows;
}

/* Each expert has one class, and each slot one expert: dispatches of two classes work on different rows of h and y. */
static bool apart(const lb_args *a, const lb_args *b) {
    for (int slot = LB_FFN_OFFSETS; slot <= LB_FFN_CLASS; slot++)
        if (lb_arg(a, slot) != lb_arg(b, slot)) return false;
    double one = a->p[LB_FFN_P_CLASS], other = b->p[LB_FFN_P_CLASS];
    return one >= 0 && other >= 0 && (int)one != (int)other;
}

static void touch(const lb_args *a, int32_t pick, lb_touch_fn fn, void *ctx) {
    (void)pick;
    for (int32_t e = 0; e < a->t[LB_FFN_GATE].count; e++)
        for (int slot = LB_FFN_GATE; takes(a, e) && slot <= LB_FFN_DOWN; slot++) fn(ctx, a->t[slot].items[e]);
}

/* How the kernel sees the activations that meet this weight: a kernel built from panels uses each panel's own form. */
static lb_act act_for(const lb_oracle_in *in, const lb_tensor *weight) {
    const lb_kernel *panel = NULL;
    if (in->kernel->panel_weights && weight->quantizer)
        panel = lb_kernel_panel_for(weight->buffer->device, weight->quantizer);
    return panel ? panel->act : in->kernel->act;
}

/* One operand's rows in the forms that were needed so far, f64. */
typedef struct forms { const lb_tensor *rows; double *as[LB_ACT_COUNT]; } forms;

static void forms_free(forms *f) {
    for (int i = 0; i < LB_ACT_COUNT; i++) free(f->as[i]);
}

/* out [n][N] = rows of `f` named by index (through / divide) times the weight's transpose. */
static lb_status product(const lb_oracle_in *in, forms *f, const int32_t *index, int64_t divide, int64_t n,
                         const lb_tensor *weight, double *gathered, double *out) {
    lb_act act = act_for(in, weight);
    int64_t k = f->rows->dims[1];
    if (!f->as[act]) {
        lb_status s = lb_oracle_activations(f->rows, act, &f->as[act]);
        if (s) return s;
    }
    for (int64_t i = 0; i < n; i++)
        memcpy(gathered + i * k, f->as[act] + index[i] / divide * k, (size_t)k * sizeof *gathered);
    return lb_oracle_matmul(gathered, n, weight, weight->dims[0], k, out);
}

/* Scratch of one expert's oracle. */
typedef struct scratch { double *in, *gate, *up, *y; } scratch;

static void scratch_free(scratch *b) { free(b->in), free(b->gate), free(b->up), free(b->y); }

static bool scratch_new(scratch *b, int64_t rows, int64_t hidden, int64_t inner) {
    size_t wide = (size_t)(rows * hidden) * sizeof(double), deep = (size_t)(rows * inner) * sizeof(double);
    *b = (scratch){ .in = malloc(wide > deep ? wide : deep), .gate = malloc(deep), .up = malloc(deep),
                    .y = malloc(wide) };
    return b->in && b->gate && b->up && b->y;
}

/* Adds row e of a bias, if there is one, to n rows. */
static void add_bias(const lb_tensor *bias, int64_t e, int64_t n, int64_t width, double *rows) {
    for (int64_t i = 0; bias && i < n * width; i++)
        rows[i] += (double)lb_tensor_f32(bias)[e * width + i % width];
}

static void gated(const lb_args *a, const double *gate, const double *up, int64_t n, double *out) {
    double alpha = a->p[LB_FFN_P_ALPHA], limit = a->p[LB_FFN_P_LIMIT];
    if (limit > 0) lb_op_swiglu_clamped_f64(gate, up, n, alpha, limit, out);
    else lb_op_swiglu_f64(gate, up, n, out);
}

/* Expected h from x, and expected y from the h that the kernel really produced: each stage on its own operands. */
static lb_status expert(const lb_oracle_in *in, int64_t e, forms *x, forms *h, scratch *b, lb_expected *out) {
    const lb_args *a = in->args;
    const int32_t *offsets = lb_op_i32(a, LB_FFN_OFFSETS), *rows = lb_op_i32(a, LB_FFN_ROWS) + offsets[e];
    int64_t n = offsets[e + 1] - offsets[e], hidden = x->rows->dims[1], inner = h->rows->dims[1];
    int64_t slots = h->rows->dims[0], k = slots / x->rows->dims[0];
    for (int64_t i = 0; i < n; i++)
        if (rows[i] < 0 || rows[i] >= slots)
            return lb_fail(LB_EINVAL, "moe_ffn: row %d of %lld slots", rows[i], (long long)slots);
    lb_status s = product(in, x, rows, k, n, a->t[LB_FFN_GATE].items[e], b->in, b->gate);
    if (!s) s = product(in, x, rows, k, n, a->t[LB_FFN_UP].items[e], b->in, b->up);
    if (!s) s = product(in, h, rows, 1, n, a->t[LB_FFN_DOWN].items[e], b->in, b->y);
    if (s) return s;
    add_bias(lb_arg(a, LB_FFN_GATE_BIAS), e, n, inner, b->gate);
    add_bias(lb_arg(a, LB_FFN_UP_BIAS), e, n, inner, b->up);
    add_bias(lb_arg(a, LB_FFN_DOWN_BIAS), e, n, hidden, b->y);
    for (int64_t i = 0; i < n; i++) {
        gated(a, b->gate + i * inner, b->up + i * inner, inner, out[0].values + rows[i] * inner);
        memset(out[0].mask + rows[i] * inner, 1, (size_t)inner);
        memcpy(out[1].values + rows[i] * hidden, b->y + i * hidden, (size_t)hidden * sizeof(double));
        memset(out[1].mask + rows[i] * hidden, 1, (size_t)hidden);
    }
    return LB_OK;
}

static lb_status oracle(const lb_oracle_in *in, lb_expected *out, int *count) {
    const lb_args *a = in->args;
    forms x = { .rows = lb_arg(a, LB_FFN_X) }, h = { .rows = lb_arg(a, LB_FFN_H) };
    int64_t hidden = x.rows->dims[1], inner = h.rows->dims[1], slots = h.rows->dims[0];
    *count = 0;
    lb_status s = lb_op_expect(out, count, "h", LB_FFN_H, slots * inner, true);
    if (!s) s = lb_op_expect(out, count, "y", LB_FFN_Y, slots * hidden, true);
    const int32_t *offsets = lb_op_i32(a, LB_FFN_OFFSETS);
    for (int64_t e = 0; !s && e < a->t[LB_FFN_GATE].count; e++) {
        if (!takes(a, e)) continue;
        scratch b;
        bool room = scratch_new(&b, offsets[e + 1] - offsets[e], hidden, inner);
        s = room ? expert(in, e, &x, &h, &b, out) : lb_fail(LB_ENOMEM, "moe_ffn: no memory for the oracle");
        scratch_free(&b);
    }
    forms_free(&x);
    forms_free(&h);
    return s;
}

static const lb_operand_spec operands[] = {
    { "x", LB_READ, false, false, "[T, H] f32" },
    { "gate", LB_WEIGHT, false, true, "E weights [I, H]" },
    { "up", LB_WEIGHT, false, true, "E weights [I, H]" },
    { "down", LB_WEIGHT, false, true, "E weights [H, I]" },
    { "offsets", LB_READ, false, false, "[E+1] i32 from moe_group" },
    { "rows", LB_READ, false, false, "[T*k] i32 from moe_group" },
    { "class", LB_READ, false, false, "[E] i32, class of each expert" },
    { "h", LB_PARTIAL, true, false, "[T*k, I] f32, SwiGLU outputs by slot" },
    { "y", LB_PARTIAL, true, false, "[T*k, H] f32, expert outputs by slot" },
    { "gate_bias", LB_READ, true, false, "[E, I] f32" },
    { "up_bias", LB_READ, true, false, "[E, I] f32" },
    { "down_bias", LB_READ, true, false, "[E, H] f32" },
    { .name = NULL },
};
static const lb_param_spec params[] = {
    { "only", false, -1, "only experts of this class; -1 = all" },
    { "alpha", false, 1.702, "with a limit: factor in the sigmoid" },
    { "limit", false, 0, "above 0: gated as swiglu_clamped does, cut there" },
    { .name = NULL },
};

const lb_op lb_op_moe_ffn = {
    .name = "moe_ffn",
    .fused = true,
    .about = "h = silu(gate x) * (up x), y = down h, for every routed row of the experts of one class; biases, and the "
             "clamped gate of gpt-oss, where given",
    .operands = operands,
    .params = params,
    .infer = infer,
    .check = check,
    .work = work,
    .touch = touch,
    .apart = apart,
    .oracle = oracle,
};
