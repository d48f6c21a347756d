/* gemm_float8dq_block_panel_amx.c: panels of 32 rows of float8dq-block weights by tiles of bf16. Compiled for AMX. */
#define LB_BF16_PANEL
#include "gemm_float8dq_block.h"
