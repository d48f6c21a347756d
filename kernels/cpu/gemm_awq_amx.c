/* gemm_awq_amx.c: gemm over awq weights in panels of 32 rows. Compiled for AMX. */
#include "gemm_awq.h"
