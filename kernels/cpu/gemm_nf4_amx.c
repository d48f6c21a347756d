/* gemm_nf4_amx.c: gemm over nf4 weights in panels of 32 rows. Compiled for AMX. */
#include "gemm_nf4.h"
