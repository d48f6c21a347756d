/* head_gemm_panels_avx2.c: head_gemm from the panel of the weights' format. Compiled for avx2. */
#include "head_gemm_panels.h"
