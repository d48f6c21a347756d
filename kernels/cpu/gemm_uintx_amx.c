/* gemm_uintx_amx.c: gemm over uintx weights in panels of 32 rows. Compiled for AMX. */
#include "gemm_uintx.h"
