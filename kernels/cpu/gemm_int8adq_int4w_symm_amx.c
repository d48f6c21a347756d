/* gemm_int8adq_int4w_symm_amx.c: gemm over int8adq-int4w-symm weights in panels of 32 rows. Compiled for AMX. */
#define LB_PANEL_DRIVER
#include "gemm_int8adq_int4w_symm.h"
