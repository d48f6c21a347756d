/* gemm_q3_k_amx.c: gemm over q3_k weights in panels of 32 rows. Compiled for AMX. */
#define LB_PANEL_DRIVER
#include "gemm_q3_k.h"
