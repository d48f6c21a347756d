/* gemm_block_sparse_float8dq_avx512.c: gemm over block-sparse-float8dq weights in panels of 32 rows: e4m3 blocks of 64
 * columns times e4m3, scales of row and token. */
#include "rows32_blocks.h"

static const float_table table = FLOAT_TABLE_8(FLOAT_E4M3);
#define TABLE &table
#define FORMAT (float_format){ .bits = 8, .act = FLOAT_ACT_ROW }

LB_BLOCKS_FLOAT(lb_act_f8_row_prepare, lb_act_f8_row_bytes, LB_ACT_KIND_F8_ROW)

const lb_kernel lb_kernel_gemm_block_sparse_float8dq_avx512 = {
    .name = "gemm.block-sparse-float8dq.avx512",
    .about = "panels of 32 rows; kept blocks of 64 columns one after the other; e4m3 to bf16 by tables of bytes, vdpbf16ps, "
             "scales of row and token at the end",
    .format = "block-sparse-float8dq",
    .act = LB_ACT_F8_ROW,
    LB_FLOAT_KERNEL,
};
