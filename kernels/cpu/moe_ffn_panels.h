/* moe_ffn_panels.h: one grouped, fused dispatch of a MoE layer's experts, built from the lb_panels of whatever
 * formats the experts have.
 *
 * Four phases:
 *   0  each token's row of x is prepared once per activation kind that its experts read, and copied to the token's
 *      places in expert order, so that an expert's rows lie one after the other;
 *   1  gate and up panels side by side, SwiGLU on the rows just made, h written;
 *   2  the rows of h are prepared;
 *   3  down panels, y written.
 * The work of phases 1 and 3 is items of (expert, run of panels), sized to cost about the same: one for each part to
 * begin with, the others handed out by the ticket, the costliest experts first: one token keeps all threads busy, and
 * one popular expert does not set the end.
 *
 * Every part derives the same list of experts from offsets and classes in phase 0, into its own slice of the
 * workspace, which spares a barrier and shared cache lines. With very few rows each part also prepares all of x and of
 * h for itself: 0 and 1 are one phase then, 2 and 3 another. Such a dispatch takes some 50 us of streaming weights, in
 * which each barrier, and the cold start of each stream behind it, shows. */
#include <immintrin.h>
#include <string.h>

#include "gate.h"
#include "panels_of.h"
#include "rows32.h"

enum { MAX_KINDS = 8, GATE = 0, UP = 1, DOWN = 2 };
/* Experts with few rows are bound by memory, and each run of panels begins with a cold stream: an item is a thread's
 * whole share of the expert, but for the last expert's, of which a quarter is left to hand out in TAIL_ITEMS a thread,
 * for the balance. With many rows a thread gets SHORT_ITEMS of a stage. */
enum { FEW_ROWS = 4, MOST_COLS = 256 /* of a product */, TAIL_ITEMS = 2, SHORT_ITEMS = 32 };
/* Up to ALONE_SLOTS rows every part prepares all of them. */
enum { ALONE_SLOTS = 8 };

/* ---- panels of formats ---- */

/* Activation kinds in the order of first use, with the place of each one's rows in the workspace. */
typedef struct kinds {
    int count;
    const lb_panel *panel[MAX_KINDS];
    const lb_quantizer *q[MAX_KINDS];
    size_t stride[MAX_KINDS], at[MAX_KINDS];
    size_t end;
} kinds;

/* The index of the kind that `w`'s panel reads, added if new; -1 if there are too many. */
static int kind_of(kinds *s, const lb_panel *panel, const lb_quantizer *q, int64_t k, int64_t slots) {
    for (int i = 0; i < s->count; i++)
        if (s->panel[i] == panel || !strcmp(s->panel[i]->act_kind, panel->act_kind)) return i;
    if (s->count == MAX_KINDS) return -1;
    int i = s->count++;
    s->panel[i] = panel;
    s->q[i] = q;
    s->stride[i] = lb_panel_act_stride(panel->act_bytes(q, k));
    s->at[i] = s->end;
    s->end += (s->stride[i] * (size_t)slots + 63) / 64 * 64;
    return i;
}

/* ---- the plan of a launch ---- */

/* One projection of an expert. */
typedef struct projection {
    const lb_panel *panel;
    const lb_quantizer *q;
    const uint8_t *bytes;
    size_t panel_bytes;
    int kind;
} projection;

typedef struct expert {
    int32_t first, rows;           /* its rows in sorted order */
    int32_t number;
    int64_t unit[2], units[2];     /* rows of weights per step, and steps, of gate + up [0] and down [1] */
    int64_t items[2], item0[2];    /* items that these are split into, and items before */
    bool tail[2];                  /* the first items are three quarters of it, one a part */
    double cost[2];
    projection p[3];
} expert;

typedef struct plan {
    int count;
    int64_t items[2], rows;
    kinds x, h;
    expert e[];
} plan;

typedef struct shape { int64_t tokens, k, slots, hidden, inner, experts; } shape;

static shape shape_of(const lb_args *a) {
    shape s = { .tokens = lb_arg(a, LB_FFN_X)->dims[0], .slots = lb_arg(a, LB_FFN_ROWS)->dims[0],
                .hidden = lb_arg(a, LB_FFN_X)->dims[1], .inner = lb_arg(a, LB_FFN_H)->dims[1],
                .experts = a->t[LB_FFN_GATE].count };
    s.k = s.slots / s.tokens;
    return s;
}

