/* gemm_q5_1_avx512.c: gemm over q5_1 weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_q5_1.h"
