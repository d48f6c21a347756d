/* gemm_int8dq_avx2.c: gemm over int8dq weights in panels of 32 rows. Compiled for avx2. */
#include "gemm_int8dq.h"
