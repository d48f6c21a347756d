/* gemm_int4wo_avx2.c: gemm over int4wo weights in panels of 32 rows. Compiled for avx2. */
#include "gemm_int4wo.h"