static size_t plan_bytes(shape s) { return (sizeof(plan) + (size_t)s.experts * sizeof(expert) + 63) / 64 * 64; }

static const int32_t *i32_of(const lb_args *a, int slot) { return lb_tensor_data(lb_arg(a, slot)); }

static bool alone(shape s) { return s.slots <= ALONE_SLOTS; }

/* Workspace: a plan per part; place and expert of each slot; prepared rows of x, then of h. Where each part works
 * alone, the rest too is per part. */
typedef struct space { plan *mine; int32_t *place, *owner; char *x; } space;

static size_t slots_bytes(shape s) { return ((size_t)s.slots * sizeof(int32_t) + 63) / 64 * 64; }

static space space_of(const lb_launch *l, shape s) {
    size_t lists = alone(s) ? (size_t)l->parts : 1, mine = alone(s) ? (size_t)l->part : 0;
    char *base = l->workspace;
    space w = { .mine = (plan *)(void *)(base + (size_t)l->part * plan_bytes(s)) };
    base += (size_t)l->parts * plan_bytes(s);
    w.place = (int32_t *)(void *)(base + 2 * mine * slots_bytes(s));
    w.owner = (int32_t *)(void *)(base + (2 * mine + 1) * slots_bytes(s));
    w.x = base + 2 * lists * slots_bytes(s);
    return w;
}

/* The prepared rows of this part, once its plan is made: all parts' plans are the same. */
static char *x_rows(const lb_launch *l, shape s, const space *w) {
    return w->x + (alone(s) ? (size_t)l->part * (w->mine->x.end + w->mine->h.end) : 0);
}

/* The kinds of all weights: the most that any routing needs. */
static bool all_kinds(const lb_args *a, shape s, kinds *x, kinds *h, const char **why) {
    *x = *h = (kinds){ 0 };
    for (int slot = LB_FFN_GATE; slot <= LB_FFN_DOWN; slot++)
        for (int32_t e = 0; e < a->t[slot].count; e++) {
            const lb_tensor *w = a->t[slot].items[e];
            const lb_panel *p = panel_of(w, why);
            if (!p) return false;
            if (!PANELS_REPACKED && w->dims[0] % p->rows) {
                *why = "wants multiples of 32 rows of weights where they are not repacked";
                return false;
            }
            bool down = slot == LB_FFN_DOWN;
            if (kind_of(down ? h : x, p, w->quantizer, down ? s.inner : s.hidden, s.slots) < 0) {
                *why = "the experts' formats need more than 8 forms of activations";
                return false;
            }
        }
    return true;
}

static bool supports(const lb_args *a, const char **why) {
    kinds x, h;
    return all_kinds(a, shape_of(a), &x, &h, why);
}

static size_t workspace_bytes(const lb_args *a, int parts) {
    shape s = shape_of(a);
    kinds x, h;
    const char *why;
    if (!all_kinds(a, s, &x, &h, &why)) return 0; /* supports() said so before */
    size_t copies = alone(s) ? (size_t)parts : 1;
    return (size_t)parts * plan_bytes(s) + copies * (2 * slots_bytes(s) + x.end + h.end);
}

static projection project(const lb_tensor *w, int64_t k, int64_t slots, kinds *s) {
    const char *why;
    projection p = { .panel = panel_of(w, &why), .q = w->quantizer, .bytes = lb_tensor_data(w) };
    p.panel_bytes = p.panel->panel_bytes(p.q, k);
    p.kind = kind_of(s, p.panel, p.q, k, slots);
    return p;
}

/* A stage's time for ordering and sizing only: its bytes at 20 GB/s and its products at 600 Gop/s, in ns. */
static double cost_ns(double bytes, double rows, double products) { return bytes / 20 + rows * products * 2 / 600; }

