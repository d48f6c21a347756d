/* gemm_float8dq_tensor_panel_amx.c: panels of 32 rows of float8dq-tensor weights by tiles of bf16. Compiled for AMX. */
#define LB_BF16_PANEL
#include "float8dq_tensor.h"
