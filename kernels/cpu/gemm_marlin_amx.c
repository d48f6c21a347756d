/* gemm_marlin_amx.c: gemm over marlin weights in panels of 32 rows. Compiled for AMX. */
#include "gemm_marlin.h"
