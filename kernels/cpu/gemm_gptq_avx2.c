/* gemm_gptq_avx2.c: gemm over gptq weights in panels of 32 rows. Compiled for avx2. */
#include "gemm_gptq.h"
