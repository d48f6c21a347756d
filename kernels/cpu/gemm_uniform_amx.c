/* gemm_uniform_amx.c: gemm over uniform weights in panels of 32 rows, for processors with AMX: AVX-512's instructions
 * (a scale for each 32 leaves tiles nothing to gain), but weights are asked for into L2 first (lb_ask). */
#define LB_PANEL_DRIVER
#include "gemm_uniform.h"
