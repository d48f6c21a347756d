/* gemm_nf4_dq_panel_amx.c: panels of 32 rows of nf4-dq weights by tiles of bf16. Compiled for AMX. */
#define LB_BF16_PANEL
#include "gemm_nf4_dq.h"
