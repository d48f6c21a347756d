/* gemm_uniform_avx512.c: gemm over uniform weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_uniform.h"
