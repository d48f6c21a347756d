/* gemm_float8wo_avx512.c: gemm over float8wo weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_float8wo.h"
