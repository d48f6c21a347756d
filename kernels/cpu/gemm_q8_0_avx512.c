/* gemm_q8_0_avx512.c: gemm over q8_0 weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_q8_0.h"
