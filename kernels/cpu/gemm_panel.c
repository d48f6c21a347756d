/* gemm_panel.c: phases, workspace and work splitting of gemm kernels that are built on an lb_panel. */
#include "gemm_panel.h"

#include <string.h>

/* Rows handed out together where no panels go together; of what is left no more than a part's share through SHARES. */
enum { ROWS_TOGETHER = 64, SHARES = 2 };
/* From so many columns on, activations that a panel meets at the same time stand side by side, in blocks or slabs: rows
 * would be a page each for every 256 k. */
enum { TOGETHER_COLS = 17, LINE = 64 };
/* Rows that go into a slab together. */
enum { SLAB_PART = 8 };
_Static_assert(LB_ACT_SLAB % SLAB_PART == 0, "none begin in one slab and end in another");
/* In a GEMV one panel of so many is kept back for whoever is done first: parts do not get the same share of the
 * memory. */
enum { GEMV_TAIL = 8 };

static int64_t columns(const lb_args *a) { return lb_arg(a, LB_GEMM_X)->dims[0]; }

static bool is_few(int64_t cols) { return cols <= LB_GEMM_PANEL_GEMV_ROWS; }
static bool is_gemv(const lb_args *a) { return is_few(columns(a)); }

int lb_gemm_panel_phases(const lb_args *a) { return is_gemv(a) ? 1 : 2; }

/* ---- where activations stand ---- */

lb_act_place lb_act_place_of(const lb_panels *several, size_t act_bytes, int64_t m) {
    const bool fits = act_bytes <= LB_SCRATCH_BYTES; /* a row, prepared before it is put into its slab */
    if (several && several->act_head && m >= TOGETHER_COLS && fits)
        return (lb_act_place){ act_bytes, LB_ACT_SLAB * LINE, several->act_head };
    if (!several || !several->act_block || m < TOGETHER_COLS)
        return (lb_act_place){ lb_panel_act_stride(act_bytes), 0, 0 };
    size_t stride = several->act_block + several->act_apart;
    return (lb_act_place){ stride, stride * (size_t)m, 0 };
}

size_t lb_act_place_bytes(const lb_act_place *at, int64_t k, int64_t m) {
    if (at->head) return at->stride * (size_t)((m + LB_ACT_SLAB - 1) / LB_ACT_SLAB * LB_ACT_SLAB);
    return at->step ? (size_t)((k + 255) / 256) * at->step : at->stride * (size_t)m;
}

/* `count` rows from row i on, as act_prepare has them at `rows`, side by side into their slab. */
static void into_slab(const lb_act_place *at, const char *rows, int64_t i, int64_t count, char *act) {
    char *slab = act + (size_t)(i / LB_ACT_SLAB * LB_ACT_SLAB) * at->stride;
    const size_t first = (size_t)(i % LB_ACT_SLAB);
    for (int64_t r = 0; r < count; r++)
        memcpy(slab + (first + (size_t)r) * at->head, rows + (size_t)r * at->stride, at->head);
    char *to = slab + LB_ACT_SLAB * at->head + first * LINE;
    for (size_t from = at->head; from < at->stride; from += LINE, to += at->step)
        for (int64_t r = 0; r < count; r++) memcpy(to + r * LINE, rows + (size_t)r * at->stride + from, LINE);
}

/* Rows [i0, i1) into slabs: some at a time, because a line of a slab by itself, with the next one a page's half away,
 * takes twice as long to come (480 us of a product of 512 rows, and 250, on Emerald Rapids). */
static void place_in_slabs(const lb_act_place *at, const lb_panel *panel, const lb_quantizer *q, const float *x,
                           int64_t x_stride, int64_t k, int64_t i0, int64_t i1, char *act) {
    const int64_t room = (int64_t)(LB_SCRATCH_BYTES / at->stride), most = room < SLAB_PART ? room : SLAB_PART;
    char *rows = lb_scratch_take((size_t)most * at->stride);
    for (int64_t i = i0, some; i < i1; i += some) {
        some = SLAB_PART - i % SLAB_PART;
        some = some < most ? some : most;
        some = some < i1 - i ? some : i1 - i;
        for (int64_t r = 0; r < some; r++, x += x_stride) panel->act_prepare(q, x, k, rows + (size_t)r * at->stride);
        into_slab(at, rows, i, some, act);
    }
    lb_scratch_give(rows, (size_t)most * at->stride);
}

