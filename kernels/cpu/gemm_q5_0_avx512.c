/* gemm_q5_0_avx512.c: gemm over q5_0 weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_q5_0.h"
