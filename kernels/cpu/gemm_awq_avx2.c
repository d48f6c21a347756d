/* gemm_awq_avx2.c: gemm over awq weights in panels of 32 rows. Compiled for avx2. */
#include "gemm_awq.h"
