/* gemm_q5_0_avx2.c: gemm over q5_0 weights in panels of 32 rows. Compiled for avx2. */
#include "gemm_q5_0.h"
