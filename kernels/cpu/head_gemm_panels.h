/* head_gemm_panels.h: the head_gemm kernels built from the panel of the weights' format: each head's rows of x are
 * prepared once, then runs of its panels meet them. */
#include "engine/ops/kv.h"
#include "panels_of.h"
#include "vec.h"

enum { FEW_ROWS = 64 /* of an item */ };

/* Few tokens: every part prepares the rows of the heads that it works on, cheaper than a barrier. */
static bool few(const lb_args *a) { return lb_arg(a, LB_HEAD_GEMM_X)->dims[0] <= LB_GEMM_PANEL_GEMV_ROWS; }

typedef struct problem {
    const lb_panel *panel;
    const lb_quantizer *q;
    const lb_tensor *x, *w, *out;
    int64_t tokens, heads, n, k, rows, across, down; /* rows of an item; blocks of tokens, and of rows, of one head */
    size_t matrix_bytes, head_bytes;                 /* of one head: weights, prepared rows */
    lb_act_place place;
} problem;

static problem problem_of(const lb_args *a, int parts) {
    problem p = { .x = lb_arg(a, LB_HEAD_GEMM_X), .w = lb_arg(a, LB_HEAD_GEMM_W), .out = lb_arg(a, LB_HEAD_GEMM_OUT) };
    const char *why;
    p.panel = panel_of(p.w, &why);
    p.q = p.w->quantizer;
    p.tokens = p.x->dims[0], p.heads = p.x->dims[1], p.k = p.x->dims[2], p.n = p.w->dims[1];
    int64_t panels = (p.n + p.panel->rows - 1) / p.panel->rows;
    p.across = lb_panel_across(p.tokens);
    p.rows = few(a) ? FEW_ROWS : p.panel->rows * lb_panels_together(p.panel, panels * p.heads, p.across, parts);
    p.down = (p.n + p.rows - 1) / p.rows;
    p.matrix_bytes =
        PANELS_REPACKED ? p.panel->panel_bytes(p.q, p.k) * (size_t)panels : p.q->size_bytes(p.q, p.n, p.k);
    p.place = lb_act_place_of(p.panel->several, p.panel->act_bytes(p.q, p.k), p.tokens);
    p.head_bytes = lb_act_place_bytes(&p.place, p.k, p.tokens);
    return p;
}

static int phases(const lb_args *a) { return few(a) ? 1 : 2; }

static size_t workspace_bytes(const lb_args *a, int parts) {
    return problem_of(a, parts).head_bytes * (size_t)(few(a) ? parts : lb_arg(a, LB_HEAD_GEMM_X)->dims[1]);
}

static void prepare(const problem *p, int64_t head, int64_t begin, int64_t end, char *to) {
    for (int64_t t = begin; t < end; t++)
        lb_act_place_rows(&p->place, p->panel, p->q, lb_row_f32(p->x, t * p->heads + head), 0, p->k, t, t + 1, to);
}

/* Item i: a run of one head's rows for a run of tokens, whose prepared rows begin at `act`. */
static void run_item(const problem *p, int64_t i, const char *act) {
    int64_t c = i % p->across, c0 = lb_panel_column(&p->place, p->tokens, c, p->across);
    int64_t c1 = lb_panel_column(&p->place, p->tokens, c + 1, p->across);
    int64_t r0 = i / p->across % p->down * p->rows, head = i / (p->across * p->down);
    int64_t r1 = r0 + p->rows < p->n ? r0 + p->rows : p->n;
    const char *matrix = (const char *)lb_tensor_data(p->w) + (size_t)head * p->matrix_bytes;
    panel_rows(p->panel, p->q, matrix, r0, r1 - r0, act + (size_t)c0 * p->place.stride, &p->place, p->k, c1 - c0,
               lb_row_f32(p->out, c0 * p->heads + head) + r0, p->out->strides[0]);
}

static void launch(const lb_args *a, const lb_launch *l) {
    int64_t begin, end;
    if (lb_tensor_numel(lb_arg(a, LB_HEAD_GEMM_OUT)) == 0) return;
    problem p = problem_of(a, l->parts);
    int64_t items = p.heads * p.down * p.across;
    if (few(a)) {
        char *mine = (char *)l->workspace + p.head_bytes * (size_t)l->part;
        int64_t ready = -1;
        my_rows(l, items, &begin, &end);
        for (int64_t i = begin; i < end; i++) {
            int64_t head = i / (p.across * p.down);
            if (head != ready) prepare(&p, head, 0, p.tokens, mine);
            ready = head;
            run_item(&p, i, mine);
        }
    } else if (l->phase == 0) {
        my_rows(l, p.tokens, &begin, &end);
        for (int64_t h = 0; h < p.heads; h++)
            prepare(&p, h, begin, end, (char *)l->workspace + p.head_bytes * (size_t)h);
    } else {
        for (;;) {
            int64_t i = atomic_fetch_add_explicit(l->ticket, 1, memory_order_relaxed);
            if (i >= items) return;
            run_item(&p, i, (const char *)l->workspace + p.head_bytes * (size_t)(i / (p.across * p.down)));
        }
    }
}

#if defined(LB_NATIVE)
static bool supports(const lb_args *a, const char **why) { return panel_of(lb_arg(a, LB_HEAD_GEMM_W), why) != NULL; }

const lb_kernel KERNEL_SYMBOL(head_gemm_native) = {
    .name = "head_gemm.native." ISA_TEXT, .supports = supports,
    .about = "weights of GGUF's formats in their files' own layout, decoded in registers; each head's rows of x "
             "prepared once",
    .tolerance_why = "exact int32 sums of blocks, or of 32 weights, and f32 between them",
#else
const lb_kernel KERNEL_SYMBOL(head_gemm_panels) = {
    .name = "head_gemm.panels." ISA_TEXT,
    .about = "built from the panel of the weights' format; each head's rows of x prepared once, runs of its panels "
             "handed out by ticket",
    .tolerance_why = "what the panels' own kernels allow",
#endif
    .op = "head_gemm", .device = "cpu", .source = "luabench", .isa = PANELS_ISA(ISA_BITS), .format = "any",
    .act = PANELS_ACT(LB_ACT_F32), .acc = LB_ACC_I32_F32, .compute = LB_COMPUTE_INT8, .tolerance = 1e-9,
    .priority = ISA_PRIORITY + 10 + PANELS_PRIORITY, .panel_weights = PANELS_REPACKED, .phases = phases,
    .workspace_bytes = workspace_bytes, .launch = launch,
};
