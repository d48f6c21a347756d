/* gemm_panel.c: phases, workspace and work splitting of gemm kernels that are built on an lb_panel. */
#include "gemm_panel.h"

#include <string.h>

/* Panels handed out together in a GEMM: as many as can go together, but no more of those that are left than a part's
 * share through SHARES, so that no part ends with a large one. */
enum { ROWS_TOGETHER = 64, SHARES = 2, COLS_PER_CHUNK = LB_PANEL_MAX_COLS };
/* From so many columns on, blocks of activations that a panel meets at the same time stand side by side, this far apart
 * (see lb_panel_act_stride): rows would be a page each for every 256 k. */
enum { BLOCKS_COLS = 17, BLOCKS_APART = 32 };
/* In a GEMV one panel of so many is kept back for whoever is done first: parts do not get the same share of the memory. */
enum { GEMV_TAIL = 8 };

static int64_t columns(const lb_args *a) { return lb_arg(a, LB_GEMM_X)->dims[0]; }

static bool is_few(int64_t cols) { return cols <= LB_GEMM_PANEL_GEMV_ROWS; }
static bool is_gemv(const lb_args *a) { return is_few(columns(a)); }

int lb_gemm_panel_phases(const lb_args *a) { return is_gemv(a) ? 1 : 2; }

/* Are prepared activations blocks side by side? */
static bool in_blocks(const lb_panels *panels, int64_t m) { return panels && panels->act_block && m >= BLOCKS_COLS; }

size_t lb_gemm_panel_workspace(const lb_panel *panel, const lb_panels *panels, const lb_args *a, int parts) {
    int64_t k = lb_arg(a, LB_GEMM_X)->dims[1];
    if (in_blocks(panels, columns(a)))
        return (size_t)((k + 255) / 256) * (panels->act_block + BLOCKS_APART) * (size_t)columns(a);
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
    const lb_panels *several; /* NULL = none */
    const lb_quantizer *q;
    const float *x;
    const uint8_t *w;
    float *out;
    int64_t m, n, k, panels;
    size_t panel_bytes, act_stride, act_step;
} problem;

static problem resolve(const lb_panel *panel, const lb_panels *several, const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_weight(a, l, LB_GEMM_W);
    problem p = { .panel = panel, .several = several, .q = w->quantizer, .x = lb_tensor_f32(x), .w = lb_tensor_data(w),
                  .out = lb_tensor_data(lb_arg(a, LB_GEMM_OUT)), .m = x->dims[0], .n = w->dims[0], .k = x->dims[1] };
    p.panels = (p.n + panel->rows - 1) / panel->rows;
    p.panel_bytes = panel->panel_bytes(p.q, p.k);
    p.act_stride = lb_panel_act_stride(panel->act_bytes(p.q, p.k));
    p.act_step = several ? several->act_block : 0;
    if (in_blocks(several, p.m)) {
        p.act_stride = several->act_block + BLOCKS_APART;
        p.act_step = p.act_stride * (size_t)p.m;
    }
    return p;
}

/* Panels [p0, p1) times columns [c0, c1), no more than a panel takes. */
static void run_block(const problem *p, const char *act, int64_t p0, int64_t p1, int64_t c0, int64_t c1) {
    const int64_t R = p->panel->rows, r0 = p0 * R, r1 = p1 * R < p->n ? p1 * R : p->n, whole = (r1 - r0) / R;
    const uint8_t *w = p->w + (size_t)p0 * p->panel_bytes;
    float *out = p->out + c0 * p->n + r0;
    act += (size_t)c0 * p->act_stride;
    if (!p->several || is_few(c1 - c0)) {
        lb_panel_run_any(p->panel, p->q, w, act, p->act_stride, p->k, c1 - c0, r1 - r0, out, p->n);
        return;
    }
    const int cols = (int)(c1 - c0);
    if (whole) p->several->run(p->q, w, (int)whole, act, p->act_stride, p->act_step, p->k, cols, out, p->n);
    if (whole * R < r1 - r0) {
        float all[LB_PANEL_MAX_COLS * LB_PANEL_MAX_ROWS];
        w += (size_t)whole * p->panel_bytes;
        p->several->run(p->q, w, 1, act, p->act_stride, p->act_step, p->k, cols, all, R);
        for (int c = 0; c < cols; c++)
            memcpy(out + c * p->n + whole * R, all + c * R, (size_t)(r1 - r0 - whole * R) * sizeof *out);
    }
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

/* The panels of the next item where `left` are left: an even number, for those that take turns two by two, or one. */
static int64_t together(const problem *p, int64_t left, int64_t across, int parts) {
    int64_t most = p->several ? LB_PANELS_MOST : ROWS_TOGETHER / p->panel->rows;
    int64_t some = left * across / ((int64_t)parts * SHARES);
    return some >= most ? most : some > 1 ? some / 2 * 2 : 1;
}

static void launch_gemm(const problem *p, const lb_launch *l) {
    const int64_t across = (p->m + COLS_PER_CHUNK - 1) / COLS_PER_CHUNK; /* column blocks of equal size: none is thin */
    int64_t down = 0, p0 = 0, p1 = 0; /* items of a block of columns up to this one, and its panels */
    while (p->panels) {
        int64_t item = atomic_fetch_add_explicit(l->ticket, 1, memory_order_relaxed), c = item % across;
        for (; down <= item / across; down++) {
            if (p1 == p->panels) return;
            p0 = p1;
            p1 += together(p, p->panels - p0, across, l->parts);
        }
        run_block(p, l->workspace, p0, p1, p->m * c / across, p->m * (c + 1) / across);
    }
}

/* Rows of x, one by one or in blocks. */
static void prepare(const problem *p, const lb_launch *l) {
    const int64_t piece = in_blocks(p->several, p->m) ? 256 : p->k;
    int64_t begin, end;
    lb_split(p->m, 1, l->part, l->parts, &begin, &end);
    for (int64_t i = begin; i < end; i++)
        for (int64_t at = 0; at == 0 || at < p->k; at += piece ? piece : 1) /* K may be 0 */
            p->panel->act_prepare(p->q, p->x + i * p->k + at, p->k - at < piece ? p->k - at : piece,
                                  (char *)l->workspace + (size_t)i * p->act_stride + (size_t)(at / 256) * p->act_step);
}

void lb_gemm_panel_launch(const lb_panel *panel, const lb_panels *panels, const lb_args *a, const lb_launch *l) {
    problem p = resolve(panel, panels, a, l);
    if (is_gemv(a)) {
        launch_gemv(&p, l);
    } else if (l->phase == 0) {
        prepare(&p, l);
    } else {
        launch_gemm(&p, l);
    }
}
