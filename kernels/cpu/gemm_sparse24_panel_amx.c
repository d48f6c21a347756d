/* gemm_sparse24_panel_amx.c: panels of 32 rows of sparse24 weights by tiles of bf16. Compiled for AMX. */
#define LB_BF16_PANEL
#include "gemm_sparse24.h"
