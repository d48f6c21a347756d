/* gemm_uintx_avx2.c: gemm over uintx weights in panels of 32 rows. Compiled for avx2. */
#include "gemm_uintx.h"
