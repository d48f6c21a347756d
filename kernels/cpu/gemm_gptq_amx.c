/* gemm_gptq_amx.c: gemm over gptq weights in panels of 32 rows. Compiled for AMX. */
#include "gemm_gptq.h"
