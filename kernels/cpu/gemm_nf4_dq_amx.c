/* gemm_nf4_dq_amx.c: gemm over nf4-dq weights in panels of 32 rows. Compiled for AMX. */
#include "gemm_nf4_dq.h"
