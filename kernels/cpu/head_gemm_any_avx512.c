/* head_gemm_any_avx512.c: a product for each head. Compiled for avx512. */
#include "head_gemm_any.h"
