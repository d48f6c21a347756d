/* gemm_q8_0_avx2.c: gemm over q8_0 weights in panels of 32 rows. Compiled for avx2. */
#include "gemm_q8_0.h"
