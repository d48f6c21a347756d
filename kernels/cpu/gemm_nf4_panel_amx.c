/* gemm_nf4_panel_amx.c: panels of 32 rows of nf4 weights by tiles of bf16. Compiled for AMX. */
#define LB_BF16_PANEL
#include "gemm_nf4.h"