static void fill_expert(const lb_args *a, shape s, int64_t e, plan *p, expert *x) {
    for (int j = GATE; j <= DOWN; j++) {
        const lb_tensor *w = a->t[LB_FFN_GATE + j].items[e];
        x->p[j] = project(w, j == DOWN ? s.inner : s.hidden, s.slots, j == DOWN ? &p->h : &p->x);
    }
    int gate = x->p[GATE].panel->rows, up = x->p[UP].panel->rows;
    x->unit[0] = gate > up ? gate : up;
    x->unit[1] = x->p[DOWN].panel->rows;
    x->units[0] = (s.inner + x->unit[0] - 1) / x->unit[0];
    x->units[1] = (s.hidden + x->unit[1] - 1) / x->unit[1];
    double per_row = (double)x->p[GATE].panel_bytes / gate + (double)x->p[UP].panel_bytes / up;
    double products = (double)s.inner * (double)s.hidden;
    x->cost[0] = cost_ns(per_row * (double)s.inner, x->rows, 2 * products);
    x->cost[1] = cost_ns((double)x->p[DOWN].panel_bytes * (double)x->units[1], x->rows, products);
}

/* The experts that have rows and are of the class, costliest first, with their kinds and numbers of items. */
static void make_plan(const lb_args *a, shape s, int parts, plan *p) {
    const int32_t *offsets = i32_of(a, LB_FFN_OFFSETS), *cls = i32_of(a, LB_FFN_CLASS);
    double only = a->p[LB_FFN_P_CLASS], total[2] = { 0, 0 };
    *p = (plan){ 0 };
    for (int64_t e = 0; e < s.experts; e++) {
        if (offsets[e + 1] <= offsets[e] || (only >= 0 && cls[e] != (int32_t)only)) continue;
        expert x = { .first = offsets[e], .rows = offsets[e + 1] - offsets[e], .number = (int32_t)e };
        fill_expert(a, s, e, p, &x);
        int at = p->count++;
        for (; at > 0 && p->e[at - 1].cost[0] < x.cost[0]; at--) p->e[at] = p->e[at - 1];
        p->e[at] = x;
        p->rows += x.rows;
        total[0] += x.cost[0];
        total[1] += x.cost[1];
    }
    for (int i = 0; i < p->count; i++)
        for (int st = 0; st < 2; st++) {
            expert *x = &p->e[i];
            x->tail[st] = x->rows <= FEW_ROWS && i + 1 == p->count && parts > 1 && x->units[st] >= 8 * parts;
            if (x->tail[st]) x->items[st] = parts * (1 + TAIL_ITEMS);
            else if (x->rows <= FEW_ROWS) x->items[st] = parts;
            else x->items[st] = 1 + (int64_t)(x->cost[st] / total[st] * parts * SHORT_ITEMS);
            if (x->items[st] > x->units[st]) x->items[st] = x->units[st];
            x->item0[st] = p->items[st];
            p->items[st] += x->items[st];
        }
}

/* The rows of h are prepared behind those of x: where that is depends on the kinds in use. */
static char *h_rows(const plan *p, const space *w, int kind) { return w->x + p->x.end + p->h.at[kind]; }

/* ---- phase 0: x ---- */

/* Prepares or copies token t's row to slot r's place, for one kind. done[kind] is the token's finished row. */
static void place_row(const plan *p, const space *w, const float *x, int64_t hidden, int kind, int32_t at,
                      const char **done) {
    size_t stride = p->x.stride[kind];
    char *to = w->x + p->x.at[kind] + (size_t)at * stride;
    if (done[kind] == to) return;
    if (done[kind]) memcpy(to, done[kind], p->x.panel[kind]->act_bytes(p->x.q[kind], hidden));
    else p->x.panel[kind]->act_prepare(p->x.q[kind], x, hidden, to);
    if (!done[kind]) done[kind] = to;
}

