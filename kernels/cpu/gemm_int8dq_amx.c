/* gemm_int8dq_amx.c: gemm over int8dq weights in panels of 32 rows. Compiled for AMX. */
#define LB_PANEL_DRIVER
#include "gemm_int8dq.h"
