/* gemm_q3_k_avx512.c: gemm over q3_k weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_q3_k.h"
