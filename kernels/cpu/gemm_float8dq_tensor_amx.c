/* gemm_float8dq_tensor_amx.c: gemm over float8dq-tensor weights in panels of 32 rows. Compiled for AMX. */
#include "float8dq_tensor.h"
