/* linear_panels.h: the linear kernels built from the panels of whatever formats the weights have: x is prepared once
 * for each form that the panels read, and all matrices are one supply of work. */
#include "activate.h"
#include "panels_of.h"

enum { MAX_KINDS = 8, CHUNK_ROWS = 64 };

/* A form of the rows of x. */
typedef struct kind {
    const lb_panel *panel;
    const lb_quantizer *q;
    const lb_panels *several; /* of all panels that read it, so that it may stand in blocks; or NULL */
    lb_act_place place;
    size_t at; /* in a workspace */
} kind;
typedef struct kinds { int count; kind k[MAX_KINDS]; size_t end; } kinds; /* in the order of first use */

static int kind_of(const kinds *s, const lb_panel *panel) {
    for (int i = 0; i < s->count; i++)
        if (!strcmp(s->k[i].panel->act_kind, panel->act_kind)) return i;
    return -1;
}

static bool kinds_of(const lb_args *a, kinds *s, const char **why) {
    const lb_tensor *x = lb_arg(a, LB_LINEAR_X);
    *s = (kinds){ 0 };
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++) {
        const lb_tensor *w = a->t[LB_LINEAR_W].items[i];
        const lb_panel *p = panel_of(w, why);
        if (!p) return false;
        int at = kind_of(s, p);
        *why = "there are more than 8 forms of activations";
        if (at < 0 && s->count == MAX_KINDS) return false;
        if (at < 0) s->k[s->count++] = (kind){ .panel = p, .q = w->quantizer, .several = p->several };
        else if (!p->several) s->k[at].several = NULL;
    }
    for (kind *k = s->k; k < s->k + s->count; k++) {
        k->place = lb_act_place_of(k->several, k->panel->act_bytes(k->q, x->dims[1]), x->dims[0]);
        k->at = s->end;
        s->end += (lb_act_place_bytes(&k->place, x->dims[1], x->dims[0]) + 63) / 64 * 64;
    }
    return true;
}

static bool supports(const lb_args *a, const char **why) {
    kinds s;
#if defined(LB_BY_PLANES)
    bool any = false;
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++) any |= lb_planes_panel_of(a->t[LB_LINEAR_W].items[i]) != NULL;
    *why = "takes 96 rows of x and more, and weights of which some have panels by planes";
    if (!any || lb_arg(a, LB_LINEAR_X)->dims[0] < LB_PLANES_ROWS) return false;
#endif
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
    for (const kind *k = s->k; k < s->k + s->count; k++)
        lb_act_place_rows(&k->place, k->panel, k->q, lb_tensor_f32(x) + begin * x->dims[1], x->dims[1], x->dims[1],
                          begin, end, to + k->at);
}

/* Rows [r0, r1) of a matrix, which are columns from `at` on of out, for rows [c0, c1) of x. */
static void run_block(const lb_args *a, const kinds *s, const lb_tensor *w, int64_t at, int64_t r0, int64_t r1,
                      int64_t c0, int64_t c1, const char *prepared) {
    const lb_tensor *o = lb_arg(a, LB_LINEAR_OUT), *b = lb_arg(a, LB_LINEAR_BIAS);
    const char *why;
    const lb_panel *p = panel_of(w, &why);
    int64_t n = o->dims[1];
    const kind *k = &s->k[kind_of(s, p)];
    float *out = (float *)lb_tensor_data(o) + at, sums[CHUNK_ROWS];
    panel_rows(p, w->quantizer, lb_tensor_data(w), r0, r1 - r0, prepared + k->at + (size_t)c0 * k->place.stride,
               &k->place, w->dims[1], c1 - c0, out + c0 * n + r0, n);
    if (!b && a->p[LB_LINEAR_P_ACTIVATION] == LB_ACTIVATION_NONE) return;
    for (int64_t c = c0; c < c1; c++)
        for (int64_t r = r0, some; r < r1; r += some) {
            float *to = out + c * n + r;
            some = r1 - r < CHUNK_ROWS ? r1 - r : CHUNK_ROWS;
            for (int64_t j = 0; j < some; j++) sums[j] = to[j] + (b ? lb_tensor_f32(b)[at + r + j] : 0.0f);
            activate((int)a->p[LB_LINEAR_P_ACTIVATION], 0.01f, sums, some, to);
        }
}

/* ---- few rows: runs of CHUNK_ROWS ---- */

static int64_t chunks_of(const lb_tensor *w) { return (w->dims[0] + CHUNK_ROWS - 1) / CHUNK_ROWS; }

static void run_chunk(const lb_args *a, const kinds *s, int64_t chunk, const char *prepared) {
    int64_t at = 0;
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++) {
        const lb_tensor *w = a->t[LB_LINEAR_W].items[i];
        if (chunk < chunks_of(w)) {
            int64_t r0 = chunk * CHUNK_ROWS, r1 = r0 + CHUNK_ROWS < w->dims[0] ? r0 + CHUNK_ROWS : w->dims[0];
            run_block(a, s, w, at, r0, r1, 0, lb_arg(a, LB_LINEAR_X)->dims[0], prepared);
            return;
        }
        chunk -= chunks_of(w);
        at += w->dims[0];
    }
}

