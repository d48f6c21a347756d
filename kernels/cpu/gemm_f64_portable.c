/* gemm_f64_portable.c: gemm of f64 in f64. Compiled for portable. */
#include "gemm_f64.h"
