/* gemm_panel.c: phases, workspace and work splitting of gemm kernels that are built on an lb_panel. */
#include "gemm_panel.h"

#include <string.h>

/* Panels handed out together in a GEMM: 64 weight rows or so stay in L2 while the columns pass. */
enum { ROWS_PER_CHUNK = 64, COLS_PER_CHUNK = LB_PANEL_MAX_COLS, CHUNKS_PER_PART = 8 };
/* In a GEMV one panel of so many is kept back for whoever is done first: parts do not get the same share of the memory. */
enum { GEMV_TAIL = 8 };

static int64_t columns(const lb_args *a) { return lb_arg(a, LB_GEMM_X)->dims[0]; }

static bool is_gemv(const lb_args *a) { return columns(a) <= LB_GEMM_PANEL_GEMV_ROWS; }

int lb_gemm_panel_phases(const lb_args *a) { return is_gemv(a) ? 1 : 2; }

size_t lb_gemm_panel_workspace(const lb_panel *panel, const lb_args *a, int parts) {
    int64_t k = lb_arg(a, LB_GEMM_X)->dims[1];
    size_t stride = 0;
    for (int32_t i = 0; i < a->t[LB_GEMM_W].count; i++) { /* members of a family may prepare rows of unlike size */
        size_t s = lb_panel_act_stride(panel->act_bytes(a->t[LB_GEMM_W].items[i]->quantizer, k));
        if (s > stride) stride = s;
    }
    return stride * (size_t)columns(a) * (size_t)(is_gemv(a) ? parts : 1);
}

/* run() of a panel that has fewer rows than others. */
static void run_last(const lb_panel *panel, const lb_quantizer *q, const void *bytes, const void *act, size_t act_stride,
                     int64_t k, int cols, int64_t rows, float *out, int64_t out_stride) {
    float all[LB_PANEL_MAX_COLS * LB_PANEL_MAX_ROWS];
    panel->run(q, bytes, act, act_stride, k, cols, all, panel->rows);
    for (int i = 0; i < cols; i++) memcpy(out + i * out_stride, all + i * panel->rows, (size_t)rows * sizeof(float));
}

void lb_panel_run_any(const lb_panel *panel, const lb_quantizer *q, const void *bytes, const void *act,
                      size_t act_stride, int64_t k, int64_t m, int64_t rows, float *out, int64_t out_stride) {
    const int R = panel->rows;
    const size_t each = panel->panel_bytes(q, k);
    for (int64_t c = 0; c < m; c += panel->max_cols) {
        int cols = (int)(m - c < panel->max_cols ? m - c : panel->max_cols);
        const char *from = (const char *)act + (size_t)c * act_stride, *at = bytes;
        float *to = out + c * out_stride;
        const bool twos = panel->two && cols > LB_GEMM_PANEL_GEMV_ROWS;
        for (int64_t r = 0, some; r < rows; r += some, at += (size_t)(some / R) * each) {
            some = twos && rows - r >= 2 * R ? 2 * R : R;
            if (rows - r < R) run_last(panel, q, at, from, act_stride, k, cols, rows - r, to + r, out_stride);
            else (some > R ? panel->two : panel->run)(q, at, from, act_stride, k, cols, to + r, out_stride);
        }
    }
}

/* One launch's operands, resolved. */
typedef struct problem {
    const lb_panel *panel;
    const lb_quantizer *q;
    const float *x;
    const uint8_t *w;
    float *out;
    int64_t m, n, k, panels;
    size_t panel_bytes, act_stride;
} problem;

static problem resolve(const lb_panel *panel, const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_weight(a, l, LB_GEMM_W);
    problem p = { .panel = panel, .q = w->quantizer, .x = lb_tensor_f32(x), .w = lb_tensor_data(w),
                  .out = lb_tensor_data(lb_arg(a, LB_GEMM_OUT)), .m = x->dims[0], .n = w->dims[0], .k = x->dims[1] };
    p.panels = (p.n + panel->rows - 1) / panel->rows;
    p.panel_bytes = panel->panel_bytes(p.q, p.k);
    p.act_stride = lb_panel_act_stride(panel->act_bytes(p.q, p.k));
    return p;
}

/* Panels [p0, p1) times columns [c0, c1). */
static void run_block(const problem *p, const char *act, int64_t p0, int64_t p1, int64_t c0, int64_t c1) {
    int64_t r0 = p0 * p->panel->rows, r1 = p1 * p->panel->rows < p->n ? p1 * p->panel->rows : p->n;
    lb_panel_run_any(p->panel, p->q, p->w + (size_t)p0 * p->panel_bytes, act + (size_t)c0 * p->act_stride, p->act_stride,
                     p->k, c1 - c0, r1 - r0, p->out + c0 * p->n + r0, p->n);
}

static void launch_gemv(const problem *p, const lb_launch *l) {
    char *act = (char *)l->workspace + (size_t)l->part * p->act_stride * (size_t)p->m;
    int64_t tail = l->parts > 1 && p->panels / l->parts >= GEMV_TAIL ? p->panels / GEMV_TAIL : 0;
    int64_t begin, end, whole = p->panels - tail;
    lb_split(whole, 1, l->part, l->parts, &begin, &end);
    if (begin == end) return;
    for (int64_t i = 0; i < p->m; i++)
        p->panel->act_prepare(p->q, p->x + i * p->k, p->k, act + (size_t)i * p->act_stride);
    run_block(p, act, begin, end, 0, p->m);
    int64_t step = tail / (4 * l->parts) > 1 ? tail / (4 * l->parts) : 1;
    while (tail && (begin = whole + step * atomic_fetch_add_explicit(l->ticket, 1, memory_order_relaxed)) < p->panels)
        run_block(p, act, begin, begin + step < p->panels ? begin + step : p->panels, 0, p->m);
}

static void launch_gemm(const problem *p, const lb_launch *l) {
    int64_t per_chunk = ROWS_PER_CHUNK / p->panel->rows, wanted = (int64_t)l->parts * CHUNKS_PER_PART;
    int64_t across = (p->m + COLS_PER_CHUNK - 1) / COLS_PER_CHUNK; /* column blocks */
    while (per_chunk > 1 && (p->panels + per_chunk - 1) / per_chunk * across < wanted) per_chunk /= 2;
    /* The last ones go one by one, so that no part is left with a large one. */
    int64_t large = p->panels > l->parts * per_chunk ? (p->panels - l->parts * per_chunk) / per_chunk : 0;
    int64_t down = large + p->panels - large * per_chunk;
    for (;;) {
        int64_t item = atomic_fetch_add_explicit(l->ticket, 1, memory_order_relaxed);
        if (item >= down * across) return;
        int64_t i = item / across, p0 = i < large ? i * per_chunk : large * per_chunk + (i - large);
        int64_t p1 = p0 + (i < large ? per_chunk : 1), c = item % across; /* blocks of equal size: none is thin */
        run_block(p, l->workspace, p0, p1, p->m * c / across, p->m * (c + 1) / across);
    }
}

void lb_gemm_panel_launch(const lb_panel *panel, const lb_args *a, const lb_launch *l) {
    problem p = resolve(panel, a, l);
    if (is_gemv(a)) {
        launch_gemv(&p, l);
    } else if (l->phase == 0) {
        int64_t begin, end;
        lb_split(p.m, 1, l->part, l->parts, &begin, &end);
        for (int64_t i = begin; i < end; i++)
            panel->act_prepare(p.q, p.x + i * p.k, p.k, (char *)l->workspace + (size_t)i * p.act_stride);
    } else {
        launch_gemm(&p, l);
    }
}
