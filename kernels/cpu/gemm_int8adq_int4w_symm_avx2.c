/* gemm_int8adq_int4w_symm_avx2.c: gemm over int8adq-int4w-symm weights in panels of 32 rows. Compiled for avx2. */
#include "gemm_int8adq_int4w_symm.h"
