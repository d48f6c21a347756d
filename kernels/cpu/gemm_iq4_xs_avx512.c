/* gemm_iq4_xs_avx512.c: gemm over iq4_xs weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_iq4_xs.h"
