/* gemm_q2_k_avx512.c: gemm over q2_k weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_q2_k.h"
