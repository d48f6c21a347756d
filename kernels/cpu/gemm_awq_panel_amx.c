/* gemm_awq_panel_amx.c: panels of 32 rows of awq weights by tiles of bf16. Compiled for AMX. */
#define LB_BF16_PANEL
#include "gemm_awq.h"
