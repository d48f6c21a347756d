/* gemm_fp6_amx.c: gemm over fp6 weights in panels of 32 rows. Compiled for AMX. */
#include "gemm_fp6.h"
