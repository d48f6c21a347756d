/* gemm_marlin_avx2.c: gemm over marlin weights in panels of 32 rows. Compiled for avx2. */
#include "gemm_marlin.h"
