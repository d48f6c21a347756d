/* rows16_panel.h: layout, panel and descriptor of a K-quant's kernel over panels of two times 16 rows, from its SHAPE,
 * pack_row() and run(), and its lb_panels or NULL. */
#pragma once
#include "gemm_panel.h"
#include "rows16_pack.h"

#define ROWS16_PANEL(prepare, bytes, kind, all)                                                                      \
    static size_t panel_bytes(const lb_quantizer *q, int64_t k) {                                                    \
        (void)q;                                                                                                     \
        return lb_rows32_panel_bytes(SHAPE, k);                                                                      \
    }                                                                                                                \
    static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) {                                          \
        return (size_t)((n + LB_PANEL_ROWS - 1) / LB_PANEL_ROWS) * panel_bytes(q, k);                                \
    }                                                                                                                \
    static void repack(const lb_quantizer *q, const void *native, int64_t n, int64_t k, int64_t row0, int64_t row1,  \
                       void *dst) {                                                                                  \
        (void)q;                                                                                                     \
        lb_rows32_repack(SHAPE, pack_row, native, n, k, row0, row1, dst);                                            \
    }                                                                                                                \
    static const lb_layout layout = {                                                                                \
        .name = "rows32", .size_bytes = size_bytes, .repack = repack, .row_multiple = LB_PANEL_ROWS                  \
    };                                                                                                               \
    static const lb_panel panel_ops = { .rows = LB_PANEL_ROWS, .max_cols = LB_PANEL_MAX_COLS, .run = run,            \
                                        .several = all, .panel_bytes = panel_bytes, .act_prepare = prepare,          \
                                        .act_bytes = bytes, .act_kind = kind };                                      \
    LB_GEMM_PANEL(panel_ops)

#define ROWS16_PANEL_OF(...) ROWS16_PANEL(__VA_ARGS__)

/* The descriptor, but for name, format, about, isa and priority. */
#define ROWS16_ARITHMETIC                                                                                            \
    .op = "gemm", .device = "cpu", .source = "luabench", .layout = &layout, .act = LB_ACT_Q8_256,                    \
    .acc = LB_ACC_I32_F32, .compute = LB_COMPUTE_INT8, .tolerance = 1e-10,                                           \
    .tolerance_why = "sums of 256 are exact in int32; K / 256 f32 steps of three roundings each: about 1e-14, "      \
                     "more where scales and minima cancel",                                                          \
    .panel = &panel_ops, .phases = lb_gemm_panel_phases, .workspace_bytes = workspace_bytes, .launch = launch
