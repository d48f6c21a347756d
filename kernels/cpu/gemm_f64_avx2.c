/* gemm_f64_avx2.c: gemm of f64 in f64. Compiled for avx2. */
#include "gemm_f64.h"
