/* gemm_iq4_xs_amx.c: gemm over iq4_xs weights in panels of 32 rows. Compiled for AMX. */
#define LB_PANEL_DRIVER
#include "gemm_iq4_xs.h"
