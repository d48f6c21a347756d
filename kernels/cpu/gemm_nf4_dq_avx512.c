/* gemm_nf4_dq_avx512.c: gemm over nf4-dq weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_nf4_dq.h"
