/* head_gemm_any_avx2.c: a product for each head. Compiled for avx2. */
#include "head_gemm_any.h"