static void prepare_x(const lb_args *a, const lb_launch *l, shape s, const space *w) {
    const plan *p = w->mine;
    const int32_t *rows = i32_of(a, LB_FFN_ROWS);
    int64_t t0 = 0, t1 = s.tokens;
    if (!alone(s)) lb_split(s.tokens, 1, l->part, l->parts, &t0, &t1);
    for (int64_t r = t0 * s.k; r < t1 * s.k; r++) w->owner[r] = -1;
    for (int i = 0; i < p->count; i++)
        for (int32_t at = p->e[i].first; at < p->e[i].first + p->e[i].rows; at++) {
            int32_t r = rows[at];
            if (r < t0 * s.k || r >= t1 * s.k) continue;
            w->place[r] = at;
            w->owner[r] = i;
        }
    for (int64_t t = t0; t < t1; t++) {
        const float *x = lb_tensor_f32(lb_arg(a, LB_FFN_X)) + t * s.hidden;
        const char *done[MAX_KINDS] = { NULL };
        for (int64_t r = t * s.k; r < (t + 1) * s.k; r++) {
            if (w->owner[r] < 0) continue;
            const expert *e = &p->e[w->owner[r]];
            place_row(p, w, x, s.hidden, e->p[GATE].kind, w->place[r], done);
            if (e->p[UP].kind != e->p[GATE].kind)
                place_row(p, w, x, s.hidden, e->p[UP].kind, w->place[r], done);
        }
    }
}

/* ---- phase 1: gate, up, SwiGLU ---- */

/* How g and u become h: biases of this expert (NULL = none), and gpt-oss's clamped gate where limit > 0. */
typedef struct gating { const float *gate_bias, *up_bias; float alpha, limit; } gating;

static const float *bias_of(const lb_args *a, int slot, const expert *e) {
    const lb_tensor *b = lb_arg(a, slot);
    return b ? lb_tensor_f32(b) + (int64_t)e->number * b->dims[1] : NULL;
}

/* `unit` rows of weights from row0 on (row0 a multiple of unit) times `cols` prepared rows, to out[col][unit]. Panels
 * that lie wholly behind the last row, n, are left out: their part of `out` is not read. */
static void run_unit(const projection *p, const char *act, size_t stride, int64_t k, int64_t n, int64_t row0,
                     int64_t unit, int cols, float *out) {
    int rows = p->panel->rows;
    for (int64_t r = 0; r < unit && row0 + r < n; r += rows)
        p->panel->run(p->q, p->bytes + (size_t)((row0 + r) / rows) * p->panel_bytes, act, stride, k, cols, out + r,
                      unit);
}

static int min_cols(int a, int b) {
    int m = a < b ? a : b;
    return m < MOST_COLS ? m : MOST_COLS;
}

/* SwiGLU of one unit of `cols` rows, written to h. */
static void finish_unit(shape s, const gating *how, const int32_t *slots, int64_t row0, int64_t unit, int cols,
                        const float *gate, const float *up, float *h) {
    for (int i = 0; i < cols; i++)
        for (int64_t r = 0; r < unit && row0 + r < s.inner; r += GATE_LANES) {
            gate_v g = GATE(load_ps)(gate + i * unit + r), v = GATE(load_ps)(up + i * unit + r);
            gate_some m = gate_lanes(s.inner - row0 - r);
            float *to = h + (int64_t)slots[i] * s.inner + row0 + r;
            if (how->gate_bias) g = GATE(add_ps)(g, gate_load(m, how->gate_bias + row0 + r));
            if (how->up_bias) v = GATE(add_ps)(v, gate_load(m, how->up_bias + row0 + r));
            gate_store(to, m, how->limit > 0 ? gate_clamped(g, v, how->alpha, how->limit) : gate_swiglu(g, v));
        }
}

/* Units [u0, u1) of one expert's gate and up, all its rows. With few rows the gates of several units come first, so
 * that both projections are read in long runs; with many, a unit's two at a time, which stay in registers and L1. */
