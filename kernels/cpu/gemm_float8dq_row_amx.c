/* gemm_float8dq_row_amx.c: gemm over float8dq-row weights in panels of 32 rows. Compiled for AMX. */
#include "gemm_float8dq_row.h"
