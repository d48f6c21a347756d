/* gemm_int8adq_int4w_symm_avx512.c: gemm over int8adq-int4w-symm weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_int8adq_int4w_symm.h"
