/* gemm_uintx_avx512.c: gemm over uintx weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_uintx.h"
