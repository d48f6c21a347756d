/* linear_panels.h: the linear kernels built from the panels of whatever formats the weights have: x is prepared once
 * for each form that the panels read, and all matrices are one supply of work. */
#include "activate.h"
#include "panels_of.h"

enum { MAX_KINDS = 8, CHUNK_ROWS = 64, CHUNK_COLUMNS = LB_PANEL_MAX_COLS, CHUNKS_PER_PART = 8 };

/* Forms of the rows of x, in the order of first use, and where each begins in a workspace. */
typedef struct kinds {
    int count;
    const lb_panel *panel[MAX_KINDS];
    const lb_quantizer *q[MAX_KINDS];
    size_t stride[MAX_KINDS], at[MAX_KINDS], end;
} kinds;

static int kind_of(kinds *s, const lb_panel *panel, const lb_quantizer *q, int64_t k, int64_t rows) {
    for (int i = 0; i < s->count; i++)
        if (!strcmp(s->panel[i]->act_kind, panel->act_kind)) return i;
    if (s->count == MAX_KINDS) return -1;
    int i = s->count++;
    s->panel[i] = panel;
    s->q[i] = q;
    s->stride[i] = lb_panel_act_stride(panel->act_bytes(q, k));
    s->at[i] = s->end;
    s->end += (s->stride[i] * (size_t)rows + 63) / 64 * 64;
    return i;
}

static bool kinds_of(const lb_args *a, kinds *s, const char **why) {
    const lb_tensor *x = lb_arg(a, LB_LINEAR_X);
    *s = (kinds){ 0 };
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++) {
        const lb_tensor *w = a->t[LB_LINEAR_W].items[i];
        const lb_panel *p = panel_of(w, why);
        if (!p) return false;
        *why = "there are more than 8 forms of activations";
        if (kind_of(s, p, w->quantizer, x->dims[1], x->dims[0]) < 0) return false;
    }
    return true;
}

static bool supports(const lb_args *a, const char **why) {
    kinds s;
    return kinds_of(a, &s, why);
}

/* Few rows: every part prepares its own copy, cheaper than a barrier. */
static bool few(const lb_args *a) { return lb_arg(a, LB_LINEAR_X)->dims[0] <= LB_GEMM_PANEL_GEMV_ROWS; }
static int phases(const lb_args *a) { return few(a) ? 1 : 2; }
static size_t workspace_bytes(const lb_args *a, int parts) {
    kinds s;
    const char *why;
    return kinds_of(a, &s, &why) ? s.end * (size_t)(few(a) ? parts : 1) : 0;
}

static void prepare(const lb_args *a, const kinds *s, char *to, int64_t begin, int64_t end) {
    const lb_tensor *x = lb_arg(a, LB_LINEAR_X);
    for (int i = 0; i < s->count; i++)
        for (int64_t r = begin; r < end; r++)
            s->panel[i]->act_prepare(s->q[i], lb_tensor_f32(x) + r * x->dims[1], x->dims[1],
                                     to + s->at[i] + (size_t)r * s->stride[i]);
}

/* Rows [r0, r1) of a matrix, which are columns from `at` on of out, for rows [c0, c1) of x. */
static void run_block(const lb_args *a, kinds *s, const lb_tensor *w, int64_t at, int64_t r0, int64_t r1, int64_t c0,
                      int64_t c1, const char *prepared) {
    const lb_tensor *o = lb_arg(a, LB_LINEAR_OUT), *b = lb_arg(a, LB_LINEAR_BIAS);
    const char *why;
    const lb_panel *p = panel_of(w, &why);
    int64_t n = o->dims[1], k = w->dims[1];
    int kind = kind_of(s, p, w->quantizer, k, 0);
    float *out = (float *)lb_tensor_data(o) + at, sums[CHUNK_ROWS];
    const char *act = prepared + s->at[kind];
    panel_rows(p, w->quantizer, lb_tensor_data(w), r0, r1 - r0, act + (size_t)c0 * s->stride[kind], s->stride[kind], k,
               c1 - c0, out + c0 * n + r0, n);
    if (!b && a->p[LB_LINEAR_P_ACTIVATION] == LB_ACTIVATION_NONE) return;
    for (int64_t c = c0; c < c1; c++) {
        float *to = out + c * n + r0;
        for (int64_t j = 0; j < r1 - r0; j++) sums[j] = to[j] + (b ? lb_tensor_f32(b)[at + r0 + j] : 0.0f);
        activate((int)a->p[LB_LINEAR_P_ACTIVATION], 0.01f, sums, r1 - r0, to);
    }
}

