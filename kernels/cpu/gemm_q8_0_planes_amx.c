/* gemm_q8_0_planes_amx.c: gemm over q8_0 weights in panels of 32 rows, many rows of x, by tiles (planes.h). */
#define LB_PLANES lb_panel_planes_q8_0
#include "gemm_q8_0.h"
