/* gemm_block_sparse_float8dq_panel_amx.c: panels of 32 rows of block-sparse-float8dq weights by tiles of bf16.
 * Compiled for AMX. */
#define LB_BF16_PANEL
#include "gemm_block_sparse_float8dq.h"
