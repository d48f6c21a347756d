/* head_gemm_panels_avx512.c: head_gemm from the panel of the weights' format. Compiled for avx512. */
#include "head_gemm_panels.h"
