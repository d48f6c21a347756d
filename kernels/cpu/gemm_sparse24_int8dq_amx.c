/* gemm_sparse24_int8dq_amx.c: gemm over sparse24-int8dq weights in panels of 32 rows. Compiled for AMX. */
#define LB_PANEL_DRIVER
#include "gemm_sparse24_int8dq.h"
