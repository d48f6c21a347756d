/* gemm_iq4_nl_avx2.c: gemm over iq4_nl weights in panels of 32 rows. Compiled for avx2. */
#include "gemm_iq4_nl.h"
