/* gemm_q5_k_avx512.c: gemm over q5_k weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_q5_k.h"
