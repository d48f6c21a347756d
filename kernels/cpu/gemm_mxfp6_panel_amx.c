/* gemm_mxfp6_panel_amx.c: panels of 32 rows of mxfp6 weights by tiles of bf16. Compiled for AMX. */
#define LB_BF16_PANEL
#include "gemm_mxfp6.h"
