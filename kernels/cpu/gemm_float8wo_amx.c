/* gemm_float8wo_amx.c: gemm over float8wo weights in panels of 32 rows. Compiled for AMX. */
#include "gemm_float8wo.h"
