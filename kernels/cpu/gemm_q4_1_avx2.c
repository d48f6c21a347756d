/* gemm_q4_1_avx2.c: gemm over q4_1 weights in panels of 32 rows. Compiled for avx2. */
#include "gemm_q4_1.h"
