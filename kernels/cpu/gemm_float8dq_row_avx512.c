/* gemm_float8dq_row_avx512.c: gemm over float8dq-row weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_float8dq_row.h"
