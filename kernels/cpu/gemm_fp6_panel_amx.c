/* gemm_fp6_panel_amx.c: panels of 32 rows of fp6 weights by tiles of bf16. Compiled for AMX. */
#define LB_BF16_PANEL
#include "gemm_fp6.h"
