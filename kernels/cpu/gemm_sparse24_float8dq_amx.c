/* gemm_sparse24_float8dq_amx.c: gemm over sparse24-float8dq weights in panels of 32 rows. Compiled for AMX. */
#include "gemm_sparse24_float8dq.h"
