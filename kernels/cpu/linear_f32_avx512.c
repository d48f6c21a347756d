/* linear_f32_avx512.c: linear over f32 weights as they are. Compiled for avx512. */
#define TYPE f32
#include "linear_dense.h"
