/* linear_f16_avx512.c: linear over f16 weights as they are. Compiled for avx512. */
#define TYPE f16
#include "linear_dense.h"
