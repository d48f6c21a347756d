/* gemm_int4wo_panel_amx.c: panels of 32 rows of int4wo weights by tiles of bf16. Compiled for AMX. */
#define LB_BF16_PANEL
#include "gemm_int4wo.h"
