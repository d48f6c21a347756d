/* gemm_sparse24_amx.c: gemm over sparse24 weights in panels of 32 rows. Compiled for AMX. */
#include "gemm_sparse24.h"
