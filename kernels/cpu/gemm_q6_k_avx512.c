/* gemm_q6_k_avx512.c: gemm over q6_k weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_q6_k.h"
