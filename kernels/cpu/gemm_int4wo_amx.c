/* gemm_int4wo_amx.c: gemm over int4wo weights in panels of 32 rows. Compiled for AMX. */
#include "gemm_int4wo.h"
