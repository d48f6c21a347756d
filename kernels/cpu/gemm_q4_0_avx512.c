/* gemm_q4_0_avx512.c: gemm over q4_0 weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_q4_0.h"
