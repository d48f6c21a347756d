/* gemm_int4wo_avx512.c: gemm over int4wo weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_int4wo.h"