void lb_act_place_rows(const lb_act_place *at, const lb_panel *panel, const lb_quantizer *q, const float *x,
                       int64_t x_stride, int64_t k, int64_t i0, int64_t i1, void *act) {
    if (at->head) {
        place_in_slabs(at, panel, q, x, x_stride, k, i0, i1, act);
        return;
    }
    for (int64_t i = i0; i < i1; i++, x += x_stride) {
        char *to = (char *)act + (size_t)i * at->stride;
        if (!at->step) {
            panel->act_prepare(q, x, k, to);
            continue;
        }
        for (int64_t b = 0; b < k; b += 256, to += at->step)
            panel->act_prepare(q, x + b, k - b < 256 ? k - b : 256, to);
    }
}

/* ---- panels times columns ---- */

/* The first `rows` rows of one panel, which has more. */
static void run_last(const lb_panel *panel, const lb_quantizer *q, const void *bytes, const char *act,
                     const lb_act_place *at, int64_t k, int cols, int64_t rows, float *out, int64_t out_stride) {
    float *all = lb_panel_sums_take(cols);
    if (at->step) panel->several->run(q, bytes, 1, act, at->stride, at->step, k, cols, all, panel->rows);
    else panel->run(q, bytes, act, at->stride, k, cols, all, panel->rows);
    for (int i = 0; i < cols; i++) memcpy(out + i * out_stride, all + i * panel->rows, (size_t)rows * sizeof *out);
    lb_panel_sums_give(all, cols);
}

/* Columns that a panel takes at once. */
static void run_some(const lb_panel *panel, const lb_quantizer *q, const char *bytes, const char *act,
                     const lb_act_place *at, int64_t k, int cols, int64_t rows, float *out, int64_t out_stride) {
    const int R = panel->rows;
    const size_t each = panel->panel_bytes(q, k);
    if (k == 0) { /* nor are there scales, which would be read */
        for (int c = 0; c < cols; c++) memset(out + c * out_stride, 0, (size_t)rows * sizeof *out);
        return;
    }
    const lb_panels *several = is_few(cols) ? NULL : panel->several;
    const size_t step = at->step || !several ? at->step : several->act_block;
    while (rows >= R) {
        int64_t some = !several ? 1 : rows / R < several->most ? rows / R : several->most;
        if (several) several->run(q, bytes, (int)some, act, at->stride, step, k, cols, out, out_stride);
        else panel->run(q, bytes, act, at->stride, k, cols, out, out_stride);
        rows -= some * R, out += some * R, bytes += (size_t)some * each;
    }
    if (rows) run_last(panel, q, bytes, act, at, k, cols, rows, out, out_stride);
}

void lb_panel_run_any(const lb_panel *panel, const lb_quantizer *q, const void *bytes, const void *act,
                      const lb_act_place *at, int64_t k, int64_t m, int64_t rows, float *out, int64_t out_stride) {
    const int64_t across = lb_panel_across(m);
    for (int64_t i = 0; i < across; i++) {
        int64_t c = lb_panel_column(at, m, i, across);
        run_some(panel, q, bytes, (const char *)act + (size_t)c * at->stride, at, k,
                 (int)(lb_panel_column(at, m, i + 1, across) - c), rows, out + c * out_stride, out_stride);
    }
}

/* ---- the gemm driver ---- */

/* One launch's operands, resolved. */
typedef struct problem {
    const lb_panel *panel;
    const lb_quantizer *q;
    const float *x;
    const char *w;
    float *out;
    int64_t m, n, k, panels;
    size_t panel_bytes;
    lb_act_place at;
} problem;

static problem resolve(const lb_panel *panel, const lb_args *a, const lb_launch *l) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_weight(a, l, LB_GEMM_W);
    problem p = { .panel = panel, .q = w->quantizer, .x = lb_tensor_f32(x), .w = lb_tensor_data(w),
                  .out = lb_tensor_data(lb_arg(a, LB_GEMM_OUT)), .m = x->dims[0], .n = w->dims[0], .k = x->dims[1] };
    p.panels = (p.n + panel->rows - 1) / panel->rows;
    p.panel_bytes = panel->panel_bytes(p.q, p.k);
    p.at = lb_act_place_of(panel->several, panel->act_bytes(p.q, p.k), p.m);
    return p;
}

