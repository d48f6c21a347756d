/* gemm_iq4_nl_avx512.c: gemm over iq4_nl weights in panels of 32 rows. Compiled for avx512. */
#include "gemm_iq4_nl.h"
