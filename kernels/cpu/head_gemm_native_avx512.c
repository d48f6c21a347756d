/* head_gemm_native_avx512.c: head_gemm over quantized weights in their files' own layout. Compiled for avx512. */
#define LB_NATIVE 1
#include "head_gemm_panels.h"
