/* gemm_q4_1_avx512.c: gemm over q4_1 weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_q4_1.h"
