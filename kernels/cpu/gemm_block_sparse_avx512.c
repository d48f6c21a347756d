/* gemm_block_sparse_avx512.c: gemm over block-sparse weights in panels of 32 rows: bf16 blocks of 64 columns. */
#include "rows32_blocks.h"

static const float_table none;
#define TABLE &none
#define FORMAT (float_format){ .bits = 16, .act = FLOAT_ACT_PLAIN }

LB_BLOCKS_FLOAT(lb_act_bf16_prepare, lb_act_bf16_bytes, LB_ACT_KIND_BF16)

const lb_kernel lb_kernel_gemm_block_sparse_avx512 = {
    .name = "gemm.block-sparse.avx512",
    .about = "panels of 32 rows; kept blocks of 64 columns one after the other, vdpbf16ps, sums of four onto the total "
             "in f32",
    .format = "block-sparse",
    .act = LB_ACT_BF16,
    LB_FLOAT_KERNEL,
};
