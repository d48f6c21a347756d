/* rows32.h: what all kernels over panels of 32 rows share with one another: the layout's descriptor and the
 * kernel's. */
#pragma once
#include "gemm_panel.h"
#include "rows16_pack.h"
#if defined(__AVX512F__)
#include "rows16.h"
#include "tile32.h"
#if defined(LB_ONE_ROW)
#define LB_ROWS32_ISA row_amx
#define LB_ROWS32_ISA_TEXT "row_amx"
#elif defined(LB_PLANES)
#define LB_ROWS32_ISA planes_amx
#define LB_ROWS32_ISA_TEXT "planes_amx"
#elif defined(LB_BF16_PANEL)
#define LB_ROWS32_ISA panel_amx
#define LB_ROWS32_ISA_TEXT "panel_amx"
#elif defined(__AMX_TILE__)
#define LB_ROWS32_ISA amx
#define LB_ROWS32_ISA_TEXT "amx"
#else
#define LB_ROWS32_ISA avx512
#define LB_ROWS32_ISA_TEXT "avx512"
#endif
/* Kernels for processors with AMX that go by the panels' driver, as all others do, define LB_PANEL_DRIVER: those with
 * tiles of int8, and those without tiles, which ask for weights otherwise (lb_ask). Those with tiles of bf16, whose
 * results are not vdpbf16ps's bits, have a driver of their own for many rows of x, and for few rows and all that is
 * built from panels files that define LB_BF16_PANEL; those for one row of x, which are kernels of gemm alone (other
 * bits, too), define LB_ONE_ROW; those for many rows whose integer sums are of 256 in the place of 32, other bits
 * again, define LB_PLANES as their panel (planes.h). */
#if defined(__AMX_TILE__) && !defined(LB_PANEL_DRIVER) && !defined(LB_BF16_PANEL) && !defined(LB_ONE_ROW) && \
    !defined(LB_PLANES)
#define LB_ROWS32_TILES_DRIVER
#include "gemm_tiles.h"
#endif
#define LB_ROWS32_ISA_BITS LB_ISA_AVX512
#if defined(LB_PLANES)
#define LB_ROWS32_PRIORITY 35
#elif defined(LB_PANEL_DRIVER) || defined(LB_ONE_ROW)
#define LB_ROWS32_PRIORITY 30
#elif defined(LB_BF16_PANEL)
#define LB_ROWS32_PRIORITY 25
#else
#define LB_ROWS32_PRIORITY 20
#endif
#define LB_ROWS32_RUN_MORE                                                                                           \
    case 3: few(panel, act, stride, k, out, out_stride, 3); break;                                                   \
    case 4: few(panel, act, stride, k, out, out_stride, 4); break;
#define LB_ROWS32_TOLERANCE 1e-10 /* of what is built from panels */
#else
#define LB_ROWS32_ISA avx2
#define LB_ROWS32_ISA_TEXT "avx2"
#define LB_ROWS32_ISA_BITS LB_ISA_AVX2
#define LB_ROWS32_PRIORITY 10
#define LB_ROWS32_RUN_MORE
#define LB_ROWS32_TOLERANCE 1e-9
#endif

/* What both instruction sets have is one header, included by a file for each; lb_kernel_gemm_q4_0_avx512 of
 * gemm_q4_0. */
#define LB_ROWS32_PASTE_(a, b) lb_kernel_##a##_##b
#define LB_ROWS32_PASTE(a, b) LB_ROWS32_PASTE_(a, b)
#define LB_ROWS32_SYMBOL(name) LB_ROWS32_PASTE(name, LB_ROWS32_ISA)

#define LB_ROWS32_SIZE                                                                                               \
    static size_t size_bytes(const lb_quantizer *q, int64_t n, int64_t k) {                                          \
        return (size_t)((n + 31) / 32) * panel_bytes(q, k);                                                          \
    }
/* A name means one arrangement of a format's bytes: tensors keep what was repacked under it. A second kernel of a
 * format that arranges them otherwise defines another name before it includes this. */
#ifndef LB_ROWS32_LAYOUT
#define LB_ROWS32_LAYOUT "rows32"
#endif