size_t lb_gemm_panel_workspace(const lb_panel *panel, const lb_args *a, int parts) {
    int64_t m = columns(a), k = lb_arg(a, LB_GEMM_X)->dims[1];
    size_t most = 0;
    for (int32_t i = 0; i < a->t[LB_GEMM_W].count; i++) { /* members of a family may prepare rows of unlike size */
        lb_act_place at = lb_act_place_of(panel->several, panel->act_bytes(a->t[LB_GEMM_W].items[i]->quantizer, k), m);
        size_t bytes = lb_act_place_bytes(&at, k, m);
        if (bytes > most) most = bytes;
    }
    return most * (size_t)(is_gemv(a) ? parts : 1);
}

/* Panels [p0, p1) times columns [c0, c1). */
static void run_block(const problem *p, const char *act, int64_t p0, int64_t p1, int64_t c0, int64_t c1) {
    const int64_t R = p->panel->rows, r0 = p0 * R, r1 = p1 * R < p->n ? p1 * R : p->n;
    lb_panel_run_any(p->panel, p->q, p->w + (size_t)p0 * p->panel_bytes, act + (size_t)c0 * p->at.stride, &p->at, p->k,
                     c1 - c0, r1 - r0, p->out + c0 * p->n + r0, p->n);
}

static void launch_gemv(const problem *p, const lb_launch *l) {
    char *act = (char *)l->workspace + (size_t)l->part * p->at.stride * (size_t)p->m;
    int64_t tail = l->parts > 1 && p->panels / l->parts >= GEMV_TAIL ? p->panels / GEMV_TAIL : 0;
    int64_t begin, end, whole = p->panels - tail;
    lb_split(whole, 1, l->part, l->parts, &begin, &end);
    if (begin == end) return;
    lb_act_place_rows(&p->at, p->panel, p->q, p->x, p->k, p->k, 0, p->m, act);
    run_block(p, act, begin, end, 0, p->m);
    int64_t step = tail / (4 * l->parts) > 1 ? tail / (4 * l->parts) : 1;
    while (tail && (begin = whole + step * atomic_fetch_add_explicit(l->ticket, 1, memory_order_relaxed)) < p->panels)
        run_block(p, act, begin, begin + step < p->panels ? begin + step : p->panels, 0, p->m);
}

/* An even number, for those that take turns two by two, or what is left. (Many blocks of columns for few threads make
 * a share of more than that.) */
int64_t lb_panels_together(const lb_panel *panel, int64_t left, int64_t across, int parts) {
    const int64_t twos = ROWS_TOGETHER / panel->rows, most = panel->several && panel->several->most > twos
                                                                 ? panel->several->most : twos;
    int64_t some = left * across / ((int64_t)parts * SHARES);
    some = some >= most ? most : some > 1 ? some / 2 * 2 : 1;
    return some < left ? some : left;
}

static void launch_gemm(const problem *p, const lb_launch *l) {
    const int64_t across = lb_panel_across(p->m);
    int64_t down = 0, p0 = 0, p1 = 0; /* items of a block of columns up to this one, and its panels */
    while (p->panels) {
        int64_t item = atomic_fetch_add_explicit(l->ticket, 1, memory_order_relaxed), c = item % across;
        for (; down <= item / across; down++) {
            if (p1 == p->panels) return;
            p0 = p1;
            p1 += lb_panels_together(p->panel, p->panels - p0, across, l->parts);
        }
        run_block(p, l->workspace, p0, p1, lb_panel_column(&p->at, p->m, c, across),
                  lb_panel_column(&p->at, p->m, c + 1, across));
    }
}

void lb_gemm_panel_launch(const lb_panel *panel, const lb_args *a, const lb_launch *l) {
    problem p = resolve(panel, a, l);
    int64_t begin, end;
    if (is_gemv(a)) {
        launch_gemv(&p, l);
    } else if (l->phase == 0) {
        lb_split(p.m, 1, l->part, l->parts, &begin, &end);
        lb_act_place_rows(&p.at, p.panel, p.q, p.x + begin * p.k, p.k, p.k, begin, end, l->workspace);
    } else {
        launch_gemm(&p, l);
    }
}