static void launch_few(const lb_args *a, const lb_launch *l, const kinds *s) {
    int64_t begin, end, chunks = 0;
    char *mine = (char *)l->workspace + s->end * (size_t)l->part;
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++) chunks += chunks_of(a->t[LB_LINEAR_W].items[i]);
    /* One contiguous run of weights for each part; the last ones go to who is there first, since memory does not serve
     * all threads alike. */
    int64_t shared = l->parts > 1 ? chunks / 8 : 0;
    lb_split(chunks - shared, 1, l->part, l->parts, &begin, &end);
    prepare(a, s, mine, 0, lb_arg(a, LB_LINEAR_X)->dims[0]);
    for (int64_t i = begin; i < end; i++) run_chunk(a, s, i, mine);
    for (int64_t i; (i = chunks - shared + atomic_fetch_add_explicit(l->ticket, 1, memory_order_relaxed)) < chunks;)
        run_chunk(a, s, i, mine);
}

/* ---- many rows: panels that go together, of all matrices one after the other ---- */

static int64_t panels_in(const lb_tensor *w) {
    const char *why;
    const int rows = panel_of(w, &why)->rows;
    return (w->dims[0] + rows - 1) / rows;
}

/* Panels [p0, p1) of matrix i, which begins at column `at` of out; `left` panels come behind them. */
typedef struct run_of_panels { int32_t i; int64_t at, p0, p1, left; } run_of_panels;

/* The next of them; false behind the last. */
static bool next_run(const lb_args *a, run_of_panels *r, int64_t across, int parts) {
    const lb_tensor *const *w = (const lb_tensor *const *)a->t[LB_LINEAR_W].items;
    const char *why;
    if (r->left == 0) return false;
    for (; r->p1 == panels_in(w[r->i]); r->i++) r->at += w[r->i]->dims[0], r->p1 = 0;
    int64_t some = lb_panels_together(panel_of(w[r->i], &why), r->left, across, parts);
    int64_t here = panels_in(w[r->i]) - r->p1;
    r->p0 = r->p1;
    r->p1 += some < here ? some : here;
    r->left -= r->p1 - r->p0;
    return true;
}

static void launch_many(const lb_args *a, const lb_launch *l, const kinds *s) {
    int64_t m = lb_arg(a, LB_LINEAR_X)->dims[0], across = lb_panel_across(m), down = 0;
    run_of_panels r = { 0 };
    for (int32_t i = 0; i < a->t[LB_LINEAR_W].count; i++) r.left += panels_in(a->t[LB_LINEAR_W].items[i]);
    for (;;) {
        int64_t item = atomic_fetch_add_explicit(l->ticket, 1, memory_order_relaxed), c = item % across;
        for (; down <= item / across; down++)
            if (!next_run(a, &r, across, l->parts)) return;
        const lb_tensor *w = a->t[LB_LINEAR_W].items[r.i];
        const char *why;
        const lb_panel *panel = panel_of(w, &why);
        const lb_act_place *place = &s->k[kind_of(s, panel)].place;
        const int64_t rows = panel->rows, r1 = r.p1 * rows < w->dims[0] ? r.p1 * rows : w->dims[0];
        run_block(a, s, w, r.at, r.p0 * rows, r1, lb_panel_column(place, m, c, across),
                  lb_panel_column(place, m, c + 1, across), l->workspace);
    }
}

static void launch(const lb_args *a, const lb_launch *l) {
    int64_t m = lb_arg(a, LB_LINEAR_X)->dims[0], begin, end;
    kinds s;
    const char *why;
    if (m == 0 || !kinds_of(a, &s, &why)) return;
    if (few(a)) {
        launch_few(a, l, &s);
    } else if (l->phase == 0) {
        my_rows(l, m, &begin, &end);
        prepare(a, &s, l->workspace, begin, end);
    } else {
        launch_many(a, l, &s);
    }
}

#if defined(LB_NATIVE)
const lb_kernel KERNEL_SYMBOL(linear_native) = {
    .name = "linear.native." ISA_TEXT,
    .about = "weights of GGUF's formats in their files' own layout, decoded in registers; x prepared once, all "
             "matrices one supply of work; bias and activation on each block while it is in L1",
    .tolerance_why = "exact int32 sums of blocks, or of 32 weights, and f32 between them; an activation within 2e-7",
#elif defined(LB_BY_PLANES)
const lb_kernel KERNEL_SYMBOL(linear_planes) = {
    .name = "linear.planes." ISA_TEXT,
    .about = "as linear.panels, of 96 rows of x and more: weights of formats with a scale for each 32 by planes of "
             "bytes that their scales are folded into, and AMX's tiles",
    .tolerance_why = "what the panels' own kernels allow, and an activation within 2e-7",
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
