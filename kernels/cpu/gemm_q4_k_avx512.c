/* gemm_q4_k_avx512.c: gemm over q4_k weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_q4_k.h"
