/* gemm_sparse24_avx2.c: gemm over sparse24 weights in panels of 32 rows with AVX2: two bf16 of every four. */
#include "rows32_sparse24_avx2.h"

S24_FUNCTIONS(2)

LB_ROWS32_PANEL_OF(F32_ACT)

const lb_kernel lb_kernel_gemm_sparse24_avx2 = {
    .name = "gemm.sparse24.avx2",
    .about = "panels of 32 rows; kept bf16 spread out by comparisons of their places, multiply-adds in f32",
    .format = "sparse24",
    LB_ROWS32_KERNEL,
    F32_ARITHMETIC,
};
