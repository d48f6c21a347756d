/* gemm_block_sparse_float8dq_avx2.c: gemm over block-sparse-float8dq weights in panels of 32 rows with AVX2: e4m3
 * blocks of 64 columns times e4m3, scales of row and token. */
#include "act_f8_avx2.h"
#include "rows32_blocks_avx2.h"

BLOCKS_FUNCTIONS(1)

LB_ROWS32_PANEL_OF(lb_act_f8_f32_row_prepare, lb_act_f8_f32_bytes, LB_ACT_KIND_F8_F32_ROW)

const lb_kernel lb_kernel_gemm_block_sparse_float8dq_avx2 = {
    .name = "gemm.block-sparse-float8dq.avx2",
    .about = "panels of 32 rows; kept blocks of 64 columns one after the other; e4m3 to f32 by its bits, multiply-adds "
             "with e4m3 activations times their scale, the row's scale with each block's sums",
    .format = "block-sparse-float8dq",
    LB_ROWS32_KERNEL,
    .act = LB_ACT_F8_ROW,
    F32_PRODUCTS,
};
