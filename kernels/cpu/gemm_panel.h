/* gemm_panel.h: the gemm driver shared by every kernel whose inner loop is an lb_panel.
 *
 * A matrix kernel describes its inner loop as an lb_panel over an lb_layout that stores ceil(N / rows) panels of
 * panel_bytes(q, K) each, one after the other (the missing rows of the last one are zero), and gets phases, work
 * splitting, workspace and partial panels from here:
 *
 *     static const lb_panel panel = { .rows = 16, ... };
 *     LB_GEMM_PANEL(panel, NULL)                 // defines static workspace_bytes() and launch()
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
/* lb_panel.rows and .max_cols may not exceed these (stack buffers of the drivers). */
#define LB_PANEL_MAX_ROWS 32
#define LB_PANEL_MAX_COLS 512

/* The most panels that go together. */
#define LB_PANELS_MOST 8

/* What a panel may have beside, for the gemm driver. */
typedef struct lb_panels {
    /* lb_panel.run() of `count` panels (1 .. LB_PANELS_MOST) that stand one behind the other, in the same bits:
     * out[m * out_stride + r] with r < count * R. Prepared activations of column c: its block b (of 256 k) begins at
     * act + c * act_stride + b * act_step. Up to 16 columns want them as act_prepare leaves them. */
    void (*run)(const lb_quantizer *q, const void *panels, int count, const void *act, size_t act_stride,
                size_t act_step, int64_t k, int cols, float *out, int64_t out_stride);
    /* Bytes of a block. act_prepare leaves such blocks one behind the other and nothing else, each as it leaves 256 k
     * by themselves; a row's last may be shorter. */
    size_t act_block;
} lb_panels;

/* 1 or 2, by M. */
int lb_gemm_panel_phases(const lb_args *a);
/* `panels`: NULL = none. */
size_t lb_gemm_panel_workspace(const lb_panel *panel, const lb_panels *panels, const lb_args *a, int parts);
void lb_gemm_panel_launch(const lb_panel *panel, const lb_panels *panels, const lb_args *a, const lb_launch *l);

/* Bytes from one prepared activation row to the next, for rows of act_bytes: an odd number of cache lines, so that the
 * columns of a tile never share the same sets of a 4 KiB-per-way L1, and half a line more, so that broadcasts from
 * neighbouring columns come from different banks (Zen 5: 93 to 99.9 % of the peak of vpdpbusd). Rows are 32-byte aligned. */
static inline size_t lb_panel_act_stride(size_t act_bytes) {
    size_t lines = (act_bytes + 63) / 64;
    return (lines | 1) * 64 + 32;
}

/* run(), or two() where it serves, over columns [0, m) of prepared activations and the panels of `rows` rows, one behind the
 * other; any of both. out[i * out_stride + r], r < rows only. */
void lb_panel_run_any(const lb_panel *panel, const lb_quantizer *q, const void *bytes, const void *act,
                      size_t act_stride, int64_t k, int64_t m, int64_t rows, float *out, int64_t out_stride);

#define LB_GEMM_PANEL(p, panels)                                                                                     \
    static size_t workspace_bytes(const lb_args *a, int parts) {                                                     \
        return lb_gemm_panel_workspace(&(p), panels, a, parts);                                                      \
    }                                                                                                                \
    static void launch(const lb_args *a, const lb_launch *l) { lb_gemm_panel_launch(&(p), panels, a, l); }
