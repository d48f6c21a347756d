/* gemm_q4_0_avx2.c: gemm over q4_0 weights in panels of 32 rows. Compiled for avx2. */
#include "gemm_q4_0.h"
