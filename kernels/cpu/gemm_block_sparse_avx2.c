/* gemm_block_sparse_avx2.c: gemm over block-sparse weights in panels of 32 rows with AVX2: bf16 blocks of 64
 * columns. */
#include "rows32_blocks_avx2.h"

BLOCKS_FUNCTIONS(2)

LB_ROWS32_PANEL_OF(F32_ACT)

const lb_kernel lb_kernel_gemm_block_sparse_avx2 = {
    .name = "gemm.block-sparse.avx2",
    .about = "panels of 32 rows; kept blocks of 64 columns one after the other, bf16 to f32 (exact), multiply-adds",
    .format = "block-sparse",
    LB_ROWS32_KERNEL,
    F32_ARITHMETIC,
};
