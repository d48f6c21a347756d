/* rows32.h: what all kernels over panels of 32 rows share with one another: the layout's descriptor and the kernel's. */
#pragma once
#include "gemm_panel.h"
#include "rows16.h"
#include "tile32.h"

#define LB_ROWS32_SIZE                                                                                               \
    static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) {                                          \
        return (size_t)((n + 31) / 32) * panel_bytes(q, k);                                                          \
    }
/* A name means one arrangement of a format's bytes: tensors keep what was repacked under it. A second kernel of a format
 * that arranges them otherwise defines another name before it includes this. */
#ifndef LB_ROWS32_LAYOUT
#define LB_ROWS32_LAYOUT "rows32"
#endif
/* size_bytes(), layout, panel and driver from the file's run(), panel_bytes() and repack(). */
#define LB_ROWS32_PANEL(prepare, bytes, kind)                                                                        \
    LB_ROWS32_SIZE                                                                                                   \
    static const lb_layout layout = {                                                                                \
        .name = LB_ROWS32_LAYOUT, .size_bytes = size_bytes, .repack = repack, .row_multiple = 32                     \
    };                                                                                                               \
    static const lb_panel panel_ops = { .rows = 32, .max_cols = LB_PANEL_MAX_COLS, .run = run,                       \
                                        .panel_bytes = panel_bytes, .act_prepare = prepare, .act_bytes = bytes,      \
                                        .act_kind = kind };                                                          \
    LB_GEMM_PANEL(panel_ops)

/* The fields of a descriptor that follow from it. */
#define LB_ROWS32_KERNEL                                                                                             \
    .op = "gemm", .device = "cpu", .source = "luabench", .layout = &layout, .priority = 20, .panel = &panel_ops,     \
    .phases = lb_gemm_panel_phases, .workspace_bytes = workspace_bytes, .launch = launch
