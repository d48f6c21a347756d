/* gemm_panel.h: the gemm driver shared by every kernel whose inner loop is an lb_panel.
 *
 * A matrix kernel describes its inner loop as an lb_panel over an lb_layout that stores ceil(N / rows) panels of
 * panel_bytes(q, K) each, one after the other (the missing rows of the last one are zero), and gets phases, work
 * splitting, workspace and partial panels from here:
 *
 *     static const lb_panel panel = { .rows = 16, ... };
 *     LB_GEMM_PANEL(panel)                       // defines static workspace_bytes() and launch()
 *     const lb_kernel lb_kernel_gemm_x_avx512 = {
 *         ..., .panel = &panel, .phases = lb_gemm_panel_phases, .workspace_bytes = workspace_bytes,
 *         .launch = launch };
 *
 * Few rows of x (M <= LB_GEMM_PANEL_GEMV_ROWS): one phase. Every part turns x into its own copy of the prepared
 * activations (cheaper than a barrier) and streams one contiguous run of panels, and then what is left at the end.
 * More: phase 0 prepares the rows of x, split over the parts; phase 1 hands out blocks of panels by the ticket, so
 * that a disturbed core delays its own block only; the last are small ones. Each weight panel meets all columns while
 * it is in the cache; where there is an lb_panels, the columns come from L3 once for a whole block of panels.
 * The result does not depend on the split, because lb_panel.run gives a row the same bits in any batch. */
#pragma once
#include "../../engine/kernel.h"
#include "../../engine/ops/slots.h"

#define LB_GEMM_PANEL_GEMV_ROWS 4
/* lb_panel.rows and .max_cols, and lb_panels.most, may not exceed these (buffers of the drivers). */
#define LB_PANEL_MAX_ROWS 32
#define LB_PANEL_MAX_COLS 512
#define LB_PANELS_MOST 8

/* 1 or 2, by M. */
int lb_gemm_panel_phases(const lb_args *a);
size_t lb_gemm_panel_workspace(const lb_panel *panel, const lb_args *a, int parts);
void lb_gemm_panel_launch(const lb_panel *panel, const lb_args *a, const lb_launch *l);

/* Sums of `cols` columns of a panel: [cols][LB_PANEL_MAX_ROWS] floats or i32, aligned to 64, of the thread's scratch
 * memory (what was taken last is given back first). The most at a time: an lb_panels' of each panel, in run_last or
 * panel_rows, in moe_ffn's gate and up. */
_Static_assert((LB_PANELS_MOST + 4) * (size_t)LB_PANEL_MAX_COLS * LB_PANEL_MAX_ROWS * 4 <= LB_SCRATCH_BYTES,
               "a thread's scratch memory holds the sums of all panels that go together, and of their callers");
static inline void *lb_panel_sums_take(int cols) { return lb_scratch_take((size_t)cols * LB_PANEL_MAX_ROWS * 4); }
static inline void lb_panel_sums_give(void *sums, int cols) {
    lb_scratch_give(sums, (size_t)cols * LB_PANEL_MAX_ROWS * 4);
}

/* Bytes from one prepared activation row to the next, for rows of act_bytes: an odd number of cache lines, so that the
 * columns of a tile never share the same sets of a 4 KiB-per-way L1, and half a line more, so that broadcasts from
 * neighbouring columns come from different banks (Zen 5: 93 to 99.9 % of the peak of vpdpbusd). Rows are 32-byte
 * aligned. */
static inline size_t lb_panel_act_stride(size_t act_bytes) {
    size_t lines = (act_bytes + 63) / 64;
    return (lines | 1) * 64 + 32;
}

/* Between blocks that lie side by side, for the same reasons. */
enum { LB_BLOCKS_APART = 32 };

/* Where prepared activations stand: row i begins at i * stride; each of its blocks (of 256 k) `step` bytes after the
 * one before, or directly behind it if step is 0. With a head: in slabs, as lb_panels.act_head has them. */
typedef struct lb_act_place { size_t stride, step, head; } lb_act_place;
enum { LB_ACT_SLAB = 32 };

/* The blocks that all `m` rows have of the same 256 k side by side, or rows in slabs, where `several` (NULL = none) and
 * m serve, else row by row, each of act_bytes. */
lb_act_place lb_act_place_of(const lb_panels *several, size_t act_bytes, int64_t m);
/* What m rows take in all. */
size_t lb_act_place_bytes(const lb_act_place *at, int64_t k, int64_t m);
/* Rows [i0, i1) into their places behind `act`; the first's K values stand at x, each other's x_stride further on. */
void lb_act_place_rows(const lb_act_place *at, const lb_panel *panel, const lb_quantizer *q, const float *x,
                       int64_t x_stride, int64_t k, int64_t i0, int64_t i1, void *act);

/* Columns [0, m) of prepared activations times the `rows` rows of panels that stand one behind the other at `bytes`,
 * any number of both: out[i * out_stride + r], r < rows only. m is at least 17 if they stand in blocks. */
void lb_panel_run_any(const lb_panel *panel, const lb_quantizer *q, const void *bytes, const void *act,
                      const lb_act_place *at, int64_t k, int64_t m, int64_t rows, float *out, int64_t out_stride);

/* Panels to be handed out next where `left` are left, each for `across` blocks of columns: as many as can go together,
 * but no more than a part's share, so that no part ends with a large item. */
int64_t lb_panels_together(const lb_panel *panel, int64_t left, int64_t across, int parts);
/* Blocks of m columns, of equal size so that none is thin, that a panel takes at once; and where block i (0 .. across)
 * begins: with a slab, where there are slabs. */
static inline int64_t lb_panel_across(int64_t m) { return (m + LB_PANEL_MAX_COLS - 1) / LB_PANEL_MAX_COLS; }
static inline int64_t lb_panel_column(const lb_act_place *at, int64_t m, int64_t i, int64_t across) {
    const int64_t even = m * i / across, slab = (even + LB_ACT_SLAB - 1) / LB_ACT_SLAB * LB_ACT_SLAB;
    if (!at->head) return even;
    return slab < m ? slab : m;
}
_Static_assert(LB_PANEL_MAX_COLS % LB_ACT_SLAB == 0, "no block has more columns for beginning with a slab");

#define LB_GEMM_PANEL(p)                                                                                             \
    static size_t workspace_bytes(const lb_args *a, int parts) { return lb_gemm_panel_workspace(&(p), a, parts); }   \
    static void launch(const lb_args *a, const lb_launch *l) { lb_gemm_panel_launch(&(p), a, l); }
