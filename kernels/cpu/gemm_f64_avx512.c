/* gemm_f64_avx512.c: gemm of f64 in f64. Compiled for avx512. */
#include "gemm_f64.h"
