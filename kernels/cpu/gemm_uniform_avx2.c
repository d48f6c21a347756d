/* gemm_uniform_avx2.c: gemm over uniform weights in panels of 32 rows. Compiled for avx2. */
#include "gemm_uniform.h"
