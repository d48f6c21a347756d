/* gemm_iq4_nl_planes_amx.c: gemm over iq4_nl weights in panels of 32 rows, many rows of x, by tiles (planes.h). */
#define LB_PLANES lb_panel_planes_iq4_nl
#include "gemm_iq4_nl.h"
