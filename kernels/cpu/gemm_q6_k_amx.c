/* gemm_q6_k_amx.c: gemm over q6_k weights in panels of 32 rows. Compiled for AMX. */
#define LB_PANEL_DRIVER
#include "gemm_q6_k.h"
