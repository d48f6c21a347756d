/* gemm_warp.cuh: gemm by dot_rows.cuh: any shapes, no library; for few rows of x, and where nothing else takes a
 * product. */
#pragma once
#include "dot_rows.cuh"

/* `type`: of the weights as they lie. */
static inline void lb_gemm_warp_launch(const lb_args *a, const lb_launch *l, lb_dtype type) {
    const lb_tensor *x = lb_arg(a, LB_GEMM_X), *w = lb_weight(a, l, LB_GEMM_W);
    dot_rows_launch(l, lb_rows_of(x), lb_tensor_data(w), type, LB_PACKED_NONE, w->dims[0], x->dims[1], x->dims[0], 1,
                    lb_rows_of(lb_arg(a, LB_GEMM_OUT)));
}
#define LB_GEMM_WARP_ABOUT "a warp for a row of weights and eight rows of x, 16-byte loads of weights, f32 sums"
#define LB_GEMM_WARP_NUMBERS                                                                                           \
    .act = LB_ACT_F32, .acc = LB_ACC_F32, .compute = LB_COMPUTE_F32, .tolerance = 1e-10,                               \
    .tolerance_why = "f32 sums over K in lanes"
