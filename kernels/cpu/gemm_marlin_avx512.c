/* gemm_marlin_avx512.c: gemm over marlin weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_marlin.h"
