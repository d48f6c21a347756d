/* panels_of.h: the panels that linear, moe_ffn and head_gemm are built from: those of repacked weights, or, where
 * LB_NATIVE is defined, those that read weights as files have them, or, where LB_BY_PLANES is, of formats that have
 * them those for many rows of x (planes.h). */
#pragma once
#include <string.h>

#include "gemm_panel.h"
#if defined(LB_NATIVE)
#include "native.h"
#include "vec.h"
#define PANELS_ACT(other) LB_ACT_Q8_256
#if defined(__AMX_TILE__) /* AVX-512's instructions, weights asked for as it is best with AMX */
#undef ISA_TEXT
#define ISA_TEXT "amx"
#undef ISA_NAME
#define ISA_NAME amx
#define PANELS_ISA(bits) ((bits) | LB_ISA_AVX512_VNNI | LB_ISA_AMX_INT8)
enum { PANELS_REPACKED = false, PANELS_PRIORITY = -4 };
#else
#define PANELS_ISA(bits) ((bits) | LB_ISA_AVX512_VNNI)
enum { PANELS_REPACKED = false, PANELS_PRIORITY = -5 };
#endif
#elif defined(LB_BY_PLANES)
#include "planes.h"
#include "vec.h"
#define PANELS_ACT(other) other
#undef ISA_TEXT
#define ISA_TEXT "amx"
#undef ISA_NAME
#define ISA_NAME amx
#define PANELS_ISA(bits) ((bits) | LB_ISA_AVX512_VNNI | LB_ISA_AMX_INT8)
enum { PANELS_REPACKED = true, PANELS_PRIORITY = 1 };
#else
#define PANELS_ACT(other) other
#define PANELS_ISA(bits) bits
enum { PANELS_REPACKED = true, PANELS_PRIORITY = 0 };
#endif

/* NULL = none; *why then says why. */
static const lb_panel *panel_of(const lb_tensor *w, const char **why) {
#if defined(LB_NATIVE)
    return LB_NATIVE_PANEL_OF(w, why);
#else
#if defined(LB_BY_PLANES)
    const lb_panel *planes = lb_planes_panel_of(w);
    if (planes) return planes;
#endif
    const lb_kernel *k = w->quantizer ? lb_kernel_panel_for(w->buffer->device, w->quantizer) : NULL;
    *why = "a weight's format has no panel here";
    return k ? k->panel : NULL;
#endif
}

/* Rows [r, r + rows) of the matrix at `matrix`, times `cols` prepared rows (LB_PANEL_MAX_COLS at most):
 * out[c * out_stride + i]. r is a multiple of p->rows; so is rows, but at the end of the matrix. */
static __attribute__((unused)) void panel_rows(const lb_panel *p, const lb_quantizer *q, const char *matrix, int64_t r,
                                               int64_t rows, const void *act, const lb_act_place *at, int64_t k,
                                               int64_t cols, float *out, int64_t out_stride) {
    size_t bytes = p->panel_bytes(q, k);
    int64_t left = 0;
#if defined(LB_NATIVE)
    left = rows % p->rows;
#endif
    lb_panel_run_any(p, q, matrix + (size_t)(r / p->rows) * bytes, act, at, k, cols, rows - left, out, out_stride);
#if defined(LB_NATIVE)
    /* Nothing stands behind the matrix: its last rows are the end of a panel that begins before them. */
    if (left) {
        float *all = lb_panel_sums_take((int)cols);
        int64_t before = p->rows - left;
        const char *from = matrix + (size_t)(r + rows - p->rows) * (bytes / LB_NATIVE_ROWS);
        lb_panel_run_any(p, q, from, act, at, k, cols, p->rows, all, p->rows);
        for (int64_t c = 0; c < cols; c++)
            memcpy(out + c * out_stride + rows - left, all + c * p->rows + before, (size_t)left * sizeof *out);
        lb_panel_sums_give(all, (int)cols);
    }
#endif
}