static void gate_up(const lb_args *a, shape s, const space *w, const expert *e, int64_t u0, int64_t u1) {
    float *gate = lb_panel_sums_take(MOST_COLS), *up = lb_panel_sums_take(MOST_COLS);
    const projection *pg = &e->p[GATE], *pu = &e->p[UP];
    const kinds *x = &w->mine->x;
    const int32_t *slots = i32_of(a, LB_FFN_ROWS) + e->first;
    float *h = lb_tensor_data(lb_arg(a, LB_FFN_H));
    gating how = { bias_of(a, LB_FFN_GATE_BIAS, e), bias_of(a, LB_FFN_UP_BIAS, e), (float)a->p[LB_FFN_P_ALPHA],
                   (float)a->p[LB_FFN_P_LIMIT] };
    int step = min_cols(pg->panel->max_cols, pu->panel->max_cols);
    int64_t unit = e->unit[0], together = e->rows <= FEW_ROWS ? MOST_COLS / FEW_ROWS : 1;
    for (int32_t c = 0; c < e->rows; c += step) {
        int cols = e->rows - c < step ? e->rows - c : step;
        size_t gs = x->stride[pg->kind], us = x->stride[pu->kind], at = (size_t)(e->first + c);
        const char *ag = w->x + x->at[pg->kind] + at * gs, *au = w->x + x->at[pu->kind] + at * us;
        for (int64_t u = u0; u < u1; u += together) {
            int64_t last = u + together < u1 ? u + together : u1;
            for (int64_t v = u; v < last; v++)
                run_unit(pg, ag, gs, s.hidden, s.inner, v * unit, unit, cols, gate + (v - u) * unit * cols);
            for (int64_t v = u; v < last; v++) {
                run_unit(pu, au, us, s.hidden, s.inner, v * unit, unit, cols, up);
                finish_unit(s, &how, slots + c, v * unit, unit, cols, gate + (v - u) * unit * cols, up, h);
            }
        }
    }
    lb_panel_sums_give(up, MOST_COLS);
    lb_panel_sums_give(gate, MOST_COLS);
}

/* ---- phases 2 and 3: h, down ---- */

static void prepare_h(const lb_args *a, const lb_launch *l, shape s, const space *w) {
    const plan *p = w->mine;
    const int32_t *rows = i32_of(a, LB_FFN_ROWS);
    const float *h = lb_tensor_f32(lb_arg(a, LB_FFN_H));
    int64_t begin = 0, end = p->rows, before = 0;
    if (!alone(s)) lb_split(p->rows, 1, l->part, l->parts, &begin, &end);
    for (int i = 0; i < p->count; before += p->e[i].rows, i++) {
        const expert *e = &p->e[i];
        const projection *d = &e->p[DOWN];
        size_t stride = p->h.stride[d->kind];
        int64_t from = begin > before ? begin - before : 0, to = end - before < e->rows ? end - before : e->rows;
        for (int64_t j = from; j < to; j++) {
            int64_t at = e->first + j;
            d->panel->act_prepare(d->q, h + (int64_t)rows[at] * s.inner, s.inner,
                                  h_rows(p, w, d->kind) + (size_t)at * stride);
        }
    }
}

/* Units [u0, u1) of one expert's down, all its rows. */
static void down(const lb_args *a, shape s, const space *w, const expert *e, int64_t u0, int64_t u1) {
    float *out = lb_panel_sums_take(MOST_COLS);
    const projection *p = &e->p[DOWN];
    const int32_t *slots = i32_of(a, LB_FFN_ROWS) + e->first;
    const float *bias = bias_of(a, LB_FFN_DOWN_BIAS, e);
    float *y = lb_tensor_data(lb_arg(a, LB_FFN_Y));
    int step = min_cols(p->panel->max_cols, MOST_COLS);
    size_t stride = w->mine->h.stride[p->kind];
    const char *act = h_rows(w->mine, w, p->kind) + (size_t)e->first * stride;
    for (int32_t c = 0; c < e->rows; c += step) {
        int cols = e->rows - c < step ? e->rows - c : step;
        for (int64_t u = u0; u < u1; u++) {
            int64_t unit = e->unit[1], row0 = u * unit;
            run_unit(p, act + (size_t)c * stride, stride, s.inner, s.hidden, row0, unit, cols, out);
            for (int i = 0; i < cols; i++)
                for (int64_t r = 0; r < unit && row0 + r < s.hidden; r += GATE_LANES) {
                    float *to = y + (int64_t)slots[c + i] * s.hidden + row0 + r;
                    gate_some m = gate_lanes(s.hidden - row0 - r);
                    gate_v v = GATE(load_ps)(out + i * unit + r);
                    if (bias) v = GATE(add_ps)(v, gate_load(m, bias + row0 + r));
                    gate_store(to, m, v);
                }
        }
    }
    lb_panel_sums_give(out, MOST_COLS);
}

