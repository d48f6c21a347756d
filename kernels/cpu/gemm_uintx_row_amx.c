/* gemm_uintx_row_amx.c: gemm over uintx weights of four bits in panels of 32 rows, one row of x. Compiled for AMX. */
#define LB_ONE_ROW
#define INT_ROW_SUPPORTS nibbles_of_a_row
#include "gemm_uintx.h"
