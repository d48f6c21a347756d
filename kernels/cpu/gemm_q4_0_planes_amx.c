/* gemm_q4_0_planes_amx.c: gemm over q4_0 weights in panels of 32 rows, many rows of x, by tiles (planes.h). */
#define LB_PLANES lb_panel_planes_q4_0
#include "gemm_q4_0.h"