/* ---- items ---- */

typedef struct item { const expert *e; int64_t u0, u1; } item;

/* The unit that item j of an expert's stage begins with. */
static int64_t item_begin(const expert *e, int stage, int64_t j) {
    int64_t n = e->items[stage], units = e->units[stage], firsts = n / (1 + TAIL_ITEMS), most = units * 3 / 4;
    if (!e->tail[stage]) return units * j / n;
    return j <= firsts ? most * j / firsts : most + (units - most) * (j - firsts) / (n - firsts);
}

/* Item i of a stage (0: gate and up, 1: down); *at is where to look for its expert from, and is left there. */
static item item_of(const plan *p, int stage, int64_t i, int *at) {
    while (i >= p->e[*at].item0[stage] + p->e[*at].items[stage]) ++*at;
    const expert *e = &p->e[*at];
    int64_t j = i - e->item0[stage];
    return (item){ e, item_begin(e, stage, j), item_begin(e, stage, j + 1) };
}

/* Works on a stage's items until there are none: first the part's own, then what the ticket gives. */
static void work_off(const lb_args *a, const lb_launch *l, shape s, const space *w, int stage) {
    const plan *p = w->mine;
    int at = 0; /* item numbers only grow, so the search goes on from the last expert */
    for (int64_t i = l->part; i < p->items[stage];
         i = l->parts + atomic_fetch_add_explicit(l->ticket, 1, memory_order_relaxed)) {
        item x = item_of(p, stage, i, &at);
        (stage ? down : gate_up)(a, s, w, x.e, x.u0, x.u1);
    }
}

static int phases(const lb_args *a) { return alone(shape_of(a)) ? 2 : 4; }

/* Phases 0 and 2 of the four. */
static void prepare(const lb_args *a, const lb_launch *l, shape s, space *w, int stage) {
    if (stage == 0) make_plan(a, s, l->parts, w->mine);
    w->x = x_rows(l, s, w);
    (stage ? prepare_h : prepare_x)(a, l, s, w);
}

static void launch(const lb_args *a, const lb_launch *l) {
    shape s = shape_of(a);
    space w = space_of(l, s);
    if (alone(s)) {
        prepare(a, l, s, &w, l->phase);
        work_off(a, l, s, &w, l->phase);
    } else if (l->phase % 2 == 0) {
        prepare(a, l, s, &w, l->phase / 2);
    } else {
        work_off(a, l, s, &w, l->phase / 2);
    }
}

#if defined(LB_NATIVE)
const lb_kernel LB_ROWS32_SYMBOL(moe_ffn_native) = {
    .name = "moe_ffn.native." LB_ROWS32_ISA_TEXT,
    .about = "as moe_ffn.panels, over experts in GGUF's formats in their files' own layout, decoded in registers",
#else
const lb_kernel LB_ROWS32_SYMBOL(moe_ffn_panels) = {
    .name = "moe_ffn.panels." LB_ROWS32_ISA_TEXT,
    .about = "experts of any formats with panel kernels, mixed freely; activations prepared once, gate and up fused "
             "with SwiGLU; (expert, run of panels) handed out by ticket, costliest first",
#endif
    .op = "moe_ffn",
    .device = "cpu",
    .source = "luabench",
    .isa = PANELS_ISA(LB_ROWS32_ISA_BITS),
    .format = "any",
    .act = LB_ACT_Q8_256,
    .acc = LB_ACC_I32_F32,
    .compute = LB_COMPUTE_INT8,
    .tolerance = LB_ROWS32_TOLERANCE,
    .tolerance_why = "the panels' own error (exact int32 blocks, f32 between them, about 1e-14; with avx2 some "
                     "multiply in f32 before zeros are taken off: 1.3e-10 was seen) and an exponential "
                     "within 2e-7; h is checked before y, and y on the h that was made",
    .priority = LB_ROWS32_PRIORITY + PANELS_PRIORITY,
    .panel_weights = PANELS_REPACKED,
    .supports = supports,
    .phases = phases,
    .workspace_bytes = workspace_bytes,
    .launch = launch,
};
