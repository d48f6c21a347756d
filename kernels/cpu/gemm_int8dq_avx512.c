/* gemm_int8dq_avx512.c: gemm over int8dq weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_int8dq.h"
