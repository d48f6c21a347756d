/* gemm_float8dq_block_amx.c: gemm over float8dq-block weights in panels of 32 rows. Compiled for AMX. */
#define TILES_ACT_SCALED true
#define TILES_SPAN 128
#include "gemm_float8dq_block.h"