/* run() of a panel from few(.., cols), inlined for up to four columns (AVX2: two), and many(). */
#define LB_ROWS32_RUN                                                                                                \
    static void run(const lb_quantizer *q, const void *panel, const void *act, size_t stride, int64_t k, int cols,   \
                    float *out, int64_t out_stride) {                                                                \
        (void)q;                                                                                                     \
        switch (cols) {                                                                                              \
        case 1: few(panel, act, stride, k, out, out_stride, 1); break;                                               \
        case 2: few(panel, act, stride, k, out, out_stride, 2); break;                                               \
        LB_ROWS32_RUN_MORE                                                                                           \
        default: many(panel, act, stride, k, cols, out, out_stride);                                                 \
        }                                                                                                            \
    }

#define LB_ROWS32_DEFINE_LAYOUT                                                                                      \
    LB_ROWS32_SIZE                                                                                                   \
    static const lb_layout layout = {                                                                                \
        .name = LB_ROWS32_LAYOUT, .size_bytes = size_bytes, .repack = repack, .row_multiple = 32                     \
    };
#ifdef LB_ROWS32_TILES_DRIVER
/* size_bytes(), layout and driver from the file's expand(), panel_bytes(), repack() and the rest of
 * tiles_format, LB_ROWS32_TILES. */
#define LB_ROWS32_PANELS(prepare, bytes, kind, all)                                                                  \
    LB_ROWS32_DEFINE_LAYOUT                                                                                          \
    static const tiles_format tiles = { LB_ROWS32_TILES, .panel_bytes = panel_bytes, .act_prepare = prepare,         \
                                        .act_bytes = bytes, .expand = expand };                                      \
    TILES_GEMM(tiles)
#else
/* size_bytes(), layout, panel and driver from the file's run(), panel_bytes() and repack(); `all`: its lb_panels, or
 * NULL. */
#define LB_ROWS32_PANELS(prepare, bytes, kind, all)                                                                  \
    LB_ROWS32_DEFINE_LAYOUT                                                                                          \
    static const lb_panel panel_ops = { .rows = 32, .max_cols = LB_PANEL_MAX_COLS, .run = run, .several = all,       \
                                        .panel_bytes = panel_bytes, .act_prepare = prepare, .act_bytes = bytes,      \
                                        .act_kind = kind };                                                          \
    LB_GEMM_PANEL(panel_ops)
#endif

#define LB_ROWS32_PANEL(prepare, bytes, kind) LB_ROWS32_PANELS(prepare, bytes, kind, NULL)
#define LB_ROWS32_PANEL_OF(...) LB_ROWS32_PANEL(__VA_ARGS__)
#define LB_ROWS32_PANELS_OF(...) LB_ROWS32_PANELS(__VA_ARGS__)

/* The fields of a descriptor that follow from it. */
#ifdef LB_ROWS32_TILES_DRIVER
#define LB_ROWS32_KERNEL TILES_KERNEL, .layout = &layout
#elif defined(LB_PLANES)
#define LB_ROWS32_KERNEL                                                                                             \
    .op = "gemm", .device = "cpu", .source = "luabench", .layout = &layout, .priority = LB_ROWS32_PRIORITY,          \
    .supports = supports, .phases = lb_gemm_panel_phases, .workspace_bytes = workspace_bytes, .launch = launch
#elif defined(LB_ONE_ROW)
#define LB_ROWS32_KERNEL                                                                                             \
    .op = "gemm", .device = "cpu", .source = "luabench", .layout = &layout, .priority = LB_ROWS32_PRIORITY,          \
    .phases = lb_gemm_panel_phases, .workspace_bytes = workspace_bytes, .launch = launch
#else
#define LB_ROWS32_KERNEL                                                                                             \
    .op = "gemm", .device = "cpu", .source = "luabench", .layout = &layout, .priority = LB_ROWS32_PRIORITY,          \
    .panel = &panel_ops,                                                                                             \
    .phases = lb_gemm_panel_phases, .workspace_bytes = workspace_bytes, .launch = launch
#endif
