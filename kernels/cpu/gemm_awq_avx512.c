/* gemm_awq_avx512.c: gemm over awq weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_awq.h"
