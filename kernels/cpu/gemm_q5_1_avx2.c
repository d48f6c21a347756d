/* gemm_q5_1_avx2.c: gemm over q5_1 weights in panels of 32 rows. Compiled for avx2. */
#include "gemm_q5_1.h"