static int64_t chunks_of(const lb_tensor *w) { return (w->dims[0] + CHUNK_ROWS - 1) / CHUNK_ROWS; }

static void run_item(const lb_args *a, kinds *s, int64_t item, const char *prepared) {
    int64_t m = lb_arg(a, LB_LINEAR_X)->dims[0], across = (m + CHUNK_COLUMNS - 1) / CHUNK_COLUMNS, at = 0;
    int64_t c0 = m * (item % across) / across, c1 = m * (item % across + 1) / across;
    item /= across;
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++) {
        const lb_tensor *w = a->t[LB_LINEAR_W].items[i];
        if (item < chunks_of(w)) {
            int64_t r0 = item * CHUNK_ROWS, r1 = r0 + CHUNK_ROWS < w->dims[0] ? r0 + CHUNK_ROWS : w->dims[0];
            for (int64_t c = c0; c < c1; c += LB_PANEL_MAX_COLS)
                run_block(a, s, w, at, r0, r1, c, c + LB_PANEL_MAX_COLS < c1 ? c + LB_PANEL_MAX_COLS : c1, prepared);
            return;
        }
        item -= chunks_of(w);
        at += w->dims[0];
    }
}

static void launch(const lb_args *a, const lb_launch *l) {
    int64_t m = lb_arg(a, LB_LINEAR_X)->dims[0], items = 0, begin, end;
    kinds s;
    const char *why;
    if (m == 0 || !kinds_of(a, &s, &why)) return;
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++) items += chunks_of(a->t[LB_LINEAR_W].items[i]);
    items *= (m + CHUNK_COLUMNS - 1) / CHUNK_COLUMNS;
    if (few(a)) {
        char *mine = (char *)l->workspace + s.end * (size_t)l->part;
        /* One contiguous run of weights for each part; the last ones go to who is there first, since memory does not
         * serve all threads alike. */
        int64_t shared = l->parts > 1 ? items / 8 : 0;
        lb_split(items - shared, 1, l->part, l->parts, &begin, &end);
        prepare(a, &s, mine, 0, m);
        for (int64_t i = begin; i < end; i++) run_item(a, &s, i, mine);
        for (int64_t i; (i = items - shared + atomic_fetch_add_explicit(l->ticket, 1, memory_order_relaxed)) < items;)
            run_item(a, &s, i, mine);
    } else if (l->phase == 0) {
        my_rows(l, m, &begin, &end);
        prepare(a, &s, l->workspace, begin, end);
    } else {
        for (;;) {
            int64_t i = atomic_fetch_add_explicit(l->ticket, 1, memory_order_relaxed);
            if (i >= items) return;
            run_item(a, &s, i, l->workspace);
        }
    }
}

#if defined(LB_NATIVE)
const lb_kernel KERNEL_SYMBOL(linear_native) = {
    .name = "linear.native." ISA_TEXT,
    .about = "weights of GGUF's formats in their files' own layout, decoded in registers; x prepared once, all matrices "
             "one supply of work; bias and activation on each block while it is in L1",
    .tolerance_why = "exact int32 sums of blocks, or of 32 weights, and f32 between them; an activation within 2e-7",
#else
const lb_kernel KERNEL_SYMBOL(linear_panels) = {
    .name = "linear.panels." ISA_TEXT,
    .about = "built from the panels of the weights' formats; x prepared once for each form, all matrices one supply of "
             "work; bias and activation on each block while it is in L1",
    .tolerance_why = "what the panels' own kernels allow, and an activation within 2e-7",
#endif
    .op = "linear", .device = "cpu", .source = "luabench", .isa = PANELS_ISA(ISA_BITS), .format = "any",
    .act = PANELS_ACT(LB_ACT_F32), .acc = LB_ACC_I32_F32, .compute = LB_COMPUTE_INT8, .tolerance = 1e-9,
    .priority = ISA_PRIORITY + 10 + PANELS_PRIORITY, .panel_weights = PANELS_REPACKED, .supports = supports,
    .phases = phases, .workspace_bytes = workspace_bytes, .launch = launch,
};
