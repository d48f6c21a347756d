/* gemm_gptq_avx512.c: gemm over gptq weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_gptq.h"
