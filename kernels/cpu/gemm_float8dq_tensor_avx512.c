/* gemm_float8dq_tensor_avx512.c: gemm over float8dq-tensor weights in panels of 32 rows. Compiled for AVX-512. */
#include "float8dq_tensor.h"
